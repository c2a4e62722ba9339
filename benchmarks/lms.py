"""Copying LMS tables: this project against the pattern of upstream's command, one after the other, on one machine.

    python benchmarks/lms.py [--users 1000000] [--json FILE]

A MariaDB and a ClickHouse of its own are filled with so many users, profiles and external ids. Upstream's pattern (OFFSET
pages of 10,000 through Django's ORM and REST framework, one CSV POST a page; tests/services/upstream_pattern.py, without
its pauses) and this project each copy `user_profile` and `external_id` into empty tables, each in a process of its own,
whose peak memory is taken. Then a copy under a cap of rows a second is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

TABLES = ("user_profile", "external_id")
CAP = 20_000
UPSTREAM = ROOT / "tests" / "services" / "upstream_pattern.py"


def ours(table: str, cap: int) -> dict[str, Any]:
    """Copy a table in this process, by the settings of the environment."""
    from aspects_orchestration.lms.copy import CopyRequest, copy_table
    from aspects_orchestration.lms.database import LmsDatabase
    from aspects_orchestration.lms.event_sink import SINK_TABLES
    from aspects_orchestration.resources.clickhouse import connect, schema_names
    from aspects_orchestration.settings import load_settings

    settings = load_settings()
    assert settings.lms_database_url is not None
    started = time.monotonic()
    done = copy_table(
        LmsDatabase(settings.lms_database_url),
        connect(settings, run_id=uuid.uuid4().hex),
        schema_names(settings),
        SINK_TABLES[table],
        CopyRequest(rows_per_second=cap, mode="compare"),
        enable_pii=True,
    )
    return {
        "table": table,
        "rows": done.account.read,
        "inserted": done.inserted,
        "seconds": time.monotonic() - started,
        "copy_seconds": done.seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def fill(lms: Any, users: int) -> None:
    """Users, profiles and external ids, made by the server itself."""
    lms.execute(
        "INSERT INTO auth_user SELECT seq, 'pbkdf2_sha256$x', NULL, 0, CONCAT('user_', seq), 'Fn', 'Ln',"
        f" CONCAT('u', seq, '@example.com'), 0, 1, TIMESTAMP('2020-01-01') + INTERVAL seq SECOND FROM seq_1_to_{users}"
    )
    lms.execute(
        "INSERT INTO auth_userprofile (id, user_id, name, meta, courseware, language, location, year_of_birth, gender,"
        " level_of_education, country, bio, profile_image_uploaded_at) SELECT seq, seq, CONCAT('Name Überlang ', seq), '',"
        " 'course.xml', '', '', 1990, 'f', 'b', 'DE', IF(seq % 5 = 0, REPEAT('Über mich. ', 20), NULL),"
        f" IF(seq % 3 = 0, TIMESTAMP('2021-01-01') + INTERVAL seq SECOND, NULL) FROM seq_1_to_{users}"
    )
    lms.insert(
        "external_user_ids_externalidtype",
        {"id": 1, "created": "2020-01-01", "modified": "2020-01-01", "name": "xapi", "description": ""},
    )
    lms.execute(
        "INSERT INTO external_user_ids_externalid (id, external_user_id, created, modified, external_id_type_id, user_id)"
        f" SELECT seq, LOWER(MD5(seq)), '2020-01-01', '2020-01-01', 1, seq FROM seq_1_to_{users}"
    )
    lms.execute("ANALYZE TABLE auth_user, auth_userprofile, external_user_ids_externalid")


def measure(users: int, folder: Path) -> dict[str, Any]:
    """Everything, once."""
    from services.mariadb import MariaDb, free_port
    from services.site import Site

    from aspects_orchestration.warehouse import server

    replica = MariaDb(folder, free_port(), options=("--innodb-buffer-pool-size=512M",))
    replica.start()
    site = Site(folder / "site")
    site.folder.mkdir()
    try:
        lms = replica.database()
        print(f"filling {users:,} users", file=sys.stderr)
        fill(lms, users)
        address = server.ensure_running(site.home)
        site.environ["ASPECTS_LMS_DATABASE_URL"] = lms.reader_url.get_secret_value()
        site.warehouse()
        found: dict[str, Any] = {"users": users, "cpus": len(os.sched_getaffinity(0)), "tables": {}}
        environ = {**os.environ, **site.variables, "PYTHONPATH": os.pathsep.join(sys.path[:2])}
        for table in TABLES:
            mine = _run([str(Path(__file__)), "--ours", table], environ)
            rows = site.sql(f"SELECT count() FROM event_sink.{table}", admin=True)
            assert int(rows) == mine["rows"] == users
            again = _run([str(Path(__file__)), "--ours", table], environ)
            assert again["inserted"] == 0
            print(f"{table}: ours {mine}; again {again}", file=sys.stderr)
            site.sql(f"TRUNCATE TABLE event_sink.{table}", admin=True)
            theirs = _upstream(table, lms, address, environ)
            assert theirs["rows"] == users
            print(f"{table}: upstream {theirs}", file=sys.stderr)
            found["tables"][table] = {
                "ours": mine,
                "again": again,
                "upstream": theirs,
                "times": theirs["seconds"] / mine["copy_seconds"],
            }
            site.sql(f"TRUNCATE TABLE event_sink.{table}", admin=True)
        capped = _run([str(Path(__file__)), "--ours", "user_profile", "--cap", str(CAP)], environ)
        found["cap"] = {"asked": CAP, "kept": capped["rows"] / capped["copy_seconds"], **capped}
        return found
    finally:
        server.stop(site.home)
        replica.stop()


def _upstream(table: str, lms: Any, address: Any, environ: dict[str, str]) -> dict[str, Any]:
    given = {
        "lms": {
            "ENGINE": "django.db.backends.mysql",
            "NAME": lms.engine.url.database,
            "USER": "root",
            "HOST": lms.engine.url.query["unix_socket"],
            "OPTIONS": {"charset": "utf8mb4"},
        },
        "clickhouse": {
            "url": f"http://{address.host}:{address.http_port}",
            "user": address.admin_user,
            "password": address.admin_password,
            "database": "event_sink",
        },
        "tables": [table],
        "batch_size": 10_000,
    }
    return _run([str(UPSTREAM)], environ, json.dumps(given))


def _run(command: list[str], environ: dict[str, str], given: str = "") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, *command], env=environ, input=given, stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--ours", choices=TABLES, help=argparse.SUPPRESS)
    parser.add_argument("--cap", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        print(json.dumps(ours(given.ours, given.cap)))
        return
    with tempfile.TemporaryDirectory(prefix="lms-") as folder:
        found = measure(given.users, Path(folder))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))
    print(f"{found['users']:,} users, {found['cpus']} CPUs\n")
    print(
        "| table | upstream's pattern, rows/s | this project, rows/s | times | peak memory, MB | run again, s |"
    )
    print("|---|---|---|---|---|---|")
    for table, one in found["tables"].items():
        theirs, mine = one["upstream"], one["ours"]
        print(
            f"| {table} | {theirs['rows'] / theirs['seconds']:,.0f} | {mine['rows'] / mine['copy_seconds']:,.0f} |"
            f" {one['times']:.1f} | {mine['peak_mb']} (upstream's {theirs['peak_mb']})"
            f" | {one['again']['copy_seconds']:.1f} |"
        )
    kept = found["cap"]["kept"]
    print(f"\nA cap of {CAP:,} rows/s: {kept:,.0f} rows/s, {100 * (kept / CAP - 1):+.2f} %")
    wrong = [
        *(
            f"{name}: {one['times']:.1f} times, not 10"
            for name, one in found["tables"].items()
            if one["times"] < 10
        ),
        *(
            f"{name}: {one['ours']['peak_mb']} MB, not under 400"
            for name, one in found["tables"].items()
            if one["ours"]["peak_mb"] >= 400
        ),
        *([f"cap off by {kept / CAP - 1:+.1%}"] if abs(kept / CAP - 1) > 0.05 else []),
    ]
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()

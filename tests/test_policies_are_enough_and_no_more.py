"""The policies of deploy/policies are enough for what the project does, and give no more: tried, not only read.

ClickHouse and MariaDB are real. S3 is a real SeaweedFS behind a proxy that refuses each request which the documents do not
allow, whatever process sends it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import pytest
import sqlalchemy as sa
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr
from services.events import enrolled, write_people
from services.lms_rows import LmsTables
from services.s3_faults import FaultyS3, in_front_of
from services.site import Site
from services.watched import PASSWORD, settings_of, start_with_users

from aspects_orchestration.archive.release import UNSEEN, release
from aspects_orchestration.archive.release_plan import plan_release
from aspects_orchestration.archive.seal import index_of, seal_day
from aspects_orchestration.archive.subset import EVERYTHING
from aspects_orchestration.archive.verify import verify
from aspects_orchestration.errors import LmsError, LogStoreError
from aspects_orchestration.lms import tables as lms_declared
from aspects_orchestration.lms.copy import CopyRequest, copy_table
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import SINK_TABLES
from aspects_orchestration.lms.identities import LmsCourses, LmsUsers
from aspects_orchestration.lms.retirement import retired_users
from aspects_orchestration.monitoring.clickhouse import readers, slowest_queries
from aspects_orchestration.monitoring.watch import read_all
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.tracking.stores import S3Options

if TYPE_CHECKING:
    from services.mariadb import MariaDb
    from services.seaweedfs import S3Server

ROOT = Path(__file__).resolve().parents[1]
POLICIES = ROOT / "deploy/policies"


def statements(path: Path) -> list[str]:
    """The statements of a file, without its comments."""
    text = re.sub(r"^--.*$", "", path.read_text(), flags=re.MULTILINE)
    return [one.strip() for one in text.split(";") if one.strip()]


# --- ClickHouse --------------------------------------------------------------------------------------------------


def test_who_only_watches_sees_every_signal_and_no_statement(site: Site) -> None:
    grants = [one.partition(" TO ")[0] for one in statements(POLICIES / "clickhouse/monitoring.sql")]
    site.warehouse()
    address = start_with_users(site, {"aspects_monitoring": grants})
    site.sql(
        "INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(), now64(6), 'private' FROM numbers(9)",
        admin=True,
    )
    site.sql("SYSTEM FLUSH LOGS", admin=True)
    settings = settings_of(address, "aspects_monitoring")
    found = read_all(readers(settings), now=datetime.now(UTC))
    assert {one.signal: one.why for one in found if one.value is None} == {}
    assert slowest_queries(settings, datetime.now(UTC))
    client = clickhouse_connect.get_client(
        host=address.host, port=address.http_port, username="aspects_monitoring", password=PASSWORD
    )
    for refused in (
        "SELECT event FROM xapi.xapi_events_all",
        "SELECT event_id FROM xapi.xapi_events_all",
        "SELECT * FROM event_sink.user_profile",
        "SELECT * FROM aspects_orchestration.runs",
        "INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(), now(), ''",
        "ALTER TABLE xapi.xapi_events_all DROP PARTITION ID '202405'",
        "KILL QUERY WHERE 1",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "CREATE TABLE aspects_orchestration.x (a Int8) ENGINE = Memory",
    ):
        with pytest.raises(DatabaseError, match=r"497|Not enough privileges"):
            client.command(refused)
    client.close()
    parsed = [
        site.sql(f"EXPLAIN AST {one.replace('<hash>', '0' * 64)}", admin=True)
        for one in statements(POLICIES / "clickhouse/users.sql")
    ]
    assert len([one for one in parsed if b"CREATE USER" in one.upper() or b"CreateUser" in one]) == 2


def test_monitorings_grants_are_a_part_of_the_pipelines() -> None:
    pipeline = (ROOT / "sql/grants.sql").read_text()
    for one in statements(POLICIES / "clickhouse/monitoring.sql"):
        grant = one.partition(" TO ")[0]
        narrower = {
            "GRANT SELECT(emission_time) ON `xapi`.`xapi_events_all`": "GRANT SELECT ON `xapi`.*",
            "GRANT SHOW TABLES ON *.*": "GRANT SHOW DATABASES, SHOW TABLES, SHOW COLUMNS ON *.*",
        }.get(grant, grant)
        assert f"{narrower} TO `aspects_pipeline`;" in pipeline, grant


# --- MySQL -------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader(lms: LmsTables, mariadb: MariaDb) -> Iterator[LmsTables]:
    """The LMS's database for a user who has what the file grants, and nothing besides."""
    database = str(lms.engine.url.database)
    name = f"r_{database}"
    root = sa.create_engine(mariadb.root_url, poolclass=sa.NullPool)

    def run(statement: str) -> None:
        with root.begin() as connection:
            connection.exec_driver_sql(statement.replace("%", "%%"))

    for statement in statements(POLICIES / "mysql/reader.sql"):
        named = statement.replace("'aspects_reader'@'%'", f"'{name}'@'127.0.0.1'").replace(
            "`openedx`", database
        )
        run(named.replace("<password>", "sesame"))
    url = f"mysql+pymysql://{name}:sesame@127.0.0.1:{mariadb.port}/{database}"
    yield replace(lms, reader_url=SecretStr(url))
    run(f"DROP USER '{name}'@'127.0.0.1'")


def test_the_reader_of_the_lms_can_read_all_that_is_read_and_no_password(
    shared_site: Site, reader: LmsTables
) -> None:
    for user in range(1, 6):
        reader.add_user(user)
    database = LmsDatabase(reader.reader_url)
    warehouse = shared_site.warehouse()
    for table in SINK_TABLES.values():
        copied = copy_table(
            database,
            warehouse,
            schema_names(shared_site.settings),
            table,
            CopyRequest(mode="compare"),
            enable_pii=True,
            say=lambda _: None,
        )
        assert copied.account.read == (5 if table.name in {"external_id", "user_profile"} else 0), table.name
    found = LmsUsers(database, with_email=True).find([1, 2], ["user_3", "user_of_old"])
    assert (set(found.by_id), set(found.by_username)) == ({1, 2}, {"user_3"})
    assert LmsCourses(database).display_name("course-v1:a+b+c") is None
    assert list(retired_users(database)) in ([], [[]])
    for refused in (
        "SELECT password FROM auth_user",
        "SELECT * FROM auth_user",
        "SELECT is_superuser FROM auth_user",
        "UPDATE auth_user SET email = ''",
        "DELETE FROM student_courseenrollment",
        "SELECT user FROM mysql.user",
        "SELECT load_file('/etc/passwd') AS x FROM auth_user INTO OUTFILE '/tmp/x'",
    ):
        with pytest.raises(LmsError):
            database.rows(sa.text(refused))
    assert reader.execute("SELECT count(*) FROM auth_user") == [(5,)]


def test_the_readers_tables_are_those_that_are_declared() -> None:
    text = (POLICIES / "mysql/reader.sql").read_text()
    granted = set(re.findall(r"ON `openedx`\.(\w+) TO", text))
    assert granted == set(lms_declared.lms_tables.tables)
    columns = re.search(r"SELECT \(([^)]+)\) ON `openedx`\.auth_user", text)
    assert columns is not None
    assert columns[1].split(", ") == [one.name for one in lms_declared.auth_user.columns]
    job = ROOT / "deploy/tutor/tutoraspectsorchestration/templates/aspects-orchestration/jobs/mysql-reader.sh"
    assert granted <= set(re.findall(r"\w+", job.read_text()))
    assert columns[1] in job.read_text()


# --- S3 ----------------------------------------------------------------------------------------------------------

#: What Amazon asks for each call, by its service authorization reference.
ACTIONS = {
    ("GET", "object"): "s3:GetObject",
    ("HEAD", "object"): "s3:GetObject",
    ("PUT", "object"): "s3:PutObject",
    ("POST", "object"): "s3:PutObject",
    ("DELETE", "object"): "s3:DeleteObject",
    ("GET", "bucket"): "s3:ListBucket",
}


def policy(name: str, places: dict[str, str]) -> list[dict[str, Any]]:
    """The statements of a document, for a site's own buckets and prefixes."""
    text = (POLICIES / f"s3/{name}.json").read_text()
    for theirs, ours in places.items():
        text = text.replace(theirs, ours)
    found = json.loads(text)
    assert found["Version"] == "2012-10-17"
    return list(found["Statement"])


def allows(given: list[dict[str, Any]], action: str, bucket: str, key: str) -> bool:
    """Whether statements allow an action; as IAM does, but for conditions, which only narrow what is listed."""
    arn = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    return any(
        action in one["Action"]
        and any(
            fnmatchcase(arn, where)
            for where in ([one["Resource"]] if isinstance(one["Resource"], str) else one["Resource"])
        )
        for one in given
    )


@contextmanager
def enforced(proxy: FaultyS3, given: list[dict[str, Any]]) -> Iterator[list[tuple[str, str, bool]]]:
    """Refuse what statements do not allow; gives each request with its action, key, and whether it was let through."""
    asked: list[tuple[str, str, bool]] = []

    def fault(method: str, path: str, _: int) -> str | None:
        bucket, _, key = path.lstrip("/").partition("/")
        action = ACTIONS[method, "object" if key else "bucket"]
        ok = allows(given, action, bucket, key)
        asked.append((action, key, ok))
        return None if ok else "denied"

    proxy.fault = fault
    try:
        yield asked
    finally:
        proxy.fault = lambda *_: None


def test_s3_is_used_with_just_what_the_documents_allow(
    site: Site, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aspects_orchestration.tracking.stores.s3_create.PART_BYTES", 5 * 1024 * 1024)
    write_people(site)
    at = datetime(2024, 5, 3, 10, tzinfo=UTC)
    lines = [
        enrolled((at + timedelta(seconds=n)).isoformat(), session=os.urandom(600).hex()) for n in range(9000)
    ]
    s3.put("logs/tracking.log-20240503", b"".join(lines) + b'{"event_source": "broken\n')
    places = {
        "my-logs/tracking-logs": f"{s3.bucket}/{s3.prefix}/logs",
        "my-archive/archive": f"{s3.bucket}/{s3.prefix}/archive",
        '"tracking-logs': f'"{s3.prefix}/logs',
        '"archive': f'"{s3.prefix}/archive',
        ":my-logs": f":{s3.bucket}",
        ":my-archive": f":{s3.bucket}",
    }
    role = {
        name: policy(name, places)
        for name in ("logs-read", "archive-write", "archive-read", "quarantine", "release")
    }
    with in_front_of(s3.endpoint) as proxy:
        site.environ |= s3.environment() | {
            "AWS_ENDPOINT_URL_S3": proxy.endpoint,
            "ASPECTS_TRACKING_LOGS": f"{s3.uri}/logs",
            "ASPECTS_TRACKING_LOG_ARCHIVE": f"{s3.uri}/archive",
            "ASPECTS_RELEASE_KEEP_DAYS": "0",
        }
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        settings, options, now = site.settings, S3Options(pause_s=0.01), datetime.now(UTC)
        today = now.date()

        with enforced(proxy, role["logs-read"] + role["quarantine"]) as asked:
            loaded = site.load("2024-05")
            assert (loaded.ids, loaded.account.total.quarantined_lines) == (9000, 1)
            site.load("2024-05", sources=("quarantine",))
        assert [one for one in asked if not one[2]] == []
        assert {one[0] for one in asked} >= {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}

        with enforced(proxy, role["logs-read"] + role["archive-write"]) as asked:
            seal_day(settings, today, s3=options, run_id="r", now=now + timedelta(days=2), say=lambda _: None)
            assert [one.lines for one in index_of(settings, s3=options).all()] == [9001]
        assert [one for one in asked if not one[2]] == []
        # Of what is sealed nothing could be deleted; only notes of the seal under way were.
        assert not [
            key for action, key, _ in asked if action == "s3:DeleteObject" and "/archive/progress/" not in key
        ]

        with enforced(proxy, role["archive-read"]) as asked:
            assert verify(settings.archive_uri, s3=options, subset=EVERYTHING).passed
        assert [one for one in asked if not one[2]] == []

        def released(given: list[dict[str, Any]]) -> Callable[[], int]:
            def run() -> int:
                with enforced(proxy, given):
                    plan = plan_release(
                        settings, index_of(settings, s3=options), s3=options, now=now + timedelta(days=2)
                    )
                    assert plan.files == 1
                    return release(
                        settings,
                        plan,
                        asked=UNSEEN,
                        s3=options,
                        live=tuple,
                        run_id="r",
                        now=now,
                        say=lambda _: None,
                    ).files

            return run

        with pytest.raises(LogStoreError, match="s3:DeleteObject"):
            released(role["logs-read"] + role["archive-write"])()
        assert released(role["logs-read"] + role["archive-write"] + role["release"])() == 1


@pytest.mark.parametrize("name", sorted(one.stem for one in (POLICIES / "s3").glob("*.json")))
def test_a_document_allows_what_its_name_says(name: str) -> None:
    given = policy(name, {})
    text = json.dumps(given)
    assert "*" not in re.findall(r'"Action": \[([^\]]+)\]', text)[0]
    assert {one["Effect"] for one in given} == {"Allow"}
    assert len(text) < 6000
    deletable = {
        key
        for key in (
            "tracking-logs/x",
            "archive/logs/2024-05-01/x",
            "archive/manifests/x",
            "archive/progress/x",
            "archive/quarantine/x",
            "x",
        )
        for bucket in ("my-logs", "my-archive")
        if allows(given, "s3:DeleteObject", bucket, key)
    }
    assert deletable == {
        "release": {"tracking-logs/x"},
        "archive-write": {"archive/progress/x"},
        "quarantine": {"archive/quarantine/x"},
    }.get(name, set())
    writable = allows(given, "s3:PutObject", "my-logs", "tracking-logs/x")
    assert not writable, "logs are nobody's to write"
    for one in given:
        if one["Action"] == ["s3:ListBucket"]:
            assert one["Condition"]["StringLikeIfExists"]["s3:prefix"]

"""Runs on several machines: every month once, whatever becomes of a worker, with nothing left on any machine's disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from services.celery_site import CelerySite, Machine
from services.postgres import Postgres
from services.seaweedfs import S3Server
from services.site import Site
from services.theirs import TheirServer
from services.valkey import Valkey
from services.web import until

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse.client import Warehouse

MONTHS = [f"2023-{month:02}" for month in range(6, 13)] + [f"2024-{month:02}" for month in range(1, 6)]
SPEC = SampleSpec(
    lines=60_000, damage=0.01, start=datetime(2023, 6, 1, tzinfo=UTC), end=datetime(2024, 6, 1, tzinfo=UTC)
)


@pytest.fixture
def machines(
    site: Site, theirs: TheirServer, s3: S3Server, postgres: Postgres, own_valkey: Valkey
) -> Iterator[CelerySite]:
    """Logs, users, courses, archive and quarantine in S3, and no machine yet."""
    site.environ |= s3.environment() | {
        "ASPECTS_TRACKING_LOGS": f"{s3.uri}/logs",
        "ASPECTS_IDENTITIES": f"{s3.uri}/identities.csv",
        "ASPECTS_COURSES": f"{s3.uri}/courses.csv",
        "ASPECTS_TRACKING_LOG_ARCHIVE": f"{s3.uri}/archive",
        "ASPECTS_DATA_TTL_EXPRESSION": "",
    }
    made = CelerySite(site, postgres, own_valkey, s3.bucket)
    yield made
    made.stop_all()


def put_logs(site: Site, s3: S3Server, spec: SampleSpec, files: int) -> None:
    for path in site.write_samples(spec, files=files):
        s3.put(f"logs/{path.name}", path.read_bytes())
    for name in ("identities.csv", "courses.csv"):
        s3.put(name, (site.folder / name).read_bytes())


def all_command_lines() -> str:
    """As `ps` shows them to anybody on the machine."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            found.append(" ".join(one.cmdline()))
    return "\n".join(found)


def loading(theirs: Warehouse, machine: Machine) -> str:
    """The run on this machine that holds the lock of a month now; '' for none."""
    client = theirs.client()
    tables = client.query(
        "SELECT name FROM system.tables WHERE database = 'aspects_orchestration' AND name LIKE 'lock_%'"
    )
    for (name,) in tables.result_rows:
        try:
            held = client.query(
                f"SELECT run_id, pid FROM aspects_orchestration.{name} ORDER BY heartbeat DESC LIMIT 1"
            )
        except DatabaseError:
            continue  # released meanwhile
        if held.result_rows and held.result_rows[0][1] in machine.pids():
            return str(held.result_rows[0][0])
    return ""


def ended(machines: CelerySite, run_id: str) -> str:
    """How a run ended; '' while it has not."""
    found = next(run["status"] for run in machines.runs() if run["runId"] == run_id)
    return found if found in {"SUCCESS", "FAILURE", "CANCELED"} else ""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_month_is_loaded_once_though_a_worker_dies(
    machines: CelerySite, site: Site, theirs: TheirServer, s3: S3Server
) -> None:
    put_logs(site, s3, SPEC, files=12)
    admin = theirs.admin()
    machines.start_all("one", "two")
    backfill = machines.backfill(MONTHS)
    machines_in_the_process_list = ""

    for _ in range(5):
        run_id = until(
            lambda: loading(admin, machines.machines["one"]),
            within_s=240,
            what="worker one loads a month",
            log=machines.machines["daemon"].log,
        )
        machines_in_the_process_list += all_command_lines()
        machines.machines["one"].kill()
        how = until(
            lambda lost=run_id: ended(machines, lost),  # type: ignore[misc]
            within_s=120,
            what="the dead worker's run has ended",
            log=machines.machines["daemon"].log,
        )
        machines.start_worker("one")
        if how == "FAILURE":
            break
    else:
        pytest.fail("the worker was never killed while it loaded")

    until(
        lambda: machines.status_of(backfill) not in {"REQUESTED", "IN_PROGRESS"},
        within_s=600,
        what="the backfill ends",
        log=machines.machines["daemon"].log,
    )
    assert machines.status_of(backfill) == "COMPLETED_SUCCESS"
    runs = machines.runs()
    lost = [run for run in runs if run["status"] == "FAILURE"]
    assert lost, "the killed worker's run failed"
    for run in lost:
        again = [one for one in runs if one["parentRunId"] == run["runId"]]
        assert [one["tags"]["dagster/partition"] for one in again] == [run["tags"]["dagster/partition"]]
    done = [run for run in runs if run["status"] == "SUCCESS"]
    assert sorted(run["tags"]["dagster/partition"] for run in done) == MONTHS
    assert set().union(*map(machines.workers_of, done)) == {"one", "two"}

    rows, ids = (
        admin.client().query("SELECT count(), uniqExact(event_id) FROM xapi.xapi_events_all").result_rows[0]
    )
    assert rows == ids > 10_000
    in_all = 0
    for month in MONTHS:
        again = site.load(month)
        assert again.statements is not None
        assert again.statements.inserted == 0, f"{month} lacked statements"
        in_all += again.ids
    assert in_all == rows
    assert (
        not admin.client()
        .query(
            "SELECT name FROM system.tables WHERE database = 'aspects_orchestration'"
            " AND match(name, '^(staging|progress|lock)_')"
        )
        .result_rows
    )

    # Each log was read through for the catalog once, whichever machine it was on, but for those that the killed run had.
    looks = (
        admin.client()
        .query("SELECT count(), uniqExact(uri) FROM aspects_orchestration.tracking_log_catalog")
        .result_rows[0]
    )
    assert looks[1] == 12
    assert looks[0] <= 3 * 12, looks

    kept = [
        one["Key"] for one in s3.client().list_objects_v2(Bucket=s3.bucket, Prefix="dagster/")["Contents"]
    ]
    for run in done:
        assert any(f"/{run['runId']}/" in key for key in kept), "what a run printed is in S3"
    quarantine = s3.client().list_objects_v2(Bucket=s3.bucket, Prefix=f"{s3.prefix}/archive/quarantine/")
    assert len(quarantine["Contents"]) >= len(MONTHS)
    for name in ("one", "two"):
        left = {path.name for path in Path(machines.machines[name].site.variables["ASPECTS_HOME"]).iterdir()}
        assert left <= {"identities", "private"}, "a machine keeps only what it can make anew"

    secrets = (*machines.secrets, theirs.address.password, s3.secret_key)
    for machine in machines.machines.values():
        assert not [one for one in secrets if one in machine.said()]
    assert "execute_run" in machines_in_the_process_list
    assert not [one for one in secrets if one in machines_in_the_process_list]


@pytest.mark.slow
def test_a_terminated_run_stops_and_gives_its_month_back(
    machines: CelerySite, site: Site, theirs: TheirServer, s3: S3Server
) -> None:
    put_logs(site, s3, SampleSpec(lines=160_000, transformable=0.6), files=24)
    admin = theirs.admin()
    machines.start_all("one")
    worker = machines.machines["one"]
    idle = len(worker.pids())
    machines.backfill(["2024-05"])
    run_id = until(lambda: loading(admin, worker), within_s=240, what="the month is loaded", log=worker.log)
    assert len(worker.pids()) > idle + 1, "the run and its workers"
    machines.terminate(run_id)
    until(lambda: ended(machines, run_id), within_s=90, what="the run has ended", log=worker.log)
    assert ended(machines, run_id) == "CANCELED"
    until(lambda: len(worker.pids()) <= idle, within_s=30, what="its processes are gone", log=worker.log)
    # Not by the lock's silence: by its release.
    said: list[str] = []
    loaded = site.load("2024-05", said)
    assert not [line for line in said if line.startswith("took over the lock")]
    assert loaded.statements is not None
    assert loaded.statements.inserted == loaded.ids > 10_000


def test_a_worker_refuses_what_each_machine_would_have_for_itself(
    machines: CelerySite, tmp_path: Path
) -> None:
    def said_of(**environ: str) -> str:
        machines.site.environ |= environ
        site = machines.on("refused")
        site.environ |= environ
        done = site.popen(
            *("celery", "-A", "aspects_orchestration.scale_out.worker", "worker", "--concurrency", "1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = done.communicate(timeout=120)
        assert done.returncode == 2, output.decode()
        return output.decode()

    home = machines.on("refused").variables["ASPECTS_HOME"]
    assert "ASPECTS_QUARANTINE" in said_of(ASPECTS_QUARANTINE=f"{home}/quarantine")
    assert "ASPECTS_CLICKHOUSE_URL" in said_of(ASPECTS_CLICKHOUSE_URL="")
    assert "ASPECTS_SEVERAL_MACHINES=true" in said_of(
        ASPECTS_SEVERAL_MACHINES="false", ASPECTS_QUARANTINE="", ASPECTS_CLICKHOUSE_URL="http://x:8123"
    )


def test_places_below_home_are_refused_by_name(tmp_path: Path) -> None:
    given = {
        "ASPECTS_SEVERAL_MACHINES": "true",
        "ASPECTS_HOME": str(tmp_path),
        "ASPECTS_CLICKHOUSE_URL": "https://u:p@clickhouse.example.org:8443",
        "ASPECTS_TRACKING_LOGS": "s3://bucket/logs",
        "ASPECTS_TRACKING_LOG_ARCHIVE": "s3://bucket/archive",
        "LMS_ROOT_URL": "https://learn.example.org",
    }
    assert load_settings(given).quarantine_uri == "s3://bucket/archive/quarantine"
    for name in ("ASPECTS_TRACKING_LOGS", "ASPECTS_TRACKING_LOG_ARCHIVE", "ASPECTS_QUARANTINE"):
        for place in (f"{tmp_path}/here", f"file://{tmp_path}/here"):
            with pytest.raises(SettingsError, match=f"{name}.*a place that all of them reach"):
                load_settings(given | {name: place})
    with pytest.raises(SettingsError, match="ASPECTS_TRACKING_LOGS"):
        load_settings({name: value for name, value in given.items() if name != "ASPECTS_TRACKING_LOGS"})
    with pytest.raises(SettingsError, match="ASPECTS_CLICKHOUSE_URL"):
        load_settings({name: value for name, value in given.items() if name != "ASPECTS_CLICKHOUSE_URL"})

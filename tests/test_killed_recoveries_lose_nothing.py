"""kill -9 after each step of a rebuild and of a replay, then once more to the end: the same table, nothing doubled."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.runs import assert_gone
from services.sealed_site import machine_with_the_archive, write_sealed_site
from services.site import Site, stop_server
from services.views import left_over

from aspects_orchestration.samples import SampleSpec

pytestmark = pytest.mark.slow

SPEC = SampleSpec(lines=400, damage=0.01)
#: In the middle of two months.
WINDOW = ("2024-05-15", "2024-06-05")
_PROGRAM = str(Path(__file__).parent / "services" / "recover_once.py")
#: Some of what a load does to ClickHouse; without a kill after each the test has lost its point.
STEPS = {
    "lock_create",
    "staging_create",
    "insert into progress",
    "publish",
    "expected_ids_insert",
    "insert into runs",
    "insert into loaded",
    "runs_end_unfinished",
    "table_drop",
    "table_drop again",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site, _ = write_sealed_site(tmp_path_factory.mktemp("original"), SPEC)
    yield site
    stop_server(site.home)


@pytest.fixture
def elsewhere(site: Site, original: Site) -> Site:
    machine = machine_with_the_archive(original, site)
    machine.warehouse()
    return machine


def killed_after_each_step(site: Site, *arguments: str) -> tuple[list[str], str]:
    """Run again and again, each time to be killed after the first step at which no run was killed yet.

    Returns:
        The steps after which runs were killed, and what the last run, which met no new one, said.
    """
    killed: list[str] = []
    while True:
        process = site.popen("-u", _PROGRAM, ",".join(killed), *arguments, stdout=-1, stderr=-2)
        output = process.communicate(timeout=180)[0].decode()
        assert_gone(process, within_s=30)
        assert_never_doubled(site)
        if process.returncode != -9:
            assert process.returncode == 0, output
            return killed, output
        killed += re.findall("^killed after: (.+)$", output, re.MULTILINE)


def assert_never_doubled(site: Site) -> None:
    count = "SELECT count() - uniqExact(event_id) FROM xapi.xapi_events_all"
    assert site.sql(count, admin=True) == b"0\n"


def test_a_rebuild(original: Site, elsewhere: Site) -> None:
    killed, output = killed_after_each_step(elsewhere, "all", "--no-lms-tables")
    assert {*killed} >= STEPS | {"insert into recoveries"}
    assert "restored at" in output, "what a killed run had restored is passed over"
    assert elsewhere.rows() == original.rows() != b""
    assert left_over(elsewhere) == b""


def test_a_replay_of_a_window(original: Site, elsewhere: Site) -> None:
    since, until = WINDOW
    killed, _ = killed_after_each_step(
        elsewhere, "window", "--since", since, "--until", until, "--source", "archive"
    )
    assert {*killed} >= STEPS
    inside = f"emission_time >= '{since} 00:00:00' AND emission_time < '{until} 00:00:00'"
    rows = (
        "SELECT event_id, emission_time, event FROM xapi.xapi_events_all WHERE"
        f" {inside} ORDER BY event_id FORMAT TSVRaw"
    )
    assert elsewhere.sql(rows, admin=True) == original.sql(rows, admin=True) != b""
    outside = f"SELECT count() FROM xapi.xapi_events_all WHERE NOT ({inside})"
    assert elsewhere.sql(outside, admin=True) == b"0\n"
    assert left_over(elsewhere) == b""

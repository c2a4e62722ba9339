"""Promise 2, the hard way: runs are killed at any point, and the next one makes the month whole."""

import random
import signal
import time
from collections.abc import Iterator

import pytest
from services.runs import assert_gone, kill, materializing, said, start
from services.site import Site, stop_server
from services.views import chain_views, counts, left_over

from aspects_orchestration.samples import SampleSpec

SPEC = SampleSpec(lines=6_000, damage=0.01)
MONTH = "2024-05"
SLICE = "60"
ROUNDS = 4
KILLS_A_ROUND = 5


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, float, float]]:
    """A site that was loaded once, undisturbed; how long that took, and how much of it was publishing (seconds)."""
    site = Site(tmp_path_factory.mktemp("clean"))
    site.write_samples(SPEC, files=8)
    site.warehouse()
    started = time.monotonic()
    process = start(site, MONTH, SLICE)
    said(process, "counts agree")
    counted = time.monotonic()
    assert b"done" in process.communicate(timeout=300)[0]
    ended = time.monotonic()
    assert process.returncode == 0
    yield site, ended - started, ended - counted
    stop_server(site.home)


def test_a_run_killed_at_any_point_leaves_a_month_that_the_next_run_makes_whole(
    site: Site, clean: tuple[Site, float, float]
) -> None:
    undisturbed, run_s, publish_s = clean
    site.write_samples(SPEC, files=8)
    chain_views(site)
    rows = undisturbed.rows()
    dice = random.Random(20240501)  # noqa: S311  the same points in every run of the test
    published_in_part = 0
    for _ in range(ROUNDS):
        for number in range(KILLS_A_ROUND):
            process = start(site, MONTH, SLICE)
            if number % 2 == 0:
                kill(process, dice.uniform(0.0, run_s))
            else:
                said(process, "counts agree")
                kill(process, dice.uniform(0.0, publish_s))
            there = counts(site)[0]
            published_in_part += 0 < there < rows.count(b"\n")
        last = start(site, MONTH, SLICE)
        output, _ = last.communicate(timeout=120)
        assert last.returncode == 0, output.decode()
        assert site.rows() == rows
        assert len(set(counts(site))) == 1, "each statement once, here and behind both views"
        assert left_over(site) == b""
        for table in ("xapi.xapi_events_all", "reporting.by_event", "reporting.by_day"):
            site.sql(f"TRUNCATE TABLE {table}", admin=True)
    assert published_in_part, "no kill fell into publishing: the test has lost its point"


def test_a_killed_dagster_run_is_made_good_by_the_same_command(
    site: Site, clean: tuple[Site, float, float]
) -> None:
    site.write_samples(SPEC, files=8)
    chain_views(site)
    process = materializing(site, MONTH)
    assert said(process, "counts agree")
    kill(process, 0.1)
    again = site.materialize(MONTH)
    assert again.returncode == 0, again.stdout.decode()
    assert site.rows() == clean[0].rows()
    assert len(set(counts(site))) == 1
    assert left_over(site) == b""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_run_stops_its_workers_at_once_and_the_next_goes_on_behind_it(
    site: Site, how: signal.Signals
) -> None:
    site.write_samples(SampleSpec(lines=160_000, transformable=0.6), files=24)
    process = materializing(site, MONTH)
    assert said(process, "loading 2024-05")
    # A worker says what an insert holds before it begins its next one, so of three by two workers one has been told of.
    wait_until_staged(site, inserts=3)
    process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert_gone(process, within_s=2)
    assert site.rows() == b""
    said_now: list[str] = []
    result = site.load(MONTH, said_now)
    assert result.resumed_chunks > 0
    assert any(line.startswith("going on behind") for line in said_now)
    assert result.statements is not None
    assert result.statements.inserted == result.ids == site.rows().count(b"\n")
    assert left_over(site) == b""


def wait_until_staged(site: Site, inserts: int) -> None:
    names = "SELECT name FROM system.tables WHERE name LIKE 'staging_%' FORMAT TSVRaw"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        table = site.sql(names, admin=True).decode().strip()
        if table:
            count = f"SELECT count() FROM system.parts WHERE active AND table = '{table}'"
            if int(site.sql(count, admin=True)) >= inserts:
                return
        time.sleep(0.05)
    pytest.fail("the load stages nothing")

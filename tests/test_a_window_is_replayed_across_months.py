"""`replay_window`: what happened between two moments is loaded again, whatever months it touches, and nothing twice."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest
from services.runs import kill
from services.sealed_site import MONTHS, machine_with_the_archive, write_sealed_site
from services.site import Site, stop_server

from aspects_orchestration.definitions import defs
from aspects_orchestration.recovery.months import parts_of
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.window import WindowError

SPEC = SampleSpec(lines=2_000, damage=0.01)
NOW = datetime(2024, 7, 3, tzinfo=UTC)
SINCE, UNTIL = "2024-04-28T12:00:00", "2024-06-03"
INSIDE = f"WHERE emission_time >= '{SINCE}' AND emission_time < '{UNTIL}'"
CLI = ("-m", "aspects_orchestration.jobs.recover", "window", "--since", SINCE, "--until", UNTIL)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site, _ = write_sealed_site(tmp_path_factory.mktemp("original"), SPEC)
    yield site
    stop_server(site.home)


@pytest.fixture
def elsewhere(site: Site, original: Site) -> Site:
    return machine_with_the_archive(original, site)


def rows(site: Site, where: str = "") -> bytes:
    return site.sql(
        f"SELECT event_id, emission_time, event FROM xapi.xapi_events_all {where} ORDER BY ALL FORMAT TSV",
        admin=True,
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_window_is_cut_at_months_newest_first() -> None:
    parts = parts_of(at(SINCE), at(UNTIL), first_month="2020-01", now=NOW)
    assert [(one.month, one.since, one.until) for one in parts] == [
        ("2024-06", datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 3, tzinfo=UTC)),
        ("2024-05", None, None),
        ("2024-04", datetime(2024, 4, 28, 12, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)),
    ]
    across = parts_of(at("2023-12-31T23:00:00-02:00"), at("2024-01-01T02:00"), first_month="2020-01", now=NOW)
    assert [one.month for one in across] == ["2024-01"]
    (only,) = parts_of(at("2024-05-01"), at("2024-06-01"), first_month="2020-01", now=NOW)
    assert (only.month, only.since, only.until) == ("2024-05", None, None)
    later = parts_of(at("2024-07-01"), at("2030-01-01"), first_month="2020-01", now=NOW)
    assert [one.month for one in later] == ["2024-07"]


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2024-05-02", "2024-05-02", "is not before until"),
        ("2019-12-31", "2020-02-01", "Begin later, or set ASPECTS_FIRST_MONTH"),
        ("2024-08-01", "2024-09-01", "is in the future"),
    ],
)
def test_a_window_that_is_none_is_refused(since: str, until: str, said: str) -> None:
    with pytest.raises(WindowError, match=said):
        parts_of(at(since), at(until), first_month="2020-01", now=NOW)


def test_the_job_tells_of_each_month_as_its_asset_does(
    original: Site, elsewhere: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in elsewhere.variables.items():
        monkeypatch.setenv(name, value)
    config = {"since": SINCE, "until": UNTIL, "source": "archive"}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs().get_job_def("replay_window")
        done = job.execute_in_process(
            run_config={"ops": {"load_the_months_of_a_window": {"config": config}}}, instance=instance
        )
        assert done.success
        told = [one for one in done.all_events if one.is_step_materialization]
        assert [one.partition for one in told] == list(reversed(MONTHS))
        checks = [one for one in done.all_events if one.event_type_value == "ASSET_CHECK_EVALUATION"]
        assert len(checks) == 8 * 3
        assert {one.asset_check_evaluation_data.partition for one in checks} == set(MONTHS)
        assert all(one.asset_check_evaluation_data.passed for one in checks)
    assert rows(elsewhere) == rows(original, INSIDE) != b""


def test_killed_anywhere_and_run_again_it_is_the_same_table(original: Site, elsewhere: Site) -> None:
    elsewhere.warehouse()
    dice = random.Random(20240501)  # noqa: S311  the same points in every run of the test
    for _ in range(5):
        kill(elsewhere.popen(*CLI, "--source", "archive", stdout=-1, stderr=-2), dice.uniform(1.0, 9.0))
    last = elsewhere.popen(*CLI, "--source", "archive", stdout=-1, stderr=-2)
    output, _ = last.communicate(timeout=120)
    assert last.returncode == 0, output.decode()
    assert rows(elsewhere) == rows(original, INSIDE)
    dry = elsewhere.popen(*CLI, "--source", "archive", "--dry-run", stdout=-1, stderr=-2)
    output, _ = dry.communicate(timeout=120)
    assert dry.returncode == 0
    assert output.count(b"dry run: nothing was written") == 3


def test_a_month_that_fails_keeps_no_other_from_being_loaded(original: Site, elsewhere: Site) -> None:
    newest = max((elsewhere.folder / "archive/logs").rglob("*.zst"), key=lambda path: path.parent.name)
    newest.unlink()  # it holds the last days of June
    process = elsewhere.popen(*CLI[:-1], "2024-06-11", "--source", "archive", stdout=-1, stderr=-2)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"1 of 3 months were not loaded: 2024-06: the archive does not hold what was sealed" in output
    may = "WHERE toYYYYMM(emission_time) = 202405"
    assert rows(elsewhere, may) == rows(original, may) != b""

"""A load of a part of a month: since and until, some files, or what was quarantined; and one load at a time."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from services.events import enrolled, peopled_site, quarantine_records, statements, who, write_people
from services.faults import At
from services.site import Site

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.replay.sources import NoLogsError
from aspects_orchestration.warehouse.lock import LockedError, locked


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from peopled_site(tmp_path_factory)


def test_since_and_until_bound_what_is_loaded(town: Site) -> None:
    days = (3, 10, 17, 24)
    lines = [enrolled(f"2021-01-{day:02d}T00:00:00Z", learner=who(day)) for day in days]
    (town.logs / "days.log.1").write_bytes(b"".join(lines))
    result = town.load(
        "2021-01", since=datetime(2021, 1, 10, tzinfo=UTC), until=datetime(2021, 1, 24, tzinfo=UTC)
    )
    assert [one["timestamp"][:10] for one in statements(town, "2021-01")] == ["2021-01-10", "2021-01-17"]
    assert result.account.total.skipped["outside_window"] >= 2
    assert town.load("2021-01").ids == 4
    assert len(statements(town, "2021-01")) == 4


def test_files_that_are_named_are_read_and_no_others(town: Site) -> None:
    for number in range(3):
        line = enrolled(f"2021-02-0{number + 1}T00:00:00Z", learner=who(number))
        (town.logs / f"named-{number}.log.1").write_bytes(line)
    result = town.load("2021-02", sources=("named-1.log.1",))
    assert len(result.account.files) == 1
    assert [one["timestamp"][:10] for one in statements(town, "2021-02")] == ["2021-02-02"]
    by_path = town.load("2021-02", sources=(str(town.logs / "named-0.log.1"),))
    assert by_path.ids == 1
    assert len(statements(town, "2021-02")) == 2
    with pytest.raises(NoLogsError, match=r"no-such\.log.*Name files below ASPECTS_TRACKING_LOGS"):
        town.load("2021-02", sources=("no-such.log",))
    with pytest.raises(AspectsError, match="covers only a part of it"):
        town.load("2021-02", mode=Mode.REBUILD, sources=("named-1.log.1",))


def test_quarantined_lines_are_replayed_once_their_cause_is_mended(town: Site) -> None:
    newcomer = who(205)  # the site's identities end before
    lines = enrolled("2021-03-04T00:00:00Z", learner=newcomer) + enrolled("2021-03-05T00:00:00Z")
    (town.logs / "newcomer.log.1").write_bytes(lines)
    first = town.load("2021-03")
    assert first.account.total.quarantined["unknown_user"] == 1
    assert first.ids == 1
    (kept,) = [one for one in quarantine_records(town.folder / "archive") if "newcomer" in one["file"]]
    assert kept["line"].encode().rstrip(b"\n") == lines.splitlines()[0]
    assert (kept["reason"], kept["byte_offset"]) == ("unknown_user", 0)

    unmended = town.load("2021-03", sources=("quarantine",))
    assert unmended.account.total.quarantined["unknown_user"] == 1, "still unknown: it stays in quarantine"
    with (town.folder / "identities.csv").open("a") as identities:
        identities.write(
            f"{newcomer.user_id},{newcomer.username},{newcomer.external_user_id},{newcomer.email},xapi\n"
        )
    replayed = town.load("2021-03", sources=("quarantine",))
    assert replayed.statements is not None
    assert replayed.statements.inserted == 1
    assert replayed.account.total.quarantined_lines == 0
    actors = [one["actor"]["account"]["name"] for one in statements(town, "2021-03")]
    assert actors == [newcomer.external_user_id, who().external_user_id]
    with pytest.raises(NoLogsError, match="nothing is in quarantine for 2021-03"):
        town.load("2021-03", sources=("quarantine",))
    whole = town.load("2021-03")
    assert whole.statements is not None
    assert (whole.statements.inserted, whole.statements.already_there) == (0, 2), "the same ids either way"
    write_people(town)


def test_of_two_loads_of_a_month_at_once_one_is_refused_and_the_month_is_right(town: Site) -> None:
    (town.logs / "twice.log.1").write_bytes(enrolled("2021-04-04T00:00:00Z"))
    refused: list[LockedError] = []

    def load_as_well() -> None:
        with pytest.raises(LockedError) as second:
            town.load("2021-04")
        refused.append(second.value)

    result = town.load("2021-04", At("counts agree", load_as_well))
    assert result.ids == len(statements(town, "2021-04")) == 1
    (error,) = refused
    assert f"run {result.run_id}" in error.what
    assert "is loading this month" in error.what
    assert "terminate it" in error.do
    assert "run again" in error.do


def test_loads_of_different_months_do_not_hinder_each_other(town: Site) -> None:
    (town.logs / "months.log.1").write_bytes(enrolled("2021-05-04T00:00:00Z"))
    first = town.warehouse()
    with locked(first, "aspects_orchestration", "lock_xapi_xapi_events_all_202106"):
        assert town.load("2021-05").ids == 1

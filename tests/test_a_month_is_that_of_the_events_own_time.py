"""An event belongs to the month of its own time in UTC, to the microsecond, whatever its file is called."""

from collections.abc import Iterator

import pytest
from services.events import CCX, enrolled, peopled_site, quarantine_records, statements, who
from services.site import Site


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from peopled_site(tmp_path_factory)


def emission_times(town: Site, month: str) -> list[str]:
    rows = town.sql("SELECT emission_time FROM xapi.xapi_events_all ORDER BY ALL FORMAT TSVRaw")
    return [time for time in rows.decode().splitlines() if time.startswith(month)]


def test_a_months_border_is_midnight_in_utc_to_the_microsecond(town: Site) -> None:
    times = [
        "2021-01-31T23:59:59.999999+00:00",
        "2021-02-01T00:00:00+00:00",
        "2021-02-28T23:59:59.999999Z",
        "2021-03-01T00:00:00.000000Z",
        "2021-02-01T05:29:59.999999+05:30",  # still January in UTC
        "2021-02-28T19:00:00-05:00",  # March in UTC already
    ]
    lines = b"".join(enrolled(time, learner=who(number)) for number, time in enumerate(times))
    (town.logs / "tracking.log-20210215").write_bytes(lines)
    counted = [town.load(month).ids for month in ("2021-01", "2021-02", "2021-03")]
    assert counted == [2, 2, 2]
    assert emission_times(town, "2021-01") == ["2021-01-31 23:59:59.999999"] * 2
    assert emission_times(town, "2021-02") == ["2021-02-01 00:00:00.000000", "2021-02-28 23:59:59.999999"]
    assert emission_times(town, "2021-03") == ["2021-03-01 00:00:00.000000"] * 2
    # The statement keeps the time as it stood in the log; its id was made from that text.
    (late,) = [one for one in statements(town, "2021-03") if one["timestamp"].endswith("-05:00")]
    assert late["timestamp"] == "2021-02-28T19:00:00-05:00"


def test_a_time_without_zone_is_utc_and_counted(town: Site) -> None:
    (town.logs / "naive.log.1").write_bytes(
        enrolled("2021-04-30T23:59:59.123456") + enrolled("2021-04-30T23:59:59.123457+00:00")
    )
    result = town.load("2021-04")
    assert result.account.total.assumed_utc == 1
    assert emission_times(town, "2021-04") == ["2021-04-30 23:59:59.123456", "2021-04-30 23:59:59.123457"]


def test_a_whole_number_is_seconds_since_1970_and_an_unreadable_time_is_quarantined(town: Site) -> None:
    (town.logs / "numbers.log.1").write_bytes(
        enrolled(1_621_000_000)  # 2021-05-14T13:46:40Z
        + enrolled("last Tuesday")
        + enrolled(None)
        + enrolled(10**15)
        + enrolled("2021-05-14T13:46:41Z", learner=who(1))
    )
    result = town.load("2021-05")
    account = result.account.files[next(uri for uri in result.account.files if "numbers" in uri)]
    assert account.quarantined["unreadable_time"] == 2
    assert account.quarantined["no_time"] == 1
    # event-routing-backends builds no statement from a number: accounted for either way, and never misplaced.
    assert account.with_statements + account.quarantined_lines == account.lines == 5
    assert emission_times(town, "2021-05")[-1] == "2021-05-14 13:46:41.000000"
    kept = [one for one in quarantine_records(town.folder / "archive") if "numbers" in one["file"]]
    assert len(kept) == account.quarantined_lines


def test_a_custom_courses_events_load_like_any_others(town: Site) -> None:
    (town.logs / "ccx.log.1").write_bytes(enrolled("2021-06-02T08:00:00Z", course=CCX))
    assert town.load("2021-06").ids == 1
    (statement,) = statements(town, "2021-06")
    assert statement["object"]["id"].endswith(CCX)
    found = town.check("2021-06")
    assert all(finding.passed for finding in found.values()), found

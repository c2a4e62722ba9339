"""Days are those of UTC, whatever the machine's zone; clocks that are wrong delay a file, or make it a supplement."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from services.seals import SealSite, events, town

from aspects_orchestration.archive.seal import can_be_sealed_at, newest_that_can_be_sealed

__all__ = ["town"]

#: Where clocks are set forward and back on 2024-03-10 and 2024-11-03, where they are half an hour off, and across midnight.
ZONES = ["America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati", "America/St_Johns"]
DAYS = [
    date(2024, 3, 9),
    date(2024, 3, 10),
    date(2024, 3, 11),
    date(2024, 11, 2),
    date(2024, 11, 3),
    date(2024, 11, 4),
]


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine of that zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_a_day_is_the_same_in_every_zone(town: SealSite, zone: str) -> None:
    expected = {}
    for day in DAYS:
        for hour, minute in ((0, 0), (4, 59), (6, 59), (12, 0), (23, 59)):
            at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
            expected[town.put(f"{at:%Y%m%d%H%M}.log", events(hour, 2), at).as_uri()] = day.isoformat()
    town.environ["TZ"] = zone
    for day in DAYS:
        process = town.popen(day)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert {one.source: one.object.split("/")[1] for one in town.objects()} == expected
    assert {one.supplements for one in town.objects()} == {None}


def test_a_file_that_claims_to_be_of_the_future_is_told_and_taken_when_it_is_mended(town: SealSite) -> None:
    now = datetime(2024, 5, 3, 7, tzinfo=UTC)
    town.put("fine.log", events(0, 2), datetime(2024, 5, 2, 23, tzinfo=UTC))
    path = town.put("ahead.log", events(5, 2), datetime(2031, 1, 1, tzinfo=UTC))
    result = town.seal(date(2024, 5, 2), now=now)
    assert result.plan.from_the_future == (path.as_uri(),)
    assert any("claim to be written in the future" in line and "touch" in line for line in town.said)
    assert len(town.objects()) == 1
    town.put("ahead.log", events(5, 2), datetime(2024, 5, 2, 22, tzinfo=UTC))
    town.seal(date(2024, 5, 3), now=now + timedelta(days=1))
    assert town.lines() == town.lines(str(town.logs))


def test_a_clock_that_runs_ahead_seals_early_and_what_follows_is_a_supplement(town: SealSite) -> None:
    day = date(2024, 5, 2)
    town.put("tracking.log", events(0, 10), datetime(2024, 5, 2, 15, tzinfo=UTC))
    town.seal(day, now=datetime(2024, 5, 4, tzinfo=UTC))  # it is the afternoon of May 2 everywhere else
    town.put("tracking.log", events(0, 30), datetime(2024, 5, 2, 23, tzinfo=UTC))
    town.seal(date(2024, 5, 3), now=datetime(2024, 5, 5, tzinfo=UTC))
    assert town.lines() == town.lines(str(town.logs))
    assert [one.supplements for one in town.objects()] == [None, "2024-05-02"]


def test_a_file_without_a_time_comes_with_the_next_seal(town: SealSite) -> None:
    town.put("old.log", events(0, 10), datetime(1970, 1, 1, tzinfo=UTC))
    town.seal(date(2024, 5, 2))
    assert [one.supplements for one in town.objects()] == ["1970-01-01"]


@pytest.mark.parametrize("lateness", [0, 6, 23, 24, 30])
def test_the_newest_day_that_can_be_sealed_can_be_sealed_and_the_next_cannot(lateness: int) -> None:
    for hours in range(72):
        now = datetime(2024, 2, 28, tzinfo=UTC) + timedelta(hours=hours, minutes=30)
        day = newest_that_can_be_sealed(now, lateness)
        assert can_be_sealed_at(day, lateness) <= now
        assert can_be_sealed_at(day + timedelta(days=1), lateness) > now

"""Twelve drills in a row give every month of the archive a turn, and the same drill takes the same days again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aspects_orchestration.archive.index import ArchiveIndex, SealedDay
from aspects_orchestration.archive.layout import manifest_name, object_name
from aspects_orchestration.archive.manifest import ArchivedObject, Head, Link, ManifestReader, encode
from aspects_orchestration.drill.choose import (
    DayPlan,
    NothingToDrillError,
    choose_days,
    heaviest_draw,
    newest_sealed_line,
    plan_named_day,
    whose_turn,
)
from aspects_orchestration.tracking.stores import S3Options, open_store

MB = 10**6
NOTHING = hashlib.sha256(b"").hexdigest()


def an_object(day: date, number: int, months: dict[str, int], raw_bytes: int = MB) -> ArchivedObject:
    source = f"file:///logs/{day}-{number}.log"
    moment = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
    return ArchivedObject(
        object=object_name(day, source, "e", 0, "zst"),
        source=source,
        source_etag="e",
        source_bytes=raw_bytes,
        source_modified=moment,
        raw_offset=0,
        raw_bytes=raw_bytes,
        raw_sha256=NOTHING,
        stored_bytes=raw_bytes // 10,
        stored_sha256=NOTHING,
        lines=sum(months.values()),
        first_event=moment if months else None,
        last_event=moment if months else None,
        months=months,
        undated=0,
        covered_bytes=raw_bytes,
        covered_sha256=NOTHING,
    )


class Archive:
    """An archive of manifests alone: which days are drilled follows from them."""

    def __init__(self, folder: Path) -> None:
        self.uri = str(folder / "archive")
        self.index = ArchiveIndex(self.uri, folder / "index", s3=S3Options())
        self._previous: Link | None = None

    def seal(self, day: date, objects: Iterable[ArchivedObject]) -> None:
        head = Head(day, self._previous, datetime(2024, 1, 1, tzinfo=UTC), "test", "zst")
        lines = list(encode(head, sorted(objects)))
        assert open_store(self.uri).create(f"{self.uri}/{manifest_name(day)}", lines)
        reader = ManifestReader(lines, "test")
        list(reader)
        self._previous = Link(day, reader.totals.sha256)

    def seal_days(self, first: date, last: date, step: int = 1) -> None:
        day = first
        while day <= last:
            self.seal(day, [an_object(day, 0, {f"{day:%Y-%m}": 100})])
            day += timedelta(days=step)

    def sealed(self) -> list[SealedDay]:
        return self.index.update()

    def chosen(
        self, turn: str, *, first_month: str = "2020-01", max_raw_bytes: int = 100 * MB
    ) -> list[DayPlan]:
        return choose_days(
            self.index, self.sealed(), turn, first_month=first_month, max_raw_bytes=max_raw_bytes
        )


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def turns(first: date, count: int) -> list[str]:
    number = first.year * 12 + first.month - 1
    return [f"{(number + n) // 12:04d}-{(number + n) % 12 + 1:02d}" for n in range(count)]


def test_twelve_drills_in_a_row_give_every_month_a_turn(archive: Archive) -> None:
    archive.seal_days(date(2022, 3, 1), date(2024, 8, 31), step=3)
    months = archive.index.months() if archive.sealed() else []
    assert len(months) == 30
    for begin in (date(2024, 9, 1), date(2025, 2, 1)):
        taken = [plan.turn_of for turn in turns(begin, 12) for plan in archive.chosen(turn)]
        assert sorted(str(month) for month in taken) == months, "each once"


def test_the_same_drill_takes_the_same_days_and_other_years_other_days(archive: Archive) -> None:
    archive.seal_days(date(2024, 5, 1), date(2024, 5, 31))
    (first,) = archive.chosen("2024-06")
    assert first.day.month == 5
    assert archive.chosen("2024-06") == [first]
    archive.seal_days(date(2024, 6, 1), date(2024, 6, 20))
    assert archive.chosen("2024-06") == [first], "days that were sealed since change nothing"
    others = {archive.chosen(f"{year}-06")[0].day for year in range(2025, 2031)}
    assert len(others) > 2


def test_a_new_month_has_its_turn_when_it_is_over_and_a_young_archive_is_drilled_too(
    archive: Archive,
) -> None:
    assert whose_turn(["2023-12", "2024-01", "2024-11", "2024-12"], "2025-01") == ["2023-12", "2024-12"]
    archive.seal_days(date(2024, 5, 3), date(2024, 5, 9))
    assert [plan.turn_of for plan in archive.chosen("2024-05")] == ["2024-05"], "begun this very month"
    assert [plan.turn_of for plan in archive.chosen("2025-01")] == ["2024-05"]


def test_lines_that_went_astray_hardly_ever_draw_a_days_turn() -> None:
    busy, astray = date(2024, 5, 10), date(2024, 7, 1)
    drawn = [heaviest_draw({busy: 10_000, astray: 2}, f"seed {number}") for number in range(500)]
    assert drawn.count(astray) < 5
    even = [heaviest_draw({busy: 100, astray: 100}, f"seed {number}") for number in range(500)]
    assert 200 < even.count(busy) < 300


def test_months_that_are_none_of_the_site_have_no_turn_and_are_named(archive: Archive) -> None:
    day = date(2024, 5, 10)
    archive.seal(day, [an_object(day, 0, {"1970-01": 3, "2024-04": 5, "2024-05": 90, "2099-01": 1})])
    (plan,) = archive.chosen("2024-06")
    assert plan.months == ("2024-04", "2024-05")
    assert plan.strange_months == ("1970-01", "2099-01")
    with pytest.raises(NothingToDrillError, match="no line of a month from 2025-01"):
        archive.chosen("2025-06", first_month="2025-01")


def test_of_a_day_that_is_too_large_a_part_is_taken_by_lot(archive: Archive) -> None:
    # A first seal takes all that is there, of whatever month.
    day = date(2024, 5, 10)
    may = [an_object(day, number, {"2024-05": 10}) for number in range(200)]
    april = [an_object(day, 1000 + number, {"2024-04": 10}) for number in range(200)]
    archive.seal(day, may + april)
    (plan,) = archive.chosen("2024-06", max_raw_bytes=50 * MB)
    assert plan.months == ("2024-05",)
    assert 25 * MB < plan.raw_bytes < 75 * MB
    assert plan.left_out == 400 - len(plan.objects)
    assert archive.chosen("2024-06", max_raw_bytes=50 * MB) == [plan]
    (next_year,) = archive.chosen("2025-06", max_raw_bytes=50 * MB)
    assert set(next_year.objects) != set(plan.objects)
    (one,) = archive.chosen("2024-06", max_raw_bytes=1)
    assert len(one.objects) == 1
    (whole,) = archive.chosen("2024-06", max_raw_bytes=400 * MB)
    assert whole.months == ("2024-04", "2024-05")
    assert whole.left_out == 0


def test_a_named_day_is_taken_whole_and_one_that_is_not_sealed_is_refused(archive: Archive) -> None:
    archive.seal_days(date(2024, 5, 1), date(2024, 5, 3))
    archive.seal(date(2024, 5, 4), [])
    how = {"first_month": "2020-01", "max_raw_bytes": MB}
    plan = plan_named_day(archive.index, archive.sealed(), date(2024, 5, 2), "2024-06", **how)  # type: ignore[arg-type]
    assert (plan.day, plan.turn_of, plan.months) == (date(2024, 5, 2), None, ("2024-05",))
    empty = plan_named_day(archive.index, archive.sealed(), date(2024, 5, 4), "2024-06", **how)  # type: ignore[arg-type]
    assert (empty.objects, empty.months) == ((), ())
    with pytest.raises(NothingToDrillError, match="the sealed days are 2024-05-01 to 2024-05-04"):
        plan_named_day(archive.index, archive.sealed(), date(2024, 6, 2), "2024-06", **how)  # type: ignore[arg-type]


def test_an_archive_in_which_nothing_is_sealed_cannot_be_drilled(archive: Archive) -> None:
    with pytest.raises(NothingToDrillError, match="nothing could be restored") as refused:
        archive.chosen("2024-06")
    assert "Materialize tracking_log_archive" in refused.value.do


def test_the_newest_sealed_line_is_no_line_of_the_future(archive: Archive) -> None:
    archive.seal_days(date(2024, 5, 1), date(2024, 5, 3))
    archive.seal(date(2024, 5, 4), [])
    late = datetime(2024, 6, 1, tzinfo=UTC)
    assert newest_sealed_line(archive.index, archive.sealed(), late) == datetime(2024, 5, 3, 10, tzinfo=UTC)
    early = datetime(2024, 5, 3, 9, tzinfo=UTC)
    assert newest_sealed_line(archive.index, archive.sealed(), early) == datetime(2024, 5, 2, 10, tzinfo=UTC)

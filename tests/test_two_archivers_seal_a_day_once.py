"""Of two archivers at once one seals the day, both leave a whole archive, and nothing that one of them saw is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from services.seals import FIRST, SealSite, stop, until

from aspects_orchestration.archive.seal import SealError, SealResult

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

LAST = date(2024, 5, 3)


@pytest.fixture(params=["folder", "s3"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> SealSite:
    """A site whose archive is a folder, or in S3."""
    if request.param == "folder":
        return SealSite(tmp_path)
    s3: S3Server = request.getfixturevalue("s3")
    return SealSite(tmp_path, f"{s3.uri}/archive", s3.environment())


def test_of_four_at_once_each_day_is_sealed_by_one(town: SealSite) -> None:
    town.put_days(3, 6)
    town.seal(FIRST)
    ready = threading.Barrier(4)

    def seal(number: int) -> SealResult:
        # A machine of its own: nothing is shared but logs and archive.
        one = SealSite(
            town.folder, town.archive, {**town.environ, "ASPECTS_HOME": str(town.folder / f"home{number}")}
        )
        ready.wait(30)
        return one.seal(LAST)

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(seal, range(4)))
    sealed = [day.day for result in results for day in result.sealed_now]
    assert sorted(sealed) == [date(2024, 5, 2), LAST]
    assert len({result.sealed for result in results}) == 1
    assert town.lines() == town.lines(str(town.logs))
    assert {one.object for one in town.objects()} == {
        name for name in town.stored() if name.startswith("logs/")
    }


def test_of_days_that_another_seals_meanwhile_nothing_is_written(town: SealSite) -> None:
    town.put_days(3, 2)
    town.seal(FIRST)
    slow = town.popen(LAST, "manifest", "wait")
    try:
        assert list(until(slow, b"waiting at manifest"))
        other = SealSite(
            town.folder, town.archive, {**town.environ, "ASPECTS_HOME": str(town.folder / "other")}
        )
        other.seal(LAST)
        before = town.stored()
        output, _ = slow.communicate(b"\n", timeout=300)
    finally:
        stop(slow)
    assert b"done: 0 days, 0 left out" in output
    assert town.stored() == before
    assert len(town.objects()) == 6


def test_of_two_first_seals_of_different_days_one_begins_the_archive(town: SealSite) -> None:
    town.put_days(3, 3)
    ready = threading.Barrier(2)

    def seal(day: date) -> SealResult | None:
        one = SealSite(
            town.folder, town.archive, {**town.environ, "ASPECTS_HOME": str(town.folder / f"home{day}")}
        )
        ready.wait(30)
        with suppress(SealError):
            return one.seal(day)
        return None

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(seal, [FIRST, LAST]))
    assert results[1] is not None
    days = [one.day for one in results[1].days]
    assert days in ([LAST], [FIRST, date(2024, 5, 2), LAST])
    assert (results[0] is None) == (days == [LAST])
    assert town.lines() == town.lines(str(town.logs))


def test_what_the_winner_did_not_see_comes_with_the_next_day(town: SealSite) -> None:
    town.put_days(2, 2)
    town.seal(FIRST)
    late = town.put("late.log", b'{"late": 1}\n', datetime(2024, 5, 2, 23, tzinfo=UTC))
    slow = town.popen(date(2024, 5, 2), "manifest", "wait")
    try:
        assert list(until(slow, b"waiting at manifest"))
        content = late.read_bytes()
        late.unlink()
        other = SealSite(
            town.folder, town.archive, {**town.environ, "ASPECTS_HOME": str(town.folder / "other")}
        )
        other.seal(date(2024, 5, 2))
        late.write_bytes(content)
        output, _ = slow.communicate(b"\n", timeout=300)
    finally:
        stop(slow)
    assert b"1 files that it did not see come with the next day" in output
    assert late.as_uri() not in {one.source for one in town.objects()}
    town.put("late.log", content, datetime(2024, 5, 2, 23, tzinfo=UTC))
    town.seal(LAST)
    (found,) = [one for one in town.objects() if one.source == late.as_uri()]
    assert (found.object.split("/")[1], found.supplements) == ("2024-05-03", "2024-05-02")

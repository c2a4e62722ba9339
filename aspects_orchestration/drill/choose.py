"""Which days of the archive a drill replays.

The drill of a calendar month takes, of every year that is archived, the calendar month before it: the drill of June
takes a day of each May. So twelve drills in a row give every month of the archive its turn, and a new month has its
first one as soon as it is over. The same drill of the same archive takes the same days, whenever it runs.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from aspects_orchestration.archive.index import ArchiveIndex, SealedDay
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.window import month_window

#: 2 to the power of the bits of a digest that are looked at.
_SCALE = 2.0**64


class NothingToDrillError(AspectsError):
    """Nothing is sealed, or not the day asked for."""


@dataclass(frozen=True)
class DayPlan:
    """One day of the archive, and what of it is replayed.

    Attributes:
        day: that was sealed.
        turn_of: the month (2024-05) whose turn it is; None where an operator named the day.
        objects: to verify and replay, by name.
        months: of the site, which these hold lines of; each is loaded.
        strange_months: months that they hold lines of and that are no partitions of the site; not loaded.
        left_out: objects of the day that are not replayed, to stay within the bound.
    """

    day: date
    turn_of: str | None
    objects: tuple[ArchivedObject, ...]
    months: tuple[str, ...]
    strange_months: tuple[str, ...]
    left_out: int

    @property
    def raw_bytes(self) -> int:
        """Bytes to replay, decompressed."""
        return sum(one.raw_bytes for one in self.objects)

    @property
    def stored_bytes(self) -> int:
        """Bytes to read, as stored."""
        return sum(one.stored_bytes for one in self.objects)

    @property
    def lines(self) -> int:
        """Lines to replay."""
        return sum(one.lines for one in self.objects)

    def of_month(self, month: str) -> tuple[ArchivedObject, ...]:
        """The objects that hold lines of a month."""
        return tuple(one for one in self.objects if month in one.months)

    def described(self) -> str:
        """One line for people."""
        why = f", the turn of {self.turn_of}" if self.turn_of else ""
        left = f"; {self.left_out} objects of the day are left out" if self.left_out else ""
        return (
            f"{self.day}{why}: {len(self.objects)} objects, {self.stored_bytes:,} bytes stored, {self.raw_bytes:,} raw,"
            f" {self.lines:,} lines, months {', '.join(self.months) or 'none'}{left}"
        )


def choose_days(
    index: ArchiveIndex,
    sealed: Sequence[SealedDay],
    turn: str,
    *,
    first_month: str,
    max_raw_bytes: int,
) -> list[DayPlan]:
    """The days whose turn it is.

    Args:
        index: of the archive, up to date.
        sealed: what its `update` returned.
        turn: the drill's month, such as 2026-11.
        first_month: ASPECTS_FIRST_MONTH; what is older is no partition of the site.
        max_raw_bytes: of one day, decompressed; more is left out.

    Raises:
        NothingToDrillError: no line of any month of the site is sealed.
    """
    _require_any(sealed, index.archive)
    known = [month for month in index.months() if first_month <= month <= turn]
    months = whose_turn(known, turn)
    if not months:
        raise NothingToDrillError(
            f"no line of a month from {first_month} to {turn} is sealed in {index.archive}",
            do="Look at ASPECTS_FIRST_MONTH and at what tracking_log_archive has sealed, or name a `day` in the config.",
        )
    plans = []
    for month in months:
        # Days sealed since the drill's month began change from run to run; without older ones they must do.
        lines = _lines_by_day(index, month)
        settled = {day: count for day, count in lines.items() if f"{day:%Y-%m}" < turn}
        day = heaviest_draw(settled or lines, f"{turn} {month}")
        plans.append(_plan(index, day, turn, month, first_month, max_raw_bytes))
    return plans


def plan_named_day(
    index: ArchiveIndex,
    sealed: Sequence[SealedDay],
    day: date,
    turn: str,
    *,
    first_month: str,
    max_raw_bytes: int,
) -> DayPlan:
    """The plan for a day that an operator named.

    Args:
        index, sealed, turn, first_month, max_raw_bytes: see `choose_days`.
        day: which was sealed.

    Raises:
        NothingToDrillError: it is not sealed.
    """
    _require_any(sealed, index.archive)
    if day not in {one.day for one in sealed}:
        raise NothingToDrillError(
            f"{day} is not sealed in {index.archive}; the sealed days are {sealed[0].day} to {sealed[-1].day}",
            do="Name one of these, or seal it: materialize that partition of tracking_log_archive.",
        )
    return _plan(index, day, turn, None, first_month, max_raw_bytes)


def whose_turn(months: Sequence[str], turn: str) -> list[str]:
    """The months that the drill of `turn` takes, the oldest first; in an archive without such a month one by lot."""
    before = (int(turn[5:]) + 10) % 12 + 1
    found = [month for month in months if int(month[5:]) == before]
    return sorted(found) or ([max(months, key=lambda month: _draw(f"{turn} {month}"))] if months else [])


def heaviest_draw(lines: Mapping[date, int], seed: str) -> date:
    """One day by lot, a day with many lines more probably than one with a few that went astray.

    Each day draws for itself, so a day more or less leaves the others' lots as they are.
    """
    return max(lines, key=lambda day: (math.log(_draw(f"{seed} {day}")) / lines[day], day))


def newest_sealed_line(index: ArchiveIndex, sealed: Sequence[SealedDay], now: datetime) -> datetime | None:
    """The time of the newest event that is sealed; None if there is none. Events of the future are clocks gone wrong."""
    for one in reversed(sealed):
        times = [
            found.last_event
            for found in index.of_day(one.day)
            if found.last_event is not None and found.last_event <= now
        ]
        if times:
            return max(times)
    return None


def turn_of(moment: datetime) -> str:
    """The drill's month at a moment, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def _require_any(sealed: Sequence[SealedDay], archive: str) -> None:
    if not sealed:
        raise NothingToDrillError(
            f"nothing is sealed in {archive}, so nothing could be restored from it",
            do="Materialize tracking_log_archive, and switch its schedule on; or mend ASPECTS_TRACKING_LOG_ARCHIVE.",
        )


def _lines_by_day(index: ArchiveIndex, month: str) -> Counter[date]:
    found: Counter[date] = Counter()
    for one in index.of_month(month):
        if lines := one.months.get(month, 0):
            found[date.fromisoformat(one.object.split("/")[1])] += lines
    return found


def _plan(
    index: ArchiveIndex, day: date, turn: str, month: str | None, first_month: str, max_raw_bytes: int
) -> DayPlan:
    whole = _Sum(index.of_day(day))
    wanted = None if whole.raw_bytes <= max_raw_bytes else month
    chosen = _Sum(_touching(index.of_day(day), wanted))
    objects = tuple(_within(_touching(index.of_day(day), wanted), chosen, max_raw_bytes, f"{turn} {day}"))
    months = sorted({one for found in objects for one in found.months})
    newest = max(turn, f"{day:%Y-%m}")
    ours = tuple(one for one in months if first_month <= one <= newest and _is_month(one))
    return DayPlan(
        day,
        month,
        objects,
        ours,
        tuple(one for one in months if one not in ours),
        whole.objects - len(objects),
    )


class _Sum:
    """How many objects there are, and of how many bytes."""

    def __init__(self, objects: Iterable[ArchivedObject]) -> None:
        self.objects = self.raw_bytes = 0
        for one in objects:
            self.objects += 1
            self.raw_bytes += one.raw_bytes


def _touching(objects: Iterable[ArchivedObject], month: str | None) -> Iterator[ArchivedObject]:
    return (one for one in objects if month is None or month in one.months)


def _within(
    objects: Iterable[ArchivedObject], all_of_them: _Sum, max_raw_bytes: int, seed: str
) -> list[ArchivedObject]:
    """All objects, or as many by lot as stay within about so many bytes; one at least."""
    if all_of_them.raw_bytes <= max_raw_bytes:
        return list(objects)
    share = max_raw_bytes / all_of_them.raw_bytes
    kept: list[ArchivedObject] = []
    first: tuple[float, ArchivedObject] | None = None
    for one in objects:
        draw = _draw(f"{seed} {one.object}")
        if draw < share:
            kept.append(one)
        if first is None or draw < first[0]:
            first = (draw, one)
    return kept or ([first[1]] if first else [])


def _draw(text: str) -> float:
    """A number over 0 and up to 1 that follows from a text."""
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) + 1) / _SCALE


def _is_month(key: str) -> bool:
    try:
        month_window(key)
    except AspectsError:
        return False
    return True

"""The lines of each hour against its statements: which hours fall short of what is usual here.

A line does not give one statement everywhere: some give several, some none, and a live pipeline may have its own losses
that nobody minds. So what is expected of an hour is taken from the site itself: exactly, where a load has read the hour;
else the hour's lines times the usual ratio, which is the median over the hours that are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: Fewer hours with lines and statements than this are too few to learn what is usual.
ENOUGH_HOURS = 24
#: Before that, one statement a line is taken for usual, and only hours with less than half of it are listed.
UNLEARNED_TOLERANCE = 0.5
#: So many times the usual scatter are no gap. Of a normal distribution 1 in 30,000 hours lies beyond.
_SCATTERS = 4.0
#: Standard deviation of a normal distribution for a median absolute deviation of 1.
_DEVIATION = 1.4826


@dataclass(frozen=True)
class Limits:
    """What an hour may fall short by.

    Attributes:
        tolerance: share of what is expected of the hour, from 0 to 1.
        at_least: statements; fewer are never a gap.
    """

    tolerance: float = 0.05
    at_least: int = 3


@dataclass(frozen=True)
class Loaded:
    """What the last load of an hour found: the lines that it read, and the statements that stood in the table behind it."""

    lines: int
    statements: int


@dataclass(frozen=True)
class Usual:
    """What is usual at this site.

    Attributes:
        ratio: statements a line, the median by hour.
        scatter: how far hours lie from it, for one line; that of an hour grows with the root of its lines.
        hours: how many hours that was learned from.
        is_learned: whether they were enough. If not, the ratio is 1.
    """

    ratio: float
    scatter: float
    hours: int
    is_learned: bool

    def __str__(self) -> str:
        if self.is_learned:
            return f"usually {self.ratio:.3f} statements a line (median of {self.hours} hours)"
        return (
            f"{self.hours} hours are too few to learn from (it takes {ENOUGH_HOURS}): one statement a line is assumed,"
            " and of hours that were never loaded only those with less than half of it are listed"
        )


@dataclass(frozen=True)
class Hour:
    """One hour.

    Attributes:
        hour: hours since 1970-01-01 UTC.
        lines: transformable lines that the logs hold.
        found: statements in the table.
        expected: statements that those lines should have given.
        allowed: statements that may be missing before it counts as a gap.
        known: `expected` is what a load of the hour left, not an estimate.
    """

    hour: int
    lines: int
    found: int
    expected: float
    allowed: float
    known: bool

    @property
    def missing(self) -> int:
        """Statements that are missing, about."""
        return max(0, round(self.expected - self.found))

    @property
    def is_gap(self) -> bool:
        """Whether more is missing than is usual."""
        return self.missing > self.allowed


@dataclass(frozen=True)
class Comparison:
    """Hours of which the logs hold lines, ascending, and what was taken for usual."""

    hours: tuple[Hour, ...]
    usual: Usual

    @property
    def gaps(self) -> tuple[Hour, ...]:
        """The hours that fall short, ascending."""
        return tuple(one for one in self.hours if one.is_gap)

    @property
    def missing(self) -> int:
        """Statements that are missing in them."""
        return sum(one.missing for one in self.gaps)

    @property
    def expected(self) -> int:
        """Statements that all hours should have."""
        return round(sum(one.expected for one in self.hours))

    @property
    def missing_share(self) -> float:
        """The share of what all hours should have that is missing, from 0 to 1."""
        return self.missing / self.expected if self.expected else 0.0


def compare(
    lines: Mapping[int, int],
    found: Mapping[int, int],
    loaded: Mapping[int, Loaded],
    limits: Limits = Limits(),
) -> Comparison:
    """Compare hour by hour.

    Args:
        lines: transformable lines in the logs, by hour.
        found: statements in the table, by hour.
        loaded: hours that loads have read. One that read fewer lines than there are now says nothing any more.
        limits: what an hour may fall short by.
    """
    usual = learn(lines, found)
    hours = []
    for hour in sorted(hour for hour, count in lines.items() if count > 0):
        count, before = lines[hour], loaded.get(hour)
        known = before is not None and count <= before.lines
        if known and before is not None:
            # Logs that have gone since cannot be asked for: of them nothing is expected.
            expected = before.statements * count / before.lines
            allowed = limits.tolerance * expected
        else:
            expected = usual.ratio * count
            tolerance = limits.tolerance if usual.is_learned else UNLEARNED_TOLERANCE
            allowed = max(tolerance * expected, _SCATTERS * usual.scatter * count**0.5)
        # An hour is a gap from `at_least` missing statements on.
        allowed = max(allowed, limits.at_least - 1)
        hours.append(Hour(hour, count, found.get(hour, 0), expected, allowed, known))
    return Comparison(tuple(hours), usual)


def learn(lines: Mapping[int, int], found: Mapping[int, int]) -> Usual:
    """What is usual: the median over hours, each weighing as much as it has lines.

    Hours without any statement are left out: they are what an outage looks like, and a long one must not become usual.

    Args:
        lines: transformable lines in the logs, by hour.
        found: statements in the table, by hour.
    """
    hours = [(count, found[hour]) for hour, count in lines.items() if count > 0 and found.get(hour, 0) > 0]
    if len(hours) < ENOUGH_HOURS:
        return Usual(1.0, 0.0, len(hours), is_learned=False)
    ratio = _median((statements / count, count) for count, statements in hours)
    deviations = [(abs(statements - ratio * count) / count**0.5, count) for count, statements in hours]
    return Usual(ratio, _DEVIATION * _median(deviations), len(hours), is_learned=True)


def _median(weighted: Iterable[tuple[float, int]]) -> float:
    ordered: Sequence[tuple[float, int]] = sorted(weighted)
    half, sum_so_far = sum(weight for _, weight in ordered) / 2, 0
    for value, weight in ordered:
        sum_so_far += weight
        if sum_so_far >= half:
            return value
    raise ValueError("a median of nothing")

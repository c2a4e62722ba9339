"""What to replay of the gaps, and what is remembered between two looks, so that no gap is replayed for ever.

A replay leaves on record what the logs gave, so an hour that it could not fill is no gap any more: nothing is missing that
the logs hold. What is remembered here is for gaps whose replay did not come to its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aspects_orchestration.gaps.compare import Hour
from aspects_orchestration.gaps.look import hour_start

#: Gaps so many hours apart are replayed together, with what lies between: reading their logs once is cheaper.
NEAR_HOURS = 3
#: A gap is replayed only when nothing has come in by itself for so long.
SETTLED = timedelta(hours=1)
#: A replay that failed is tried again after so long, and so often in all.
AGAIN = timedelta(hours=20)
TRIES = 3
#: So many hours are remembered, the newest ones.
_REMEMBERED = 1_000


@dataclass(frozen=True)
class Stretch:
    """Hours next to each other, of one month, that one load can replay.

    Attributes:
        month: the partition's key.
        since, until: from the first of its hours to the end of the last (UTC).
        hours: the gaps in it.
        missing: statements that are missing in it.
    """

    month: str
    since: datetime
    until: datetime
    hours: tuple[Hour, ...]
    missing: int

    def config(self) -> dict[str, str]:
        """The config of the load that replays it."""
        return {
            "since": f"{self.since:%Y-%m-%dT%H:%M:%SZ}",
            "until": f"{self.until:%Y-%m-%dT%H:%M:%SZ}",
        }

    def run_config(self) -> dict[str, object]:
        """The run config of that load."""
        return {"ops": {"xapi_events_all": {"config": self.config()}}}

    def command(self) -> str:
        """The command that replays it."""
        return (
            f"dagster asset materialize --select xapi_events_all --partition {self.month} --config-json"
            f" '{json.dumps(self.run_config())}'"
        )


def stretches(hours: Sequence[Hour]) -> list[Stretch]:
    """The stretches that hold all gaps, the one with most missing statements first.

    Hours beside a gap that lack something too, if less than would be a gap, are taken along.

    Args:
        hours: of a comparison, ascending.
    """
    found: list[list[Hour]] = []
    for hour in hours:
        if not hour.is_gap:
            continue
        near = found and hour.hour - found[-1][-1].hour <= NEAR_HOURS
        if near and _month(hour) == _month(found[-1][-1]):
            found[-1].append(hour)
        else:
            found.append([hour])
    by_hour = {one.hour: one for one in hours}
    made = [_stretch(gaps, by_hour) for gaps in found]
    return sorted(made, key=lambda one: (-one.missing, one.since))


@dataclass(frozen=True)
class Seen:
    """What is remembered of an hour that is a gap.

    Attributes:
        lines, found: of the hour, when it was looked at last.
        since_s: since when they have been so (Unix time).
        tries: replays that were asked for while the lines were so.
        tried_s: when the last one was (Unix time); 0: never.
    """

    lines: int
    found: int
    since_s: int
    tries: int = 0
    tried_s: int = 0


@dataclass(frozen=True)
class Memory:
    """What a sensor remembers from tick to tick: of each gap, and which gaps it has told of."""

    hours: dict[int, Seen]
    told: tuple[int, ...] = ()

    @classmethod
    def read(cls, cursor: str | None) -> Memory:
        """The memory that `written` wrote; an empty one for what it did not write."""
        try:
            stored = json.loads(cursor or "{}")
            hours = {int(hour): Seen(*(int(value) for value in one)) for hour, one in stored["gaps"].items()}
            return cls(hours, tuple(int(hour) for hour in stored["told"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls({})

    def written(self) -> str:
        """The memory as text, of bounded length."""
        newest = sorted(self.hours)[-_REMEMBERED:]
        gaps = {
            str(hour): [one.lines, one.found, one.since_s, one.tries, one.tried_s]
            for hour, one in ((hour, self.hours[hour]) for hour in newest)
        }
        return json.dumps({"gaps": gaps, "told": self.told[-_REMEMBERED:]}, separators=(",", ":"))

    def after(self, gaps: Iterable[Hour], now: datetime) -> Memory:
        """The memory after a look: gaps that are no more are forgotten, what changed begins anew."""
        moment = int(now.timestamp())
        hours = {}
        for gap in gaps:
            before = self.hours.get(gap.hour)
            if before is None or before.lines != gap.lines:
                hours[gap.hour] = Seen(gap.lines, gap.found, moment)
            elif before.found != gap.found:
                hours[gap.hour] = Seen(gap.lines, gap.found, moment, before.tries, before.tried_s)
            else:
                hours[gap.hour] = before
        return Memory(hours, self.told)

    def asked_for(self, stretch: Stretch, now: datetime) -> Memory:
        """The memory after a replay of a stretch was asked for."""
        moment, hours = int(now.timestamp()), dict(self.hours)
        for gap in stretch.hours:
            one = hours[gap.hour]
            hours[gap.hour] = Seen(one.lines, one.found, one.since_s, one.tries + 1, moment)
        return Memory(hours, self.told)

    def why_not_now(self, stretch: Stretch, now: datetime) -> str:
        """Why a stretch is not to be replayed now; empty if it is."""
        seen = [self.hours[gap.hour] for gap in stretch.hours]
        moment = now.timestamp()
        if any(one.tried_s and moment - one.tried_s < AGAIN.total_seconds() for one in seen):
            return f"replayed less than {AGAIN.total_seconds() / 3600:.0f} hours ago"
        if all(one.tries >= TRIES for one in seen):
            return f"given up after {TRIES} replays that did not come to their end: look at those runs"
        if any(moment - one.since_s < SETTLED.total_seconds() for one in seen):
            return "statements may still come in by themselves"
        return ""

    def try_number(self, stretch: Stretch) -> int:
        """Which try the next replay of a stretch is, from 1."""
        return 1 + max(self.hours[gap.hour].tries for gap in stretch.hours)


def _month(hour: Hour) -> str:
    return f"{hour_start(hour.hour):%Y-%m}"


def _stretch(gaps: list[Hour], by_hour: dict[int, Hour]) -> Stretch:
    first, last, month = gaps[0].hour, gaps[-1].hour, _month(gaps[0])
    first = _widened(first, -1, by_hour, month)
    last = _widened(last, 1, by_hour, month)
    missing = sum(by_hour[hour].missing for hour in range(first, last + 1) if hour in by_hour)
    return Stretch(month, hour_start(first), hour_start(last + 1), tuple(gaps), missing)


def _widened(hour: int, step: int, by_hour: dict[int, Hour], month: str) -> int:
    while (beside := by_hour.get(hour + step)) is not None and beside.missing and _month(beside) == month:
        hour += step
    return hour

"""What must hold of restore drills: each question is one function, each answer a `Finding`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from aspects_orchestration.drill.record import PASSED, RecordedDay
from aspects_orchestration.warehouse.verify import Finding

#: A monthly drill, and a week to notice that one did not run.
RECENT_DAYS: Final = 38


@dataclass(frozen=True)
class Drilled:
    """What the questions are asked of.

    Attributes:
        days: of the last drill, the worst first.
        newest_line: time of the newest sealed event; None if there is none.
        sealed_until: the last sealed day; None if there is none.
        rpo_hours: ASPECTS_RPO_HOURS.
        now: the time, with zone.
    """

    days: Sequence[RecordedDay]
    newest_line: datetime | None
    sealed_until: date | None
    rpo_hours: int
    now: datetime


Question = Callable[[Drilled], Finding]


def drill_passed(drilled: Drilled) -> Finding:
    """The last restore drill brought back, from the archive alone, what stands in ClickHouse."""
    if not drilled.days:
        return _never_drilled()
    bad = [one for one in drilled.days if one.outcome != PASSED]
    numbers = {"days": len(drilled.days), "days_not_restored": len(bad)}
    shown = bad or drilled.days
    return Finding(
        not bad,
        "; ".join(one.summary for one in shown),
        numbers,
        tuple(f"{one.day}: {one.outcome}" for one in shown),
    )


def drill_is_recent(drilled: Drilled) -> Finding:
    """The last restore drill is no older than a month and a week."""
    if not drilled.days:
        return _never_drilled()
    age = drilled.now - max(one.finished_at for one in drilled.days)
    return Finding(
        age <= timedelta(days=RECENT_DAYS),
        f"the last drill ended {age.days} days ago"
        + (
            ""
            if age.days < RECENT_DAYS
            else ": switch the schedule restore_drill_monthly on, or launch the job restore_drill"
        ),
        {"days_ago": age.days},
    )


def rpo_within_bounds(drilled: Drilled) -> Finding:
    """No more than ASPECTS_RPO_HOURS lie between the newest sealed line, or the end of the last sealed day, and now."""
    if drilled.sealed_until is None:
        return Finding(False, "nothing is sealed: all tracking logs would be lost with their storage")
    end = datetime.combine(drilled.sealed_until, datetime.min.time(), UTC) + timedelta(days=1)
    # A quiet site has no newer line to lose: the end of the sealed day counts where it is later.
    sealed = max(end, drilled.newest_line) if drilled.newest_line else end
    hours = max(0, int((drilled.now - sealed).total_seconds() // 3600))
    line = f"{drilled.newest_line:%Y-%m-%d %H:%M} UTC" if drilled.newest_line else "none"
    passed = hours <= drilled.rpo_hours
    return Finding(
        passed,
        f"sealed up to {drilled.sealed_until} (newest line: {line}), {hours} hours ago; ASPECTS_RPO_HOURS allows"
        f" {drilled.rpo_hours}"
        + ("" if passed else ": materialize tracking_log_archive, and look why its schedule did not"),
        {"hours": hours},
    )


def _never_drilled() -> Finding:
    return Finding(
        False, "no restore has ever been drilled: launch the job restore_drill, and switch its schedule on"
    )


QUESTIONS: Final[dict[str, Question]] = {
    question.__name__: question for question in (drill_passed, drill_is_recent, rpo_within_bounds)
}

"""Failed runs as messages: one each, or one for all where many fail at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aspects_orchestration.alerts.message import Message, Where, together


@dataclass(frozen=True)
class FailedRun:
    """A run that failed.

    Attributes:
        run_id: its id.
        job: the job's name; of a run of assets, theirs.
        partition: of it; '' for none.
        why: what is safe to say: an error of this project in its own words, of any other its kind only.
    """

    run_id: str
    job: str
    partition: str
    why: str


def messages_of(failed: Sequence[FailedRun], *, group_from: int, where: Where) -> list[Message]:
    """What to tell of runs that failed since the last look."""
    each = [
        Message(
            "failure",
            f"{where.site}: run failed: {one.job}" + (f", {one.partition}" if one.partition else ""),
            f"{one.why}\n{where.run(one.run_id)}",
        )
        for one in failed
    ]
    return each if len(each) < group_from else [together("runs failed", "failure", each, where)]

"""Batches through Ralph: what it refuses is found down to the one statement, and all the rest goes in.

Sending the same statement twice does no harm: Ralph passes over an id that it has with an equal statement. So whatever
was lost on the way is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aspects_orchestration.errors import LrsError
from aspects_orchestration.lrs.pace import Pace
from aspects_orchestration.lrs.ralph import Answer, Kind, Ralph

TAKEN = "taken"
THERE = "there"
INVALID = "ralph_invalid"
CONFLICT = "ralph_conflict"
TOO_LARGE = "ralph_too_large"
CANNOT_STORE = "ralph_cannot_store"
#: Why a statement may be refused, as it stands in quarantine.
REFUSALS = (INVALID, CONFLICT, TOO_LARGE, CANNOT_STORE)

#: The first pause after a failure, and the longest; seconds.
_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
#: A Ralph that is well and answers with 5xx so many times will not take a batch, or one statement.
_TRIES = 3
_TRIES_ALONE = 5
#: So many statements one after the other that cannot be stored, and none that can: it is not the statements.
_NOT_THE_STATEMENTS = 10


@dataclass(frozen=True)
class Item:
    """A statement to send: its id in lower case, and the whole of it as JSON."""

    id: str
    statement: bytes

    def __repr__(self) -> str:
        return f"Item({self.id!r})"  # never the statement


@dataclass(frozen=True)
class Outcome:
    """What became of a statement: TAKEN, THERE or one of REFUSALS, and of a refusal where its fault is."""

    id: str
    outcome: str
    detail: str = ""


@dataclass
class Patience:
    """How long failures are borne.

    Attributes:
        for_s: seconds without a definite answer after which to give up.
        clock, sleep: seconds, and how to wait for some.
    """

    for_s: float = 600.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Sender:
    """Sends batches, takes refused ones apart, waits for a Ralph that is away.

    Args:
        ralph: where to.
        most: the most statements of a batch; falls by itself where Ralph takes no batch as large.
        pace: how fast.
        patience: how long failures are borne.
        say: told of what is waited for; safe to show.
        before_request: called before each request; raises what must stop the sending.
    """

    def __init__(
        self,
        ralph: Ralph,
        *,
        most: int,
        pace: Pace,
        patience: Patience | None = None,
        say: Callable[[str], None] = lambda _: None,
        before_request: Callable[[], None] = lambda: None,
    ) -> None:
        self._ralph = ralph
        self.most = max(1, min(most, pace.per_second or most))
        self._pace = pace
        self._patience = patience or Patience()
        self._say = say
        self._before_request = before_request
        self._not_stored = 0
        self.requests = 0

    def send(self, items: Sequence[Item]) -> list[Outcome]:
        """Send statements, of which no two have the same id.

        Returns:
            What became of each, in any order.

        Raises:
            LrsError: Ralph is away for too long, does not let us in, or stores nothing.
        """
        outcomes: list[Outcome] = []
        for start in range(0, len(items), self.most):
            self._send(items[start : start + self.most], outcomes)
        return outcomes

    def _send(self, batch: Sequence[Item], outcomes: list[Outcome]) -> bool:
        """Send a batch, in parts if need be; False if a statement of it was refused."""
        all_in = True
        while batch:
            answer = self._answered(batch)
            if answer.kind is Kind.TAKEN:
                self._not_stored = 0
                outcomes += [Outcome(one.id, TAKEN if one.id in answer.taken else THERE) for one in batch]
                return all_in
            if answer.named:
                outcomes += [
                    Outcome(batch[number].id, answer.reason, answer.detail) for number in answer.named
                ]
                batch = [one for number, one in enumerate(batch) if number not in answer.named]
                all_in = False
            elif len(batch) == 1:
                outcomes.append(self._refused(batch[0], answer))
                return False
            else:
                middle = len(batch) // 2
                parts = [self._send(part, outcomes) for part in (batch[:middle], batch[middle:])]
                if all(parts):
                    # It was the size of the batch, and no statement of it: the next ones begin smaller.
                    self._shrink(middle)
                return all_in and all(parts)
        return all_in

    def _shrink(self, most: int) -> None:
        if most < self.most:
            self.most = max(1, most)
            self._say(f"Ralph takes no batches as large: {self.most} statements from now on")

    def _refused(self, item: Item, answer: Answer) -> Outcome:
        if answer.kind is Kind.TOO_LARGE:
            return Outcome(item.id, TOO_LARGE, f"413: {len(item.statement)} bytes")
        if answer.kind is Kind.REFUSED:
            return Outcome(item.id, answer.reason, answer.detail)
        self._not_stored += 1
        if self._not_stored >= _NOT_THE_STATEMENTS:
            raise LrsError(
                f"Ralph at {self._ralph.url} says that it is well, and answers {answer.status} to one statement after the"
                " other",
                do="Read its log: most likely its user may not write to its table in ClickHouse, or there is no such table."
                " Then run again.",
            )
        return Outcome(item.id, CANNOT_STORE, f"{answer.status}, alone and {_TRIES_ALONE} times")

    def _answered(self, batch: Sequence[Item]) -> Answer:
        """A batch's definite answer; waits, and sends it again, while there is none."""
        started, pause, tries, told = self._patience.clock(), _PAUSE_S, 0, False
        ids, statements = [one.id for one in batch], [one.statement for one in batch]
        while True:
            self._before_request()
            self._pace.wait(len(batch))
            self.requests += 1
            answer = self._ralph.post(ids, statements)
            if answer.kind not in {Kind.FAILING, Kind.BUSY, Kind.LOST}:
                return answer
            if answer.kind is Kind.FAILING:
                # One that is well, and fails all the same, fails because of what it is sent.
                tries = tries + 1 if self._ralph.is_well() else 0
                if tries >= (_TRIES if len(batch) > 1 else _TRIES_ALONE):
                    return answer
            wait = max(_PAUSE_S / 2 * 2 ** (tries - 1) if tries else pause, answer.retry_after_s)
            if self._patience.clock() - started + wait > self._patience.for_s:
                raise away(self._ralph, answer.trouble)
            if not told and not tries:
                self._say(f"waiting for Ralph at {self._ralph.url}: it {answer.trouble}")
                told = True
            self._patience.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


def wait_until_there(
    ralph: Ralph, *, patience: Patience, say: Callable[[str], None] = lambda _: None
) -> None:
    """See that Ralph is there and lets us in; wait for one that starts.

    Raises:
        LrsError: it is not there for too long, or does not let us in.
    """
    started, pause, told = patience.clock(), _PAUSE_S, False
    while trouble := ralph.look():
        if patience.clock() - started + pause > patience.for_s:
            raise away(ralph, trouble)
        if not told:
            say(f"waiting for Ralph at {ralph.url}: it {trouble}")
            told = True
        patience.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def away(ralph: Ralph, trouble: str) -> LrsError:
    """The error of a Ralph that was waited for in vain."""
    what, _, do = trouble.partition(". ")
    return LrsError(
        f"Ralph at {ralph.url} {what}",
        do=f"{do or 'Look at it.'} Then run again: the load goes on where it stopped, and nothing is stored twice.",
    )

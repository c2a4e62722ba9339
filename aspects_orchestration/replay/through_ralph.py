"""Publishing through Ralph: the staged statements that it lacks are sent to it, and what it makes of each is kept.

What was sent stands in a table beside the staging table, so that a load that was killed sends little twice; and to send
a statement twice does no harm, because Ralph passes over what it has. Where Ralph writes into the raw table, each slice
is looked at there afterwards.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from aspects_orchestration.errors import LrsError, WarehouseError
from aspects_orchestration.lrs.pace import Pace
from aspects_orchestration.lrs.ralph import Ralph, RalphAccess
from aspects_orchestration.lrs.send import REFUSALS, TAKEN, Item, Outcome, Patience, Sender, wait_until_there
from aspects_orchestration.replay.attempt import Attempt, Delivered
from aspects_orchestration.replay.destinations import Destination, stands_here
from aspects_orchestration.warehouse.cluster import stored
from aspects_orchestration.warehouse.lock import Lock
from aspects_orchestration.warehouse.merges import Pause, wait_for_all_merges, wait_for_merges
from aspects_orchestration.warehouse.publish import CountedSlice, PublishPlan
from aspects_orchestration.warehouse.staged import (
    Sent,
    Statement,
    batches,
    listed_present,
    present,
    refused,
    remember_sent,
    sent_outcomes,
)

_TELL_S = 5.0
_REMEMBER_S = 2.0
_REMEMBER_ROWS = 5_000
#: What another replica wrote may take so long to be seen on the one that is asked.
_SEEN_WITHIN_S = 30.0

#: How long a Ralph that is away at the beginning is waited for, and one that fails later.
patience_at_start = Patience(for_s=60.0)
patience = Patience()


def access(attempt: Attempt) -> RalphAccess:
    """Where Ralph is, and who to be there."""
    settings = attempt.settings
    return RalphAccess(settings.watched.ralph or "", settings.ralph_username, settings.ralph_password)


def look_at_ralph(attempt: Attempt) -> None:
    """See that Ralph is there and lets us in, before hours are spent on reading logs.

    Raises:
        LrsError: it is not there, or does not let us in.
    """
    ralph = Ralph(access(attempt))
    try:
        wait_until_there(ralph, patience=patience_at_start, say=attempt.say)
    finally:
        ralph.close()


def sent_by(attempt: Attempt) -> Sent:
    """What the attempt remembers of statements that it sends."""
    settings = attempt.settings
    return Sent(
        attempt.staging.sent_table,
        str(settings.watched.ralph),
        attempt.plan.request.resend or settings.ralph_store == "other",
    )


def publish_through_ralph(
    attempt: Attempt, counted: PublishPlan, lock: Lock, *, pause: Pause | None
) -> Delivered:
    """Send what is missing, or all of it.

    Args:
        attempt: whose statements are staged.
        counted: the slices.
        lock: of the month; looked at before each request.
        pause: when to wait for the merges of the whole server too.

    Raises:
        LrsError: Ralph is away for too long, refuses too many statements, or writes elsewhere.
        WarehouseError: merges do not catch up, or statements that Ralph took are not there.
    """
    request, settings = attempt.plan.request, attempt.settings
    sent = sent_by(attempt)
    attempt.run_again("sent_create", database=attempt.staging.database, table=sent.table)
    before = Counter(sent_outcomes(attempt.warehouse, attempt.target, sent))
    if before:
        attempt.say(f"an earlier attempt has sent {before.total()} of the statements")
    todo = counted.ids if sent.all else counted.new
    attempt.say(
        f"sending {max(0, todo - (before.total() if sent.all else 0))} statements to Ralph at {sent.sent_to}"
    )
    ralph = Ralph(access(attempt))
    pace = Pace(settings.ralph_per_second if request.per_second is None else request.per_second)
    sender = Sender(
        ralph,
        most=settings.ralph_batch,
        pace=pace,
        patience=patience,
        say=attempt.say,
        before_request=lock.check,
    )
    sending = _Sending(attempt, sent, sender, todo, refused_before=sum(before[one] for one in REFUSALS))
    standing = [0, 0]
    try:
        for one in counted.slices:
            if sent.all or one.new:
                sending.send(one, lock, pause)
            if sending.is_here:
                ids, ids_hash = sending.verify(one) if sent.all or one.new else (one.ids, one.ids_hash)
                standing = [standing[0] + ids, standing[1] ^ ids_hash]
    finally:
        ralph.close()
    return Delivered(
        inserted=sending.taken,
        refused=refused(attempt.warehouse, attempt.target, sent),
        standing=(standing[0], standing[1]),
        notes={"requests": sender.requests, "statements_sent": sending.done},
    )


@dataclass
class _Sending:
    """The statements of one load on their way to Ralph."""

    attempt: Attempt
    sent: Sent
    sender: Sender
    todo: int
    refused_before: int = 0
    taken: int = 0
    done: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    _unsaved: list[tuple[int, str, str, str]] = field(default_factory=list)
    _saved_at: float = field(default_factory=time.monotonic)
    _told_at: float = field(default_factory=time.monotonic)
    _began_at: float = field(default_factory=time.monotonic)
    _seen: bool = False

    @property
    def is_here(self) -> bool:
        """Whether Ralph writes into the raw table."""
        return stands_here(self.attempt.settings, Destination.RALPH)

    def send(self, one: CountedSlice, lock: Lock, pause: Pause | None) -> None:
        """Send the statements of a slice."""
        attempt, target = self.attempt, self.attempt.target
        wait_for_all_merges(attempt.warehouse, pause, say=attempt.say, before_look=lock.check)
        most = attempt.settings.ralph_batch
        lies = stored(attempt.warehouse, target.database, target.table)
        try:
            for batch in batches(attempt.warehouse, target, one.slice, most=most, sent=self.sent):
                if self.is_here:
                    wait_for_merges(
                        attempt.warehouse,
                        *(lies.database, lies.table, target.partition_id),
                        say=attempt.say,
                    )
                self._send(batch)
        except BaseException:  # terminated from outside too: the next attempt shall go on from here
            with suppress(WarehouseError):
                self._save()
            raise
        self._save()

    def _send(self, batch: Sequence[Statement]) -> None:
        times = {one.id: one.micros for one in batch}
        outcomes = self.sender.send([Item(one.id, one.body.encode()) for one in batch])
        self._unsaved += [(times[one.id], one.id, one.outcome, one.detail) for one in outcomes]
        self._count(outcomes)
        if self.is_here and not self._seen:
            self._require_seen(batch, outcomes)
        if len(self._unsaved) >= _REMEMBER_ROWS or time.monotonic() - self._saved_at > _REMEMBER_S:
            self._save()
        self._tell()
        self._require_few_refused()

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        self.done += len(outcomes)
        self.taken += sum(one.outcome == TAKEN for one in outcomes)
        fresh = [f"{one.outcome} ({one.detail})" for one in outcomes if one.outcome in REFUSALS]
        self.reasons.update(fresh)
        if fresh:
            why = "; ".join(f"{count} {reason}" for reason, count in self.reasons.most_common(5))
            self.attempt.say(f"Ralph refuses {self.reasons.total()} statements so far: {why}")

    def _save(self) -> None:
        remember_sent(self.attempt.warehouse, self.attempt.target, self.sent, self._unsaved)
        self._unsaved.clear()
        self._saved_at = time.monotonic()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at > _TELL_S:
            rate = self.done / max(now - self._began_at, 0.001)
            self.attempt.say(f"sent {self.done} of {self.todo} statements to Ralph, {rate:.0f} a second")
            self._told_at = now

    def _require_few_refused(self) -> None:
        most = self.attempt.plan.request.max_refused
        if self.refused_before + self.reasons.total() > most:
            why = "; ".join(f"{count} {reason}" for reason, count in self.reasons.most_common(5))
            raise LrsError(
                f"Ralph refuses more than {most} statements of {self.attempt.plan.request.month}: {why}",
                do="Most likely they are not what is wrong: look whether LMS_ROOT_URL and XAPI_AGENT_IFI_TYPE are those of"
                " the statements that Ralph has. To go on all the same, raise max_refused; those that are refused go to"
                " quarantine.",
            )

    def _require_seen(self, batch: Sequence[Statement], outcomes: Sequence[Outcome]) -> None:
        """See that what Ralph takes comes to stand in the raw table, before all of it goes elsewhere."""
        taken = {one.id for one in outcomes if one.outcome == TAKEN}
        statements = [one for one in batch if one.id in taken]
        if not statements:
            return
        attempt, target = self.attempt, self.attempt.target
        if not _within(
            _SEEN_WITHIN_S,
            lambda: listed_present(attempt.warehouse, target, statements) == len(statements),
        ):
            raise LrsError(
                f"Ralph at {self.sent.sent_to} took {len(statements)} statements, and they do not all stand in"
                f" {target.database}.{target.table}",
                do="If Ralph keeps its statements elsewhere, set ASPECTS_RALPH_STORE=other. If not, RALPH_DATABASE,"
                " ASPECTS_XAPI_DATABASE or ASPECTS_RAW_XAPI_TABLE is not what Ralph has.",
            )
        self._seen = True

    def verify(self, one: CountedSlice) -> tuple[int, int]:
        """See that a slice stands in the raw table, but for what was refused; its ids that do, and their hash."""
        attempt, target = self.attempt, self.attempt.target
        not_taken = self.refused_before + self.reasons.total()
        if not _within(
            _SEEN_WITHIN_S,
            lambda: present(attempt.warehouse, target, one.slice)[0] >= one.ids - not_taken,
        ):
            raise WarehouseError(
                f"{target.database}.{target.table} does not hold all of {one.ids} ids of a slice that Ralph says it has",
                do="Run again: what is missing is sent. If it stays so, look for a TTL or a mutation on the table, and at"
                " Ralph's own ClickHouse settings.",
            )
        ids, ids_hash, rows = present(attempt.warehouse, target, one.slice)
        if rows > ids:
            attempt.say(
                f"{rows - ids} statements stand more than once in {target.database}.{target.table}: Ralph looks and writes"
                " in two steps, and two servers may do so at once. Merges remove them; the check no_duplicate_ids says when"
            )
        return ids, ids_hash


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold within so many seconds."""
    deadline, pause = time.monotonic() + seconds, 0.1
    while not holds():
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 2.0)
    return True

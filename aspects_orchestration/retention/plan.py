"""From what stands to what the policy says: which partitions go, and the statements that bring tables there.

A plan is a value: made from one look at the world, printed by a dry run, and done by a real run only if a second look
gives the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from aspects_orchestration.retention.observe import Observed, Partition, Table
from aspects_orchestration.retention.policy import Policy, goes_at, shown_months
from aspects_orchestration.retention.sealed import SealedMonths
from aspects_orchestration.warehouse.statements import Statement, ddl, with_numbers
from aspects_orchestration.warehouse.ttl import DataTtl

State = Literal["kept", "due", "held", "unarchived"]

#: A month of which the archive says nothing yet is kept by the TTL itself from so many days before it is due.
#: Longer than any likely pause between two runs of a weekly schedule.
GUARD_AHEAD = timedelta(days=92)
#: Where `retention_modify_ttl_keeping` puts the end of what is kept.
_END_OF_KEPT = datetime(2106, 1, 1, tzinfo=UTC)
_TOGETHER = ("raw", "chained")


@dataclass(frozen=True)
class Fate:
    """What becomes of one partition.

    Attributes:
        table, partition: which.
        goes_at: when it is due (UTC); None: never, or nothing says so.
        state: kept, due (goes with the next real run), held, or unarchived (due, but its logs are not sealed).
        archived: whether its logs are sealed and verified; None where nobody asks.
        why: of a partition that is due and stays.
    """

    table: Table
    partition: Partition
    goes_at: datetime | None
    state: State
    archived: bool | None
    why: str = ""


@dataclass(frozen=True)
class Step:
    """One thing that a plan does.

    Attributes:
        statement: name of the file in `sql/`; empty for what is not ClickHouse's (quarantine).
        target: `database.table`, or a URI.
        partition_id: of a partition; empty for the whole table.
        parameters, numbers: of the statement.
        why: in a few words.
        was: what it starts from; a world in which that differs is another world.
        rows, bytes: that go.
    """

    statement: str
    target: str
    partition_id: str
    parameters: Mapping[str, str]
    numbers: Mapping[str, Sequence[int]]
    why: str
    was: str
    rows: int = 0
    bytes: int = 0

    @property
    def identity(self) -> str:
        """Equal for equal work on an equal world."""
        if self.statement.startswith("retention_recalculate"):
            # A mutation that was begun goes on by itself, so that fewer partitions need it: it is still the same work.
            return hashlib.sha256(f"recalculate {self.target}".encode()).hexdigest()[:16]
        parts = [self.statement, self.target, self.partition_id, self.was]
        parts += [f"{name}={list(values)}" for name, values in sorted(self.numbers.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def sql(self, cluster: str = "") -> Statement:
        """The statement, for one server or a cluster."""
        return with_numbers(ddl(self.statement, cluster=cluster, **self.parameters), self.numbers)

    def described(self, cluster: str = "") -> str:
        """The step on one line: the exact statement, and why."""
        what = self.sql(cluster).shown() if self.statement else f"delete the objects under {self.target}"
        freed = f", frees {self.rows:,} rows, {self.bytes / 1e6:,.1f} MB" if self.rows or self.bytes else ""
        return f"{what}  -- {self.why}{freed}"


@dataclass(frozen=True)
class LeftAlone:
    """Something that the policy asks for and that is not done, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class QuarantineMonth:
    """What quarantine holds of a month.

    Attributes:
        month: its key.
        uri: of its folder.
        objects, bytes: in it.
        newest: when the newest was written.
    """

    month: str
    uri: str
    objects: int
    bytes: int
    newest: datetime


@dataclass(frozen=True)
class RetentionPlan:
    """What a real run does, in this order, and what becomes of every partition."""

    steps: tuple[Step, ...]
    fates: tuple[Fate, ...]
    left_alone: tuple[LeftAlone, ...]
    warnings: tuple[str, ...]
    cluster: str = ""

    @property
    def id(self) -> str:
        """Equal for plans that do equal work on an equal world."""
        joined = "\n".join(step.identity for step in self.steps)
        return hashlib.sha256(f"{self.cluster}\n{joined}".encode()).hexdigest()[:12]

    @property
    def frees_bytes(self) -> int:
        """Bytes on disk that go."""
        return sum(step.bytes for step in self.steps)

    @property
    def frees_rows(self) -> int:
        """Rows that go."""
        return sum(step.rows for step in self.steps)

    def described(self) -> list[str]:
        """The plan, a line a step."""
        return [step.described(self.cluster) for step in self.steps]

    def of_state(self, state: State) -> list[Fate]:
        """The partitions in a state."""
        return [fate for fate in self.fates if fate.state == state]


def managed(policy: Policy, table: Table) -> tuple[bool, int | None]:
    """Whether the policy says how long a table is kept, and how many months (None: for ever)."""
    exception = policy.exception_for(table.full_name)
    if exception is not None:
        return True, exception.months
    if table.role in _TOGETHER:
        return True, policy.months
    if table.role == "event sink":
        return policy.manages_event_sink, policy.event_sink_months
    if table.role == "system log" and policy.system_logs is not None:
        return True, policy.system_logs.months
    return False, None


def make_plan(
    policy: Policy,
    observed: Observed,
    archive: SealedMonths,
    *,
    quarantined: Iterable[QuarantineMonth] = (),
    cluster: str = "",
) -> RetentionPlan:
    """Compare what stands with the policy.

    Args:
        policy: of the site.
        observed: what stands.
        archive: who says whether a month's logs are sealed.
        quarantined: what quarantine holds.
        cluster: CLICKHOUSE_CLUSTER_NAME.
    """
    if not observed.is_utc:
        why = (
            f"the server's time zone is {observed.time_zone}, so its partitions are not the months of UTC: set"
            " <timezone>UTC</timezone>"
        )
        fates = tuple(
            Fate(table, one, None, "kept", None) for table in observed.tables for one in table.partitions
        )
        return RetentionPlan((), fates, (LeftAlone("everything", why),), policy.warnings, cluster)
    planning = _Planning(policy, observed, archive)
    planning.look()
    quarantine = list(planning.quarantine_steps(quarantined))
    steps = [
        *planning.ttl_steps(),
        *planning.drop_steps(),
        *planning.leftover_steps(),
        *planning.staging_steps(),
        *quarantine,
        *planning.start_steps(),
    ]
    return RetentionPlan(
        tuple(steps), tuple(planning.fates), tuple(planning.left_alone), policy.warnings, cluster
    )


@dataclass
class _Planning:
    policy: Policy
    observed: Observed
    archive: SealedMonths
    fates: list[Fate] = field(default_factory=list)
    left_alone: list[LeftAlone] = field(default_factory=list)
    _sealed: dict[str, tuple[bool, str]] = field(default_factory=dict)
    _fates: dict[str, list[Fate]] = field(default_factory=dict)

    def look(self) -> None:
        """Find each partition's fate."""
        for table in self.observed.tables:
            self._fates[table.full_name] = [self._fate(table, one) for one in table.partitions]
            self.fates += self._fates[table.full_name]

    def _fate(self, table: Table, partition: Partition) -> Fate:
        is_managed, months = managed(self.policy, table)
        month, now = partition.month, self.observed.now
        archived = None
        if table.role in _TOGETHER and month is not None:
            archived = self._is_sealed(month)[0]
        hold = self.policy.hold_of(table.full_name, month, now) if month is not None else None
        goes = (
            goes_at(month, months) if is_managed and months is not None and table.column and month else None
        )
        if hold is not None:
            why = f"held until {hold.until}: {hold.reason}"
            return Fate(table, partition, goes, "held", archived, why)
        if goes is None or goes > now:
            return Fate(table, partition, goes, "kept", archived)
        if self._waits_for_archive(table, month):
            return Fate(table, partition, goes, "unarchived", archived, self._is_sealed(str(month))[1])
        return Fate(table, partition, goes, "due", archived)

    def _waits_for_archive(self, table: Table, month: str | None) -> bool:
        """Whether the raw table, and what goes together with it, waits until a month is sealed."""
        together = table.role == "raw" or (
            table.role == "chained" and self.policy.exception_for(table.full_name) is None
        )
        return (
            together and self.policy.require_archive and month is not None and not self._is_sealed(month)[0]
        )

    def _is_sealed(self, month: str) -> tuple[bool, str]:
        if month not in self._sealed:
            answer = self.archive.sealed(month)
            self._sealed[month] = (answer.verified, answer.why)
        return self._sealed[month]

    # --- TTLs ------------------------------------------------------------------------------------------------------

    def ttl_steps(self) -> Iterator[Step]:
        """Settings, TTLs, and marks that would let ClickHouse drop what is to be kept."""
        for table in self.observed.tables:
            is_managed, months = managed(self.policy, table)
            if is_managed and self._can_be_altered(table, months):
                yield from self._ttl_steps(table, months)

    def _can_be_altered(self, table: Table, months: int | None) -> bool:
        foreign = [rule for rule in table.rules if rule.kind not in {"delete", "unreadable"}]
        if foreign:
            why = f"its TTL holds another rule ({foreign[0].text}), which MODIFY TTL would take away: alter it by hand"
        elif months is not None and table.column is None:
            newest = (
                "; and of its rows the newest of a key counts, however old"
                if table.role == "event sink"
                else ""
            )
            why = (
                f"it is partitioned by {table.partition_key or 'nothing'} and not by month, so rows could only go by"
                f" rewriting it{newest}: keep_months: forever"
            )
        else:
            return True
        self.left_alone.append(LeftAlone(table.full_name, why))
        return False

    def _ttl_steps(self, table: Table, months: int | None) -> Iterator[Step]:
        if months is None:
            if table.rules:
                yield _step("retention_remove_ttl", table, why="the policy keeps it for ever", was=table.ttl)
            return
        kept = self._kept(table)
        stale = [
            fate.partition for fate in self._fates[table.full_name] if _is_stale(fate, months, set(kept))
        ]
        recalculates = table.settings.get("materialize_ttl_recalculate_only") in {"1", "true"}
        if not table.drops_whole_parts or (stale and not recalculates):
            why = "drop whole parts only" + (", recompute marks without a rewrite" if stale else "")
            yield _step("retention_modify_settings", table, why=why, was=str(sorted(table.settings.items())))
        if not follows(table, months, kept):
            numbers: dict[str, Sequence[int]] = {"months": [months]}
            why = f"the policy keeps {shown_months(months)}, and now the TTL is {table.ttl or 'none'}; rewrites nothing"
            if kept:
                numbers["kept"] = kept
                why += f"; {len(kept)} months stay until this is altered again (held, or not archived)"
            name = "retention_modify_ttl_keeping" if kept else "retention_modify_ttl"
            yield _step(name, table, why=why, was=table.ttl, numbers=numbers, column=str(table.column))
        if stale:
            # Each mutation makes new versions of all parts of a table: one for all, rather than one for each partition.
            first = min(one.first_mark for one in stale if one.first_mark is not None)
            why = (
                f"ClickHouse would drop {_months(stale)} by marks of an older TTL, the first on {first:%Y-%m-%d}; reads the"
                " time column, rewrites no rows"
            )
            if len(stale) == 1:
                yield _step("retention_recalculate", table, stale[0].id, why=why, was="")
            else:
                yield _step("retention_recalculate_all", table, why=why, was="")

    def _kept(self, table: Table) -> list[int]:
        """Partition ids that the TTL itself must keep: held ones, with rows or without, and what waits for the archive."""
        policy, now = self.policy, self.observed.now
        kept = {
            month
            for hold in policy.holds
            for month in hold.months
            if policy.hold_of(table.full_name, month, now) is not None
        }
        for fate in self._fates[table.full_name]:
            month = fate.partition.month
            if month is None or fate.goes_at is None or fate.goes_at > now + GUARD_AHEAD:
                continue
            if self._waits_for_archive(table, month):
                kept.add(month)
        return sorted(int(month.replace("-", "")) for month in kept)

    # --- partitions --------------------------------------------------------------------------------------------------

    def drop_steps(self) -> Iterator[Step]:
        """Due partitions, the oldest month first, and of a month the raw table last."""
        order = {id(table): number for number, table in enumerate(self.observed.tables)}
        due = [fate for fate in self.fates if fate.state == "due"]
        for fate in sorted(due, key=lambda one: (one.partition.id, -order[id(one.table)])):
            why = f"{fate.partition.month} was due to go on {fate.goes_at:%Y-%m-%d}"
            one = fate.partition
            yield _step(
                "partition_drop", fate.table, one.id, why=why, was=one.state, rows=one.rows, size=one.bytes
            )

    def leftover_steps(self) -> Iterator[Step]:
        """Leftovers of ClickHouse's own logs."""
        logs, now = self.policy.system_logs, self.observed.now
        for table in self.observed.tables:
            if table.role != "leftover log" or logs is None or logs.leftover_months is None:
                continue
            last = max((one.last for one in table.partitions if one.last), default=None)
            if last is not None and DataTtl(logs.leftover_months, "month").expires(last) > now:
                continue
            why = (
                f"left over from an upgrade of ClickHouse; last row {last:%Y-%m-%d}"
                if last
                else "left over, empty"
            )
            rows = sum(one.rows for one in table.partitions)
            was = " ".join(one.state for one in table.partitions)
            yield _step("table_drop", table, why=why, was=was, rows=rows, size=table.bytes)

    def staging_steps(self) -> Iterator[Step]:
        """Tables of loads that were given up."""
        days = self.policy.staging_days
        for one in self.observed.staging:
            if days is not None and one.quiet_s >= days * 86_400:
                why = f"left by a load in which nothing happened for {one.quiet_s // 86_400} days"
                name = f"{one.database}.{one.name}"
                bound = {"database": one.database, "table": one.name}
                yield Step("table_drop", name, "", bound, {}, why, str(one.rows), one.rows, one.bytes)

    def start_steps(self) -> Iterator[Step]:
        """TTL merges that loads of expired months stopped: they go on once the TTLs say what is to be kept."""
        tables = {f"{one.database}.{one.name}": one for one in self.observed.tables}
        for name, why in self.observed.stopped.items():
            if name in tables:
                yield _step("ttl_merges_start", tables[name], why=why, was="stopped")

    def quarantine_steps(self, quarantined: Iterable[QuarantineMonth]) -> Iterator[Step]:
        """Quarantined lines whose month is older than the policy keeps."""
        months, now = self.policy.quarantine_months, self.observed.now
        for one in sorted(quarantined, key=lambda found: found.month):
            if months is None or goes_at(one.month, months) > now:
                continue
            hold = self.policy.hold_of("quarantine", one.month, now)
            if hold is not None:
                self.left_alone.append(LeftAlone(one.uri, f"held until {hold.until}: {hold.reason}"))
            elif self.policy.require_archive and not self._is_sealed(one.month)[0]:
                self.left_alone.append(LeftAlone(one.uri, self._is_sealed(one.month)[1]))
            else:
                why = f"{one.objects} objects of {one.month}, kept for {shown_months(months)}"
                was = f"{one.newest:%Y-%m-%dT%H:%M:%S.%f}"
                yield Step("", one.uri, one.month.replace("-", ""), {}, {}, why, was, 0, one.bytes)


def follows(table: Table, months: int | None, kept: Sequence[int]) -> bool:
    """Whether a table's TTL is what the policy says: one rule, in whole months of its partition's column, and no other.

    Args:
        table: which.
        months: to keep; None: for ever, without any TTL.
        kept: partition ids that the TTL must keep beyond.
    """
    if months is None:
        return not table.rules
    if len(table.rules) != 1:
        return False
    rule = table.rules[0]
    column = rule.expiry.column if rule.expiry else ""
    return (
        rule.kind == "delete"
        and rule.months == months
        and column == table.column
        and rule.kept == {str(one) for one in kept}
    )


def _months(several: Sequence[Partition]) -> str:
    first, last = several[0].month, several[-1].month
    return f"{first}" if len(several) == 1 else f"{len(several)} months ({first} to {last})"


def _is_stale(fate: Fate, months: int, kept: set[int]) -> bool:
    """Whether a part's mark lets ClickHouse drop a partition earlier than the policy does.

    A mark is a part's expiry by the TTL that held when the part was written. ClickHouse drops parts by their marks
    without looking at the TTL again, and MODIFY TTL with materialize_ttl_after_modify = 0 leaves marks as they are.
    """
    one = fate.partition
    if fate.state == "due" or one.first_mark is None or one.month is None:
        return False
    if int(one.id) in kept:
        return one.first_mark < _END_OF_KEPT
    return one.first is not None and one.first_mark < DataTtl(months, "month").expires(one.first)


def _step(
    statement: str,
    table: Table,
    partition_id: str = "",
    *,
    why: str,
    was: str,
    numbers: Mapping[str, Sequence[int]] | None = None,
    rows: int = 0,
    size: int = 0,
    **parameters: Any,
) -> Step:
    bound = {"database": table.database, "table": table.name, **parameters}
    if partition_id:
        bound["partition_id"] = partition_id
    return Step(statement, table.full_name, partition_id, bound, numbers or {}, why, was, rows, size)

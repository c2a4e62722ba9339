"""What must hold of retention: each question is one function, each answer a `Finding`. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aspects_orchestration.retention.plan import Fate, managed
from aspects_orchestration.retention.policy import goes_at
from aspects_orchestration.retention.world import World
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.records import catalog_by_month, latest_load
from aspects_orchestration.warehouse.ttl import month_ttl
from aspects_orchestration.warehouse.verify import Finding

Question = Callable[[Warehouse, World], Finding]

_APPLY = "Run apply_retention: its dry run prints the statements"


def ttl_equals_policy(warehouse: Warehouse, world: World) -> Finding:  # noqa: ARG001
    """Every table that the policy names has the TTL that it says, and drops whole parts only."""
    tables = [one for one in world.observed.tables if managed(world.policy, one)[0]]
    to_do: dict[str, list[str]] = {}
    for step in world.plan.steps:
        if step.statement.startswith("retention_"):
            to_do.setdefault(step.target, []).append(step.why)
    lines = [
        f"{one.full_name}: found {one.ttl or 'no TTL'}; to do: {'; '.join(to_do[one.full_name])}"
        for one in tables
        if one.full_name in to_do
    ]
    names = {"everything", *(one.full_name for one in tables)}
    left_alone = [one for one in world.plan.left_alone if one.what in names]
    lines += [f"{one.what}: {one.why}" for one in left_alone]
    numbers = {"tables": len(tables), "different": len(to_do), "left_alone": len(left_alone)}
    if not lines:
        return Finding(True, f"{len(tables)} tables have the TTL that the policy says", numbers)
    return Finding(
        False, f"{len(lines)} of {len(tables)} tables differ from the policy. {_APPLY}", numbers, tuple(lines)
    )


def ttl_is_month_aligned(warehouse: Warehouse, world: World) -> Finding:  # noqa: ARG001
    """Policy and TTLs count in whole months, so that ClickHouse drops whole partitions and rewrites none."""
    lines = list(world.policy.warnings)
    for table in world.observed.tables:
        if table.role not in {"raw", "chained", "by name"} or table.column is None:
            continue
        for rule in table.rules:
            if rule.is_aligned:
                continue
            near = rule.expiry.ttl.whole_months if rule.expiry else world.policy.months or 12
            nearest = month_ttl(near).replace("emission_time", table.column)
            lines.append(
                f"{table.full_name}: {rule.text} makes ClickHouse rewrite partitions; nearest is {nearest}"
            )
    if not lines:
        return Finding(True, "every TTL counts in whole months", {"not_aligned": 0})
    return Finding(
        False,
        f"{len(lines)} rules do not count in whole months. {_APPLY}",
        {"not_aligned": len(lines)},
        tuple(lines),
    )


def raw_table_has_a_ttl(warehouse: Warehouse, world: World) -> Finding:  # noqa: ARG001
    """The raw table has a TTL, which Aspects gives it none of, or the policy keeps it for ever."""
    raw = world.observed.raw
    if raw is None:
        return Finding(False, "there is no raw table that this user can see")
    _, months = managed(world.policy, raw)
    if months is None:
        return Finding(True, "the policy keeps raw statements for ever", {"rules": len(raw.rules)})
    if raw.rules:
        return Finding(True, f"{raw.full_name} has the TTL {raw.ttl}", {"rules": len(raw.rules)})
    return Finding(False, f"{raw.full_name} has no TTL, so it only ever grows. {_APPLY}", {"rules": 0})


def nothing_outlives_its_policy(warehouse: Warehouse, world: World) -> Finding:  # noqa: ARG001
    """No row is older than the policy keeps and a month more, unless it is held or waits for the archive."""
    late: list[Fate] = []
    waiting = 0
    for fate in world.plan.fates:
        _, months = managed(world.policy, fate.table)
        month = fate.partition.month
        if fate.goes_at is None or months is None or month is None or goes_at(month, months + 1) > world.now:
            continue
        if fate.state == "due":
            late.append(fate)
        waiting += fate.state in {"held", "unarchived"}
    numbers = {"late": len(late), "held_or_waiting": waiting}
    if not late:
        return Finding(
            True, f"nothing is late; {waiting} partitions are held or wait for the archive", numbers
        )
    return Finding(
        False,
        f"{len(late)} partitions should have gone more than a month ago. {_APPLY}",
        numbers,
        tuple(_line(fate) for fate in late),
    )


def no_month_is_missing(warehouse: Warehouse, world: World) -> Finding:
    """No month that the policy keeps is missing in the raw table although its logs exist."""
    raw, settings, policy = world.observed.raw, world.settings, world.policy
    if raw is None:
        return Finding(False, "there is no raw table that this user can see")
    there = {one.month for one in raw.partitions}
    lines, looked_at = [], 0
    months = policy.months_of_raw(raw.full_name)
    for month, events, files in catalog_by_month(warehouse, settings.orchestration_database):
        due = months is not None and goes_at(month, months) <= world.now
        if month < settings.first_month or (due and policy.hold_of(raw.full_name, month, world.now) is None):
            continue
        looked_at += 1
        if events and month not in there and not _was_loaded_empty(warehouse, world, month):
            lines.append(
                f"{month}: {events:,} transformable lines in {files} logs, no row in {raw.full_name}"
            )
    numbers = {"months": looked_at, "missing": len(lines)}
    if not lines:
        return Finding(
            True, f"all {looked_at} months whose logs are cataloged and that are kept are there", numbers
        )
    return Finding(
        False,
        f"{len(lines)} months are missing: materialize these partitions of xapi_events_all",
        numbers,
        tuple(lines),
    )


def system_logs_within_their_share(warehouse: Warehouse, world: World) -> Finding:  # noqa: ARG001
    """ClickHouse's own `system.*_log` tables, leftovers included, take less of the disks than the policy lets them."""
    logs = [one for one in world.observed.tables if one.role in {"system log", "leftover log"}]
    taken, total = sum(one.bytes for one in logs), world.observed.disk_bytes
    share = world.policy.system_logs.share if world.policy.system_logs else 0.1
    numbers = {
        "bytes": taken,
        "disk_bytes": total,
        "leftovers": sum(one.role == "leftover log" for one in logs),
    }
    largest = sorted(logs, key=lambda one: -one.bytes)[:10]
    lines = tuple(f"{one.full_name}: {one.bytes / 1e6:,.1f} MB, TTL {one.ttl or 'none'}" for one in largest)
    if not total or taken <= share * total:
        return Finding(
            True,
            f"system logs take {taken / 1e6:,.1f} MB, {taken / max(total, 1):.1%} of the disks",
            numbers,
            lines,
        )
    return Finding(
        False,
        f"system logs take {taken / total:.1%} of the disks, more than {share:.0%}: set system_logs in retention.yaml, then"
        " run apply_retention",
        numbers,
        lines,
    )


def held_partitions_stand(warehouse: Warehouse, world: World) -> Finding:
    """No partition under a hold has been lost."""
    now, lines, looked_at = world.now, [], 0
    there = {(fate.table.full_name, fate.partition.month) for fate in world.plan.fates}
    for target, partition, rows in warehouse.rows(
        "retention_log_held", database=world.settings.orchestration_database
    ):
        month = f"{partition[:4]}-{partition[4:]}"
        hold = world.policy.hold_of(target, month, now)
        if hold is None:
            continue
        looked_at += 1
        if (target, month) not in there:
            lines.append(f"{month} of {target} is gone; it had {rows:,} rows, and is held: {hold.reason}")
    lines += _held_but_never_seen(warehouse, world, {line.partition(" ")[0] for line in lines})
    numbers = {"held": looked_at, "lost": len(lines)}
    if not lines:
        return Finding(True, f"{looked_at} partitions under a hold are there", numbers)
    return Finding(
        False,
        f"{len(lines)} held partitions are lost: load them again from the logs (the hold keeps them), and look who dropped"
        " them (system.query_log, system.part_log)",
        numbers,
        tuple(lines),
    )


#: Every question about retention, by the name of its check.
QUESTIONS: dict[str, Question] = {
    "ttl_equals_policy": ttl_equals_policy,
    "ttl_is_month_aligned": ttl_is_month_aligned,
    "raw_table_has_a_ttl": raw_table_has_a_ttl,
    "nothing_outlives_its_policy": nothing_outlives_its_policy,
    "no_month_is_missing": no_month_is_missing,
    "system_logs_within_their_share": system_logs_within_their_share,
    "held_partitions_stand": held_partitions_stand,
}


@dataclass(frozen=True)
class Expiring:
    """A month of raw statements that goes soon, or should have gone, without a verified archive."""

    month: str
    goes_at: str
    rows: int
    why: str

    def __str__(self) -> str:
        return f"{self.month} goes on {self.goes_at} ({self.rows:,} raw statements), and {self.why}"


def expiring_unarchived(world: World, *, within_days: int = 14) -> tuple[Expiring, ...]:
    """Months of the raw table that go within so many days, by policy or by ClickHouse's own marks, and are not archived."""
    found = []
    for fate in world.plan.fates:
        one, month = fate.partition, fate.partition.month
        moments = [
            at for at in (fate.goes_at, one.first_mark if fate.table.rules else None) if at is not None
        ]
        if fate.table.role != "raw" or fate.archived or month is None or not moments:
            continue
        first = min(moments)
        if fate.state != "held" and (first - world.now).days < within_days:
            why = fate.why or "its logs are not sealed in the archive and verified"
            found.append(Expiring(month, f"{first:%Y-%m-%d}", one.rows, why))
    return tuple(found)


def _line(fate: Fate) -> str:
    one = fate.partition
    return f"{fate.table.full_name} {one.month}: {one.rows:,} rows, was due on {fate.goes_at:%Y-%m-%d}"


def _was_loaded_empty(warehouse: Warehouse, world: World, month: str) -> bool:
    """Whether the last load of a month found no statement in its logs, so that no row is missing."""
    settings = world.settings
    target = f"{settings.xapi_database}.{settings.raw_xapi_table}"
    load = latest_load(warehouse, settings.orchestration_database, target, month)
    return load is not None and load.expected_ids == 0


def _held_but_never_seen(warehouse: Warehouse, world: World, known: set[str]) -> list[str]:
    """Months of the raw table that are held, that a load once filled, and that hold nothing now."""
    raw = world.observed.raw
    if raw is None:
        return []
    there = {one.month for one in raw.partitions}
    lines = []
    for month in sorted({month for hold in world.policy.holds for month in hold.months} - there - known):
        if world.policy.hold_of(raw.full_name, month, world.now) is None:
            continue
        load = latest_load(warehouse, world.settings.orchestration_database, raw.full_name, month)
        if load is not None and load.expected_ids:
            lines.append(
                f"{month} of {raw.full_name} is gone; run {load.run_id} left {load.expected_ids:,} statements"
            )
    return lines

"""From the staging table into the raw statements: only ids that are not there yet, slice by slice.

A slice is a stretch of minutes (a very busy minute is cut further by the hash of the id), small enough that its ids
fit in memory, however large the month. Equal ids have equal times, so no id is ever in two slices. Each slice is
counted before anything is inserted, inserted by one INSERT … SELECT that leaves out what stands in the table, and
verified afterwards. A publish that is killed and started again inserts only what is still missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.answers import UnreachableError, with_retries
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import Stored, catch_up, stored, whole_on_node
from aspects_orchestration.warehouse.lock import Lock
from aspects_orchestration.warehouse.merges import (
    WAIT_FOR_MERGES_S,
    Pause,
    wait_for_all_merges,
    wait_for_merges,
)

SLICE_STATEMENTS = 500_000
_MINUTE_MICROS = 60_000_000
_TELL_S = 5.0
_SPARE_BYTES = 256 * 1024 * 1024

#: With deduplication of blocks on, a block whose rows were deleted since is dropped without a word.
#: Larger blocks cost more in fresh memory than they save in parts: above 64 MB the engine gives it back after each.
_INSERT_SETTINGS = {
    "insert_deduplicate": 0,
    "max_insert_threads": 2,
    "min_insert_block_size_rows": 40_000,
    "min_insert_block_size_bytes": 60 * 1000 * 1000,
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """The raw table, one partition of it, and the staging table whose statements go there."""

    database: str
    table: str
    partition_id: str
    staging_database: str
    staging_table: str

    def names(self) -> dict[str, Any]:
        """The parameters that name both tables."""
        return {"database": self.database, "table": self.table, **self.staging_names()}

    def staging_names(self) -> dict[str, Any]:
        """The parameters that name the staging table."""
        return {"staging_database": self.staging_database, "staging_table": self.staging_table}


@dataclass(frozen=True)
class Slice:
    """Staged statements with ``start <= time < end`` (microseconds since 1970-01-01 UTC), one remainder of the id's hash."""

    start: int
    end: int
    modulus: int
    remainder: int

    def bounds(self) -> dict[str, Any]:
        """The parameters that pick this slice."""
        return {
            "start": self.start,
            "end": self.end,
            "modulus": self.modulus,
            "remainder": self.remainder,
        }


@dataclass(frozen=True)
class CountedSlice:
    """A slice and what publishing it would do."""

    slice: Slice
    statements: int
    ids: int
    duplicates: int
    collisions: int
    already_there: int
    ids_hash: int

    @property
    def new(self) -> int:
        """Ids that are to be inserted."""
        return self.ids - self.already_there


@dataclass(frozen=True)
class PublishPlan:
    """What a publish will do, decided before it does anything."""

    slices: tuple[CountedSlice, ...]

    @property
    def statements(self) -> int:
        """Statements staged."""
        return sum(one.statements for one in self.slices)

    @property
    def ids(self) -> int:
        """Different event ids among them."""
        return sum(one.ids for one in self.slices)

    @property
    def new(self) -> int:
        """Ids to insert."""
        return sum(one.new for one in self.slices)

    @property
    def already_there(self) -> int:
        """Ids that stand in the table already."""
        return sum(one.already_there for one in self.slices)

    @property
    def duplicates(self) -> int:
        """Further statements with id and body of another one."""
        return sum(one.duplicates for one in self.slices)

    @property
    def collisions(self) -> int:
        """Further statements with the id of another one and a body of their own."""
        return sum(one.collisions for one in self.slices)

    def after_drop(self) -> PublishPlan:
        """The same plan once the month was dropped: nothing is there already."""
        return PublishPlan(tuple(replace(one, already_there=0) for one in self.slices))

    @property
    def ids_hash(self) -> int:
        """All ids' hashes, combined by XOR: equal for equal sets of ids."""
        combined = 0
        for one in self.slices:
            combined ^= one.ids_hash
        return combined


def cut_slices(minutes: Iterable[tuple[int, int]], limit: int = SLICE_STATEMENTS) -> list[Slice]:
    """Cut consecutive minutes into slices of at most `limit` statements.

    Args:
        minutes: (minute since 1970-01-01 UTC, statements in it), ascending.
        limit: the most statements of a slice; one minute with more is cut by the hash of the id.
    """
    slices: list[Slice] = []
    start: int | None = None
    end = held = 0
    for minute, statements in minutes:
        if start is not None and held + statements > limit:
            slices += _by_hash(start, end, held, limit)
            start = None
        if start is None:
            start, held = minute, 0
        end = minute + 1
        held += statements
    if start is not None:
        slices += _by_hash(start, end, held, limit)
    return slices


def _by_hash(start: int, end: int, statements: int, limit: int) -> list[Slice]:
    modulus = -(-statements // limit)
    return [
        Slice(start * _MINUTE_MICROS, end * _MINUTE_MICROS, modulus, remainder)
        for remainder in range(modulus)
    ]


def plan_publish(
    warehouse: Warehouse,
    target: Target,
    *,
    step: str,
    limit: int = SLICE_STATEMENTS,
    say: Say = lambda _: None,
    cut: Callable[[list[tuple[int, int]], int], list[Slice]] = cut_slices,
) -> PublishPlan:
    """Count every slice of the staging table against the raw table; inserts nothing.

    Args:
        warehouse, target: where.
        step: named in `log_comment`.
        limit: the most statements of a slice.
        say: told every few seconds how many slices are counted.
        cut: cuts minutes into slices.
    """
    minutes = warehouse.rows("publish_minutes", step=step, **target.staging_names())
    slices = cut([(int(minute), int(rows)) for minute, rows in minutes], limit)
    counted, told = [], time.monotonic()
    for one in slices:
        counted.append(_counted(warehouse, target, one, step))
        if time.monotonic() - told > _TELL_S:
            say(f"counted {len(counted)} of {len(slices)} slices")
            told = time.monotonic()
    return PublishPlan(tuple(counted))


def _counted(warehouse: Warehouse, target: Target, one: Slice, step: str) -> CountedSlice:
    def ask(name: str, tables: dict[str, Any]) -> tuple[int, ...]:
        row = with_retries(lambda: warehouse.row(name, step=step, **tables, **one.bounds()))
        return tuple(map(int, row))

    staged_rows, ids, already_there, ids_hash = ask("publish_slice_ids", target.names())
    statements, duplicates, collisions = ids, 0, 0
    if staged_rows != ids:
        statements, duplicates, collisions = ask("publish_slice_doubles", target.staging_names())
    return CountedSlice(one, statements, ids, duplicates, collisions, already_there, ids_hash)


def publish(
    warehouse: Warehouse,
    target: Target,
    plan: PublishPlan,
    *,
    step: str,
    lock: Lock,
    say: Say,
    before_insert: Callable[[Slice], None] = lambda _: None,
    after_break: Callable[[], None] = lambda: None,
    pause: Pause | None = None,
) -> int:
    """Insert what the plan found missing, and verify each slice.

    Args:
        warehouse, target, plan: where, and what.
        step: named in `log_comment`.
        lock: of the month; looked at before each insert and, by the server, at its beginning.
        say: told of progress, and of what is waited for.
        before_insert: told of each slice that is about to be inserted.
        after_break: told when the server was lost during that insert and is back, before it is sent again.
        pause: when to wait for the merges of the whole server too; None: never.

    Returns:
        The number of ids inserted. Each slice is counted anew just before it is inserted: what another writer has
        brought since the plan was made is not ours.

    Raises:
        WarehouseError: no room on the disk, merges that do not catch up, or a slice that does not hold its ids.
    """
    sizes = _bytes_per_statement(warehouse, target)
    inserted, told = 0, time.monotonic()
    lies = stored(warehouse, target.database, target.table)
    _wait_for_others(warehouse, step, say)
    node = whole_on_node(warehouse, target.database, target.table)
    for planned in plan.slices:
        if not planned.new:
            continue
        wait_for_merges(warehouse, lies.database, lies.table, target.partition_id, say=say)
        wait_for_all_merges(warehouse, pause, say=say, before_look=lock.check)
        _check_room(warehouse, lies, int(planned.new * sizes))
        node = whole_on_node(warehouse, target.database, target.table, known=node)
        one = replace(planned, already_there=_present(warehouse, target, planned.slice, step))
        if one.new:
            lock.check()
            before_insert(one.slice)
            node = _insert_slice(warehouse, target, one, step, lock, say, after_break, node)
        _verify(warehouse, target, one, step, lock)
        inserted += one.new
        if time.monotonic() - told > _TELL_S:
            say(f"published {inserted} of {plan.new} statements")
            told = time.monotonic()
    return inserted


def insert_step(step: str, one: Slice) -> str:
    """The step in the `log_comment` of a slice's insert; no other query has it."""
    return f"{step} insert {one.start} {one.end} {one.remainder}/{one.modulus}"


def _wait_for_others(warehouse: Warehouse, step: str, say: Say) -> None:
    """Let inserts of dead runs end, so that what they bring is seen when ids are compared."""
    started, told = time.monotonic(), False
    while with_retries(
        lambda: warehouse.row("publish_of_others", steps=f"{step} insert ", run_id=warehouse.run_id)[0]
    ):
        if not told:
            say("waiting for an insert of an earlier run that ClickHouse still works on")
            told = True
        if time.monotonic() - started > WAIT_FOR_MERGES_S:
            raise WarehouseError(
                "ClickHouse still works on an insert of an earlier run of this month after half an hour",
                do="Look at it in system.processes, stop it with KILL QUERY, then run again.",
            )
        time.sleep(0.5)


def _insert_slice(
    warehouse: Warehouse,
    target: Target,
    one: CountedSlice,
    step: str,
    lock: Lock,
    say: Say,
    after_break: Callable[[], None],
    node: str,
) -> str:
    """Insert a slice through a node that has caught up; returns the one it was."""

    def insert(node: str) -> None:
        warehouse.run(
            "publish_slice_insert",
            step=insert_step(step, one.slice),
            settings={**_INSERT_SETTINGS, **warehouse.for_good()},
            **target.names(),
            **one.slice.bounds(),
            **lock.names(),
            node=node,
        )

    try:
        insert(node)
    except UnreachableError as error:
        # The server may have gone on without us, or have restarted: wait until it has ended whatever it was
        # doing, then send the same again, which leaves out what did arrive.
        say(f"{error} Waiting for it to come back.")
        while with_retries(lambda: warehouse.row("queries_of_run", run_id=warehouse.run_id)[0], for_s=300):
            time.sleep(0.5)
        node = whole_on_node(warehouse, target.database, target.table)
        after_break()
        insert(node)
    return node


def _present(warehouse: Warehouse, target: Target, one: Slice, step: str) -> int:
    """How many of a slice's ids stand in the table now."""
    row = with_retries(
        lambda: warehouse.row("publish_slice_present", step=step, **target.names(), **one.bounds())
    )
    return int(row[0])


def _verify(warehouse: Warehouse, target: Target, one: CountedSlice, step: str, lock: Lock) -> None:
    found = _present(warehouse, target, one.slice, step)
    if found != one.ids and warehouse.cluster:
        # Of another shard a replica may have been asked that the rows have not reached yet.
        catch_up(warehouse, (target.database, target.table))
        found = _present(warehouse, target, one.slice, step)
    if found != one.ids:
        lock.check()
        raise WarehouseError(
            f"{target.database}.{target.table} holds {found} of {one.ids} ids of a slice that was just inserted",
            do="Run again: what is missing is inserted, nothing twice. If it stays so, look for a TTL or a mutation"
            " on the table.",
        )


def _bytes_per_statement(warehouse: Warehouse, target: Target) -> float:
    rows, size = warehouse.row("table_size", database=target.staging_database, table=target.staging_table)
    return size / rows if rows else 0.0


def _check_room(warehouse: Warehouse, lies: Stored, slice_bytes: int) -> None:
    free = with_retries(lambda: warehouse.row("free_space", **lies.names())[0])
    # A part and the merge that will absorb it stand side by side for a while, here and behind the views.
    needed = 3 * slice_bytes + _SPARE_BYTES
    if free < needed:
        raise WarehouseError(
            f"ClickHouse has {free >> 20} MiB free where {lies.database}.{lies.table} lies; the next slice needs"
            f" {needed >> 20} MiB",
            do="Free disk space on the ClickHouse server, then run again: what was published stays, nothing is doubled.",
        )

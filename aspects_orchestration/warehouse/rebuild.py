"""Dropping a month in the raw table and in every table that materialized views chain behind it.

The chain is found in ClickHouse itself, not in a list of names: any view that reads from the raw table, its target,
the views behind that, and so on. Targets go first and the raw table last, so that a rebuild that is killed half-way
still finds the month's rows in the raw table and drops the rest when it is run again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import stored
from aspects_orchestration.warehouse.publish import Target

_NAME = r"(?:`((?:[^`\\]|\\.)+)`|([\w$-]+))"
_TARGET = re.compile(rf"\bTO\s+{_NAME}\.{_NAME}", re.IGNORECASE)
# Hours and days that are made of the emission time are of the same month.
_MONTHLY = re.compile(r"\(?toYYYYMM\(\s*(?:toDateTime\()?\s*`?emission_\w+`?\s*\)?\s*\)\)?\Z")


@dataclass(frozen=True)
class ChainedTable:
    """A table whose month a rebuild drops, and the rows that it holds of it."""

    database: str
    table: str
    rows: int

    @property
    def name(self) -> str:
        """`database.table`."""
        return f"{self.database}.{self.table}"


@dataclass(frozen=True)
class RebuildPlan:
    """Tables whose partition goes, in the order in which it goes; the raw table is the last.

    Attributes:
        partition_id: of the month.
        tables: whose partition goes.
        left: tables (`database.table`) without partitions, which keep all they hold.
    """

    partition_id: str
    tables: tuple[ChainedTable, ...]
    left: tuple[str, ...] = ()

    @property
    def rows_of_raw(self) -> int:
        """Rows of the month in the raw table."""
        return self.tables[-1].rows

    def described(self) -> list[str]:
        """The plan, a line a table."""
        return [
            *(
                f"rebuild drops partition {self.partition_id} of {one.name}: {one.rows} rows"
                for one in self.tables
            ),
            *(
                f"rebuild leaves {name}, which has no partitions: the month's rows are inserted into it once more, and"
                f" replace those with the same key, newer ones among them. Build it anew afterwards: {full_refresh(name)}"
                for name in self.left
            ),
        ]


def plan_rebuild(warehouse: Warehouse, target: Target, *, leave_unpartitioned: bool = False) -> RebuildPlan:
    """Find what hangs behind the raw table, and what of the month it holds.

    Args:
        warehouse, target: where.
        leave_unpartitioned: leave chained tables without partitions as they are, where they keep one row a key.

    Raises:
        WarehouseError: a chained table is not partitioned by month, or the server does not keep UTC.
    """
    zone, is_utc = warehouse.time_zone()
    if not is_utc:
        raise WarehouseError(
            f"the server's time zone is {zone}, so its partitions are not the months of UTC",
            do="Load with mode merge, or set <timezone>UTC</timezone> on the server.",
        )
    chain = chained_tables(warehouse, target.database, target.table)
    left = [
        (database, table)
        for database, table in chain[1:]
        if not _is_monthly(warehouse, database, table, leave_unpartitioned=leave_unpartitioned)
    ]
    tables = []
    for database, table in reversed([one for one in chain if one not in left]):
        rows = warehouse.row(
            "partition_rows", database=database, table=table, partition_id=target.partition_id
        )[0]
        tables.append(ChainedTable(database, table, int(rows or 0)))
    return RebuildPlan(target.partition_id, tuple(tables), tuple(".".join(one) for one in left))


def drop_partitions(warehouse: Warehouse, plan: RebuildPlan, *, say: Callable[[str], None]) -> dict[str, int]:
    """Drop the month, table by table; returns the rows dropped by table."""
    dropped = {}
    for one in plan.tables:
        warehouse.run(
            "partition_drop", database=one.database, table=one.table, partition_id=plan.partition_id
        )
        dropped[one.name] = one.rows
        say(f"dropped partition {plan.partition_id} of {one.name}: {one.rows} rows")
    return dropped


def chained_tables(warehouse: Warehouse, database: str, table: str) -> list[tuple[str, str]]:
    """The raw table and every table that materialized views chain behind it, each once, nearest first.

    Of Distributed tables it is the one that has the rows: views hang on it, and partitions can be dropped in it.
    """
    chain = [_with_rows(warehouse, database, table)]
    for known_database, known_table in chain:
        for view_database, view, query, uuid in warehouse.rows(
            "views_of_table", database=known_database, table=known_table
        ):
            behind = _with_rows(warehouse, *target_of(view_database, view, query, uuid))
            if behind not in chain:
                chain.append(behind)
    return chain


def _with_rows(warehouse: Warehouse, database: str, table: str) -> tuple[str, str]:
    lies = stored(warehouse, database, table)
    return lies.database, lies.table


def target_of(database: str, view: str, query: str, uuid: str) -> tuple[str, str]:
    """The table that a materialized view writes to, by its definition, as database and name."""
    head = re.split(r"\bAS\s+(?:WITH|SELECT|\()", query, maxsplit=1, flags=re.IGNORECASE)[0]
    found = _TARGET.search(head)
    if found is not None:
        names = [
            re.sub(r"\\(.)", r"\1", one or plain) for one, plain in (found.group(1, 2), found.group(3, 4))
        ]
        return names[0], names[1]
    # A view with storage of its own keeps it in a hidden table beside itself.
    return database, f".inner_id.{uuid}" if uuid and int(uuid.replace("-", ""), 16) else f".inner.{view}"


def full_refresh(name: str) -> str:
    """The command by which Aspects' dbt project builds a table (`database.table`) anew."""
    return f"dbt run --full-refresh --select {name.split('.', 1)[1]}"


def _is_monthly(warehouse: Warehouse, database: str, table: str, *, leave_unpartitioned: bool) -> bool:
    """Whether a table's month can be dropped; False if it has no partitions and may be left as it is."""
    rows = warehouse.rows("table_partition_key", database=database, table=table)
    key, engine = rows[0] if rows else ("(no such table)", "")
    if _MONTHLY.match(key):
        return True
    replaces = not key and "Replacing" in engine
    if replaces and leave_unpartitioned:
        return False
    raise WarehouseError(
        f"{database}.{table} hangs behind the raw table and is partitioned by {key or 'nothing'}, so its month"
        " cannot be dropped",
        do="Nothing was dropped. "
        + (
            "It keeps one row a key: rebuild with `leave_unpartitioned: true`, and build it anew afterwards"
            f" ({full_refresh(f'{database}.{table}')})."
            if replaces
            else "Rebuild that table by its own means (dbt run --full-refresh), or load with mode merge."
        ),
    )

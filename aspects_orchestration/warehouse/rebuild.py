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
from aspects_orchestration.warehouse.publish import Target

_NAME = r"(?:`((?:[^`\\]|\\.)+)`|([\w$-]+))"
_TARGET = re.compile(rf"\bTO\s+{_NAME}\.{_NAME}", re.IGNORECASE)
_MONTHLY = re.compile(r"toYYYYMM\(\s*(?:toDateTime\()?\s*emission_time\s*\)?\s*\)\Z")


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
    """Tables whose partition goes, in the order in which it goes; the raw table is the last."""

    partition_id: str
    tables: tuple[ChainedTable, ...]

    @property
    def rows_of_raw(self) -> int:
        """Rows of the month in the raw table."""
        return self.tables[-1].rows

    def described(self) -> list[str]:
        """The plan, a line a table."""
        return [
            f"rebuild drops partition {self.partition_id} of {one.name}: {one.rows} rows"
            for one in self.tables
        ]


def plan_rebuild(warehouse: Warehouse, target: Target) -> RebuildPlan:
    """Find what hangs behind the raw table, and what of the month it holds.

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
    for database, table in chain[1:]:
        _require_monthly(warehouse, database, table)
    tables = []
    for database, table in reversed(chain):
        rows = warehouse.row(
            "partition_rows", database=database, table=table, partition_id=target.partition_id
        )[0]
        tables.append(ChainedTable(database, table, int(rows or 0)))
    return RebuildPlan(target.partition_id, tuple(tables))


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
    """The raw table and every table that materialized views chain behind it, each once, nearest first."""
    chain = [(database, table)]
    for known_database, known_table in chain:
        for view_database, view, query, uuid in warehouse.rows(
            "views_of_table", database=known_database, table=known_table
        ):
            behind = target_of(view_database, view, query, uuid)
            if behind not in chain:
                chain.append(behind)
    return chain


def target_of(database: str, view: str, query: str, uuid: str) -> tuple[str, str]:
    """The table that a materialized view writes to, by its definition, as database and name."""
    head = re.split(r"\bAS\s+(?:WITH|SELECT|\()", query, maxsplit=1, flags=re.IGNORECASE)[0]
    found = _TARGET.search(head)
    if found is not None:
        names = [(found[1] or found[2]), (found[3] or found[4])]
        return names[0], names[1]
    # A view with storage of its own keeps it in a hidden table beside itself.
    return database, f".inner_id.{uuid}" if uuid and int(uuid.replace("-", ""), 16) else f".inner.{view}"


def _require_monthly(warehouse: Warehouse, database: str, table: str) -> None:
    rows = warehouse.rows("table_partition_key", database=database, table=table)
    key = rows[0][0] if rows else "(no such table)"
    if not _MONTHLY.match(key):
        raise WarehouseError(
            f"{database}.{table} hangs behind the raw table and is partitioned by {key or 'nothing'}, so its month"
            " cannot be dropped",
            do="Nothing was dropped. Rebuild that table by its own means (dbt run --full-refresh), or load with mode"
            " merge.",
        )

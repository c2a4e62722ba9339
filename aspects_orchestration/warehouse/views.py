"""Materialized views behind the raw table: whether they can follow an insert, and whether they have.

ClickHouse writes a block into the table first and pushes it through the views after. If it dies in between, or a view
refuses, the rows stand in the table and are missing behind it, and no rerun would notice: their ids are there. So a
load says which slice it is about to insert, and the next one looks how that insert ended. What cannot be proved whole
is remembered with the load, a check says so, and only mode rebuild, which empties the whole chain first, clears it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Origin, Warehouse
from aspects_orchestration.warehouse.cluster import stored
from aspects_orchestration.warehouse.publish import Slice, Target, insert_step
from aspects_orchestration.warehouse.rebuild import target_of
from aspects_orchestration.warehouse.records import LoadRecord, latest_load, remember_load, unfinished_loads

BEHIND = "views_behind"
_IN_FLIGHT = "in_flight"
_FINAL_WORD_S = 10.0
_MISSING_GRANT = "lacks the grant"


@dataclass(frozen=True)
class InFlight:
    """A slice whose insert had begun.

    Attributes:
        start, end, modulus, remainder: of the slice.
        rows_before: rows that stood in its stretch of time before.
    """

    start: int
    end: int
    modulus: int
    remainder: int
    rows_before: int

    @property
    def slice(self) -> Slice:
        """The slice."""
        return Slice(self.start, self.end, self.modulus, self.remainder)


def require_readable_chain(warehouse: Warehouse, target: Target) -> bool:
    """Whether views hang behind the raw table; refuses if an insert would break on its way through them.

    Raises:
        WarehouseError: this user may not read a table that a view behind another view reads.
    """
    raw = stored(warehouse, target.database, target.table)
    chain = [(raw.database, raw.table)]
    for database, table in chain:
        views = warehouse.rows("views_of_table", database=database, table=table)
        if views and len(chain) > 1 and (database, table) != chain[0]:
            _require_readable(warehouse, database, table, target, [str(query) for _, _, query, _ in views])
        for view_database, view, query, uuid in views:
            # What hangs behind a view with storage of its own hangs on the view's name, else on its target.
            fed = target_of(view_database, view, query, uuid)
            lies = stored(warehouse, *fed)
            for behind in ((view_database, view), fed, (lies.database, lies.table)):
                if behind not in chain:
                    chain.append(behind)
    return len(chain) > 1


def _require_readable(
    warehouse: Warehouse, database: str, table: str, target: Target, views: list[str]
) -> None:
    if all("SQL SECURITY DEFINER" in query for query in views):
        return
    try:
        warehouse.rows("table_readable", database=database, table=table)
    except WarehouseError as error:
        if _MISSING_GRANT not in error.what:
            raise
        raise WarehouseError(
            f"user {warehouse.address.user} may not read {database}.{table}, but materialized views that follow"
            f" {target.database}.{target.table} do so with the rights of whoever inserts",
            do=f"Nothing was published. GRANT SELECT ON {database}.{table} TO {warehouse.address.user} (sql/grants.sql),"
            " then run again.",
        ) from None


def begin(warehouse: Warehouse, target: Target, record: LoadRecord, one: Slice) -> InFlight:
    """Say that the insert of a slice begins; `record` is the load's, in state `publishing`."""
    rows = _rows(warehouse, target, one)
    flight = InFlight(one.start, one.end, one.modulus, one.remainder, rows)
    account = {**record.account, _IN_FLIGHT: asdict(flight)}
    remember_load(warehouse, target.staging_database, replace(record, account=account))
    return flight


def behind(
    warehouse: Warehouse, target: Target, *, month: str, step: str, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The slices that the views may lack: of earlier loads, and of those that ended in the middle of an insert.

    Call it while holding the month's lock: every unfinished load is then a dead one.
    """
    name, database = f"{target.database}.{target.table}", target.staging_database
    last = latest_load(warehouse, database, name, month)
    found = list(last.account.get(BEHIND, ())) if last else []
    for run_id, updated_at, account in unfinished_loads(warehouse, database, name, month):
        found += account.get(BEHIND, ())
        flight = InFlight(**account[_IN_FLIGHT])
        if not came_to_its_end(warehouse, target, flight, run_id=run_id, step=step, began=updated_at):
            say(f"run {run_id}: {warning(target)}")
            found.append(asdict(flight))
    return [one for number, one in enumerate(found) if one not in found[:number]]


def warning(target: Target) -> str:
    """What to tell of an insert that was cut off."""
    return (
        f"an insert was cut off in the middle: the materialized views behind {target.database}.{target.table} may lack"
        " statements that stand in it. Load this month with mode rebuild once this load is done"
    )


def came_to_its_end(
    warehouse: Warehouse, target: Target, flight: InFlight, *, run_id: str, step: str, began: datetime
) -> bool:
    """Whether an insert ended well, or brought nothing; only what can be proved counts.

    Args:
        warehouse, target: where.
        flight: what `begin` returned or wrote.
        run_id, step: of the run that sent it.
        began: when, in UTC.
    """
    if _rows(warehouse, target, flight.slice) == flight.rows_before:
        return True
    comment = Origin(run_id, insert_step(step, flight.slice)).comment()
    asked = "query_finished_on_cluster" if warehouse.cluster else "query_finished"
    started = time.monotonic()
    while True:
        try:
            finished = warehouse.row(asked, since=began.date(), comment=comment)[0]
        except WarehouseError:
            return False  # no such log, or not for us
        if finished:
            return True
        if time.monotonic() - started > _FINAL_WORD_S:  # the server writes its log every few seconds
            return False
        time.sleep(0.5)


def _rows(warehouse: Warehouse, target: Target, one: Slice) -> int:
    row = warehouse.row("publish_slice_rows", database=target.database, table=target.table, **one.bounds())
    return int(row[0])

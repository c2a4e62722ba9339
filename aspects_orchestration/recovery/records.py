"""Which months rebuild_all has restored, remembered in ClickHouse: what is lost with ClickHouse is restored anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import orjson

from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse

_TABLE = "recoveries"


@dataclass(frozen=True)
class Restored:
    """One month that was restored.

    Attributes:
        month: the partition's key.
        content: a name for what was read; another as soon as there is something else to read.
        rows: of the month afterwards.
        stored_bytes: read, as stored.
        seconds: that it took.
        finished_at: when (UTC).
    """

    month: str
    content: str
    rows: int
    stored_bytes: int
    seconds: float
    finished_at: datetime


def restored_months(warehouse: Warehouse, database: str, target: str, source: str) -> dict[str, Restored]:
    """The months of a table that were restored from a source, by key."""
    rows = warehouse.rows("recoveries_read", database=database, target=target, source=source)
    return {
        month: Restored(month, content, int(count), int(size), float(seconds), at(int(finished)))
        for month, content, count, size, seconds, finished in rows
    }


def remember_restored(
    warehouse: Warehouse, database: str, target: str, source: str, restored: Restored
) -> None:
    """Write down that a month is restored; a later word replaces an earlier one."""
    line = orjson.dumps(
        {
            "target": target,
            "month": restored.month,
            "source": source,
            "content": restored.content,
            "run_id": warehouse.run_id,
            "month_rows": restored.rows,
            "stored_bytes": restored.stored_bytes,
            "seconds": restored.seconds,
            "finished_at": restored.finished_at,
        },
        option=orjson.OPT_UTC_Z,
    )
    with_retries(lambda: warehouse.insert_json(database, _TABLE, line))

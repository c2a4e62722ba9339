"""What the project remembers in its own database: the catalog of logs, the progress of a load, the record of loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.catalog import FileSummary, Known, at, hour_range, moment
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.window import Window

_CATALOG = "tracking_log_catalog"
_CATALOG_COLUMNS = (
    "uri",
    "etag",
    "size",
    "reader",
    "lines",
    "undated",
    "first_event",
    "last_event",
    "hours",
    "hour_lines",
    "updated_at",
)
_RUN_COLUMNS = (
    "run_id",
    "target",
    "month",
    "mode",
    "state",
    "since",
    "until",
    "started_at",
    "updated_at",
    "account",
    "expected_ids",
    "expected_hash",
    "sample_modulus",
)
_HOUR_COLUMNS = ("target", "hour", "lines", "statements", "run_id", "loaded_at")
#: Up to so many ids of a load are kept, to look for each of them later.
SAMPLED_IDS = 65_536


@dataclass(frozen=True)
class LoadRecord:
    """One load of a month, as remembered.

    Attributes:
        state: `publishing` while a slice is inserted, `published` at the end, `ended` for a load that died in between
            and that a later one has looked after.
        account: line and statement account, as JSON-ready values.
        expected_ids: different event ids that the load left in the table.
        expected_hash: their combined hash (`PublishPlan.ids_hash`).
        sample_modulus: one id in so many is kept in `expected_ids`.
    """

    run_id: str
    target: str
    month: str
    mode: str
    state: str
    since: datetime
    until: datetime
    started_at: datetime
    updated_at: datetime
    account: dict[str, Any]
    expected_ids: int
    expected_hash: int
    sample_modulus: int


def look_up(
    warehouse: Warehouse, database: str, uris: Sequence[str], window: Window, reader: str
) -> dict[str, Known]:
    """What the catalog knows of some files, for one window."""
    first, end = hour_range(window)
    return {
        uri: Known(etag, bool(touches), bool(undated))
        for uri, etag, touches, undated in warehouse.rows(
            "catalog_lookup", listed=uris, database=database, first_hour=first, end_hour=end, reader=reader
        )
    }


def remember_files(
    warehouse: Warehouse, database: str, summaries: Sequence[FileSummary], reader: str, now: datetime
) -> None:
    """Write what was found in some files into the catalog."""
    rows = []
    for one in summaries:
        hours = sorted(one.account.hours)
        rows.append(
            (
                one.uri,
                one.etag,
                one.size,
                reader,
                one.account.lines,
                one.account.undated,
                moment(one.account.first_micros),
                moment(one.account.last_micros),
                hours,
                [one.account.hours[hour] for hour in hours],
                now,
            )
        )
    _insert(warehouse, database, _CATALOG, _CATALOG_COLUMNS, rows)


def store_summary(
    warehouse: Warehouse, database: str, prefix: str, *, apart: str = ""
) -> tuple[int, int, int, int, datetime | None, datetime | None]:
    """Of the cataloged files under a prefix: files, bytes as stored, lines, undated lines, first and last event.

    Args:
        apart: another prefix, of files that are not counted; '' for none.
    """
    files, size, lines, undated, first, last = warehouse.row(
        "catalog_summary", database=database, prefix=prefix, apart=apart
    )
    return int(files), int(size), int(lines), int(undated), moment(first), moment(last)


def catalog_by_month(
    warehouse: Warehouse, database: str, prefixes: Sequence[str] = ("",), *, apart: str = ""
) -> list[tuple[str, int, int]]:
    """Transformable lines and files by month, as the catalog has them.

    Args:
        prefixes: of the files that are counted; every file by default.
        apart: a prefix of files that are not; '' for none.
    """
    rows = warehouse.rows("catalog_months", database=database, prefixes=list(prefixes), apart=apart)
    return [(str(month), int(lines), int(files)) for month, lines, files in rows]


@dataclass(frozen=True)
class StagedChunk:
    """One chunk whose statements are staged: of which version of which file, from where, and its account."""

    file: str
    etag: str
    byte_offset: int
    account: LineAccount


def remember_progress(warehouse: Warehouse, database: str, table: str, chunks: Sequence[StagedChunk]) -> None:
    """Write which chunks are staged, so that a later attempt at the same load goes on behind them."""
    rows = [(one.file, one.etag, one.byte_offset, _dumped(one.account.as_json())) for one in chunks]
    _insert(warehouse, database, table, ("file", "etag", "byte_offset", "account"), rows)


def read_progress(warehouse: Warehouse, database: str, table: str) -> list[StagedChunk]:
    """Which chunks an earlier attempt at the same load has staged."""
    return [
        StagedChunk(file, etag, int(offset), LineAccount.from_json(orjson.loads(account)))
        for file, etag, offset, account in warehouse.rows("progress_read", database=database, table=table)
    ]


def remember_load(warehouse: Warehouse, database: str, record: LoadRecord) -> None:
    """Write the record of a load; a later one of the same run replaces it."""
    values = [getattr(record, column) for column in _RUN_COLUMNS]
    values[_RUN_COLUMNS.index("account")] = _dumped(record.account)
    _insert(warehouse, database, "runs", _RUN_COLUMNS, [tuple(values)])


def latest_load(warehouse: Warehouse, database: str, target: str, month: str) -> LoadRecord | None:
    """The newest published load of a month, or None."""
    rows = warehouse.rows("run_latest", database=database, target=target, month=month)
    if not rows:
        return None
    run_id, mode, since, until, started_at, updated_at, account, ids, ids_hash, modulus = rows[0]
    return LoadRecord(
        run_id=run_id,
        target=target,
        month=month,
        mode=mode,
        state="published",
        since=at(since),
        until=at(until),
        started_at=at(started_at),
        updated_at=at(updated_at),
        account=orjson.loads(account),
        expected_ids=int(ids),
        expected_hash=int(ids_hash),
        sample_modulus=int(modulus),
    )


def unfinished_loads(
    warehouse: Warehouse, database: str, target: str, month: str
) -> list[tuple[str, datetime, dict[str, Any]]]:
    """Other loads of a month whose last word was that a slice was being inserted: run id, when, and account."""
    rows = warehouse.rows(
        "runs_unfinished", database=database, target=target, month=month, run_id=warehouse.run_id
    )
    return [(run_id, at(updated), orjson.loads(account)) for run_id, updated, account in rows]


def end_unfinished(warehouse: Warehouse, database: str, target: str, month: str) -> None:
    """Say of other loads of a month that were cut off that they are looked after."""
    # What is written replaces what was written before: sending twice does no harm.
    with_retries(
        lambda: warehouse.run(
            "runs_end_unfinished", database=database, target=target, month=month, run_id=warehouse.run_id
        )
    )


def statements_by_hour(warehouse: Warehouse, database: str, table: str, window: Window) -> dict[int, int]:
    """Statements of a stretch of time by hour (hours since 1970-01-01 UTC); hours without any are left out."""
    rows = warehouse.rows(
        "statements_by_hour", database=database, table=table, start=window.start_micros, end=window.end_micros
    )
    return {int(hour): int(statements) for hour, statements in rows}


def remember_hours(
    warehouse: Warehouse,
    database: str,
    target: str,
    hours: Mapping[int, tuple[int, int]],
    now: datetime,
) -> None:
    """Write what a load found in each hour.

    Args:
        warehouse: its run id is the load's.
        database: the project's own.
        target: the raw table as `database.table`.
        hours: lines that it read, and statements that stood in the table afterwards, by hour since 1970-01-01 UTC.
        now: the time, with zone.
    """
    rows = [
        (target, hour, lines, statements, warehouse.run_id, now)
        for hour, (lines, statements) in sorted(hours.items())
    ]
    _insert(warehouse, database, "loaded_hours", _HOUR_COLUMNS, rows)


def hours_loaded(
    warehouse: Warehouse, database: str, target: str, window: Window
) -> dict[int, tuple[int, int]]:
    """What `remember_hours` wrote last of each hour that touches a stretch of time."""
    first, end = hour_range(window)
    rows = warehouse.rows(
        "loaded_hours_read", database=database, target=target, first_hour=first, end_hour=end
    )
    return {int(hour): (int(lines), int(statements)) for hour, lines, statements in rows}


def sample_modulus(ids: int) -> int:
    """One id in how many to keep of a load, so that at most about SAMPLED_IDS are kept."""
    return max(1, -(-ids // SAMPLED_IDS))


def _dumped(values: dict[str, Any]) -> str:
    return orjson.dumps(values, option=orjson.OPT_NON_STR_KEYS).decode()


def _insert(
    warehouse: Warehouse, database: str, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    if not rows:
        return
    lines = b"\n".join(
        orjson.dumps(dict(zip(columns, row, strict=True)), option=orjson.OPT_UTC_Z) for row in rows
    )
    # All of these tables keep the newest row of a key, or take one of several: sending twice does no harm.
    with_retries(lambda: warehouse.insert_json(database, table, lines))

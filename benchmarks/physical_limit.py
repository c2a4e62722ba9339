"""What the machine can do with the same bytes and nothing else: decompress, parse each line, insert finished rows once.

Run in a process of its own, with the settings in its environment: `python benchmarks/physical_limit.py MONTH WORKERS`.
The table holds the month already (from a load); its rows are fetched as RowBinary beforehand, untimed. Timed, on as many
processes as the load has: gunzip and `orjson.loads` of every line, and one insert of the finished rows.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import sys
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import orjson

from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.stores import list_all
from aspects_orchestration.warehouse.client import Warehouse

_COLUMNS = ("event_id", "emission_time", "event")


def parse(path: str) -> int:
    """Decompress a file and parse every line."""
    lines = 0
    with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as stream:
        while block := stream.readlines(4 << 20):
            for line in unwrap(b"".join(block)):
                if line.body is not None:
                    orjson.loads(line.body)
                lines += 1
    return lines


def main(month: str, workers: int) -> None:
    """Measure, and print one JSON line."""
    settings = load_settings()
    warehouse = connect(settings, run_id=uuid.uuid4().hex)
    paths = [file.uri.removeprefix("file://") for _, file in list_all(settings.tracking_log_prefixes)]
    rows = warehouse.client().raw_query(
        "SELECT event_id, emission_time, event FROM xapi.xapi_events_all WHERE toYYYYMM(emission_time) = {month:UInt32}",
        parameters={"month": int(month.replace("-", ""))},
        fmt="RowBinary",
    )
    warehouse.run("staging_create", database=settings.orchestration_database, table="limit")
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(len, ["warm"] * workers * 4))
            started = time.perf_counter()
            lines = sum(pool.map(parse, paths))
            _insert(warehouse, settings.orchestration_database, rows)
            seconds = time.perf_counter() - started
    finally:
        warehouse.run("table_drop", database=settings.orchestration_database, table="limit")
    print(json.dumps({"seconds": seconds, "lines": lines, "row_bytes": len(rows)}))


def _insert(warehouse: Warehouse, database: str, rows: bytes) -> None:
    warehouse.insert_rows(database, "limit", _COLUMNS, rows)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

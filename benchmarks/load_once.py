"""One load of a month as the asset does it, timed: this project's side of the benchmark.

Run in a process of its own, with the settings in its environment: `python benchmarks/load_once.py MONTH [IDS_FILE]`.
ClickHouse runs already; what is timed is everything from the plan to the published rows, workers' start included.
Prints one JSON line: seconds, lines, statements, and the peak memory of this process and its workers together (MB).
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from pathlib import Path

import psutil

from aspects_orchestration.replay.load import load_month
from aspects_orchestration.replay.plan import LoadRequest, make_plan
from aspects_orchestration.replay.reading import transformer_reader
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options


class _Peak(threading.Thread):
    """The most memory that this process and its children held at once, by sampling (bytes of RSS)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._done = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._done.wait(0.2):
            total = me.memory_info().rss
            for child in me.children(recursive=True):
                try:
                    if "embedded.daemon" not in " ".join(child.cmdline()):
                        total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.bytes = max(self.bytes, total)

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.bytes


def main(month: str, ids_file: Path | None) -> None:
    """Load a month and say how long it took."""
    settings = load_settings()
    warehouse = connect(settings, run_id=uuid.uuid4().hex)
    peak = _Peak()
    peak.start()
    started = time.perf_counter()
    plan = make_plan(
        settings, LoadRequest(month), warehouse, reader=transformer_reader(), s3=S3Options(), now=utc_now()
    )
    result = load_month(
        settings, plan, warehouse, s3=S3Options(), say=lambda text: print(text, file=sys.stderr, flush=True)
    )
    seconds = time.perf_counter() - started
    if ids_file is not None:
        query = "SELECT DISTINCT toString(event_id) AS id FROM xapi.xapi_events_all ORDER BY id"
        rows = warehouse.client().query(query).result_rows
        ids_file.write_text("\n".join(row[0] for row in rows))
    assert result.statements is not None
    print(
        json.dumps(
            {
                "seconds": seconds,
                "read_seconds": result.read_s,
                "lines": result.account.total.lines,
                "statements": result.account.total.statements,
                "inserted": result.statements.inserted,
                "quarantined": result.account.total.quarantined_lines,
                "peak_mb": round(peak.stop() / 1e6),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)

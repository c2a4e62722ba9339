"""One load of a month as the asset does it, timed: this project's side of the benchmark.

Run in a process of its own, with the settings in its environment:
`python benchmarks/load_once.py MONTH [--ids FILE] [--dry-run]`. ClickHouse runs already; what is timed is everything from
the plan to the published rows, workers' start included. A dry run reads, transforms and counts, and writes nothing.
Prints one JSON line: seconds, lines, statements, CPU seconds of this process, of its workers and of ClickHouse (0 if it
is not the embedded one), and the peak memory of this process and its workers together (MB).
"""

from __future__ import annotations

import argparse
import json
import resource
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


def _cpu_seconds(home: Path) -> dict[str, float]:
    """CPU time so far: of this process, of the workers that have ended, and of this home's embedded ClickHouse."""
    mine, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    served = 0.0
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if "embedded.daemon" in command and f"{home}/" in command:
            times = process.cpu_times()
            served += times.user + times.system
    return {
        "parent": mine.ru_utime + mine.ru_stime,
        "workers": ended.ru_utime + ended.ru_stime,
        "clickhouse": served,
    }


def main(month: str, ids_file: Path | None, *, dry_run: bool) -> None:
    """Load a month and say how long it took."""
    settings = load_settings()
    warehouse = connect(settings, run_id=uuid.uuid4().hex)
    peak = _Peak()
    peak.start()
    cpu_before, started = _cpu_seconds(settings.home), time.perf_counter()
    request = LoadRequest(month, dry_run=dry_run)
    plan = make_plan(settings, request, warehouse, reader=transformer_reader(), s3=S3Options(), now=utc_now())
    result = load_month(
        settings, plan, warehouse, s3=S3Options(), say=lambda text: print(text, file=sys.stderr, flush=True)
    )
    seconds = time.perf_counter() - started
    cpu_seconds = {who: after - cpu_before[who] for who, after in _cpu_seconds(settings.home).items()}
    if ids_file is not None:
        query = "SELECT DISTINCT toString(event_id) AS id FROM xapi.xapi_events_all ORDER BY id"
        rows = warehouse.client().query(query).result_rows
        ids_file.write_text("\n".join(row[0] for row in rows))
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "read_seconds": result.read_s,
                "lines": result.account.total.lines,
                "statements": result.account.total.statements,
                "inserted": 0 if result.statements is None else result.statements.inserted,
                "quarantined": result.account.total.quarantined_lines,
                "peak_mb": round(peak.stop() / 1e6),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("month")
    parser.add_argument("--ids", type=Path, help="write the ids of all statements there")
    parser.add_argument("--dry-run", action="store_true", help="read, transform and count only")
    options = parser.parse_args()
    main(options.month, options.ids, dry_run=options.dry_run)

"""Listing and matching files to a month, timed: `python benchmarks/select_once.py MONTH`; prints one JSON line."""

from __future__ import annotations

import json
import sys
import time
import uuid

from aspects_orchestration.replay.plan import LoadRequest, make_plan
from aspects_orchestration.replay.reading import transformer_reader
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options


def main(month: str) -> None:
    """Make a plan, which lists every file and asks the catalog about it."""
    settings = load_settings()
    warehouse = connect(settings, run_id=uuid.uuid4().hex)
    started = time.perf_counter()
    plan = make_plan(
        settings, LoadRequest(month), warehouse, reader=transformer_reader(), s3=S3Options(), now=utc_now()
    )
    print(json.dumps({"seconds": time.perf_counter() - started, "files": len(plan.files)}))


if __name__ == "__main__":
    main(sys.argv[1])

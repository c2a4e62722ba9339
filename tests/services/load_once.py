"""Load one month in a process of its own, in small steps, so that a test can end it anywhere.

    python tests/services/load_once.py MONTH [STATEMENTS_A_SLICE [MODE [DESTINATION]]]

Says what the load says, a line each, then `done` and what was inserted. Settings come from the environment, as does
TESTS_PATIENCE_S: for how long a server that has gone is asked again, here and in workers, if not for the minute of a load.
"""

from __future__ import annotations

import functools
import os
import sys
import uuid

from aspects_orchestration.replay import load, reading
from aspects_orchestration.replay.destinations import Destination
from aspects_orchestration.replay.plan import LoadRequest, Mode, make_plan
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse import client
from aspects_orchestration.warehouse.publish import plan_publish

# Not in `main`: workers import this module too.
if "TESTS_PATIENCE_S" in os.environ:
    client._RESTART_S = float(os.environ["TESTS_PATIENCE_S"])
    client.with_retries.__kwdefaults__["for_s"] = client._RESTART_S


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(month: str, slice_statements: int, mode: Mode, destination: Destination) -> None:
    """Load the month as the asset does, but with small slices and progress saved often."""
    load.plan_publish = functools.partial(plan_publish, limit=slice_statements)
    reading._FLUSH_S = 0.2
    settings = load_settings()
    warehouse = connect(settings, run_id=uuid.uuid4().hex)
    plan = make_plan(
        settings,
        LoadRequest(month, mode, destination=destination),
        warehouse,
        reader=reading.transformer_reader(),
        s3=S3Options(),
        now=utc_now(),
    )
    result = load.load_month(settings, plan, warehouse, s3=S3Options(), say=say)
    assert result.statements is not None
    say(f"done {result.statements.inserted} inserted")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(
        given[1],
        int(given.get(2, 500_000)),
        Mode(given.get(3, "merge")),
        Destination(given.get(4, "clickhouse")),
    )

"""Drill a restore in a process of its own, so that a test can end it anywhere: TURN. Says what the drill says."""

from __future__ import annotations

import sys
import uuid

from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.drill.run import DrillRequest, drill, only_one, plan_drill
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(turn: str) -> None:
    """As the job does it."""
    settings = load_settings()
    warehouse = connect(settings, run_id=uuid.uuid4().hex)
    index = index_of(settings, s3=S3Options())
    plan = plan_drill(settings, index, index.update(), DrillRequest(turn, None, 10**10), now=utc_now())
    with only_one(settings, warehouse, say=say):
        for one in drill(settings, warehouse, plan, s3=S3Options(), say=say):
            say(f"outcome {one.record.outcome}")
    say("ended")


if __name__ == "__main__":
    main(sys.argv[1])

"""Apply retention in a process of its own, so that a test can end it anywhere: PLAN. Says what the run says."""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime

from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.retention.apply import apply_plan, only_one
from aspects_orchestration.retention.world import look
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(asked: str) -> None:
    """As the job does it."""
    settings = load_settings()
    warehouse = connect(settings, run_id=uuid.uuid4().hex)
    with only_one(settings, warehouse, say=say):
        world = look(settings, warehouse, s3=S3Options(), now=datetime.now(UTC))
        apply_plan(settings, warehouse, world.plan, asked=asked, s3=S3Options(), say=say)
    say("ended")


if __name__ == "__main__":
    main(sys.argv[1])

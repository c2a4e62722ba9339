"""Release in a process of its own that ends itself by SIGKILL at a point: PLAN POINT [COUNT].

POINT is the beginning of a line that the run says, or `removal`: after so many files were removed.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime

from aspects_orchestration.archive.live import live_files
from aspects_orchestration.archive.release import release
from aspects_orchestration.archive.release_plan import plan_release
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import LogFile, S3Options
from aspects_orchestration.tracking.stores.local import LocalStore

BATCH_FILES = 2


def main(asked: str, point: str, count: int) -> None:
    """As the job does it, two files at a time."""
    left = count

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def say(line: str) -> None:
        if point in line:
            reached()

    remove = LocalStore.remove

    def removed(store: LocalStore, file: LogFile) -> bool:
        done = remove(store, file)
        if point == "removal":
            reached()
        return done

    LocalStore.remove = removed  # type: ignore[method-assign]
    settings, s3, now = load_settings(), S3Options(), datetime.now(UTC)
    plan = plan_release(settings, index_of(settings, s3=s3), s3=s3, now=now, live=live_files(settings))
    release(
        settings,
        plan,
        asked=asked,
        s3=s3,
        live=lambda: live_files(settings, idle_too=True),
        run_id="test",
        now=now,
        say=say,
        batch_files=BATCH_FILES,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)

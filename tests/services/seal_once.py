"""Seal a day in this process: `python -m services.seal_once DAY [STEP [kill|wait]]`.

At a step it kills itself as `kill -9` does, or says so and waits for a line on its standard input. Steps: `archive`,
`archive created`, `object`, `object created`, `object read back`, `progress`, `progress created`, `manifest`,
`manifest created`, `manifest read back`; with `:2` behind it the second time that it gets there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from aspects_orchestration.archive import seal, store_object
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking import stores
from aspects_orchestration.tracking.stores import S3Options


class Steps:
    """Counts the steps that a seal takes, and acts at one of them."""

    def __init__(self, at: str, act: str) -> None:
        self._at, _, number = at.partition(":")
        self._left = int(number or 1)
        self._act = act
        self._lock = threading.Lock()

    def reached(self, step: str) -> None:
        """A step is reached."""
        with self._lock:
            if step != self._at:
                return
            self._left -= 1
            if self._left:
                return
            if self._act == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            print(f"waiting at {step}", flush=True)
            sys.stdin.readline()


def watch(steps: Steps) -> None:
    """Let the stores tell of what they write and what is read of the archive; they do what they always do."""
    kinds = {"logs": "object", "manifests": "manifest", "progress": "progress"}

    def kind_of(uri: str) -> str:
        return kinds.get(uri.split("/")[-3 if "/manifests/" not in uri else -2], "archive")

    for store in (stores.LocalStore, stores.S3Store):
        create = store.create

        def creating(self: Any, uri: str, chunks: Any, *, _create: Any = create, **how: Any) -> bool:
            steps.reached(kind_of(uri))
            created = _create(self, uri, chunks, **how)
            steps.reached(f"{kind_of(uri)} created")
            return bool(created)

        store.create = creating  # type: ignore[method-assign]
    read_back, confirm = store_object._read_back, seal._Sealing._confirm

    def reading_back(*values: Any) -> Any:
        found = read_back(*values)
        steps.reached("object read back")
        return found

    def confirming(self: Any, *values: Any) -> None:
        confirm(self, *values)
        steps.reached("manifest read back")

    store_object._read_back = reading_back  # type: ignore[assignment]
    seal._Sealing._confirm = confirming  # type: ignore[method-assign]


def main(day: str, at: str = "", act: str = "kill") -> None:
    """Seal."""
    watch(Steps(at, act))
    # Small, so that a few files are several batches.
    seal._BATCH_OBJECTS = 4  # type: ignore[misc]
    result = seal.seal_day(
        load_settings(),
        date.fromisoformat(day),
        s3=S3Options(pause_s=0.01),
        run_id=f"process {os.getpid()}",
        now=datetime.now(UTC),
        say=lambda text: print(text, flush=True),
    )
    # Not ru_maxrss: a child begins with the peak of the process that started it, and that may be a whole test suite.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print("peak:", status["VmHWM"].strip().replace("kB", "KB"))
    print(f"done: {len(result.sealed_now)} days, {len(result.left_out)} left out", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

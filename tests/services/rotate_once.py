"""One rotation in a process of its own, that can be killed at a certain step.

`python -m services.rotate_once LOG [STEP]`, with PYTHONPATH of the tests: STEP is one of STEPS, at which the process kills
itself as the kernel would, or `none`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from aspects_orchestration.archive import rotate
from aspects_orchestration.settings import load_settings

#: `reserved`: where a file system cannot rename without replacing, between taking the name and renaming.
STEPS = ("before_rename", "reserved", "after_rename", "waiting")
TESTS = Path(__file__).resolve().parents[1]


def start(log: Path, step: str = "none") -> subprocess.Popen[bytes]:
    """Start one."""
    return subprocess.Popen([sys.executable, "-m", "services.rotate_once", str(log), step], cwd=TESTS)


def main(log: str, step: str) -> None:
    """Rotate, or be killed."""

    def die(*_: object) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def rename_and_die(source: Path, target: Path) -> bool:
        assert renames(source, target)
        die()

    renames = rotate.rename_aside
    if step == "before_rename":
        rotate.rename_aside = die
    elif step == "after_rename":
        rotate.rename_aside = rename_and_die
    elif step == "waiting":
        rotate.look_again = die
    elif step == "reserved":
        rotate.rename_aside = rotate.rename_over_own
        Path.rename = die  # type: ignore[method-assign]
    settings = load_settings({"ASPECTS_LIVE_LOG": log, "ASPECTS_TRACKING_LOGS": str(Path(log).parent)})
    plan = rotate.plan_rotation(settings, now=datetime.now(UTC), force=True)
    rotate.rotate(plan, say=lambda _: None, wait_s=0.5, grace_s=0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Workers that cannot be started are a clear error, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys

#: What a worker's process does where it may not fork: the limit itself does not bind root, whom tests may run as.
_STARTS = """
import errno, multiprocessing, os
from aspects_orchestration.xapi import worker_process
from aspects_orchestration.xapi.worker import Booted

Booted.of = classmethod(lambda cls, setup: None)

def refused():
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

os.fork = refused
pipes = [multiprocessing.Pipe() for _ in range(3)]
worker_process.run(None, [theirs for _, theirs in pipes])
print(pipes[0][0].recv().error)
"""


def test_a_process_that_may_not_fork_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STARTS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "a worker process cannot be started: Resource temporarily unavailable" in done.stdout
    assert "ASPECTS_TRANSFORM_WORKERS" in done.stdout

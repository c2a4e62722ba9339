"""A worker's process: how it starts, forks the others, takes work in, tells of failures, and ends when its parent does.

Free of dagster and pandas, as `worker` is.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import PurePath
from typing import NoReturn

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.xapi.worker import Booted, Ended, Failed, Said, Work, Worker, WorkerSetup

_PR_SET_PDEATHSIG = 1
#: Nothing has come for so long: what is there may be staged.
_IDLE_S = 1.0


def run(setup: WorkerSetup, connections: Sequence[Connection]) -> None:
    """Be one worker, or several: the main function of a process, which forks the others as soon as it is up.

    Args:
        setup: what they need to know.
        connections: of each worker one: `Work` comes in, None at the end; `Said` goes out.
    """
    # Ctrl-C goes to the whole process group: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent()
    parent = multiprocessing.parent_process()
    forked: list[int] = []
    say = _saying(connections[0])
    with _failures_said(say):
        # A chunk makes some hundred thousand objects and hardly a cycle among them: looking for cycles all the time
        # costs a quarter of the work. They are looked for between chunks.
        gc.disable()
        booted = Booted.of(setup)
        gc.collect()
        gc.freeze()  # and what is there stays shared among those that are forked
        first = os.getpid()
        for own in connections[1:]:
            # No thread runs yet, and nothing is open but the connections to whoever started this.
            try:
                pid = os.fork()
            except OSError as error:
                raise AspectsError(
                    f"a worker process cannot be started: {error.strerror}",
                    do="Lower ASPECTS_TRANSFORM_WORKERS, or let there be more processes or memory (`ulimit -u`, the"
                    " container's limits), and run again.",
                ) from None
            if not pid:
                _be_forked(setup, booted, first, own, connections)
            forked.append(pid)
            own.close()
        if forked:
            signal.signal(signal.SIGTERM, lambda *_: _end_forked(forked))
        _watch(parent.pid if parent is not None and parent.pid else os.getppid())
        _work(setup, booted, connections[0], say)
    # They end with this process: whoever has nothing to do any more waits for the others.
    for pid in forked:
        os.waitpid(pid, 0)


def _be_forked(
    setup: WorkerSetup, booted: Booted, parent: int, own: Connection, connections: Sequence[Connection]
) -> NoReturn:
    try:
        _die_with_parent()
        for one in connections:
            if one is not own and not one.closed:
                one.close()
        _watch(parent)
        say = _saying(own)
        with _failures_said(say):
            _work(setup, booted, own, say)
        os._exit(0)
    finally:
        os._exit(1)


def _end_forked(forked: list[int]) -> NoReturn:
    """End, told to by SIGTERM, and leave no process behind that only init could take away."""
    for pid in forked:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in forked:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    os._exit(1)


def _work(setup: WorkerSetup, booted: Booted, connection: Connection, say: Callable[[Said], None]) -> None:
    worker = Worker(setup, booted, say)
    coming: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, coming), name="receive", daemon=True).start()
    while True:
        try:
            work = coming.get(timeout=_IDLE_S)
        except queue.Empty:
            worker.rest()
            continue
        if work is None:
            break
        worker.take(work)
    worker.finish()
    say(Ended())


def _saying(connection: Connection) -> Callable[[Said], None]:
    lock = threading.Lock()

    def say(said: Said) -> None:
        with lock:
            connection.send(said)

    return say


@contextmanager
def _failures_said(say: Callable[[Said], None]) -> Iterator[None]:
    try:
        yield
    except AspectsError as error:
        say(Failed(error))
    except Exception as error:
        # Told by its kind alone: its text may hold personal data, and not every exception finds its way to the parent.
        trace = traceback.extract_tb(error.__traceback__)[-1]
        say(
            Failed(
                AspectsError(
                    f"a worker failed: {type(error).__name__} in {trace.name}, {PurePath(trace.filename).name}"
                    f" line {trace.lineno}",
                    do="Nothing was published. Run again; if it stays so, this is a fault of the project: report it.",
                )
            )
        )


def _receive(connection: Connection, coming: queue.SimpleQueue[Work | None]) -> None:
    """Take work in as it is sent, so that whoever sends it never waits for what is being transformed."""
    with suppress(EOFError, OSError):
        while (work := connection.recv()) is not None:
            coming.put(work)
    coming.put(None)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(parent: int) -> None:
    """End when the parent does, although it was killed before `_die_with_parent`, or the system has no such thing."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()

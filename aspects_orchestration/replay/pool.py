"""Worker processes of a load: one spawned, the others forked from it, sent little work at a time, gone with the run."""

from __future__ import annotations

import multiprocessing
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.xapi.worker import Ended, Failed, Loaded, Taken, Work, WorkerSetup
from aspects_orchestration.xapi.worker_process import run

#: What each worker has been sent at most: enough to keep it busy, little enough to bound memory.
_SENT_AHEAD = 2
#: How long a process may take to end, and the workers that it has forked with it, before it is killed.
_ENDS_WITHIN_S = 5.0


@dataclass
class _Worker:
    """One worker: the way to it, and how much it has been sent and has not taken yet."""

    connection: Connection
    ahead: int = 0
    ended: bool = False


class WorkerPool:
    """Work done in worker processes; a context manager that leaves no process behind.

    Args:
        setup: what each worker needs to know.
        workers: how many processes.
    """

    def __init__(self, setup: WorkerSetup, workers: int) -> None:
        # Spawn: a fork would copy the threads' locks of whoever runs us, in whatever state they are. Others are forked
        # from the spawned one, which has no threads yet, when the transformers are up: that takes most of a second. A
        # fork is not safe everywhere but on Linux.
        together = workers if sys.platform == "linux" else 1
        context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._processes: list[SpawnProcess] = []
        try:
            with _no_main_module():
                for first in range(0, workers, together):
                    pipes = [context.Pipe() for _ in range(together)]
                    process = context.Process(
                        target=run,
                        args=(setup, [theirs for _, theirs in pipes]),
                        name=f"transform-{first}",
                        daemon=True,
                    )
                    process.start()
                    self._processes.append(process)
                    for ours, theirs in pipes:
                        # Closed here, so that the end of the worker is the end of the connection.
                        theirs.close()
                        self._workers.append(_Worker(ours))
        except BaseException:
            self._kill()
            raise

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # Terminated from outside, or failed: what the workers are doing is not wanted any more.
            self._kill()
        for one in self._workers:
            one.connection.close()
        for process in self._processes:
            process.join()

    def work(
        self, next_work: Callable[[], Work | None], *, beat_s: float = 1.0
    ) -> Iterator[Loaded | Taken | None]:
        """Have work done, in any order, with little of it under way.

        Args:
            next_work: the next piece of work, asked for when a worker can take it; None while there is none. What a
                worker says may bring more, so it is asked again until all that was sent is done.
            beat_s: how often to yield None while nothing is said, so that the caller can tell that it lives.

        Yields:
            What workers say, or None.

        Raises:
            AspectsError: a worker failed or was killed.
        """
        while True:
            self._send(next_work)
            if not any(one.ahead for one in self._workers):
                break
            yield from self._heard(beat_s)
        for one in self._workers:
            _post(one, None)
        while not all(one.ended for one in self._workers):
            yield from self._heard(beat_s)

    def _send(self, next_work: Callable[[], Work | None]) -> None:
        for ahead in range(_SENT_AHEAD):
            for one in self._workers:
                if one.ahead == ahead:
                    work = next_work()
                    if work is None:
                        return
                    _post(one, work)
                    one.ahead += 1

    def _heard(self, beat_s: float) -> Iterator[Loaded | Taken | None]:
        waiting = [one for one in self._workers if not one.ended]
        ready = connection.wait([one.connection for one in waiting], timeout=beat_s)
        if not ready:
            yield None
        for one in waiting:
            if one.connection not in ready:
                continue
            try:
                said = one.connection.recv()
            except (EOFError, OSError):
                raise _killed() from None
            if isinstance(said, Failed):
                raise said.error
            if isinstance(said, Ended):
                one.ended = True
                continue
            if isinstance(said, Taken):
                one.ahead -= 1
            yield said

    def _kill(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            # One that is stopped, or waits for a disk, does not hear.
            process.join(_ENDS_WITHIN_S)
            process.kill()


def _post(one: _Worker, work: Work | None) -> None:
    try:
        one.connection.send(work)
    except OSError:
        # It may have said why before it went.
        with suppress(EOFError, OSError):
            while one.connection.poll():
                said = one.connection.recv()
                if isinstance(said, Failed):
                    raise said.error from None
        raise _killed() from None


def _killed() -> AspectsError:
    return AspectsError(
        "a worker process was killed, most likely because the machine ran out of memory",
        do="Look at the kernel's log (dmesg), lower ASPECTS_TRANSFORM_WORKERS, and run again: the load goes on"
        " where it stopped.",
    )


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Start processes that do not import this program's main module.

    A spawned process imports the main module of its parent first. Here that is dagster's command line or code server,
    which takes seconds and a hundred megabytes, in each worker, for nothing: workers are told all they need.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main

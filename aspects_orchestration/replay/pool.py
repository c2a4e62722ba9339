"""Worker processes of a load: started by spawn, fed with few chunks at a time, gone when the run goes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from types import TracebackType

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.xapi import worker
from aspects_orchestration.xapi.worker import Loaded, WorkChunk, WorkerSetup

#: Chunks that wait beside the one that each worker has: enough to keep it busy, few enough to bound memory.
_WAITING_CHUNKS = 1


class WorkerPool:
    """Loads chunks in worker processes; a context manager that leaves no process behind.

    Args:
        setup: what each worker needs to know.
        workers: how many processes.
    """

    def __init__(self, setup: WorkerSetup, workers: int) -> None:
        self._workers = workers
        # Spawn: a fork would copy the threads' locks of whoever runs us, in whatever state they are.
        self._executor = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=worker.start,
            initargs=(setup,),
        )

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._executor.shutdown()
            return
        # Terminated from outside, or failed: what the workers are doing is not wanted any more.
        for process in multiprocessing.active_children():
            if process.pid is not None and process in _processes(self._executor):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def load(
        self, chunks: Iterable[WorkChunk], *, beat_s: float = 1.0
    ) -> Iterator[tuple[WorkChunk, Loaded] | None]:
        """Load chunks as they are read, in any order, with few in flight.

        Args:
            chunks: read lazily, only as fast as workers take them.
            beat_s: how often to yield None while nothing is done, so that the caller can tell that it lives.

        Yields:
            A chunk (its data emptied) with what its worker says of it, or None.

        Raises:
            AspectsError: a worker failed or was killed.
        """
        flying: dict[Future[Loaded], WorkChunk] = {}
        limit = self._workers * (1 + _WAITING_CHUNKS)
        try:
            for chunk in chunks:
                with _no_main_module():
                    future = self._executor.submit(worker.load, chunk)
                flying[future] = WorkChunk(
                    chunk.file, chunk.etag, chunk.byte_offset, b"", chunk.from_quarantine
                )
                while len(flying) >= limit:
                    yield from _finished(flying, beat_s)
            while flying:
                yield from _finished(flying, beat_s)
        except BrokenProcessPool:
            raise AspectsError(
                "a worker process was killed, most likely because the machine ran out of memory",
                do="Look at the kernel's log (dmesg), lower ASPECTS_TRANSFORM_WORKERS, and run again: the load goes on"
                " where it stopped.",
            ) from None


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


def _finished(
    flying: dict[Future[Loaded], WorkChunk], beat_s: float
) -> Iterator[tuple[WorkChunk, Loaded] | None]:
    done, _ = wait(flying, timeout=beat_s, return_when=FIRST_COMPLETED)
    if not done:
        yield None
    for future in done:
        yield flying.pop(future), future.result()


def _processes(executor: ProcessPoolExecutor) -> list[multiprocessing.process.BaseProcess]:
    # The executor has no public way to name or kill its processes before Python 3.14.
    return list((getattr(executor, "_processes", None) or {}).values())

"""Reading stored objects back, and their hash: several at once, so that neither a slow disk nor one CPU sets the pace."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.stores import LogFile, LogStore

#: What is hashed at a time stays in a CPU's own cache, so that the copies on its way there cost next to nothing.
_PIECE_BYTES: Final = 256 * 1024
#: Small objects are read several by one task: handing over a task costs as much as hashing 100 KB.
_TASK_BYTES: Final = 8 * 1024 * 1024
_TASK_OBJECTS: Final = 64
#: S3 answers slowly and in parallel; a local disk is read as fast by as many as there are CPUs.
_THREADS_OF_S3: Final = 8


@dataclass(frozen=True)
class ReadBack:
    """What storage gave for one object.

    Attributes:
        file: as it was listed.
        sha256: of all its stored bytes; empty where it could not be read.
        error: why it could not be read; None where it was.
    """

    file: LogFile
    sha256: str
    error: AspectsError | None = None


def read_data(store: LogStore, objects: Iterable[LogFile], threads: int | None = None) -> Iterator[ReadBack]:
    """Read stored objects to their end, and hash them as they are stored.

    Args:
        store: where they are.
        objects: as they were listed; taken from as reading goes on, so there may be any number.
        threads: read so many at once, each with about 2 MB; None: as many as suit the store.

    Yields:
        What was found of each, in the order in which they were done; what cannot be read is told, not raised.
    """
    threads = threads or _threads_for(store)
    stopped = threading.Event()
    under_way: set[Future[list[ReadBack]]] = set()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-back")
    try:
        for task in _tasks(objects):
            under_way.add(pool.submit(_read, store, task, stopped))
            if len(under_way) >= 2 * threads:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for one in done:
                    yield from one.result()
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in done:
                yield from one.result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _threads_for(store: LogStore) -> int:
    if store.uri.startswith("file://"):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _THREADS_OF_S3


def _tasks(objects: Iterable[LogFile]) -> Iterator[list[LogFile]]:
    task: list[LogFile] = []
    size = 0
    for file in objects:
        task.append(file)
        size += file.size
        if size >= _TASK_BYTES or len(task) >= _TASK_OBJECTS:
            yield task
            task, size = [], 0
    if task:
        yield task


def _read(store: LogStore, files: list[LogFile], stopped: threading.Event) -> list[ReadBack]:
    buffer = memoryview(bytearray(_PIECE_BYTES))
    found: list[ReadBack] = []
    for file in files:
        try:
            found.append(ReadBack(file, _sha256(store, file, buffer, stopped)))
        except AspectsError as error:
            found.append(ReadBack(file, "", error))
    return found


def _sha256(store: LogStore, file: LogFile, buffer: memoryview, stopped: threading.Event) -> str:
    digest = hashlib.sha256()
    with store.open(file) as stream:
        # Its own buffer would only be one more copy.
        unbuffered: Any = getattr(stream, "raw", stream)
        while count := unbuffered.readinto(buffer):
            if stopped.is_set():
                return ""
            digest.update(buffer[:count])
    return digest.hexdigest()

"""Reading a listed file so that a broken connection is no end."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from aspects_orchestration.errors import LogStoreError, one_line
from aspects_orchestration.tracking.stores.store import LogFile, LogFileChangedError, S3Options

BUFFER_BYTES: Final = 1024 * 1024
_LONGEST_PAUSE_S: Final = 20.0


class Broken(Exception):  # noqa: N818 - it never leaves this module
    """A reading broke off in a way that a new attempt may get over."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)


class Source(Protocol):
    """One open reading of a file; `read` gives b"" at the end."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class ResumingReader(io.RawIOBase):
    """Reads a file of a known size, opening it again at the byte it had reached whenever a reading breaks.

    Args:
        file: as listed.
        offset: where to begin.
        reopen: opens the file at an offset; raises Broken if another attempt may do.
        give_up: makes the error of a reading that keeps breaking, from its cause.
        options: how often, and how soon, to try again.
    """

    def __init__(
        self,
        file: LogFile,
        offset: int,
        reopen: Callable[[int], Source],
        give_up: Callable[[str], LogStoreError],
        options: S3Options,
    ) -> None:
        super().__init__()
        self._file = file
        self._at = offset
        self._reopen = reopen
        self._give_up = give_up
        self._options = options
        self._source: Source | None = None
        self._failures = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        if start + offset != self._at:
            self._drop_source()
            self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), self._file.size - self._at)
        if size <= 0:
            return 0
        while True:
            try:
                if self._source is None:
                    self._source = self._reopen(self._at)
                data = self._source.read(size)
                if not data:
                    raise Broken(f"the stream ended at byte {self._at} of {self._file.size}")
            except Broken as broken:
                self._drop_source()
                self._failures += 1
                if self._failures >= self._options.attempts:
                    raise self._give_up(str(broken)) from broken
                pause = min(_LONGEST_PAUSE_S, self._options.pause_s * 2.0 ** (self._failures - 1))
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                continue
            self._failures = 0
            self._at += len(data)
            buffer[: len(data)] = data
            return len(data)

    def close(self) -> None:
        self._drop_source()
        super().close()

    def _drop_source(self) -> None:
        if self._source is not None:
            with suppress(Exception):
                self._source.close()
            self._source = None


def changed(file: LogFile, how: str) -> LogFileChangedError:
    return LogFileChangedError(
        f"{one_line(file.uri)} {how}: it is not the file that was listed any more",
        do="Run again, so that it is listed anew; if files are rewritten in place, let them be rotated instead.",
    )

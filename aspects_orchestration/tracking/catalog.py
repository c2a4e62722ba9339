"""What each tracking log holds, so that a month reads only the files that touch it.

A file's name and date do not say which events are in it; its content does, and reading it once tells. The catalog is
kept by URI and etag: a file that has grown or changed is unknown, and read again. It is a cache: emptied, it only
costs a reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING

from aspects_orchestration.window import Window

if TYPE_CHECKING:
    from aspects_orchestration.tracking.account import LineAccount
    from aspects_orchestration.tracking.stores import LogFile

#: Raised whenever a change of the reader may find other events, or other times, in the same bytes.
READER = "2"
_BATCH = 10_000
#: Microseconds of an hour.
HOUR_MICROS = 3_600_000_000


@dataclass(frozen=True)
class Known:
    """What the catalog answers about a file for one window.

    Attributes:
        etag: of the file when it was read.
        touches: a transformable event of the file lies in an hour that touches the window.
        all_undated: the file has lines that may be events, and of none of them a time is known.
    """

    etag: str
    touches: bool
    all_undated: bool


class Verdict(Enum):
    """Why a file is read for a window, or is not."""

    UNKNOWN = "not read before, or changed since"
    TOUCHES = "holds events of the window"
    ELSEWHERE = "holds no event of the window"


@dataclass(frozen=True)
class FileSummary:
    """One file's row in the catalog: its identity, and what a whole reading of it found."""

    uri: str
    etag: str
    size: int
    account: LineAccount


Lookup = Callable[[Sequence[str]], dict[str, Known]]


def select(
    files: Iterable[LogFile], lookup: Lookup, window: Window, *, close: Callable[[], None]
) -> Iterator[tuple[LogFile, Verdict]]:
    """Decide for each listed file whether a window needs it, in batches, holding no list of all.

    While the catalog is asked about one batch the next one is listed.

    Args:
        files: as listed.
        lookup: what the catalog knows of some URIs, for this window and this version of the reader; called in another
            thread, one call at a time.
        window: the stretch of time to load.
        close: called in that thread at the end, whatever the end is.
    """
    listed = iter(files)
    asked: tuple[list[LogFile], Future[dict[str, Known]]] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="catalog") as asking:
        try:
            while batch := list(islice(listed, _BATCH)):
                answers = asking.submit(lookup, [file.uri for file in batch])
                if asked is not None:
                    yield from _judge(asked[0], asked[1].result(), window)
                asked = batch, answers
            if asked is not None:
                yield from _judge(asked[0], asked[1].result(), window)
        finally:
            asking.submit(close)


def _judge(
    batch: list[LogFile], known: Mapping[str, Known], window: Window
) -> Iterator[tuple[LogFile, Verdict]]:
    for file in batch:
        answer = known.get(file.uri)
        if answer is None or answer.etag != file.etag:
            yield file, Verdict.UNKNOWN
        elif answer.touches or (answer.all_undated and window.start <= file.modified < window.end):
            yield file, Verdict.TOUCHES
        else:
            yield file, Verdict.ELSEWHERE


def hour_of(moment_micros: int) -> int:
    """Hours from 1970-01-01 UTC to a moment in microseconds."""
    return moment_micros // HOUR_MICROS


def hour_range(window: Window) -> tuple[int, int]:
    """First hour that touches a window, and the first behind it (hours since 1970-01-01 UTC)."""
    return hour_of(window.start_micros), hour_of(window.end_micros - 1) + 1


def at(micros: int) -> datetime:
    """The moment so many microseconds after 1970-01-01 UTC."""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)


def moment(micros: int | None) -> datetime | None:
    """`at`, for a moment that may be unknown."""
    return None if micros is None else at(micros)

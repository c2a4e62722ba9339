"""Chunks of whole lines out of a stream of blocks, in bounded memory whatever the length of a line.

A chunk is what a worker gets, so nothing that belongs together may be cut in two: neither a line, nor a line that a
container runtime wrote in several pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Final

from aspects_orchestration.native import native
from aspects_orchestration.tracking.compression import Damage, compression_of, decompressed
from aspects_orchestration.tracking.lines import MAX_LINE_BYTES
from aspects_orchestration.tracking.pieces import begins_line, container_piece, open_line_start
from aspects_orchestration.tracking.stores import LogFile, LogStore

CHUNK_BYTES: Final = 4 * 1024 * 1024
_SNIFF_BYTES: Final = 64
_READ_BYTES: Final = 1024 * 1024
#: To each side of a cut; longer lines are rare, and merely not cut between.
_LOOK_BYTES: Final = 128 * 1024
_LIVE_FOR: Final = timedelta(hours=1)
_LIVE_NAME: Final = re.compile(r"\.(?:log|json|jsonl|ndjson)\Z")


@dataclass(frozen=True)
class Chunk:
    r"""Whole lines.

    Args:
        file_no: the number that the caller gave the file.
        offset: where `data` begins in the decompressed file (bytes).
        data: lines, each with its `\n`; only before a damage, or at the end of a closed file, may the last lack it.
        last: True for the last chunk, with which every reading ends; it may be empty.
    """

    file_no: int
    offset: int
    data: bytes
    last: bool


@dataclass(frozen=True)
class OversizePart:
    """A part of a line too long to be held: parts follow each other, without anything between, until `last`.

    Args:
        file_no: the number that the caller gave the file.
        offset: where the line begins in the decompressed file (bytes); the same in all its parts.
        data: the next bytes of the line as they stand in the file.
        source_lines: how many lines of the file end in this part (a line in pieces has several).
        last: True for the last part, which may be empty.
    """

    file_no: int
    offset: int
    data: bytes
    source_lines: int
    last: bool


@dataclass(frozen=True)
class HalfLine:
    """The end of a live file that is still being written; it is no line yet, and belongs to the next reading.

    Args:
        file_no: the number that the caller gave the file.
        offset: where it begins in the file (bytes).
        length: its bytes so far.
    """

    file_no: int
    offset: int
    length: int


Item = Chunk | OversizePart | HalfLine | Damage


def is_live(file: LogFile, *, now: datetime) -> bool:
    """Tell whether a writer may still be appending to a file.

    Args:
        file: as listed.
        now: the time, with zone.

    Returns:
        True if its name has no rotation or compression suffix and it was modified within the hour.
    """
    return _LIVE_NAME.search(file.uri) is not None and now - file.modified < _LIVE_FOR


def read_log(
    store: LogStore,
    file: LogFile,
    *,
    file_no: int = 0,
    live: bool = False,
    start: int = 0,
    end: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
    reached: Callable[[int], None] = lambda _: None,
) -> Iterator[Item]:
    """Read a log file from storage, or a part of a plain one: `LogStore.open`, `decompressed` and `read_chunks` in one.

    Args:
        store: the file's store.
        file: as listed; a file that has changed since then is refused.
        file_no: put on every item, for the caller to tell files apart.
        live: the file may be appended to; has no meaning for a compressed one.
        start, end: the part of a plain file (bytes), cut where `part_ends` says; None is the end of the file.
        chunk_bytes: see `read_chunks`.
        max_line_bytes: see `read_chunks`.
        reached: told before each item how many bytes of the file, as stored, have been read.

    Yields:
        What `read_chunks` yields.

    Raises:
        LogStoreError: storage cannot be read, or the file has changed since it was listed.
    """
    is_part = start > 0 or end is not None
    with store.open(file, offset=start) as stream:
        plain = is_part or compression_of(stream.read(_SNIFF_BYTES)) == "plain"
        stream.seek(start)
        for item in read_chunks(
            _stretch(stream, (file.size if end is None else end) - start) if plain else decompressed(stream),
            file_no=file_no,
            offset=start,
            chunk_bytes=chunk_bytes,
            max_line_bytes=max_line_bytes,
            live=live and plain and (end is None or end >= file.size),
        ):
            reached(stream.tell())
            yield item


def _stretch(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (block := stream.read(min(length, _READ_BYTES))):
        length -= len(block)
        yield block


def line_ends(data: bytes) -> int:
    """How many lines of the file end in a chunk; its own end is one, even without a line end."""
    return newlines(data) + (not data.endswith(b"\n"))


def _newlines(data: bytes) -> int:
    return data.count(b"\n")


newlines = _newlines if native is None else native.newlines


def is_plain(store: LogStore, file: LogFile) -> bool:
    """Tell from a file's first bytes that it is not compressed, nor anything else that cannot be cut at line ends.

    Raises:
        LogStoreError: as `LogStore.open`.
    """
    with store.open(file) as stream:
        return compression_of(stream.read(_SNIFF_BYTES)) == "plain"


def part_ends(store: LogStore, file: LogFile, part_bytes: int) -> Iterator[int] | None:
    """Where a plain file can be cut, so that its parts can be read beside each other.

    A cut is between two lines that have nothing to do with each other. Where that cannot be told from the lines
    around it (a line longer than the stretch that is looked at, or one that a container runtime may have cut), the
    file is read in one go.

    Args:
        store: the file's store.
        file: a plain file, as listed.
        part_bytes: about the size of a part.

    Returns:
        The end of each part, ascending, the last one the file's size; None if there is a place where it cannot be cut.

    Raises:
        LogStoreError: as `LogStore.open`.
    """
    ends = []
    for about in range(part_bytes, file.size - part_bytes // 2, part_bytes):
        with store.open(file, offset=about - _LOOK_BYTES) as stream:
            window = b"".join(_stretch(stream, 2 * _LOOK_BYTES))
        end = window.find(b"\n", _LOOK_BYTES) + 1
        begin = window.rfind(b"\n", 0, end - 1) + 1
        if not begin or container_piece(window[begin:end]) is not None:
            return None
        ends.append(about - _LOOK_BYTES + end)
    return iter([*ends, file.size])


def read_chunks(
    blocks: Iterable[bytes | Damage],
    *,
    file_no: int = 0,
    offset: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
    live: bool = False,
) -> Iterator[Item]:
    """Cut a stream of blocks at line ends.

    Every byte is in exactly one item, in order; nothing is changed. At most `chunk_bytes` and a block are held, or
    `max_line_bytes` and a block while a line is longer than a chunk.

    Args:
        blocks: the decompressed file, and its damages in their places. A damage ends the line it falls into.
        file_no: put on every item, for the caller to tell files apart.
        offset: of the first block in the decompressed file (bytes).
        chunk_bytes: about the size of a chunk.
        max_line_bytes: a line longer than this, its end not counted, comes as `OversizePart`s. So does a line in
            pieces, counted with all that the container runtime wrote around them.
        live: the file may be appended to, so a last line without its end is a `HalfLine`.

    Yields:
        `Chunk`, `OversizePart`, `HalfLine` and the `Damage`s; the last item is always a `Chunk` with `last` set.
    """
    cutter = _Cutter(file_no, chunk_bytes, max_line_bytes, offset)
    for block in blocks:
        if isinstance(block, Damage):
            yield from cutter.end_piece()
            yield block
        else:
            yield from cutter.feed(block)
    yield from cutter.finish(live=live)


@dataclass(frozen=True)
class _Oversize:
    """The line too long to be held that is being passed on: where it began, and its stream if it is in pieces."""

    offset: int
    stream: str | None


class _Cutter:
    """Holds the bytes that are not yet in an item."""

    def __init__(self, file_no: int, chunk_bytes: int, max_line_bytes: int, offset: int) -> None:
        self._file_no = file_no
        self._chunk_bytes = chunk_bytes
        self._max_line_bytes = max_line_bytes
        self._held = bytearray()
        self._offset = offset  # of `_held` in the file
        self._oversize: _Oversize | None = None
        self._in_line = False  # the last part ended inside a line
        self._wait_for = (
            0  # a line in pieces was open throughout: it is looked at again when so many bytes are held
        )

    def feed(self, block: bytes) -> Iterator[Item]:
        self._held += block
        yield from self._cut(self._chunk_bytes)

    def end_piece(self) -> Iterator[Item]:
        """All that is held, as if the file ended here."""
        yield from self._cut(self._max_line_bytes + 1)
        if self._oversize is not None:
            yield self._part(self._oversize, len(self._held), last=True)
        elif self._held:
            yield self._chunk(len(self._held))

    def finish(self, *, live: bool) -> Iterator[Item]:
        yield from self._cut(self._max_line_bytes + 1)
        if self._oversize is not None:
            yield self._part(self._oversize, len(self._held), last=True)
        end = len(self._held)
        if live:
            end = open_line_start(self._held, self._held.rfind(b"\n") + 1)
            if end < len(self._held):
                yield HalfLine(self._file_no, self._offset + end, len(self._held) - end)
        yield self._chunk(end, last=True)

    def _cut(self, enough: int) -> Iterator[Item]:
        """Pass on whole lines if `enough` bytes are held, and an oversize line in any case."""
        while self._held:
            if self._oversize is not None:
                yield from self._pass_on(self._oversize)
                if self._oversize is not None:
                    return
            if len(self._held) < max(enough, self._wait_for):
                return
            too_long_at = self._too_long_at()
            if too_long_at is not None:
                if too_long_at > 0:
                    yield self._chunk(too_long_at)
                self._oversize = _Oversize(self._offset, None)
                continue
            whole = self._held.rfind(b"\n") + 1
            end = open_line_start(self._held, whole)
            if end > 0:
                yield self._chunk(end)
                return
            if whole <= self._max_line_bytes:
                # Not with every block: a line of a million pieces would be searched for its beginning each time.
                self._wait_for = min(2 * len(self._held), self._max_line_bytes + 1)
                return
            first = container_piece(bytes(self._held[: self._held.index(b"\n") + 1]))
            self._oversize = _Oversize(self._offset, None if first is None else first.stream)

    def _too_long_at(self) -> int | None:
        """Where the first line begins that is longer than allowed; None if there is none."""
        at = 0
        while len(self._held) - at > self._max_line_bytes:
            end = self._held.rfind(b"\n", at, at + self._max_line_bytes + 1)
            if end < 0:
                return at
            at = end + 1
        return None

    def _pass_on(self, oversize: _Oversize) -> Iterator[Item]:
        if oversize.stream is None:
            end = self._held.find(b"\n") + 1
            yield self._part(oversize, end or len(self._held), last=end > 0)
            return
        at = 0
        while end := self._held.find(b"\n", at) + 1:
            piece = container_piece(bytes(self._held[at:end]))
            is_first = self._offset + at == oversize.offset
            if piece is None or (piece.stream == oversize.stream and not is_first and begins_line(piece)):
                yield self._part(oversize, at, last=True)
                return
            at = end
            if piece.stream == oversize.stream and piece.ended:
                yield self._part(oversize, at, last=True)
                return
        if at > 0:
            yield self._part(oversize, at, last=False)
        if len(self._held) > self._max_line_bytes:
            self._oversize = _Oversize(oversize.offset, None)

    def _chunk(self, end: int, *, last: bool = False) -> Chunk:
        offset, data = self._offset, self._take(end)
        return Chunk(self._file_no, offset, data, last)

    def _part(self, oversize: _Oversize, end: int, *, last: bool) -> OversizePart:
        data = self._take(end)
        lines = data.count(b"\n")
        if data:
            self._in_line = not data.endswith(b"\n")
        if last and self._in_line:
            lines, self._in_line = lines + 1, False
        if last:
            self._oversize = None
        return OversizePart(self._file_no, oversize.offset, data, lines, last)

    def _take(self, end: int) -> bytes:
        with memoryview(self._held) as held, held[:end] as wanted:
            data = bytes(wanted)
        del self._held[:end]
        self._offset += end
        self._wait_for = 0
        return data

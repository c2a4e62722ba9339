"""The lines of a log file, those put together again that a container runtime has cut, each with its tracking event.

The common shapes (bare JSON, and JSON behind a logger's prefix) pass without being parsed here; everything else
is parsed until its event is certain, or its line gets a reason why there is none (`wrapped`, `pieces`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final, NamedTuple

from aspects_orchestration.native import native
from aspects_orchestration.tracking.names import PassedOver
from aspects_orchestration.tracking.pieces import CRI, Piece, begins_line, container_piece
from aspects_orchestration.tracking.wrapped import (
    BLANK,
    EVENT_ENDS,
    EVENT_STARTS,
    QUARANTINE_REASONS,
    is_whole,
    read,
    read_quickly,
)

MAX_LINE_BYTES: Final = 16 * 1024 * 1024

#: What may be read over and over to find the end of a line in pieces: bytes, and how many times the line itself.
_REREAD_BYTES: Final = 1024 * 1024
_REREAD_TIMES: Final = 64
#: Lines that are held at once between their being found and their being used, while they are still near the processor.
_MOST_AT_ONCE: Final = 64


class Line(NamedTuple):
    """One line of a log, or the several source lines into which a container runtime had cut it.

    Attributes:
        offset: where it begins, in bytes of the decompressed file.
        raw: its bytes as they stand in the file, line ends included.
        body: the JSON text of its tracking event; None if there is none to be had.
        reason: why there is none: one of SKIP_REASONS or QUARANTINE_REASONS; None if there is a body.
        source_lines: how many lines of the file it is.
    """

    offset: int
    raw: bytes
    body: bytes | None
    reason: str | None
    source_lines: int


def split_lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    r"""Split at `\n` alone.

    Args:
        data: any bytes.

    Yields:
        The offset of each line in `data`, and the line with its end.
    """
    offset = 0
    for raw in io.BytesIO(data):
        yield offset, raw
        offset += len(raw)


def unwrap(
    data: bytes,
    *,
    offset: int = 0,
    max_line_bytes: int = MAX_LINE_BYTES,
    passes_over: PassedOver | None = None,
) -> Iterator[Line]:
    """Take the tracking events out of the lines of a chunk.

    Every byte of `data` is in exactly one `Line`, or in one that is passed over. The lines come in order of their
    offsets; the `raw` of a line that a container runtime had cut is its pieces one after the other, without lines of
    another stream between them.

    Args:
        data: whole lines, as `read_chunks` cuts them.
        offset: where `data` begins in the decompressed file (bytes).
        max_line_bytes: a line put together from pieces is refused as `oversize` above this.
        passes_over: asked about lines that are events without anything around them; no `Line` is made of those for
            which it says so.

    Yields:
        A `Line` for each other line; its `body` may still turn out to be no JSON when it is parsed.
    """
    if native is not None and passes_over is not None and not offset:
        return _unwrap_natively(data, max_line_bytes, passes_over)
    return _unwrap(data, offset, max_line_bytes, passes_over)


def _unwrap(data: bytes, offset: int, max_line_bytes: int, passes_over: PassedOver | None) -> Iterator[Line]:
    pieces = _Pieces(max_line_bytes)
    new = tuple.__new__  # a third of what the class itself takes
    for raw in io.BytesIO(data):
        start = raw.find(b"{")
        if (
            raw.startswith(EVENT_STARTS, start)
            and raw.endswith(EVENT_ENDS)
            and b'"event_type"' in raw
            and (start == 0 or (start > 0 and CRI.match(raw) is None))
            and not pieces.waiting
        ):
            if start or passes_over is None or not passes_over(raw):
                yield new(Line, (offset, raw, raw[start : raw.rindex(b"}") + 1], None, 1))
        else:
            yield from _unusual(offset, raw, pieces)
        offset += len(raw)
    yield from pieces.finish()


def _unwrap_natively(data: bytes, max_line_bytes: int, passes_over: PassedOver) -> Iterator[Line]:
    """As `_unwrap`; usual lines are found in C, up to the next that is not usual."""
    pieces = _Pieces(max_line_bytes)
    position, end = 0, len(data)
    while position < end:
        if not pieces.waiting:
            lines, position, passed = native.scan(
                data, position, EVENT_STARTS, passes_over.names, Line, _MOST_AT_ONCE
            )
            passes_over.lines += passed
            yield from lines
            if len(lines) == _MOST_AT_ONCE or position == end:
                continue
        raw = data[position : data.find(b"\n", position) + 1 or end]
        # From afar, a time with a T in it looks like a container runtime's.
        start = -1 if pieces.waiting else usual_start(raw)
        if start >= 0 and b'"event_type"' in raw:
            yield Line(position, raw, raw[start : raw.rindex(b"}") + 1], None, 1)
        else:
            yield from _unusual(position, raw, pieces)
        position += len(raw)
    yield from pieces.finish()


def _unusual(offset: int, raw: bytes, pieces: _Pieces) -> Iterator[Line]:
    """The lines that are complete with a line that is not simply an event."""
    piece = container_piece(raw)
    if piece is None and not pieces.waiting:
        yield Line(offset, raw, *read(raw), 1)
    else:
        yield from pieces.add(offset, raw, piece)


def usual_start(raw: bytes) -> int:
    """Where the event begins in a line that looks like an event, alone or behind a logger's prefix.

    Args:
        raw: one line of the file.

    Returns:
        The offset of its brace; if `event_type` is in it too, `unwrap` takes what follows for an event without another
        look. -1 for any other line.
    """
    start = raw.find(b"{")
    if start < 0 or not raw.startswith(EVENT_STARTS, start) or not raw.endswith(EVENT_ENDS):
        return -1
    # All that CRI writes has a T there, which saves asking the expression.
    return start if start == 0 or raw[10:11] != b"T" or CRI.match(raw) is None else -1


class _Partial:
    """A line of which more pieces are to come."""

    def __init__(self, offset: int, slot: int) -> None:
        self.offset = offset
        self.slot = slot
        self.raws: list[bytes] = []
        self.contents: list[bytes] = []
        self._length = 0
        self._reread = 0

    def add(self, raw: bytes, content: bytes) -> None:
        """Take the next piece."""
        self.raws.append(raw)
        self.contents.append(content)
        self._length += len(content)

    def is_whole(self) -> bool:
        """Whether an event ends with the newest piece.

        Whoever writes a million pieces that each look like an end would have all of them read a million times: beyond
        its budget the line is left open, and ends where the next one begins.
        """
        if self.contents[-1].rstrip(BLANK)[-1:] not in (b"}", b""):
            return False
        self._reread += self._length
        if self._reread > _REREAD_BYTES + _REREAD_TIMES * self._length:
            self._reread -= self._length
            return False
        return is_whole(b"".join(self.contents))


class _Pieces:
    """Puts cut lines together again, stream by stream; all lines leave in the order in which they began."""

    def __init__(self, max_line_bytes: int) -> None:
        self.waiting: dict[str, _Partial] = {}
        self._max_line_bytes = max_line_bytes
        self._held: list[Line | None] = []

    def add(self, offset: int, raw: bytes, piece: Piece | None) -> list[Line]:
        """Take the next line of the file; return the lines that are complete and in order."""
        if piece is None:  # another writer's line: nothing can go on behind it
            for stream in list(self.waiting):
                self._close(stream, ended=False)
            self._held.append(Line(offset, raw, *read_quickly(raw), 1))
            return self._ready()
        partial = self.waiting.get(piece.stream)
        if partial is not None and begins_line(piece):
            self._close(piece.stream, ended=False)
            partial = None
        if partial is None:
            if piece.ended:
                self._held.append(Line(offset, raw, *read_quickly(piece.content), 1))
                return self._ready()
            partial = self.waiting[piece.stream] = _Partial(offset, len(self._held))
            self._held.append(None)
        partial.add(raw, piece.content)
        if piece.ended or (raw.startswith(b'{"log":') and partial.is_whole()):
            self._close(piece.stream, ended=True)
        return self._ready()

    def finish(self) -> list[Line]:
        """Close what is still open; return the rest of the lines."""
        for stream in list(self.waiting):
            self._close(stream, ended=False)
        return self._ready()

    def _close(self, stream: str, *, ended: bool) -> None:
        partial = self.waiting.pop(stream)
        raw = b"".join(partial.raws)
        body, reason = read(b"".join(partial.contents))
        if len(partial.raws) > 1 and len(raw) > self._max_line_bytes:
            body, reason = None, "oversize"
        elif not ended and reason in QUARANTINE_REASONS:
            reason = "partial_missing"
        self._held[partial.slot] = Line(partial.offset, raw, body, reason, len(partial.raws))

    def _ready(self) -> list[Line]:
        if self.waiting:
            return []
        ready = [line for line in self._held if line is not None]
        self._held.clear()
        return ready

"""A line of a log file, and the tracking event inside it, whatever wrote or shipped the line.

The common shapes (bare JSON, and JSON behind a logger's prefix) pass without being parsed here; everything else
is parsed until its event is certain, or its line gets a reason why there is none.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from aspects_orchestration.native import native
from aspects_orchestration.tracking.names import PassedOver

MAX_LINE_BYTES: Final = 16 * 1024 * 1024

#: Reasons of lines that hold no tracking event and need nobody's attention.
SKIP_REASONS: Final = frozenset({"blank", "no_json", "other_json"})
#: Reasons of lines that hold, or held, an event that cannot be read.
QUARANTINE_REASONS: Final = frozenset(
    {"cut", "invalid_json", "invalid_utf8", "trailing_data", "partial_missing", "oversize"}
)

_BLANK: Final = b" \t\r\n\v\f\0"
_BOM: Final = b"\xef\xbb\xbf"
_MAX_DEPTH: Final = 3
_MAX_CANDIDATES: Final = 16
#: What may be read over and over to find the end of a line in pieces: bytes, and how many times the line itself.
_REREAD_BYTES: Final = 1024 * 1024
_REREAD_TIMES: Final = 64
_DECODER: Final = json.JSONDecoder()
#: Lines that are held at once between their being found and their being used, while they are still near the processor.
_MOST_AT_ONCE: Final = 64

# No shipper begins its own object with one of these; `time`, `host`, `agent`, `ip` and `event` they do use.
_EVENT_KEYS: Final = (
    "name",
    "username",
    "event_source",
    "event_type",
    "context",
    "session",
    "accept_language",
    "referer",
    "page",
)
_EVENT_STARTS: Final = tuple(b'{"%s":' % key.encode() for key in _EVENT_KEYS)
_EVENT_ENDS: Final = (b"}\n", b"}\r\n", b"}")
_WRAPPER_KEYS: Final = (
    "message",
    "log",
    "msg",
    "MESSAGE",
    "@message",
    "event.original",
    "original",
    "event",
    "line",
    "body",
    "text",
    "data",
    "payload",
    "record",
    "textPayload",
    "jsonPayload",
    "raw",
    "_raw",
    "_source",
)
_TRACKING: Final = b"[tracking]"
_EVIDENCE: Final = re.compile(
    rb'\[tracking\]|\btracking: |\\?"(?:event|event_type|event_source|page|referer|accept_language)\\?"\s*:|\{"(?:%s)"'
    % b"|".join(k.encode() for k in _EVENT_KEYS)
)
_OBJECT: Final = re.compile(rb'\{\s*(?:"(?:[^"\\]|\\.){0,200}"\s*:|\})')
_CRI: Final = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
    rb" (stdout|stderr) ([PF])(?::[A-Za-z0-9:]+)?(?: |(?=\r?\n?\Z))"
)
#: What Fluent Bit's file output writes around a record by default: the tag, and a list of a time and the record.
_IN_A_LIST: Final = re.compile(rb"[^\s{\[]+: \[\d{1,12}(?:\.\d{1,9})?, (?=\{)")
_LOGGED: Final = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d+ [A-Z]+ ")
_DOCKER_KEYS: Final = frozenset({"log", "stream", "time", "attrs"})


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


class Piece(NamedTuple):
    """What a container runtime's line carries: a whole line of the program's output, or a part of one.

    Attributes:
        stream: stdout or stderr; the parts of a line follow each other within their stream.
        content: the program's own bytes.
        ended: False if the line goes on in the next piece of the stream.
    """

    stream: str
    content: bytes
    ended: bool


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
            raw.startswith(_EVENT_STARTS, start)
            and raw.endswith(_EVENT_ENDS)
            and b'"event_type"' in raw
            and (start == 0 or (start > 0 and _CRI.match(raw) is None))
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
                data, position, _EVENT_STARTS, passes_over.names, Line, _MOST_AT_ONCE
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
        yield Line(offset, raw, *_read(raw), 1)
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
    if start < 0 or not raw.startswith(_EVENT_STARTS, start) or not raw.endswith(_EVENT_ENDS):
        return -1
    # All that CRI writes has a T there, which saves asking the expression.
    return start if start == 0 or raw[10:11] != b"T" or _CRI.match(raw) is None else -1


def container_piece(raw: bytes) -> Piece | None:
    """What a line carries if Docker's json-file driver, CRI, or a shipper that keeps CRI's flag wrote it.

    Args:
        raw: one line of the file.

    Returns:
        None for any other line. A json-file line without a newline in its `log` counts as ended if its event
        is whole: some shippers strip the newline.
    """
    if raw[:1].isdigit():
        found = _CRI.match(raw)
        if found is None:
            return None
        content = raw[found.end() :].removesuffix(b"\n").removesuffix(b"\r")
        return Piece(found[1].decode(), content, found[2] == b"F")
    if raw.startswith(b'{"log":') or (raw.startswith(b"{") and (b'"logtag"' in raw or b'"_p"' in raw)):
        return _json_piece(raw)
    return None


def _json_piece(raw: bytes) -> Piece | None:
    try:
        value = orjson.loads(raw.strip(_BLANK))
    except orjson.JSONDecodeError:
        return None
    text = value.get("log", value.get("message"))
    if not isinstance(text, str):
        return None
    stream = str(value.get("stream", ""))
    content = text.encode()
    flag = value.get("logtag", value.get("_p"))
    if flag in ("P", "F"):
        return Piece(stream, content, flag == "F")
    if raw.startswith(b'{"log":') and _DOCKER_KEYS.issuperset(value):
        return Piece(stream, content, text.endswith("\n") or _is_whole(content))
    return None


def begins_line(piece: Piece) -> bool:
    """Tell whether a piece can only be the first of its line, whatever the piece before it promised."""
    return _LOGGED.match(piece.content) is not None or (
        piece.content.startswith(_EVENT_STARTS) and _is_whole(piece.content)
    )


def open_line_start(data: bytes | bytearray, end: int) -> int:
    """Where the oldest line begins that a container runtime has cut and whose last piece is not there yet.

    Args:
        data: lines.
        end: just behind the last whole line in `data`.

    Returns:
        Its offset in `data`; `end` if no line is open.
    """
    oldest = stop = end
    settled: set[str] = set()
    unsettled: set[str] = set()
    quiet = 0
    while stop > 0 and len(settled) < 2 and (unsettled or quiet < 256):
        start = data.rfind(b"\n", 0, stop - 1) + 1
        piece = container_piece(bytes(data[start:stop]))
        if piece is None:
            break
        if piece.stream not in settled:
            if not piece.ended:
                oldest = start
                unsettled.add(piece.stream)
            if piece.ended or begins_line(piece):
                settled.add(piece.stream)
                unsettled.discard(piece.stream)
        quiet += 1
        stop = start
    return oldest


def why_unreadable(body: bytes) -> str | None:
    """Say what is wrong with the JSON text of an event.

    Args:
        body: bytes that begin with an object's brace.

    Returns:
        `cut` (it ends too early), `invalid_utf8`, `invalid_json`, `trailing_data` (an object, and something
        behind it), or None if the standard library reads it.
    """
    return _damage_of(body.rstrip(_BLANK))[0]


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
        if self.contents[-1].rstrip(_BLANK)[-1:] not in (b"}", b""):
            return False
        self._reread += self._length
        if self._reread > _REREAD_BYTES + _REREAD_TIMES * self._length:
            self._reread -= self._length
            return False
        return _is_whole(b"".join(self.contents))


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
            self._held.append(Line(offset, raw, *_read_quickly(raw), 1))
            return self._ready()
        partial = self.waiting.get(piece.stream)
        if partial is not None and begins_line(piece):
            self._close(piece.stream, ended=False)
            partial = None
        if partial is None:
            if piece.ended:
                self._held.append(Line(offset, raw, *_read_quickly(piece.content), 1))
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
        body, reason = _read(b"".join(partial.contents))
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


Found = tuple[bytes | None, str | None]


def _read_quickly(content: bytes) -> Found:
    """As `_read`, without parsing what is most probably an event."""
    start = content.find(b"{")
    if (
        content.startswith(_EVENT_STARTS, start)
        and content.endswith(_EVENT_ENDS)
        and b'"event_type"' in content
    ):
        return content[start : content.rindex(b"}") + 1], None
    return _read(content)


def _is_whole(content: bytes) -> bool:
    return content.rstrip(_BLANK).endswith(b"}") and _read(content)[0] is not None


def _read(content: bytes, depth: int = 0) -> Found:
    """The event's JSON text in the content of a line, or the reason why there is none."""
    text = content.strip(_BLANK).removeprefix(_BOM).lstrip(_BLANK)
    if not text:
        return None, "blank"
    try:
        if text.startswith(b"{"):
            return _read_object(text, depth)
        return _read_behind_prefix(text, depth)
    except RecursionError:
        return None, "invalid_json"


def _read_object(text: bytes, depth: int) -> Found:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        reason, _, value = _damage_of(text)
        if reason is not None:
            return None, reason
    if not isinstance(value, dict):
        return None, "other_json"
    return _event_of(value, text, depth)


def _read_behind_prefix(text: bytes, depth: int) -> Found:
    """Try the objects in a line one by one; a prefix may hold braces, and even objects, of its own."""
    listed = _IN_A_LIST.match(text)
    if listed is not None and text.endswith(b"}]"):
        found = _read_object(text[listed.end() : -1], depth)
        if found[0] is not None:
            return found
    marker = text.find(_TRACKING)
    is_tracking = _EVIDENCE.search(text) is not None
    behind = 0
    for tried, candidate in enumerate(_OBJECT.finditer(text)):
        start = candidate.start()
        if start < behind:
            continue
        if tried == _MAX_CANDIDATES:
            break
        try:
            value = orjson.loads(text[start:])
            reason, end = None, len(text)
        except orjson.JSONDecodeError:
            reason, length, value = _damage_of(text[start:])
            end = start + length
        if reason is None and isinstance(value, dict):
            body, why = _event_of(value, text[start:], depth)
            # The tracking logger writes nothing but events; whether this is one, the event's reader says.
            return (text[start:], None) if why == "other_json" and marker >= 0 else (body, why)
        if reason == "trailing_data":
            if _is_event(value):
                return None, reason
            behind = end
        elif start > marker and is_tracking:
            # What follows is inside the cut object: an event found there would be an invention.
            return None, reason
    return None, "cut" if is_tracking else "no_json"


def _event_of(value: dict[str, Any], text: bytes, depth: int) -> Found:
    """The event's text, if the object is one or holds one; `text` is the object's own text."""
    if "event_source" in value or ("name" in value and "context" in value):
        return text, None
    reason = "other_json"
    if depth < _MAX_DEPTH:
        for key in _WRAPPER_KEYS:
            inner = value.get(key)
            if isinstance(inner, str):
                found = _read(inner.encode("utf-8", "surrogatepass"), depth + 1)
            elif isinstance(inner, dict):
                found = _event_of(inner, _member_text(text, key), depth + 1)
            else:
                continue
            if found[0] is not None:
                return found
            if found[1] in QUARANTINE_REASONS or reason == "other_json":
                reason = found[1] or reason
    return (text, None) if _is_event(value) else (None, reason)


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and (
        "event_source" in value
        or "event_type" in value
        or ("name" in value and ("context" in value or "time" in value))
    )


def _member_text(text: bytes, key: str) -> bytes:
    """The text of an object's member as it was written: writing it anew would change numbers and escapes."""
    source = text.decode()
    at = _behind_space(source, 1)
    start = end = 0
    while source[at] != "}":
        name, at = json.decoder.scanstring(source, at + 1)  # type: ignore[attr-defined]
        at = _behind_space(source, _behind_space(source, at) + 1)
        value_start = at
        _, at = _DECODER.raw_decode(source, at)
        if name == key:
            start, end = value_start, at
        at = _behind_space(source, at)
        if source[at] == ",":
            at = _behind_space(source, at + 1)
    return source[start:end].encode()


def _behind_space(source: str, at: int) -> int:
    while source[at] in " \t\r\n":
        at += 1
    return at


def _damage_of(text: bytes) -> tuple[str | None, int, Any]:
    """Why orjson refused an object's text, how many of its bytes are an object, and that object."""
    try:
        source = text.decode()
        bad_at = None
    except UnicodeDecodeError as error:
        source = text.decode("utf-8", "surrogateescape")
        bad_at = error
    try:
        value, end = _DECODER.raw_decode(source)
    except json.JSONDecodeError as error:
        if bad_at is not None and bad_at.reason != "unexpected end of data":
            return "invalid_utf8", 0, None
        is_cut = error.msg.startswith("Unterminated string") or error.pos >= len(source) - 8
        return "cut" if is_cut else "invalid_json", 0, None
    except (RecursionError, ValueError):
        return "invalid_json", 0, None
    length = len(source[:end].encode("utf-8", "surrogateescape"))
    if length < len(text):
        return "trailing_data", length, value
    return (None if bad_at is None else "invalid_utf8"), length, value

"""What a container runtime's line carries: a line of the program's output, or a part of one."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import orjson

from aspects_orchestration.tracking.wrapped import BLANK, EVENT_STARTS, is_whole

CRI: Final = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
    rb" (stdout|stderr) ([PF])(?::[A-Za-z0-9:]+)?(?: |(?=\r?\n?\Z))"
)
_LOGGED: Final = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d+ [A-Z]+ ")
_DOCKER_KEYS: Final = frozenset({"log", "stream", "time", "attrs"})


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


def container_piece(raw: bytes) -> Piece | None:
    """What a line carries if Docker's json-file driver, CRI, or a shipper that keeps CRI's flag wrote it.

    Args:
        raw: one line of the file.

    Returns:
        None for any other line. A json-file line without a newline in its `log` counts as ended if its event
        is whole: some shippers strip the newline.
    """
    if raw[:1].isdigit():
        found = CRI.match(raw)
        if found is None:
            return None
        content = raw[found.end() :].removesuffix(b"\n").removesuffix(b"\r")
        return Piece(found[1].decode(), content, found[2] == b"F")
    if raw.startswith(b'{"log":') or (raw.startswith(b"{") and (b'"logtag"' in raw or b'"_p"' in raw)):
        return _json_piece(raw)
    return None


def _json_piece(raw: bytes) -> Piece | None:
    try:
        value = orjson.loads(raw.strip(BLANK))
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
        return Piece(stream, content, text.endswith("\n") or is_whole(content))
    return None


def begins_line(piece: Piece) -> bool:
    """Tell whether a piece can only be the first of its line, whatever the piece before it promised."""
    return _LOGGED.match(piece.content) is not None or (
        piece.content.startswith(EVENT_STARTS) and is_whole(piece.content)
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

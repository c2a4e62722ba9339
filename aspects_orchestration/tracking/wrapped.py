"""The tracking event in the content of a line, whatever a logger or a shipper wrote around it, or why there is none."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

#: Reasons of lines that hold no tracking event and need nobody's attention.
SKIP_REASONS: Final = frozenset({"blank", "no_json", "other_json"})
#: Reasons of lines that hold, or held, an event that cannot be read.
QUARANTINE_REASONS: Final = frozenset(
    {"cut", "invalid_json", "invalid_utf8", "trailing_data", "partial_missing", "oversize"}
)

BLANK: Final = b" \t\r\n\v\f\0"
_BOM: Final = b"\xef\xbb\xbf"
_MAX_DEPTH: Final = 3
_MAX_CANDIDATES: Final = 16
_DECODER: Final = json.JSONDecoder()

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
EVENT_STARTS: Final = tuple(b'{"%s":' % key.encode() for key in _EVENT_KEYS)
EVENT_ENDS: Final = (b"}\n", b"}\r\n", b"}")
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
#: What Fluent Bit's file output writes around a record by default: the tag, and a list of a time and the record.
_IN_A_LIST: Final = re.compile(rb"[^\s{\[]+: \[\d{1,12}(?:\.\d{1,9})?, (?=\{)")

Found = tuple[bytes | None, str | None]


def read_quickly(content: bytes) -> Found:
    """As `read`, without parsing what is most probably an event."""
    start = content.find(b"{")
    if (
        content.startswith(EVENT_STARTS, start)
        and content.endswith(EVENT_ENDS)
        and b'"event_type"' in content
    ):
        return content[start : content.rindex(b"}") + 1], None
    return read(content)


def is_whole(content: bytes) -> bool:
    """Whether the content of a line ends with an event that can be read."""
    return content.rstrip(BLANK).endswith(b"}") and read(content)[0] is not None


def read(content: bytes, depth: int = 0) -> Found:
    """The event's JSON text in the content of a line, or the reason why there is none."""
    text = content.strip(BLANK).removeprefix(_BOM).lstrip(BLANK)
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
                found = read(inner.encode("utf-8", "surrogatepass"), depth + 1)
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


def why_unreadable(body: bytes) -> str | None:
    """Say what is wrong with the JSON text of an event.

    Args:
        body: bytes that begin with an object's brace.

    Returns:
        `cut` (it ends too early), `invalid_utf8`, `invalid_json`, `trailing_data` (an object, and something
        behind it), or None if the standard library reads it.
    """
    return _damage_of(body.rstrip(BLANK))[0]

"""A tracking event out of a line's JSON, and the moment at which it happened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from aspects_orchestration.native import native
from aspects_orchestration.window import micros

#: orjson reads an integer over 64 bits as a float; the standard library, which the LMS writes with, keeps it. A run of
#: so many digits may be one. Looked for by translating all digits to one, which is many times faster than a regex.
_LONG_INTEGER = b"0" * 19
_DIGITS_ALIKE = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
#: First characters of what the standard library takes for JSON.
_JSON_STARTS = frozenset('{["-0123456789tfnNI \t\n\r')
#: Who goes deeper into an event than this ends where the stack does, and the standard library's parser, the transformers
#: and what is faster than they are would each end elsewhere.
_MOST_LEVELS = 800
#: A bracket, or a text with all brackets in it. Possessive, so that no line, however long or cut, makes it go back.
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[][{}]', re.DOTALL)
#: The year 5138 in seconds: a larger number is some other unit, and no time that anyone can vouch for.
_LAST_EPOCH_S = 100_000_000_000
#: From 1970 to 2106: what ClickHouse's DateTime holds, and so what its TTL and the catalog's hours can tell apart.
_END_MICROS = 2**32 * 1_000_000
#: The one way to write a time of which the text is also the statement's; 24:00 is the next day's 00:00 there.
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00", re.ASCII).fullmatch
#: The beginning of 2106: the last year that is whole before `_END_MICROS`.
_CANONICAL_END_MICROS = 4_291_747_200 * 1_000_000

Event = dict[str, Any]


class UnreadableEventError(Exception):
    """A line whose JSON is no tracking event; `reason` is for the account."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_event(body: bytes, *, exactly: bool = True) -> Event:
    """A tracking event as transformers expect it, from its JSON text.

    Args:
        body: the JSON text.
        exactly: integers of any size; False may make floats of those over 64 bits, and is a good deal faster.

    `data` is the line's `event` (parsed if it is itself JSON text), `timestamp` is its `time` unless it has one, and
    `name` is its `event_type` where an older or browser event has no name of its own.

    Raises:
        UnreadableEventError: `not_json` (no JSON text), `not_an_event` (JSON of something else), `nested_too_deep`.
    """
    loads = _loads if exactly else _loads_quickly
    if _is_too_deep(body):
        raise UnreadableEventError("nested_too_deep")
    try:
        event = loads(body)
    except (ValueError, RecursionError):
        raise UnreadableEventError("not_json") from None
    if not isinstance(event, dict):
        raise UnreadableEventError("not_an_event")
    if "event" in event:
        event["data"] = _nested(event["event"], loads)
    elif "data" not in event:
        raise UnreadableEventError("not_an_event")
    if not event.get("name"):
        event["name"] = event.get("event_type")
    if not isinstance(event["name"], str):
        raise UnreadableEventError("not_an_event")
    if "timestamp" not in event and "time" in event:
        event["timestamp"] = event["time"]
    return event


def event_time(event: Event) -> tuple[int, bool]:
    """When an event happened: microseconds from 1970-01-01 UTC, and whether UTC had to be assumed.

    A time without a zone is taken for UTC, and its text is completed so that the statement can be built. A number is
    seconds since 1970.

    Raises:
        UnreadableEventError: `no_time`, `unreadable_time`, or `impossible_time` (before 1970, or after 2106).
    """
    raw = event.get("timestamp") or event.get("time")
    usual = canonical_micros(raw)
    if usual is not None:
        return usual, False
    if raw is None or raw == "":
        raise UnreadableEventError("no_time")
    assumed = False
    if isinstance(raw, str):
        moment = _moment(raw)
        if moment.tzinfo is None:
            event["timestamp"] = raw + "+00:00"
            moment = moment.replace(tzinfo=UTC)
            assumed = True
    elif isinstance(raw, int | float) and not isinstance(raw, bool) and 0 < raw < _LAST_EPOCH_S:
        moment = datetime.fromtimestamp(raw, UTC)
    else:
        raise UnreadableEventError("unreadable_time")
    found = _utc_micros(moment)
    if not 0 <= found < _END_MICROS:
        raise UnreadableEventError("impossible_time")
    return found, assumed


def _canonical_micros(text: object) -> int | None:
    """Microseconds from 1970-01-01 UTC to a time of which the text is also the statement's; None for any other.

    Args:
        text: `YYYY-MM-DDTHH:MM:SS[.ffffff]+00:00`, of the years 1970 to 2105; or anything else.
    """
    if text.__class__ is not str or _CANONICAL(text) is None:
        return None
    try:
        found = micros(datetime.fromisoformat(text))
    except ValueError:
        return None
    return found if 0 <= found < _CANONICAL_END_MICROS else None


canonical_micros = _canonical_micros if native is None else native.canonical_micros


def _usual_event(  # noqa: PLR0911  a way out for each thing that is not usual
    body: bytes, names: frozenset[str], loads: Callable[[bytes | str], Any]
) -> tuple[Event, int] | str | None:
    """An event and its moment at once, where there is nothing unusual about it: as `parse_event` and `event_time`.

    Args:
        body: the JSON text.
        names: of the events that are wanted.
        loads: `orjson.loads`.

    Returns:
        The event, and microseconds from 1970-01-01 UTC; its name alone if that is not among the names; None if it takes
        the other two to tell, whatever they find.
    """
    if _may_be_too_deep(body):
        return None
    try:
        event = loads(body)
        if event.__class__ is not dict or "event" not in event:
            return None
        data = event["event"]
        if data.__class__ is str and data[:1] in _JSON_STARTS:
            if _may_be_too_deep(data.encode()):
                return None
            data = loads(data)
    except ValueError:  # what this parser does not read, others may
        return None
    event["data"] = data
    name = event.get("name")
    if name.__class__ is not str or not name:
        return None
    if name not in names:
        return str(name)
    if "timestamp" not in event and "time" in event:
        event["timestamp"] = event["time"]
    moment = canonical_micros(event.get("timestamp"))
    return None if moment is None else (event, moment)


usual_event = _usual_event if native is None else native.usual_event


def statement_micros(timestamp: str) -> int:
    """The moment of a statement's `timestamp` in microseconds from 1970-01-01 UTC."""
    return _utc_micros(datetime.fromisoformat(timestamp))


def _utc_micros(moment: datetime) -> int:
    try:
        return micros(moment)
    except OverflowError:
        raise UnreadableEventError("unreadable_time") from None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    import aniso8601  # the parser that builds the statement knows a few more forms

    try:
        found = aniso8601.parse_datetime(text)
    except Exception:  # its errors have no common base
        raise UnreadableEventError("unreadable_time") from None
    if not isinstance(found, datetime):
        raise UnreadableEventError("unreadable_time")
    return found


def _nested(value: Any, loads: Callable[[bytes], Any]) -> Any:
    if not isinstance(value, str) or value[:1] not in _JSON_STARTS:
        return value  # most texts are form data: no parser needs to be asked
    text = value.encode("utf-8", "surrogatepass")  # lone surrogates are the standard library's to judge
    if _is_too_deep(text):
        return value
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return value


def _may_be_too_deep(text: bytes) -> bool:
    return len(text) >= 2 * _MOST_LEVELS and openings(text) > _MOST_LEVELS


def _is_too_deep(text: bytes) -> bool:
    if not _may_be_too_deep(text):
        return False
    level = 0
    for found in _BRACKETS.finditer(text):
        bracket = found[0]
        if bracket in (b"{", b"["):
            level += 1
            if level > _MOST_LEVELS:
                return True
        elif bracket in (b"}", b"]"):
            level -= 1
    return False


def _openings(text: bytes) -> int:
    return 2 * len(text) - len(text.replace(b"{", b"")) - len(text.replace(b"[", b""))


openings = _openings if native is None else native.openings


def _loads(text: bytes) -> Any:
    if _LONG_INTEGER in text.translate(_DIGITS_ALIKE):
        return json.loads(text)
    return _loads_quickly(text)


def _loads_quickly(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # NaN, lone surrogates and deep nesting are the standard library's to judge

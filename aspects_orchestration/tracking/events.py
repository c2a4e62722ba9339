"""A tracking event out of a line's JSON, and the moment at which it happened."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from aspects_orchestration.window import micros

#: orjson reads an integer over 64 bits as a float; the standard library, which the LMS writes with, keeps it.
_LONG_INTEGER = re.compile(rb"[0-9]{19}")
_LONG_INTEGER_TEXT = re.compile(r"[0-9]{19}", re.ASCII)
#: The year 5138 in seconds: a larger number is some other unit, and no time that anyone can vouch for.
_LAST_EPOCH_S = 100_000_000_000

Event = dict[str, Any]


class UnreadableEventError(Exception):
    """A line whose JSON is no tracking event; `reason` is for the account."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_event(body: bytes) -> Event:
    """A tracking event as transformers expect it, from its JSON text.

    `data` is the line's `event` (parsed if it is itself JSON text), `timestamp` is its `time` unless it has one, and
    `name` is its `event_type` where an older or browser event has no name of its own.

    Raises:
        UnreadableEventError: `not_json` (no JSON text), `not_an_event` (JSON of something else).
    """
    try:
        event = _loads(body)
    except (ValueError, RecursionError):
        raise UnreadableEventError("not_json") from None
    if not isinstance(event, dict):
        raise UnreadableEventError("not_an_event")
    if "event" in event:
        event["data"] = _nested(event["event"])
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
        UnreadableEventError: `no_time` or `unreadable_time`.
    """
    raw = event.get("timestamp") or event.get("time")
    if raw is None or raw == "":
        raise UnreadableEventError("no_time")
    if isinstance(raw, str):
        moment = _moment(raw)
        if moment.tzinfo is None:
            event["timestamp"] = raw + "+00:00"
            return micros(moment.replace(tzinfo=UTC)), True
        return _utc_micros(moment), False
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 < raw < _LAST_EPOCH_S:
        return micros(datetime.fromtimestamp(raw, UTC)), False
    raise UnreadableEventError("unreadable_time")


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


def _nested(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return _loads_text(value)
    except (ValueError, RecursionError):
        return value


def _loads(body: bytes) -> Any:
    if _LONG_INTEGER.search(body) is None:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # NaN, lone surrogates and deep nesting are the standard library's to judge
    return json.loads(body)


def _loads_text(text: str) -> Any:
    if _LONG_INTEGER_TEXT.search(text) is None:
        try:
            return orjson.loads(text)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            pass
    return json.loads(text)

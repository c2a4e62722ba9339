"""How an event becomes statements that are ready to be staged: by event-routing-backends as it is, or faster.

Both engines give the same statements, and the same reason for an event that gives none; the differential suite holds
them side by side. `ASPECTS_TRANSFORM_ENGINE=stock` is for anyone in doubt.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from aspects_orchestration.tracking.events import Event, statement_micros
from aspects_orchestration.xapi.built import BuiltStatement
from aspects_orchestration.xapi.erb import Transformer, UntransformableError


class Engine(Protocol):
    """Events in, statements out."""

    def statements(self, event: Event, moment: int) -> list[BuiltStatement]:
        """The statements of one event.

        Args:
            event: as `parse_event` and `event_time` leave it; it may be changed.
            moment: its time in microseconds since 1970-01-01 UTC.

        Raises:
            UntransformableError: the event gives no statement that could be stored, and why.
        """

    def forget(self) -> None:
        """Drop what was kept of identities and courses."""


class StockEngine:
    """event-routing-backends as it is.

    Args:
        transformer: booted.
    """

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer

    def statements(self, event: Event, moment: int) -> list[BuiltStatement]:  # noqa: ARG002
        """The statements of one event; see `Engine`."""
        return [built(statement) for statement in self._transformer.statements(event)]

    def forget(self) -> None:
        """Nothing is kept here."""


def built(statement: dict[str, Any]) -> BuiltStatement:
    """A statement as event-routing-backends gives it, ready to be staged.

    Raises:
        UntransformableError: it has no readable time, or cannot be stored.
    """
    try:
        moment = statement_micros(statement["timestamp"])
    except (KeyError, TypeError, ValueError) as error:
        raise UntransformableError("no_statement_time", type(error).__name__) from None
    return BuiltStatement(statement["id"], moment, as_json(statement), statement["verb"]["id"])


def as_json(statement: dict[str, Any]) -> bytes:
    """The statement as stored: JSON text in UTF-8, with the numbers exactly as the transformer left them.

    Raises:
        UntransformableError: what every later reader would stumble over: a number that JSON has not (NaN, infinity),
            half of a surrogate pair (ClickHouse takes such a text for no JSON at all), or endless nesting.
    """
    try:
        text = json.dumps(statement, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        raise UntransformableError("text_without_utf8", "half of a surrogate pair in the statement") from None
    except RecursionError:
        raise UntransformableError("nested_too_deep", "the statement is nested too deep") from None
    except ValueError:
        raise UntransformableError("number_without_json", "NaN or infinity in the statement") from None

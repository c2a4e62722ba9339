"""How an event becomes statements that are ready to be staged: by event-routing-backends as it is, or faster.

Both engines give the same statements, and the same reason for an event that gives none; the differential suite holds
them side by side. `ASPECTS_TRANSFORM_ENGINE=stock` is for anyone in doubt.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from aspects_orchestration.tracking.events import Event, event_time, parse_event
from aspects_orchestration.xapi.built import BuiltStatement, built
from aspects_orchestration.xapi.erb import Transformer


class Engine(Protocol):
    """Events in, statements out.

    Attributes:
        off: parts of a faster way that stay off here, and why; empty if all is on, or there are none.
    """

    off: tuple[str, ...]

    @property
    def quick(self) -> bool:
        """Whether `statements_of_quick` is worth asking."""
        ...

    def statements_of_quick(self, event: Event, moment: int) -> list[BuiltStatement] | None:
        """The statements of an event that was not parsed exactly (see `parse_event`).

        Args:
            event, moment: as of `statements`.

        Returns:
            None if they cannot be told from this; then `statements` is asked, with the event parsed exactly.
        """

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

    def stock(self) -> AbstractContextManager[Engine]:
        """event-routing-backends as it is, for the time of a `with` block."""


class StockEngine:
    """event-routing-backends as it is.

    Args:
        transformer: booted.
    """

    off: tuple[str, ...] = ()
    quick = False

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer

    def statements_of_quick(self, event: Event, moment: int) -> None:
        """None; see `Engine`."""

    def statements(self, event: Event, moment: int) -> list[BuiltStatement]:  # noqa: ARG002
        """The statements of one event; see `Engine`."""
        return [built(statement) for statement in self._transformer.statements(event)]

    def forget(self) -> None:
        """Nothing is kept here."""

    def stock(self) -> AbstractContextManager[Engine]:
        """This engine."""
        return nullcontext(self)


def statements_of_text(engine: Engine, body: bytes) -> list[BuiltStatement]:
    """The statements of one event from its JSON text, on the way that a load goes.

    Raises:
        UntransformableError: the event gives no statement that could be stored, and why.
        UnreadableEventError: it is no event, or has no time.
    """
    if engine.quick:
        event = parse_event(body, exactly=False)
        found = engine.statements_of_quick(event, event_time(event)[0])
        if found is not None:
            return found
    event = parse_event(body)
    return engine.statements(event, event_time(event)[0])

"""How an event becomes statements that are ready to be staged: by event-routing-backends as it is, or faster.

Both engines give the same statements, and the same reason for an event that gives none; the differential suite holds
them side by side. `ASPECTS_TRANSFORM_ENGINE=stock` is for anyone in doubt.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from aspects_orchestration.tracking.events import Event
from aspects_orchestration.xapi.built import BuiltStatement, built
from aspects_orchestration.xapi.erb import Transformer


class Engine(Protocol):
    """Events in, statements out.

    Attributes:
        off: parts of a faster way that stay off here, and why; empty if all is on, or there are none.
    """

    off: tuple[str, ...]

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

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer

    def statements(self, event: Event, moment: int) -> list[BuiltStatement]:  # noqa: ARG002
        """The statements of one event; see `Engine`."""
        return [built(statement) for statement in self._transformer.statements(event)]

    def forget(self) -> None:
        """Nothing is kept here."""

    def stock(self) -> AbstractContextManager[Engine]:
        """This engine."""
        return nullcontext(self)

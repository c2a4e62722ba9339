"""Both engines side by side, on a share of the events of a real load."""

from __future__ import annotations

import copy
import json
from typing import Any
from zlib import crc32

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.events import Event
from aspects_orchestration.xapi.engine import Engine, StockEngine
from aspects_orchestration.xapi.erb import UntransformableError

_SCALE = 1 << 32


class EnginesDifferError(AspectsError):
    """An event gives other statements with the fast engine than with event-routing-backends itself."""


class Verifier:
    """Compares a share of the events.

    Args:
        engine: the engine of the load; nothing is compared if it is the stock one.
        share: from 0 (none) to 1 (all).
    """

    def __init__(self, engine: Engine, share: float) -> None:
        self._engine = engine
        self._limit = 0 if isinstance(engine, StockEngine) else int(share * _SCALE)
        self._noted: list[tuple[Event, int]] = []

    def chooses(self, raw: bytes) -> bool:
        """Whether the event of this line is compared; the same lines in every run."""
        return self._limit > 0 and crc32(raw) < self._limit

    def note(self, event: Event, moment: int) -> None:
        """Keep an event as it is before it is transformed."""
        self._noted.append((copy.deepcopy(event), moment))

    def differences(self) -> list[str]:
        """Transform what was noted with both engines; a JSON text for each event on which they differ."""
        if not self._noted:
            return []
        noted, self._noted = self._noted, []
        fast = [_outcome(self._engine, copy.deepcopy(event), moment) for event, moment in noted]
        with self._engine.stock() as stock:
            theirs = [_outcome(stock, copy.deepcopy(event), moment) for event, moment in noted]
        return [
            json.dumps({"event": event, "fast": ours, "stock": other})
            for (event, _), ours, other in zip(noted, fast, theirs, strict=True)
            if ours != other
        ]


def _outcome(engine: Engine, event: Event, moment: int) -> Any:
    """What an engine makes of an event, in a form that can be compared: statements, or the reason for none."""
    try:
        return [
            [one.event_id, one.emission_micros, one.verb, json.loads(one.event)]
            for one in engine.statements(event, moment)
        ]
    except UntransformableError as failure:
        return failure.reason

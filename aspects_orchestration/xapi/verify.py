"""Both engines side by side, on a share of the events of a real load."""

from __future__ import annotations

import json
from zlib import crc32

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.events import parse_event
from aspects_orchestration.xapi.engine import Engine, StockEngine, statements_of_text
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
        self._noted: list[bytes] = []

    def chooses(self, raw: bytes) -> bool:
        """Whether the event of this line is compared; the same lines in every run."""
        return self._limit > 0 and crc32(raw) < self._limit

    def note(self, body: bytes) -> None:
        """Keep the JSON text of an event that is to be compared."""
        self._noted.append(body)

    def differences(self) -> list[str]:
        """Transform what was noted with both engines; a JSON text for each event on which they differ."""
        if not self._noted:
            return []
        noted, self._noted = self._noted, []
        fast = [_outcome(self._engine, body) for body in noted]
        with self._engine.stock() as stock:
            theirs = [_outcome(stock, body) for body in noted]
        return [
            json.dumps({"event": parse_event(body), "fast": _shown(ours), "stock": _shown(other)})
            for body, ours, other in zip(noted, fast, theirs, strict=True)
            if ours != other
        ]


def canonical(statement: bytes) -> str:
    """A statement's JSON text, to be compared: the order of keys does not count, but 1, 1.0 and true are three."""
    return json.dumps(json.loads(statement), sort_keys=True)


#: A statement's id, time, verb and canonical text; of all statements of an event, or the reason for none.
_Outcome = list[tuple[str, int, str, str]] | str


def _outcome(engine: Engine, body: bytes) -> _Outcome:
    try:
        return [
            (one.event_id, one.emission_micros, one.verb, canonical(one.event))
            for one in statements_of_text(engine, body)
        ]
    except UntransformableError as failure:
        return failure.reason


def _shown(outcome: _Outcome) -> object:
    if isinstance(outcome, str):
        return outcome
    return [[event_id, time, verb, json.loads(text)] for event_id, time, verb, text in outcome]

"""A statement that is ready to be staged, however it was built."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final, NamedTuple

from aspects_orchestration.native import native
from aspects_orchestration.tracking.events import statement_micros
from aspects_orchestration.xapi.erb import UntransformableError
from aspects_orchestration.xapi.statement_id import statement_id

_SECOND: Final = 1_000_000


class BuiltStatement(NamedTuple):
    """One statement.

    Attributes:
        identity: its id: the 16 bytes of the UUID in network order.
        emission_micros: its time in microseconds since 1970-01-01 UTC.
        event: the whole statement as JSON text, UTF-8.
        verb: its verb's id.
    """

    identity: bytes
    emission_micros: int
    event: bytes
    verb: str

    @property
    def event_id(self) -> str:
        """Its id, as text with hyphens."""
        return str(uuid.UUID(bytes=self.identity))


def _assembled(
    statement_class: type[BuiltStatement],
    namespace: bytes,
    actor_name: bytes,
    timestamp: str,
    emission_micros: int,
    actor: bytes,
    verb: bytes,
    rest: tuple[bytes, ...],
    verb_id: str,
) -> BuiltStatement:
    """A statement out of the pieces of its JSON text.

    Args:
        statement_class: `BuiltStatement`.
        namespace: of its id (16 bytes).
        actor_name: its id's name, up to the time.
        timestamp: its time, in the form that `canonical_micros` takes.
        emission_micros: the same in microseconds since 1970-01-01 UTC.
        actor: from behind its id up to the verb.
        verb: up to the time.
        rest: what comes behind the time, in pieces.
        verb_id: its verb's id.
    """
    time = timestamp.encode()
    identity, text = statement_id(namespace, actor_name + time)
    # The statement repeats a canonical text, without a fraction of zero.
    shown = time if emission_micros % _SECOND else time[:19] + b"+00:00"
    event = b"".join((b'{"id":"', text, actor, verb, shown, b'",', *rest))
    return statement_class(identity, emission_micros, event, verb_id)


assembled = _assembled if native is None else native.assembled


def built(statement: dict[str, Any]) -> BuiltStatement:
    """A statement as event-routing-backends gives it, ready to be staged.

    Raises:
        UntransformableError: it has no readable time, or cannot be stored.
    """
    try:
        moment = statement_micros(statement["timestamp"])
    except (KeyError, TypeError, ValueError) as error:
        raise UntransformableError("no_statement_time", type(error).__name__) from None
    identity = uuid.UUID(statement["id"]).bytes
    return BuiltStatement(identity, moment, as_json(statement), statement["verb"]["id"])


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

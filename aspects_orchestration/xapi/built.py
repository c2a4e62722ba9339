"""A statement that is ready to be staged, however it was built."""

from typing import NamedTuple


class BuiltStatement(NamedTuple):
    """One statement.

    Attributes:
        event_id: its id, as text with hyphens.
        emission_micros: its time in microseconds since 1970-01-01 UTC.
        event: the whole statement as JSON text, UTF-8.
        verb: its verb's id.
    """

    event_id: str
    emission_micros: int
    event: bytes
    verb: str

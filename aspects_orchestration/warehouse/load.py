"""Statements into the staging table of a load, as RowBinary (the format's layout is in ClickHouse's documentation)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from aspects_orchestration.warehouse.client import Warehouse, with_retries

STAGING_COLUMNS = ("event_id", "emission_time", "event", "file", "byte_offset", "number")

_TIME = struct.Struct("<q")
_PLACE = struct.Struct("<QH")


class StagedStatement(NamedTuple):
    """One statement on its way to staging.

    Attributes:
        event_id: the statement's id, as text with hyphens.
        emission_micros: its time in microseconds since 1970-01-01 UTC.
        event: the whole statement as JSON text, UTF-8.
        file: URI of the source file.
        byte_offset: of the source line in the decompressed file.
        number: of this statement among those of its line, from 0.
    """

    event_id: str
    emission_micros: int
    event: bytes
    file: str
    byte_offset: int
    number: int


def encode(rows: Sequence[StagedStatement]) -> bytes:
    """Rows as RowBinary, in the order of STAGING_COLUMNS."""
    pieces: list[bytes] = []
    for event_id, emission_micros, event, file, byte_offset, number in rows:
        identity = bytes.fromhex(event_id.replace("-", ""))
        uri = file.encode()
        # A UUID is two little-endian 64-bit halves, the high one first.
        pieces += (
            identity[7::-1],
            identity[:7:-1],
            _TIME.pack(emission_micros),
            _varint(len(event)),
            event,
            _varint(len(uri)),
            uri,
            _PLACE.pack(byte_offset, number),
        )
    return b"".join(pieces)


def stage(
    warehouse: Warehouse, database: str, table: str, rows: Sequence[StagedStatement], *, token: str
) -> None:
    """Insert rows into a staging table; a broken connection is tried again under the same token."""
    if rows:
        block = encode(rows)
        with_retries(lambda: warehouse.insert_rows(database, table, STAGING_COLUMNS, block, token=token))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)

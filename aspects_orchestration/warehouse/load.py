"""Statements into the staging table of a load, as RowBinary (the format's layout is in ClickHouse's documentation)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from aspects_orchestration.warehouse.client import Warehouse, encoded_length, with_retries

STAGING_COLUMNS = ("event_id", "emission_time", "event", "file", "byte_offset", "number")

_TIME = struct.Struct("<q").pack
_PLACE = struct.Struct("<QH").pack


class StagedRows:
    """Rows for the staging table, encoded one after the other.

    Attributes:
        pieces: RowBinary, in the order of STAGING_COLUMNS, in pieces that belong one behind the other.
        bytes: how many those are.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.bytes = 0

    def add(
        self, identity: bytes, emission_micros: int, event: bytes, file: bytes, byte_offset: int, number: int
    ) -> None:
        """Add a statement.

        Args:
            identity: its id: the 16 bytes of the UUID in network order.
            emission_micros: its time in microseconds since 1970-01-01 UTC.
            event: the whole statement as JSON text, UTF-8.
            file: `encoded_text` of the source file's URI.
            byte_offset: of the source line in the decompressed file.
            number: of this statement among those of its line, from 0.
        """
        size = len(event)
        # A UUID is two little-endian 64-bit halves, the high one first.
        self.pieces += (
            identity[7::-1],
            identity[:7:-1],
            _TIME(emission_micros),
            _LENGTHS[size] if size < _MANY else encoded_length(size),
            event,
            file,
            _PLACE(byte_offset, number),
        )
        self.bytes += size

    def take(self, others: StagedRows) -> None:
        """Add all rows of others, which are left empty."""
        self.pieces += others.pieces
        self.bytes += others.bytes
        others.pieces, others.bytes = [], 0


def stage(warehouse: Warehouse, database: str, table: str, pieces: Sequence[bytes], *, token: str) -> None:
    """Insert rows into a staging table; a broken connection is tried again under the same token.

    Args:
        warehouse, database, table: where to.
        pieces: of `StagedRows`.
        token: of these rows and no others.
    """
    if pieces:
        block = b"".join(pieces)
        with_retries(lambda: warehouse.insert_rows(database, table, STAGING_COLUMNS, block, token=token))


#: The lengths of nearly all statements, encoded beforehand.
_MANY = 8192
_LENGTHS = [encoded_length(size) for size in range(_MANY)]

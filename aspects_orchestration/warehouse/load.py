"""Statements into the staging table of a load, as RowBinary (the format's layout is in ClickHouse's documentation)."""

from __future__ import annotations

import struct

from aspects_orchestration.native import native
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse, encoded_length

STAGING_COLUMNS = ("event_id", "emission_time", "event", "file", "byte_offset", "number")

_TIME = struct.Struct("<q").pack
_PLACE = struct.Struct("<QH").pack


class StagedRows:
    """Rows for the staging table, encoded one after the other.

    Attributes:
        data: RowBinary, in the order of STAGING_COLUMNS.
    """

    def __init__(self) -> None:
        self.data = bytearray()

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
        add_row(self.data, identity, emission_micros, event, file, byte_offset, number)

    def take(self, others: StagedRows) -> None:
        """Add all rows of others, which are left empty."""
        self.data += others.data
        others.data = bytearray()


def stage(warehouse: Warehouse, database: str, table: str, rows: StagedRows, *, token: str) -> None:
    """Insert rows into a staging table; a broken connection is tried again under the same token.

    Args:
        warehouse, database, table: where to.
        rows: any number of them.
        token: of these rows and no others.
    """
    if rows.data:
        with_retries(lambda: warehouse.insert_rows(database, table, STAGING_COLUMNS, rows.data, token=token))


def _add_row(
    rows: bytearray,
    identity: bytes,
    emission_micros: int,
    event: bytes,
    file: bytes,
    byte_offset: int,
    number: int,
) -> None:
    # A UUID is two little-endian 64-bit halves, the high one first.
    rows += identity[7::-1] + identity[:7:-1] + _TIME(emission_micros) + encoded_length(len(event))
    rows += event
    rows += file
    rows += _PLACE(byte_offset, number)


add_row = _add_row if native is None else native.add_row

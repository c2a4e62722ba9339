"""Statements into the staging table of a load, as RowBinary (the format's layout is in ClickHouse's documentation)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from aspects_orchestration.native import native
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse, encoded_length

STAGING_COLUMNS = ("event_id", "emission_time", "event", "file", "byte_offset", "number")

#: Its id (16 bytes in network order), its moment (microseconds since 1970-01-01 UTC), its JSON text, its verb's id.
_Statement = tuple[bytes, int, bytes, str]

_TIME = struct.Struct("<q").pack
_PLACE = struct.Struct("<QH").pack


def stage(warehouse: Warehouse, database: str, table: str, rows: bytearray, *, token: str) -> None:
    """Insert rows into a staging table; a broken connection is tried again under the same token.

    Args:
        warehouse, database, table: where to.
        rows: any number of them, as `add_statements` appends them.
        token: of these rows and no others.
    """
    if rows:
        with_retries(lambda: warehouse.insert_rows(database, table, STAGING_COLUMNS, rows, token=token))


def _add_statements(
    rows: bytearray,
    statements: Sequence[_Statement],
    first: int,
    end: int,
    file: bytes,
    byte_offset: int,
    verbs: list[str],
) -> int:
    """Append those statements of a line that are of a stretch of time.

    Args:
        rows: RowBinary, in the order of STAGING_COLUMNS.
        statements: all of the line; their number in it goes into the row.
        first, end: the stretch, in microseconds since 1970-01-01 UTC; the end is not in it.
        file: `encoded_text` of the source file's URI.
        byte_offset: of the source line in the decompressed file.
        verbs: the ids of the verbs of those that are added are appended to it.

    Returns:
        How many are not of that time.
    """
    outside = 0
    for number, (identity, emission_micros, event, verb) in enumerate(statements):
        if not first <= emission_micros < end:
            outside += 1
            continue
        # A UUID is two little-endian 64-bit halves, the high one first.
        rows += identity[7::-1] + identity[:7:-1] + _TIME(emission_micros) + encoded_length(len(event))
        rows += event
        rows += file
        rows += _PLACE(byte_offset, number)
        verbs.append(verb)
    return outside


add_statements = _add_statements if native is None else native.add_statements

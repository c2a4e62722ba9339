"""Rows of event_sink on their way into ClickHouse: collected column by column, as a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aspects_orchestration.lms.database import Row
from aspects_orchestration.lms.event_sink import Reading, SinkTable

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class Portion:
    """Some rows in the form of event_sink, and what became of the others.

    Attributes:
        rows: in the order of the source's key, without dump_id and time_last_dumped.
        read: rows of the source.
        retired: of these, rows of users that are retired.
        unusable: keys of those that cannot be rows of event_sink.
        last: the key of the last row that was read.
    """

    rows: Sequence[tuple[Any, ...]]
    read: int
    retired: int
    unusable: tuple[int | str, ...]
    last: int | str

    def then(self, other: Portion) -> Portion:
        """Both portions in one account; rows are not kept."""
        return Portion(
            (),
            self.read + other.read,
            self.retired + other.retired,
            self.unusable + other.unusable,
            other.last,
        )


def formed(found: Iterable[Row], table: SinkTable, reading: Reading) -> Portion:
    """Rows of the LMS, key first, as rows of event_sink."""
    numbers = [place for place, kind in enumerate(table.columns.values()) if kind == "Int32"]
    rows: list[tuple[Any, ...]] = []
    unusable: list[int | str] = []
    read = retired = 0
    key: int | str = 0
    for row in found:
        read += 1
        key = row[0]
        if reading.retired(row):
            retired += 1
            continue
        made = reading.form(row)
        if made is None or any(not -_LARGEST_INT32 <= made[place] <= _LARGEST_INT32 for place in numbers):
            unusable.append(key)
        else:
            rows.append(made)
    return Portion(rows, read, retired, tuple(unusable), key)


class Block:
    """Rows that go into ClickHouse together.

    Only Arrow's compact columns are held, not the rows themselves.
    """

    def __init__(self, table: SinkTable) -> None:
        import pyarrow as pa

        self._table = table
        self._schema = pa.schema([(name, _arrow(kind)) for name, kind in table.columns.items()])
        self._position = list(table.columns).index(table.position)
        self.clear()

    def clear(self) -> None:
        """Forget the rows."""
        import pyarrow as pa

        self._sink = pa.BufferOutputStream()
        self._writer = pa.ipc.new_stream(self._sink, self._schema)
        self.rows = 0
        self.bytes = 0
        self.first = 0
        self.last = 0

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take rows in."""
        import pyarrow as pa

        if not rows:
            return
        columns = [
            pa.array(values, kind.type)
            for values, kind in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        batch = pa.record_batch(columns, schema=self._schema)
        self._writer.write_batch(batch)
        if self._table.columns[self._table.position] == "Int32":
            positions = [row[self._position] for row in rows]
            self.first = min(positions) if not self.rows else min(self.first, *positions)
            self.last = max(positions) if not self.rows else max(self.last, *positions)
        self.rows += len(rows)
        self.bytes += batch.nbytes

    def data(self) -> bytes:
        """The rows as ArrowStream; nothing can be added afterwards."""
        self._writer.close()
        data: bytes = self._sink.getvalue().to_pybytes()
        return data


def _arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {"Int32": pa.int32(), "Bool": pa.bool_()}.get(kind, pa.string())

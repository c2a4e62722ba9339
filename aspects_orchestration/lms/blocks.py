"""Rows of event_sink on their way into ClickHouse: collected column by column, as a stream of Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aspects_orchestration.lms.database import Row
from aspects_orchestration.lms.event_sink import Reading, SinkTable
from aspects_orchestration.lms.packed import unpacked

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
        columns: more rows in the form of event_sink, column by column.
    """

    rows: Sequence[tuple[Any, ...]]
    read: int
    retired: int
    unusable: tuple[int | str, ...]
    last: int | str
    columns: Mapping[str, Any] = field(default_factory=dict)

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


def formed_from_packed(
    found: Sequence[Row],
    table: SinkTable,
    reading: Reading,
    read_plainly: Callable[[list[Any]], Iterable[Row]],
) -> Portion:
    """Rows of the LMS with packed texts as rows of event_sink.

    Args:
        found: as `reading.packed` selects them.
        table: of event_sink.
        reading: how they were read.
        read_plainly: reads the rows with some keys as `reading.page` selects them.
    """
    if reading.packed is None:
        raise ValueError("rows are not packed in this reading")
    staying = [row for row in found if not reading.retired(row)]
    columns, again = unpacked(staying, reading.packed)
    plain = formed(read_plainly(again), table, reading) if again else Portion((), 0, 0, (), 0)
    retired = len(found) - len(staying) + plain.retired
    return Portion(plain.rows, len(found), retired, plain.unusable, found[-1][0], columns)


@dataclass(frozen=True)
class Slice:
    """Rows that are compared and inserted together.

    Attributes:
        account: of the rows that were read for it; its own rows are not kept.
        rows: how many rows there are in `data`.
        data: the rows as ArrowStream.
        first, last: the smallest and the largest of their positions; 0 where the table has no number for one.
    """

    account: Portion
    rows: int
    data: bytes = field(repr=False)
    first: int
    last: int


class Block:
    """Rows that go into ClickHouse together.

    Only Arrow's compact columns are held, not the rows themselves.
    """

    def __init__(self, table: SinkTable) -> None:
        import pyarrow as pa

        self._table = table
        self._schema = pa.schema([(name, _arrow(kind)) for name, kind in table.columns.items()])
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
        self._write(pa.record_batch(columns, schema=self._schema))

    def _write(self, batch: pa.RecordBatch) -> None:
        import pyarrow.compute as pc

        if not batch.num_rows:
            return
        self._writer.write_batch(batch)
        if self._table.columns[self._table.position] == "Int32":
            ends = pc.min_max(batch.column(self._table.position)).as_py()
            self.first = min(ends["min"], self.first) if self.rows else ends["min"]
            self.last = max(ends["max"], self.last) if self.rows else ends["max"]
        self.rows += batch.num_rows
        self.bytes += batch.nbytes

    def take(self, portion: Portion) -> None:
        """Take the rows of a portion in."""
        import pyarrow as pa

        self.add(portion.rows)
        if not portion.columns:
            return
        columns = [portion.columns[name] for name in self._schema.names]
        self._write(pa.record_batch(columns, schema=self._schema))

    def cut(self, account: Portion) -> Slice:
        """All rows so far as one slice; the block is empty afterwards."""
        self._writer.close()
        # Rows are in the stream already.
        account = replace(account, rows=(), columns={})
        made = Slice(account, self.rows, self._sink.getvalue().to_pybytes(), self.first, self.last)
        self.clear()
        return made


def _arrow(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {"Int32": pa.int32(), "Bool": pa.bool_()}.get(kind, pa.string())

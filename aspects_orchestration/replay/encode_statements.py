"""Statements as the bytes of a file: NDJSON, compressed, or Parquet; in bounded memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from backports import zstd

from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.warehouse.staged import Statement

if TYPE_CHECKING:
    from aspects_orchestration.settings.given import StatementFormat

#: A row group of Parquet is closed at so many bytes of statements, or so many of them.
_GROUP_BYTES = 64 * 1024 * 1024
_GROUP_ROWS = 100_000


def encoded(kind: StatementFormat, batches: Iterable[Sequence[Statement]]) -> Iterator[bytes]:
    """The bytes of a file.

    Args:
        kind: `parquet`, `ndjson.gz` or `ndjson.zst`.
        batches: of statements, in order.

    Yields:
        Pieces of the file; equal batches give equal bytes.
    """
    if kind == "parquet":
        return _parquet(batches)
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31) if kind == "ndjson.gz" else zstd.ZstdCompressor()
    return _ndjson(batches, compressor)


def _ndjson(batches: Iterable[Sequence[Statement]], compressor: Any) -> Iterator[bytes]:
    for batch in batches:
        lines = b"".join(
            orjson.dumps(
                {
                    "event_id": one.id,
                    "emission_time": f"{at(one.micros):%Y-%m-%d %H:%M:%S.%f}",
                    "event": one.body,
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for one in batch
        )
        if piece := compressor.compress(lines):
            yield piece
    yield compressor.flush()


def _parquet(batches: Iterable[Sequence[Statement]]) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            pa.field("event_id", pa.string(), nullable=False),
            pa.field("emission_time", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("event", pa.string(), nullable=False),
        ]
    )
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(batches):
            columns = [
                pa.array([one.id for one in group], pa.string()),
                pa.array([one.micros for one in group], pa.int64()).cast(schema.field(1).type),
                pa.array([one.body for one in group], pa.string()),
            ]
            writer.write_table(pa.table(columns, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _groups(batches: Iterable[Sequence[Statement]]) -> Iterator[list[Statement]]:
    held: list[Statement] = []
    size = 0
    for batch in batches:
        held += batch
        size += sum(len(one.body) for one in batch)
        if size >= _GROUP_BYTES or len(held) >= _GROUP_ROWS:
            yield held
            held, size = [], 0
    if held:
        yield held


class _Sink(io.RawIOBase):
    """Takes what is written until somebody takes it on."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        """All that was written since it was last asked."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

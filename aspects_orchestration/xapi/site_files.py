"""Rows of a CSV, NDJSON or Parquet file of the site (identities, courses), one at a time."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson

from aspects_orchestration.errors import IdentityError

Row = dict[str, str]

_LONGEST_LINE = 4 * 1024 * 1024
_FORMATS = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
}


def file_format(uri: str, *, setting: str) -> str:
    """`csv`, `ndjson` or `parquet`, by the end of the URI.

    Raises:
        IdentityError: none of them; names the setting.
    """
    for ending, kind in _FORMATS.items():
        if uri.lower().endswith(ending):
            return kind
    raise IdentityError(
        f"{setting}: {uri} is not of a known kind", do="Give a file that ends in .csv, .ndjson or .parquet."
    )


def rows(
    stream: BinaryIO, *, uri: str, setting: str, required: Sequence[str], spool: Path
) -> Iterator[tuple[int, Row]]:
    """Each row with its number (the first row of data is 1), values as text, empty for null.

    Args:
        stream: the file's bytes.
        uri: for its format and for errors.
        setting: the setting that named the file, for errors.
        required: columns that must be there.
        spool: folder for a temporary copy, where the format needs to seek.

    Raises:
        IdentityError: no such format, a missing column, or an unreadable row.
    """
    kind = file_format(uri, setting=setting)
    read = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}[kind]
    checked = False
    try:
        for number, row in enumerate(read(stream, spool), start=1):
            if not checked:
                missing = [name for name in required if name not in row]
                if missing:
                    raise IdentityError(
                        f"{setting}: {uri} lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}",
                        do=f"Write it with the columns {', '.join(required)}; found: {', '.join(map(str, row)) or 'none'}.",
                    )
                checked = True
            yield number, row
    except (UnicodeDecodeError, csv.Error, orjson.JSONDecodeError, TypeError) as error:
        raise IdentityError(
            f"{setting}: {uri} is no readable {kind} file ({type(error).__name__})",
            do="Write it anew as UTF-8 text with one row a line.",
        ) from None


def _csv(stream: BinaryIO, _spool: Path) -> Iterator[Row]:
    lines = (line.decode("utf-8-sig" if first else "utf-8") for first, line in _lines(stream))
    for row in csv.DictReader(lines, strict=True):
        yield {key: value or "" for key, value in row.items() if key is not None}


def _ndjson(stream: BinaryIO, _spool: Path) -> Iterator[Row]:
    for _, line in _lines(stream):
        if line.strip():
            row = orjson.loads(line)
            if not isinstance(row, dict):
                raise TypeError("a line is no JSON object")
            yield {key: _plain(value) for key, value in row.items()}


def _lines(stream: BinaryIO) -> Iterator[tuple[bool, bytes]]:
    """Each line, and whether it is the first; one of many megabytes is no user's and no course's."""
    first = True
    while line := stream.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise TypeError("a line is too long")
        yield first, line
        first = False


def _plain(value: object) -> str:
    """A value of JSON as text; objects and arrays stay JSON."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _parquet(stream: BinaryIO, spool: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=spool, suffix=".parquet") as copy:  # created with mode 0600
        while block := stream.read(1 << 20):
            copy.write(block)
        copy.flush()
        try:
            table = pq.ParquetFile(copy.name)
            for batch in table.iter_batches(batch_size=10_000):
                for row in batch.to_pylist():
                    yield {key: "" if value is None else str(value) for key, value in row.items()}
        except (pa.ArrowException, OSError) as error:
            raise TypeError(str(error)) from None

"""Whom and what a load did not find: the users and courses that the site does not know, listed in quarantine.

Workers write what a chunk lacked beside its quarantine object. When a load has ended, all of it becomes one report,
each user and each course once, with the lines that wait for it. Ids are personal data: they stand in log storage and
nowhere else; whatever is shown elsewhere is a number.
"""

from __future__ import annotations

import gzip
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.tracking.quarantine import MISSING_ENDING, MISSING_REPORT
from aspects_orchestration.tracking.stores import LogFile, LogStore

_CREATE = "CREATE TABLE missing (kind TEXT, key TEXT, lines INTEGER, PRIMARY KEY (kind, key)) WITHOUT ROWID"
_ADD = "INSERT INTO missing VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET lines = lines + excluded.lines"
_READ = "SELECT kind, key, lines FROM missing ORDER BY kind, key"
_COUNT = "SELECT kind, count(*) FROM missing GROUP BY kind"
_BLOCK_BYTES = 1 << 20
_AT_ONCE = 8


@dataclass(frozen=True)
class MissingKey:
    """One line of the report: `users` or `courses`, the LMS id, username or course key, and the lines that wait."""

    kind: str
    key: str
    lines: int

    def __repr__(self) -> str:
        return f"MissingKey({self.kind!r}, …)"


def write_report(store: LogStore, folder: str, scratch: Path) -> dict[str, int]:
    """Sum up what the chunks of a load lacked, as `missing.jsonl.gz` in the load's folder.

    Args:
        store: of the folder.
        folder: URI of the load's quarantine.
        scratch: a folder for a temporary file (mode 0600), so that any number of users fits.

    Returns:
        Different users and courses, by `users` and `courses`; empty if nothing was missing, and then no report is left.

    Raises:
        LogStoreError: storage refused.
    """
    parts = [file.uri for file in store.list() if file.uri.endswith(MISSING_ENDING)]
    uri = f"{folder}/{MISSING_REPORT}"
    if not parts:
        if store.exists(uri):
            store.delete(uri)
        return {}
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        tempfile.NamedTemporaryFile(dir=scratch, suffix=".missing") as file,  # created with mode 0600
        closing(sqlite3.connect(file.name)) as merged,
    ):
        merged.execute("PRAGMA journal_mode=OFF")
        merged.execute("PRAGMA synchronous=OFF")
        merged.execute(_CREATE)
        with ThreadPoolExecutor(_AT_ONCE) as readers:  # storage answers slowly, but many questions at once
            for some in _portions(parts, _AT_ONCE * 4):
                for found in readers.map(lambda part: orjson.loads(store.get(part)), some):
                    merged.executemany(_ADD, _rows(found))
        store.write(uri, _compressed(merged.execute(_READ)))
        return dict(merged.execute(_COUNT))


def read_report(store: LogStore, file: LogFile) -> Iterator[MissingKey]:
    """The report, a key at a time, in bounded memory.

    Args:
        store: that listed the file.
        file: a `missing.jsonl.gz`.

    Raises:
        LogStoreError: it cannot be read, or is damaged.
    """
    try:
        with closing(store.open(file)) as stream, gzip.open(stream) as lines:
            for line in lines:
                one = orjson.loads(line)
                yield MissingKey(one["kind"], one["key"], one["lines"])
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError, KeyError, TypeError) as error:
        raise LogStoreError(
            f"{file.uri} is no readable report ({type(error).__name__})",
            do="Load the month again, which writes it anew, or with `source: quarantine`.",
        ) from None


def _rows(found: dict[str, dict[str, int]]) -> Iterator[tuple[str, str, int]]:
    return ((kind, key, lines) for kind, keys in found.items() for key, lines in keys.items())


def _portions(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[first : first + size] for first in range(0, len(values), size))


def _compressed(rows: Iterator[tuple[str, str, int]]) -> Iterator[bytes]:
    """The rows as gzip-compressed NDJSON, block by block; equal rows give equal bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    block = b""
    for kind, key, lines in rows:
        block += orjson.dumps({"kind": kind, "key": key, "lines": lines}, option=orjson.OPT_APPEND_NEWLINE)
        if len(block) > _BLOCK_BYTES:
            yield packer.compress(block)
            block = b""
    yield packer.compress(block) + packer.flush()

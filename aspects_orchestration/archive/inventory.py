"""What lies in an archive beside what its manifests say, compared in SQLite on disk: there may be millions of objects."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.tracking.stores import LogFile

_TABLES: Final = (
    "CREATE TABLE listed (name TEXT PRIMARY KEY, day TEXT, uri TEXT, size INTEGER, etag TEXT, modified TEXT) WITHOUT ROWID",
    "CREATE TABLE sealed (name TEXT PRIMARY KEY, day TEXT, size INTEGER, sha256 TEXT) WITHOUT ROWID",
    "CREATE TABLE manifests (day TEXT PRIMARY KEY, is_whole INTEGER) WITHOUT ROWID",
)
_BESIDE: Final = (
    "SELECT name, sealed.day, sealed.size, sha256, uri, listed.size, etag, modified"
    " FROM sealed JOIN listed USING (name)"
)


@dataclass(frozen=True)
class Expected:
    """A stored object beside what its manifest says of it."""

    name: str
    day: date
    size: int
    sha256: str
    file: LogFile


class Inventory:
    """Both lists of one verification; kept in a temporary file that goes with it."""

    def __init__(self) -> None:
        # Without a name: SQLite keeps it in a file of its own only once it outgrows its cache, and removes it by itself.
        self._tables = sqlite3.connect("", isolation_level=None)
        for table in _TABLES:
            self._tables.execute(table)

    def close(self) -> None:
        """Forget everything."""
        self._tables.close()

    def list_objects(self, files: Iterable[tuple[str, date | None, LogFile]]) -> None:
        """Note what lies there: name below the archive, the day whose folder it is in, and the file."""
        with self._transaction():
            self._tables.executemany(
                "INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (name, day and day.isoformat(), one.uri, one.size, one.etag, one.modified.isoformat())
                    for name, day, one in files
                ),
            )

    def seal(self, day: date, objects: Iterable[ArchivedObject] | None) -> None:
        """Note a day's manifest and its objects; all or, if reading them raises, nothing. None: it cannot be believed."""
        with self._transaction():
            self._tables.executemany(
                "INSERT OR REPLACE INTO sealed VALUES (?, ?, ?, ?)",
                ((one.object, day.isoformat(), one.stored_bytes, one.stored_sha256) for one in objects or ()),
            )
            self._tables.execute(
                "INSERT OR REPLACE INTO manifests VALUES (?, ?)", (day.isoformat(), objects is not None)
            )

    def missing(self) -> Iterator[tuple[str, date]]:
        """Objects that a manifest lists and that are not there."""
        yield from self._named(
            "SELECT name, sealed.day FROM sealed LEFT JOIN listed USING (name) WHERE listed.name IS NULL ORDER BY name"
        )

    def extra(self) -> Iterator[tuple[str, date]]:
        """Files in the folder of a day whose manifest is whole and does not list them."""
        yield from self._named(
            "SELECT name, listed.day FROM listed LEFT JOIN sealed USING (name) JOIN manifests ON listed.day = manifests.day"
            " WHERE sealed.name IS NULL AND is_whole ORDER BY name"
        )

    def strangers(self) -> Iterator[str]:
        """Files in no day's folder."""
        for (name,) in self._tables.execute("SELECT name FROM listed WHERE day IS NULL ORDER BY name"):
            yield name

    def without_manifest(self) -> Iterator[tuple[date, int]]:
        """Days that have objects and no manifest, with the number of objects."""
        for day, count in self._tables.execute(
            "SELECT day, count(*) FROM listed WHERE day NOT IN (SELECT day FROM manifests) GROUP BY day ORDER BY day"
        ):
            yield date.fromisoformat(day), count

    def of_another_size(self) -> Iterator[Expected]:
        """Objects whose size is not that of their manifest."""
        yield from self._expected(f"{_BESIDE} WHERE listed.size <> sealed.size ORDER BY name")

    def of_right_size(self, chosen: Callable[[str], bool]) -> Iterator[Expected]:
        """Objects whose size is right, of which `chosen` says by name which are wanted."""
        self._tables.create_function("chosen", 1, chosen, deterministic=True)
        yield from self._expected(f"{_BESIDE} WHERE listed.size = sealed.size AND chosen(name) ORDER BY name")

    def with_hash(self, sha256: str, *, but: str) -> str | None:
        """Name of another object that should have this hash; None if there is none."""
        row = self._tables.execute(
            "SELECT name FROM sealed WHERE sha256 = ? AND name <> ? LIMIT 1", (sha256, but)
        ).fetchone()
        return row and str(row[0])

    def names(self) -> Iterator[str]:
        """Names of the objects that manifests list and that are there."""
        for (name,) in self._tables.execute("SELECT name FROM sealed JOIN listed USING (name)"):
            yield name

    def _expected(self, sql: str) -> Iterator[Expected]:
        for name, day, size, sha256, uri, found, etag, modified in self._tables.execute(sql):
            file = LogFile(uri, found, etag, datetime.fromisoformat(modified))
            yield Expected(name, date.fromisoformat(day), size, sha256, file)

    def _named(self, sql: str) -> Iterator[tuple[str, date]]:
        for name, day in self._tables.execute(sql):
            yield name, date.fromisoformat(day)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._tables)


class _Transaction:
    def __init__(self, tables: sqlite3.Connection) -> None:
        self._tables = tables

    def __enter__(self) -> None:
        self._tables.execute("BEGIN")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._tables.execute("ROLLBACK" if kind else "COMMIT")

"""What is sealed, looked up fast: an index over all manifests, in SQLite on this machine.

Manifests never change once they are sealed, so each is read once. The index is a cache: thrown away, it is made again from
the manifests, and where an archive's manifests do not fit what it knows, it says so instead of believing either.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from aspects_orchestration.archive.layout import MANIFESTS, manifest_day, manifest_name
from aspects_orchestration.archive.manifest import ArchivedObject, Head, Link, ManifestError, ManifestReader
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store

ARCHIVE_SETTING: Final = "ASPECTS_TRACKING_LOG_ARCHIVE"
#: Raised whenever the tables below change: an index of another version is made anew.
_VERSION: Final = 3
_TABLES: Final = """
CREATE TABLE manifests (
    day TEXT PRIMARY KEY, sha256 TEXT NOT NULL, etag TEXT NOT NULL, previous TEXT, sealed_at TEXT NOT NULL,
    sealed_by TEXT NOT NULL, objects INTEGER NOT NULL, raw_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,
    lines INTEGER NOT NULL, newest_line TEXT
) WITHOUT ROWID;
CREATE TABLE objects (
    day TEXT NOT NULL, object TEXT PRIMARY KEY, source TEXT NOT NULL, source_etag TEXT NOT NULL,
    source_name TEXT NOT NULL, source_bytes INTEGER NOT NULL, line TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX objects_source ON objects (source, source_etag);
CREATE INDEX objects_source_name ON objects (source_name, source);
CREATE INDEX objects_source_bytes ON objects (source_bytes, source);
CREATE INDEX objects_day ON objects (day);
CREATE TABLE months (month TEXT NOT NULL, object TEXT NOT NULL, PRIMARY KEY (month, object)) WITHOUT ROWID;
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Objects with undated lines may hold events of any month; so may those that are archived as they are because they cannot
#: be decompressed to their end.
_ANY_MONTH: Final = ""


@dataclass(frozen=True)
class SealedDay:
    """A day that is sealed.

    Attributes:
        day: which (UTC).
        sha256: the hash that its manifest carries.
        previous: the day of the manifest before; None for the archive's first.
        sealed_at, sealed_by: when (UTC), and by which run.
        objects, raw_bytes, stored_bytes, lines: sums over its objects.
        newest_line: the latest event of it (UTC). An event that claims to be later than its file counts as of when the
            file was last written. None if the day has no event.
    """

    day: date
    sha256: str
    previous: date | None
    sealed_at: datetime = _EPOCH
    sealed_by: str = ""
    objects: int = 0
    raw_bytes: int = 0
    stored_bytes: int = 0
    lines: int = 0
    newest_line: datetime | None = None


class ArchiveIndex:
    """The manifests of one archive, indexed.

    Args:
        archive: URI prefix of the archive.
        folder: where to keep the index (below ASPECTS_HOME).
        s3: how to reach S3.
    """

    def __init__(self, archive: str, folder: Path, *, s3: S3Options) -> None:
        self._archive = archive.rstrip("/")
        self._store = open_store(self._archive, s3=s3, setting=ARCHIVE_SETTING)
        self._folder = open_store(f"{self._archive}/{MANIFESTS}", s3=s3, setting=ARCHIVE_SETTING)
        name = hashlib.sha256(self._archive.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / f"archive-{name}-v{_VERSION}.sqlite"

    @property
    def archive(self) -> str:
        """URI prefix of the archive, without a slash at its end."""
        return self._archive

    def update(self) -> list[SealedDay]:
        """Read the manifests that are new, and check that each names the one before by its hash.

        Returns:
            All sealed days, the oldest first; empty where nothing was ever archived.

        Raises:
            ManifestError: a manifest is damaged, missing, changed since it was read, or does not follow from the one before.
            LogStoreError: the archive cannot be listed or read.
        """
        listed = {day: file for file in self._manifests() if (day := manifest_day(file.uri)) is not None}
        with self._connected() as index:
            known = dict(index.execute("SELECT day, etag FROM manifests"))
            gone = sorted(set(known) - {day.isoformat() for day in listed})
            if gone:
                raise ManifestError(
                    f"{self._archive}/{MANIFESTS} has no manifest of {gone[0]} any more"
                    + (f" (nor of {len(gone) - 1} other days)" if gone[1:] else ""),
                    do="Bring it back (an older version of the object, or a replica of the archive). If the archive was"
                    f" emptied on purpose, remove {self._path}.",
                )
            for day in sorted(listed):
                if known.get(day.isoformat()) != listed[day].etag:
                    self._read(index, day, listed[day])
            return [
                _sealed_day(row)
                for row in index.execute(
                    "SELECT day, sha256, previous, sealed_at, sealed_by, objects, raw_bytes, stored_bytes, lines,"
                    " newest_line FROM manifests ORDER BY day"
                )
            ]

    def remembered(self) -> dict[date, str]:
        """Hashes of the manifests that were read until now, by day; the archive itself is not looked at."""
        with closing(self._connect()) as index:
            return {
                date.fromisoformat(day): str(sha)
                for day, sha in index.execute("SELECT day, sha256 FROM manifests")
            }

    def of_sources(self, uris: Sequence[str]) -> dict[str, list[ArchivedObject]]:
        """What is sealed of some source files, by URI: the objects of each, oldest first."""
        found: dict[str, list[ArchivedObject]] = {}
        with self._connected() as index:
            for uri in uris:
                rows = index.execute(
                    "SELECT line FROM objects WHERE source = ? ORDER BY day, object", (uri,)
                ).fetchall()
                if rows:
                    found[uri] = [ArchivedObject.from_json(orjson.loads(line)) for (line,) in rows]
        return found

    def sealed_as_they_are(self, files: Sequence[LogFile]) -> set[str]:
        """Which of some source files are sealed in the very version that was listed; their URIs."""
        with self._connected() as index:
            return {
                file.uri
                for file in files
                if index.execute(
                    "SELECT 1 FROM objects WHERE source = ? AND source_etag = ? LIMIT 1",
                    (file.uri, file.etag),
                ).fetchone()
            }

    def sources_like(self, file: LogFile, most: int) -> list[str]:
        """Sources that may be a file under another URI: all of its size, and, where there are few, those of its name.

        Args:
            file: a log.
            most: so many of the name are few.
        """
        by_size = "SELECT DISTINCT source FROM objects WHERE source_bytes = ? AND source <> ?"
        by_name = "SELECT DISTINCT source FROM objects WHERE source_name = ? AND source <> ? LIMIT ?"
        with self._connected() as index:
            found = {source for (source,) in index.execute(by_size, (file.size, file.uri))}
            named = {source for (source,) in index.execute(by_name, (_name(file.uri), file.uri, most + 1))}
        return sorted(found | (named if len(named) <= most else set()))

    def sources_of(self, objects: Sequence[str]) -> dict[str, str]:
        """The URI of the source of each of some objects, by the object's name; those that are not sealed are left out."""
        found = {}
        with self._connected() as index:
            for one in objects:
                row = index.execute("SELECT source FROM objects WHERE object = ?", (one,)).fetchone()
                if row:
                    found[one] = str(row[0])
        return found

    def of_month(self, month: str) -> Iterator[ArchivedObject]:
        """The objects that hold lines of a month (such as 2024-05), or may: with lines without a time, or verbatim."""
        yield from self._select(
            "SELECT line FROM objects JOIN (SELECT DISTINCT object FROM months WHERE month IN (?, ?)) USING (object)"
            " ORDER BY object",
            (month, _ANY_MONTH),
        )

    def of_day(self, day: date) -> Iterator[ArchivedObject]:
        """The objects that were sealed with a day."""
        yield from self._select("SELECT line FROM objects WHERE day = ? ORDER BY object", (day.isoformat(),))

    def all(self) -> Iterator[ArchivedObject]:
        """Every object, by name."""
        yield from self._select("SELECT line FROM objects ORDER BY object", ())

    def raw_bytes(self) -> int:
        """Bytes of all objects, decompressed."""
        with closing(self._connect()) as index:
            (found,) = index.execute("SELECT sum(json_extract(line, '$.raw_bytes')) FROM objects").fetchone()
            return int(found or 0)

    def months(self) -> list[str]:
        """The months of which there are lines, the oldest first."""
        with self._connected() as index:
            rows = index.execute(
                "SELECT DISTINCT month FROM months WHERE month <> ? ORDER BY month", (_ANY_MONTH,)
            )
            return [month for (month,) in rows]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._connect()) as index:
                yield index
        except sqlite3.DatabaseError as error:
            raise LogStoreError(
                f"the index of the archive, {self._path}, cannot be used: {error}",
                do="Look at the space of its disk; or remove it: it is made again from the manifests.",
            ) from None

    def _connect(self) -> sqlite3.Connection:
        index = sqlite3.connect(self._path, timeout=60)
        if index.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            with index:
                # Two at once: the second waits here, and finds the tables made.
                index.execute("BEGIN IMMEDIATE")
                if index.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                    for statement in _TABLES.split(";"):
                        index.execute(statement)
        return index

    def _select(self, sql: str, values: tuple[str, ...]) -> Iterator[ArchivedObject]:
        with self._connected() as index:
            for (line,) in index.execute(sql, values):
                yield ArchivedObject.from_json(orjson.loads(line))

    def _manifests(self) -> Iterator[LogFile]:
        if not self._store.uri.startswith("s3://") and not self._store.exists(f"{self._archive}/{MANIFESTS}"):
            return
        yield from self._folder.list()

    def _read(self, index: sqlite3.Connection, day: date, file: LogFile) -> None:
        known = index.execute("SELECT sha256 FROM manifests WHERE day = ?", (day.isoformat(),)).fetchone()
        with self._store.open(file) as stream:
            reader = ManifestReader(stream, file.uri)
            self._check_link(index, day, reader.head, file.uri)
            # One transaction a manifest: a kill leaves it wholly in the index, or not at all.
            with index:
                index.execute(
                    "DELETE FROM months WHERE object IN (SELECT object FROM objects WHERE day = ?)",
                    (day.isoformat(),),
                )
                index.execute("DELETE FROM objects WHERE day = ?", (day.isoformat(),))
                newest: datetime | None = None
                for one in reader:
                    if one.last_event is not None:
                        line_at = min(one.last_event, one.source_modified)
                        newest = line_at if newest is None else max(newest, line_at)
                    line = orjson.dumps(one.as_json(), option=orjson.OPT_UTC_Z).decode()
                    try:
                        index.execute(
                            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)",
                            (
                                day.isoformat(),
                                one.object,
                                one.source,
                                one.source_etag,
                                _name(one.source),
                                one.source_bytes,
                                line,
                            ),
                        )
                    except sqlite3.IntegrityError:
                        raise ManifestError(
                            f"{file.uri} lists {one.object}, which another day has",
                            do="Bring back the manifest that was sealed (an older version of it, or a replica).",
                        ) from None
                    held = [*one.months, *([_ANY_MONTH] if one.undated or one.verbatim else [])]
                    index.executemany(
                        "INSERT INTO months VALUES (?, ?)", [(month, one.object) for month in held]
                    )
                sha = reader.totals.sha256
                if known is not None and known[0] != sha:
                    raise ManifestError(
                        f"{file.uri} is not the manifest that was sealed: its hash is {sha}, not {known[0]}",
                        do="Bring back the one that was sealed (an older version of it, or a replica). If the archive"
                        f" was made anew on purpose, remove {self._path}.",
                    )
                previous, totals = reader.head.previous, reader.totals
                index.execute(
                    "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        day.isoformat(),
                        sha,
                        file.etag,
                        previous.day.isoformat() if previous else None,
                        reader.head.sealed_at.isoformat(),
                        reader.head.sealed_by,
                        totals.objects,
                        totals.raw_bytes,
                        totals.stored_bytes,
                        totals.lines,
                        newest.isoformat() if newest else None,
                    ),
                )

    def _check_link(self, index: sqlite3.Connection, day: date, head: Head, name: str) -> None:
        if head.day != day:
            raise ManifestError(
                f"{name} is the manifest of {head.day}, not of {day}",
                do="Bring back the right one (an older version of the object, or a replica of the archive).",
            )
        row = index.execute(
            "SELECT day, sha256 FROM manifests WHERE day < ? ORDER BY day DESC LIMIT 1", (day.isoformat(),)
        ).fetchone()
        before = Link(date.fromisoformat(row[0]), row[1]) if row else None
        if head.previous != before:
            raise ManifestError(
                f"{name} follows {_shown(head.previous)}, but what stands before it is {_shown(before)}",
                do=f"`python -m aspects_orchestration.jobs.archive verify` says which manifests are missing or changed; the"
                f" one to bring back is {manifest_name(head.previous.day) if head.previous else manifest_name(day)}.",
            )


def _name(uri: str) -> str:
    """The last part of a source's URI: it stays when a folder is moved, or mounted elsewhere."""
    return uri.rpartition("/")[2]


def _sealed_day(row: tuple[Any, ...]) -> SealedDay:
    day, sha, previous, sealed_at, sealed_by, objects, raw, stored, lines, newest = row
    return SealedDay(
        date.fromisoformat(day),
        sha,
        date.fromisoformat(previous) if previous else None,
        datetime.fromisoformat(sealed_at),
        sealed_by,
        objects,
        raw,
        stored,
        lines,
        datetime.fromisoformat(newest) if newest else None,
    )


def _shown(link: Link | None) -> str:
    return "nothing" if link is None else f"{link.day} ({link.sha256[:12]}…)"

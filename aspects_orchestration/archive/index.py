"""What is sealed, looked up fast: an index over all manifests, in SQLite on this machine.

Manifests never change once they are sealed, so each is read once. The index is a cache: thrown away, it is made again from
the manifests, and where an archive's manifests do not fit what it knows, it says so instead of believing either.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import orjson

from aspects_orchestration.archive.layout import MANIFESTS, manifest_day, manifest_name
from aspects_orchestration.archive.manifest import ArchivedObject, Head, Link, ManifestError, ManifestReader
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store

ARCHIVE_SETTING: Final = "ASPECTS_TRACKING_LOG_ARCHIVE"
#: Raised whenever the tables below change: an index of another version is made anew.
_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE manifests (day TEXT PRIMARY KEY, sha256 TEXT NOT NULL, etag TEXT NOT NULL, previous TEXT) WITHOUT ROWID;
CREATE TABLE objects (day TEXT NOT NULL, object TEXT PRIMARY KEY, source TEXT NOT NULL, line TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX objects_source ON objects (source);
CREATE INDEX objects_day ON objects (day);
CREATE TABLE months (month TEXT NOT NULL, object TEXT NOT NULL, PRIMARY KEY (month, object)) WITHOUT ROWID;
"""
#: Objects with undated lines may hold events of any month.
_ANY_MONTH: Final = ""


@dataclass(frozen=True)
class SealedDay:
    """A day that is sealed: its manifest's hash, and the link to the one before."""

    day: date
    sha256: str
    previous: date | None


class ArchiveIndex:
    """The manifests of one archive, indexed.

    Args:
        archive: URI prefix of the archive.
        folder: where to keep the index (below ASPECTS_HOME).
        s3: how to reach S3.
    """

    def __init__(self, archive: str, folder: Path, *, s3: S3Options) -> None:
        self._archive = archive.rstrip("/")
        self._s3 = s3
        self._store = open_store(self._archive, s3=s3, setting=ARCHIVE_SETTING)
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
        with closing(self._connect()) as index:
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
                SealedDay(date.fromisoformat(day), sha, date.fromisoformat(previous) if previous else None)
                for day, sha, previous in index.execute(
                    "SELECT day, sha256, previous FROM manifests ORDER BY day"
                )
            ]

    def of_sources(self, uris: Sequence[str]) -> dict[str, list[ArchivedObject]]:
        """What is sealed of some source files, by URI: the objects of each, oldest first."""
        found: dict[str, list[ArchivedObject]] = {}
        with closing(self._connect()) as index:
            for uri in uris:
                rows = index.execute(
                    "SELECT line FROM objects WHERE source = ? ORDER BY day, object", (uri,)
                ).fetchall()
                if rows:
                    found[uri] = [ArchivedObject.from_json(orjson.loads(line)) for (line,) in rows]
        return found

    def of_month(self, month: str) -> Iterator[ArchivedObject]:
        """The objects that hold lines of a month (such as 2024-05), or lines without a time."""
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
        with closing(self._connect()) as index:
            rows = index.execute(
                "SELECT DISTINCT month FROM months WHERE month <> ? ORDER BY month", (_ANY_MONTH,)
            )
            return [month for (month,) in rows]

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
        with closing(self._connect()) as index:
            for (line,) in index.execute(sql, values):
                yield ArchivedObject.from_json(orjson.loads(line))

    def _manifests(self) -> Iterator[LogFile]:
        if not self._store.uri.startswith("s3://") and not self._store.exists(f"{self._archive}/{MANIFESTS}"):
            return
        folder = open_store(f"{self._archive}/{MANIFESTS}", s3=self._s3, setting=ARCHIVE_SETTING)
        yield from folder.list()

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
                for one in reader:
                    line = orjson.dumps(one.as_json(), option=orjson.OPT_UTC_Z).decode()
                    index.execute(
                        "INSERT INTO objects VALUES (?, ?, ?, ?)",
                        (day.isoformat(), one.object, one.source, line),
                    )
                    held = [*one.months, *([_ANY_MONTH] if one.undated else [])]
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
                previous = reader.head.previous
                index.execute(
                    "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?)",
                    (day.isoformat(), sha, file.etag, previous.day.isoformat() if previous else None),
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


def _shown(link: Link | None) -> str:
    return "nothing" if link is None else f"{link.day} ({link.sha256[:12]}…)"

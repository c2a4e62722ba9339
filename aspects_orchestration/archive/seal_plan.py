"""What a seal is going to do, and what of it is done: in a temporary database, for there may be 100,000 files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self

import orjson

from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.tracking.stores import LogFile, LogStore

_TABLES: Final = """
CREATE TABLE planned (
    day TEXT NOT NULL, uri TEXT NOT NULL, store INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified TEXT NOT NULL, PRIMARY KEY (day, uri)
) WITHOUT ROWID;
CREATE TABLE done (
    day TEXT NOT NULL, object TEXT NOT NULL, source TEXT NOT NULL, etag TEXT NOT NULL, line TEXT NOT NULL,
    PRIMARY KEY (day, object)
) WITHOUT ROWID;
CREATE INDEX done_source ON done (source, etag);
"""
_BATCH: Final = 2_000
_SHOWN: Final = 20
#: A clock may be wrong by so much; a file that claims to be written later says nothing about when it was.
_FUTURE: Final = timedelta(hours=24)


@dataclass(frozen=True)
class PlannedFile:
    """A source file, and its store."""

    store: LogStore
    file: LogFile


@dataclass(frozen=True)
class LeftOut:
    """A closed file that could not be archived, and why; may be shown."""

    uri: str
    why: str


@dataclass(frozen=True)
class PlannedDay:
    """What is to be archived with one day.

    Attributes:
        day: which.
        files, stored_bytes: to archive, as they are stored.
        supplements: how many of them belong to earlier days.
        first: names of the first of them.
    """

    day: date
    files: int
    stored_bytes: int
    supplements: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class SealPlan:
    """What a seal of a day is going to do.

    Attributes:
        days: to seal, the oldest first.
        later: files that were last written after the last of these days.
        sealed: files that are in the archive as they are.
        from_the_future: files whose last write is said to be more than a day ahead of now, so that no day is theirs.
    """

    days: tuple[PlannedDay, ...]
    later: int
    sealed: int
    from_the_future: tuple[str, ...]

    @property
    def files(self) -> int:
        """Files to archive."""
        return sum(one.files for one in self.days)

    def described(self) -> Iterator[str]:
        """The plan in sentences."""
        for one in self.days:
            if one.files or len(self.days) <= _SHOWN:
                yield (
                    f"{one.day}: {one.files:,} files to archive, {one.stored_bytes / 1e6:,.1f} MB as stored,"
                    f" {one.supplements:,} of them of earlier days"
                )
        yield f"{self.sealed:,} files are in the archive as they are, {self.later:,} were written later"
        if self.from_the_future:
            yield (
                f"{len(self.from_the_future)} files claim to be written in the future, such as {self.from_the_future[0]}:"
                " no day takes them. Set their times right (`touch`), or the clock of their machine"
            )


class SealWork:
    """The plan's files, and the objects that are done. Use it as a context manager."""

    def __init__(self) -> None:
        self._stores: list[LogStore] = []
        # No name: SQLite keeps it in memory while it is small, and in a file that nobody sees when it is not.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def plan(
        self,
        first: date,
        last: date,
        files: Iterable[tuple[LogStore, LogFile]],
        *,
        sealed: Callable[[Sequence[LogFile]], set[str]],
        now: datetime,
    ) -> SealPlan:
        """Divide the files that are not sealed among the days to seal.

        Args:
            first, last: the days, both included; files of earlier days come with the first.
            files: all of the site's, and their stores.
            sealed: says which of some files are sealed as they are.
            now: the time, with zone.
        """
        end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
        later = known = 0
        future: list[str] = []
        batch: list[tuple[LogStore, LogFile]] = []

        def take() -> None:
            nonlocal known
            there = sealed([file for _, file in batch])
            known += len(there)
            rows = [
                (
                    self._day(file, first),
                    file.uri,
                    self._number(store),
                    file.size,
                    file.etag,
                    file.modified.isoformat(),
                )
                for store, file in batch
                if file.uri not in there
            ]
            self._database.executemany("INSERT OR REPLACE INTO planned VALUES (?, ?, ?, ?, ?, ?)", rows)
            batch.clear()

        self._database.execute("BEGIN")
        for store, file in files:
            if file.modified < end:
                batch.append((store, file))
            elif file.modified > now + _FUTURE:
                future.append(file.uri)
            else:
                later += 1
            if len(batch) == _BATCH:
                take()
        take()
        self._database.execute("COMMIT")
        days = tuple(self._planned_day(first + timedelta(days=n)) for n in range((last - first).days + 1))
        return SealPlan(days, later, known, tuple(future[:_BATCH]))

    def to_do(self, day: date) -> Iterator[PlannedFile]:
        """The planned files of a day of which nothing was done yet, in the order of their names."""
        after = ""
        while True:
            rows = self._database.execute(
                "SELECT uri, store, size, etag, modified FROM planned WHERE day = ? AND uri > ? AND NOT EXISTS"
                " (SELECT 1 FROM done WHERE source = uri AND done.etag = planned.etag) ORDER BY uri LIMIT ?",
                (day.isoformat(), after, _BATCH),
            ).fetchall()
            for uri, store, size, etag, modified in rows:
                after = uri
                yield PlannedFile(
                    self._stores[store], LogFile(uri, size, etag, datetime.fromisoformat(modified))
                )
            if len(rows) < _BATCH:
                return

    def remember(self, day: date, done: Iterable[ArchivedObject]) -> None:
        """Objects that are in the archive, and were read back."""
        self._database.executemany(
            "INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?)",
            [
                (
                    day.isoformat(),
                    one.object,
                    one.source,
                    one.source_etag,
                    orjson.dumps(one.as_json()).decode(),
                )
                for one in done
            ],
        )

    def done(self, day: date) -> Iterator[ArchivedObject]:
        """The objects of a day, by name."""
        rows = self._database.execute(
            "SELECT line FROM done WHERE day = ? ORDER BY object", (day.isoformat(),)
        )
        for (line,) in rows:
            yield ArchivedObject.from_json(orjson.loads(line))

    def done_of(self, uri: str) -> list[ArchivedObject]:
        """The objects of a source file, the oldest version first."""
        rows = self._database.execute("SELECT line FROM done WHERE source = ?", (uri,)).fetchall()
        found = [ArchivedObject.from_json(orjson.loads(line)) for (line,) in rows]
        return sorted(found, key=lambda one: (one.source_modified, one.raw_offset))

    def done_objects(self, day: date) -> int:
        """How many objects a day has."""
        (count,) = self._database.execute(
            "SELECT count(*) FROM done WHERE day = ?", (day.isoformat(),)
        ).fetchone()
        return int(count)

    def move_on(self, day: date, rest: Iterable[ArchivedObject]) -> None:
        """Of a day that another run has sealed: let its rest come with the next day, and forget what was done of it."""
        following = (day + timedelta(days=1)).isoformat()
        self._database.executemany(
            "UPDATE OR REPLACE planned SET day = ? WHERE day = ? AND uri = ?",
            [(following, day.isoformat(), one.source) for one in list(rest)],
        )
        self._database.execute("DELETE FROM done WHERE day = ?", (day.isoformat(),))

    def _planned_day(self, day: date) -> PlannedDay:
        key = day.isoformat()
        files, size, supplements = self._database.execute(
            "SELECT count(*), coalesce(sum(size), 0), count(*) FILTER (WHERE modified < ?) FROM planned WHERE day = ?",
            (key, key),
        ).fetchone()
        names = self._database.execute(
            "SELECT uri FROM planned WHERE day = ? ORDER BY uri LIMIT ?", (key, _SHOWN)
        ).fetchall()
        return PlannedDay(day, files, size, supplements, tuple(uri for (uri,) in names))

    def _day(self, file: LogFile, first: date) -> str:
        return max(file.modified.astimezone(UTC).date(), first).isoformat()

    def _number(self, store: LogStore) -> int:
        for number, known in enumerate(self._stores):
            if known is store:
                return number
        self._stores.append(store)
        return len(self._stores) - 1

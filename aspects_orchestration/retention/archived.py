"""The site's archive as retention asks it: is all that the logs hold of a month sealed?

What a month's rows came from must be in the archive before they may go: at least one line of the month is sealed, the
archive reaches beyond the month, and no log file that stands there now, the live one included, holds an event of the month
without being sealed as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from aspects_orchestration.archive.index import ARCHIVE_SETTING, ArchiveIndex, SealedDay
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.recompress import DamagedSourceError, Recompressed
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.archive.sources import log_files
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.retention.sealed import Sealed
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.catalog import Known
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store
from aspects_orchestration.window import Window, month_window

#: What the catalog knows of some files, for one window.
Lookup = Callable[[Sequence[str], Window], Mapping[str, Known]]

#: More files than this without a seal are no matter of a live log: the archive has to be brought up to date.
_MOST_UNSEALED: Final = 10_000
#: Files that the catalog does not know are read to learn their months, up to so many bytes in one look.
_MOST_READ_BYTES: Final = 1024**3
#: A file may be last written so long before a month by a clock that is wrong.
_CLOCKS: Final = timedelta(days=1)
_BATCH: Final = 2_000


class ArchivedMonths:
    """Answers from the archive's manifests, the logs that are listed, and the catalog.

    Args:
        settings: of the site.
        s3: how to reach S3.
        lookup: the catalog.
        thorough: also list the month's objects, and compare their sizes with the manifests.
    """

    def __init__(self, settings: Settings, *, s3: S3Options, lookup: Lookup, thorough: bool = False) -> None:
        self._settings = settings
        self._s3 = s3
        self._lookup = lookup
        self._thorough = thorough
        self._looked: tuple[list[SealedDay], list[tuple[LogStore, LogFile]]] | None = None
        self._index: ArchiveIndex | None = None
        self._read: dict[str, frozenset[str]] = {}
        self._read_bytes = 0

    def sealed(self, month: str) -> Sealed:
        """The answer for a month's key; where storage fails or the archive is not whole, the month is not sealed."""
        try:
            why = self._why_not(month)
        except AspectsError as error:
            why = str(error)
        return Sealed(not why, f"the logs of {month} are not sealed: {why}" if why else "")

    def _why_not(self, month: str) -> str:
        if self._looked is None:
            self._looked = self._look()
        days, unsealed = self._looked
        window = month_window(month)
        if not days:
            return f"there is no archive yet below {self._settings.archive_uri}"
        newest = days[-1].day
        if _end_of(newest) < window.end:
            return f"the archive reaches to {newest} only; job archive_tracking_logs seals the days since"
        if len(unsealed) > _MOST_UNSEALED:
            return f"more than {_MOST_UNSEALED:,} log files are not in the archive; materialize tracking_log_archive"
        index = self._index or index_of(self._settings, s3=self._s3)
        if not any(month in one.months for one in index.of_month(month)):
            return "the archive holds no line of it"
        return self._without_seal(month, window, unsealed) or (
            self._missing(index, month) if self._thorough else ""
        )

    def _look(self) -> tuple[list[SealedDay], list[tuple[LogStore, LogFile]]]:
        self._index = index_of(self._settings, s3=self._s3)
        days = self._index.update()
        unsealed: list[tuple[LogStore, LogFile]] = []
        if not days:
            return days, unsealed
        batch: list[tuple[LogStore, LogFile]] = []
        for one in log_files(self._settings, s3=self._s3):
            batch.append(one)
            if len(batch) == _BATCH:
                unsealed += self._unsealed(batch)
                batch = []
            if len(unsealed) > _MOST_UNSEALED:
                return days, unsealed
        return days, unsealed + self._unsealed(batch)

    def _unsealed(self, batch: list[tuple[LogStore, LogFile]]) -> list[tuple[LogStore, LogFile]]:
        assert self._index is not None  # noqa: S101 - set where this is called
        there = self._index.sealed_as_they_are([file for _, file in batch])
        return [one for one in batch if one[1].uri not in there]

    def _without_seal(self, month: str, window: Window, unsealed: Sequence[tuple[LogStore, LogFile]]) -> str:
        """Say which files hold events of the month, or may do so, and are not sealed as they are."""
        asked = [one for one in unsealed if one[1].modified >= window.start - _CLOCKS]
        found: list[str] = []
        for first in range(0, len(asked), _BATCH):
            batch = asked[first : first + _BATCH]
            known = self._lookup([file.uri for _, file in batch], window)
            for store, file in batch:
                answer = known.get(file.uri)
                if answer is not None and answer.etag == file.etag:
                    touches = answer.touches
                else:
                    months = self._months_of(store, file)
                    if months is None:
                        return (
                            f"of {file.uri} and others, which are not sealed, nobody knows which months they hold; job"
                            " observe_tracking_logs finds out"
                        )
                    touches = month in months
                if touches:
                    found.append(file.uri)
        if not found:
            return ""
        return f"{found[0]}{f' and {len(found) - 1} other files' if found[1:] else ''} hold events of it"

    def _months_of(self, store: LogStore, file: LogFile) -> frozenset[str] | None:
        """The months of a file's events, by reading it; None if too much was read already."""
        key = f"{file.uri}\n{file.etag}"
        if key not in self._read:
            self._read_bytes += file.size
            if self._read_bytes > _MOST_READ_BYTES:
                return None
            made = Recompressed(lambda: store.open(file), level=1)
            try:
                for _ in made:
                    pass
            except DamagedSourceError:
                return None
            self._read[key] = frozenset(made.content.months)
        return self._read[key]

    def _missing(self, index: ArchiveIndex, month: str) -> str:
        """Say which objects of the month are not there, or have not the size that was sealed."""
        by_folder: dict[str, dict[str, int]] = {}
        for one in index.of_month(month):
            _note(by_folder, one)
        for folder, wanted in by_folder.items():
            store = open_store(f"{index.archive}/{folder}", s3=self._s3, setting=ARCHIVE_SETTING)
            there = {file.uri.rpartition("/")[2]: file.size for file in store.list()}
            for name, size in wanted.items():
                if there.get(name) != size:
                    return f"{folder}/{name} is missing in the archive, or is not what was sealed; run verify_archive"
        return ""


def _note(by_folder: dict[str, dict[str, int]], one: ArchivedObject) -> None:
    folder, _, name = one.object.rpartition("/")
    by_folder.setdefault(folder, {})[name] = one.stored_bytes


def _end_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)

"""One source file into one object of the archive: recompressed, created, read back, and only then counted."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import BinaryIO, Final, Literal

from aspects_orchestration.archive.layout import Compression, object_name
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.recompress import (
    Content,
    DamagedSourceError,
    Recompressed,
    prefix_sha256,
    raw_sha256_of,
)
from aspects_orchestration.errors import AspectsError, LogStoreError
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import LogFile, LogStore, Protection

_BLOCK_BYTES: Final = 256 * 1024
#: An object that was written whole and is read back otherwise was read wrongly, or damaged: it is read again, and then
#: another one is written.
_READINGS: Final = 3
_ATTEMPTS: Final = 3
#: So many damaged objects of one file may stand from earlier runs, which nobody may overwrite.
_NAMES: Final = 100
#: While another archiver is creating the same object, S3 refuses ours and shows none: so often, so many seconds apart.
_WAITS: Final = 20
_WAIT_S: Final = 0.5
_LOCKS: Final[dict[str, Literal["GOVERNANCE", "COMPLIANCE"]]] = {
    "governance": "GOVERNANCE",
    "compliance": "COMPLIANCE",
}


class SourceError(AspectsError):
    """A source file cannot be read to its end, or is not the one that was listed any more."""


class ReadBackError(AspectsError):
    """What was written to the archive is read back as something else."""


@dataclass(frozen=True)
class Archiving:
    """Where and how objects are written.

    Attributes:
        archive: URI prefix of the archive, without a slash at its end.
        store: of the archive.
        compression: of the objects.
        settings: of the site, for the protection.
    """

    archive: str
    store: LogStore
    compression: Compression
    settings: Settings

    def protection(self, now: datetime, *, locked: bool = True) -> Protection:
        """What S3 is asked to do for an object that is created now.

        Args:
            now: the time, with zone.
            locked: False for what is not to be kept.
        """
        settings = self.settings
        lock = _LOCKS.get(settings.archive_object_lock) if locked else None
        until = None
        if lock is not None:
            until = (now + timedelta(days=settings.archive_object_lock_days or 0)).replace(microsecond=0)
        return Protection(lock, until, settings.archive_encryption, settings.archive_kms_key)


def store_object(
    how: Archiving, day: date, source: LogStore, file: LogFile, known: Sequence[ArchivedObject]
) -> ArchivedObject:
    """Archive a source file, or of one that has grown since it was archived what follows.

    Safe to kill, to do again, and to do twice at once: the object's name follows from what is archived, and one that is
    there already is compared, never overwritten.

    Args:
        how: where, and how.
        day: that is sealed.
        source: the file's store.
        file: as listed.
        known: what is archived of earlier versions of it, the oldest first.

    Raises:
        SourceError: the file cannot be read, or has changed since it was listed; nothing was written.
        ReadBackError: the archive gives back something else than was written.
        LogStoreError: the archive cannot be written or read.
    """
    reading = _Source(source, file)
    offset = _grown_from(reading, known)
    try:
        return _stored(how, day, reading, offset, known, verbatim=False)
    except DamagedSourceError:
        return _stored(how, day, reading, 0, known, verbatim=True)


class _Source:
    """A source file; errors of its reading are told from those of the archive."""

    def __init__(self, store: LogStore, file: LogFile) -> None:
        self._store = store
        self.file = file

    def open(self) -> BinaryIO:
        return self._store.open(self.file)

    def stayed(self) -> None:
        """Refuse a file that is not the one that was listed any more; it may have grown."""
        if self.file.size:
            with closing(self.open()) as stream:
                stream.read(1)


def _grown_from(source: _Source, known: Sequence[ArchivedObject]) -> int:
    """From which byte on a file is to be archived: behind what is archived of it already, if it still begins with that."""
    newest = next((one for one in reversed(known) if not one.verbatim), None)
    if newest is None or not newest.covered_bytes:
        return 0
    try:
        found = prefix_sha256(source.open, newest.covered_bytes)
    except LogStoreError as error:
        raise _source_error(error) from None
    return newest.covered_bytes if found == newest.covered_sha256 else 0


def _stored(
    how: Archiving,
    day: date,
    source: _Source,
    offset: int,
    known: Sequence[ArchivedObject],
    *,
    verbatim: bool,
) -> ArchivedObject:
    file = source.file
    waits = attempt = written = 0
    while written < _ATTEMPTS and attempt < _NAMES:
        name = object_name(
            day, file.uri, file.etag, offset, None if verbatim else how.compression, attempt=attempt
        )
        uri = f"{how.archive}/{name}"
        made = Recompressed(source.open, offset=offset, compression=how.compression, verbatim=verbatim)
        chunks = _to_the_end(made, source)
        created = how.store.create(uri, chunks, protection=how.protection(datetime.now(UTC)))
        for _ in chunks:  # where an object is there already, nobody has taken them
            pass
        content = made.content
        found = how.store.find(uri)
        if found is None and not created and waits < _WAITS:
            waits += 1
            time.sleep(_WAIT_S)
            continue
        stored = _read_back(how.store, found, content) if found is not None else None
        if stored is not None:
            return _archived(name, file, offset, content, stored, _supplements(day, file, known))
        attempt += 1
        written += created
    raise ReadBackError(
        f"what was written to {how.archive} for {file.uri} is read back as something else, {_ATTEMPTS} times",
        do="Look at the storage of the archive, and what is between; nothing was sealed. Then run again.",
    )


def _to_the_end(made: Recompressed, source: _Source) -> Iterator[bytes]:
    try:
        yield from made
        source.stayed()
    except LogStoreError as error:
        raise _source_error(error) from None


def _source_error(error: AspectsError) -> SourceError:
    return SourceError(error.what, do=error.do)


@dataclass(frozen=True)
class _Stored:
    size: int
    sha256: str


def _read_back(store: LogStore, found: LogFile, content: Content) -> _Stored | None:
    """What stands in the archive, if it is what was to be written; None if it is something else."""
    stored = None
    for _ in range(_READINGS):
        digest, size = hashlib.sha256(), 0
        with closing(store.open(found)) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
        stored = _Stored(size, digest.hexdigest())
        if stored == _Stored(content.stored_bytes, content.stored_sha256):
            return stored
    if content.verbatim or stored is None:
        return None
    # Another version of the project, or another level of compression, may have written it.
    try:
        raw = raw_sha256_of(lambda: store.open(found))
    except DamagedSourceError:
        return None
    return stored if raw == (content.raw_bytes, content.raw_sha256) else None


def _archived(
    name: str, file: LogFile, offset: int, content: Content, stored: _Stored, supplements: str | None
) -> ArchivedObject:
    return ArchivedObject(
        object=name,
        source=file.uri,
        source_etag=file.etag,
        source_bytes=file.size,
        source_modified=file.modified,
        raw_offset=offset,
        raw_bytes=content.raw_bytes,
        raw_sha256=content.raw_sha256,
        stored_bytes=stored.size,
        stored_sha256=stored.sha256,
        lines=content.lines,
        first_event=content.first_event,
        last_event=content.last_event,
        months=content.months,
        undated=content.undated,
        covered_bytes=content.covered_bytes,
        covered_sha256=content.covered_sha256,
        supplements=supplements,
        verbatim=content.verbatim,
    )


def _supplements(day: date, file: LogFile, known: Sequence[ArchivedObject]) -> str | None:
    """The day to which a file belongs that comes in with a later one."""
    first = min((one.source_modified for one in known), default=file.modified)
    belongs = min(first, file.modified).astimezone(UTC).date()
    return belongs.isoformat() if belongs < day else None

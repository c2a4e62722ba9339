"""Which source files may be released: those of which the archive holds every byte, and that are old enough.

A plan has an id that follows from its files, their versions, and the objects that hold them: a real run does the plan
that was looked at, or nothing. It is kept in SQLite on disk, since a first release may be of 100,000 files.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import orjson

from aspects_orchestration.archive.index import ArchiveIndex
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.sources import log_files
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, local_path

Kept = Literal["unsealed", "changed", "partly", "young", "live"]

#: Why a source file stays.
KEPT: Final[dict[Kept, str]] = {
    "unsealed": "is not in the archive",
    "changed": "has changed since it was archived; its next seal takes what is new",
    "partly": "has grown, and which object holds its beginning is not certain",
    "young": "was written in the last ASPECTS_RELEASE_KEEP_DAYS days",
    "live": "is a live log by its name",
}
#: The name under which an LMS writes by default; on this machine such a file is never released, whatever the settings say.
_LIVE_NAME: Final = "tracking.log"
_LOOKED_UP_AT_ONCE: Final = 500
_EXAMPLES: Final = 10


@dataclass(frozen=True)
class Copy:
    """An object that holds a source file or a part of it: its name below the archive, its stored size and hash."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """One source file that may go.

    Attributes:
        file: as it was listed.
        copies: the objects that hold all of it, the newest first.
    """

    file: LogFile
    copies: tuple[Copy, ...]

    @property
    def line(self) -> bytes:
        """What identifies it in a plan: one line of JSON."""
        return orjson.dumps(
            {
                "source": self.file.uri,
                "etag": self.file.etag,
                "bytes": self.file.size,
                "copies": [[one.name, one.size, one.sha256] for one in self.copies],
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


class ReleasePlan:
    """What a release would do now.

    Attributes:
        keep_days: the newest days whose files stay.
        kept: number and bytes of the files that stay, by reason.
        examples: some of them, by reason.
    """

    def __init__(self, keep_days: int) -> None:
        self.keep_days = keep_days
        self.kept: dict[Kept, tuple[int, int]] = {}
        self.examples: dict[Kept, list[str]] = defaultdict(list)
        self._id = ""
        self._files = sqlite3.connect("", isolation_level=None)
        self._files.execute(
            "CREATE TABLE files (uri TEXT PRIMARY KEY, size INTEGER, etag TEXT, modified TEXT, copies TEXT) WITHOUT ROWID"
        )

    def add(self, one: Release) -> None:
        """Take a file in; before the plan's id is asked for."""
        file, copies = one.file, [[copy.name, copy.size, copy.sha256] for copy in one.copies]
        self._files.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?)",
            (file.uri, file.size, file.etag, file.modified.isoformat(), orjson.dumps(copies).decode()),
        )

    def keep(self, why: Kept, file: LogFile) -> None:
        """Note a file that stays."""
        count, size = self.kept.get(why, (0, 0))
        self.kept[why] = (count + 1, size + file.size)
        if count < _EXAMPLES:
            self.examples[why].append(file.uri)

    def __iter__(self) -> Iterator[Release]:
        """The files that may go, by URI."""
        for uri, size, etag, modified, copies in self._files.execute("SELECT * FROM files ORDER BY uri"):
            yield Release(
                LogFile(uri, size, etag, datetime.fromisoformat(modified)),
                tuple(Copy(*one) for one in orjson.loads(copies)),
            )

    @property
    def id(self) -> str:
        """Follows from all files of the plan; equal plans have equal ids."""
        if not self._id:
            digest = hashlib.sha256()
            for one in self:
                digest.update(one.line)
            self._id = digest.hexdigest()[:12]
        return self._id

    @property
    def files(self) -> int:
        """How many may go."""
        return int(self._files.execute("SELECT count(*) FROM files").fetchone()[0])

    @property
    def bytes(self) -> int:
        """Their size as stored."""
        return int(self._files.execute("SELECT coalesce(sum(size), 0) FROM files").fetchone()[0])

    @property
    def summary(self) -> str:
        """A sentence."""
        stays = "; ".join(
            f"{count:,} stay ({size:,} bytes), each {KEPT[why]}"
            for why, (count, size) in sorted(self.kept.items())
        )
        return (
            f"plan {self.id}: {self.files:,} source files ({self.bytes:,} bytes) are in the archive whole and older than"
            f" {self.keep_days} days" + (f"; {stays}" if stays else "")
        )


def plan_release(
    settings: Settings,
    index: ArchiveIndex,
    *,
    s3: S3Options,
    now: datetime,
    live: Collection[Path] = (),
) -> ReleasePlan:
    """Find what may be released; changes nothing.

    Args:
        settings: of the site.
        index: over its archive.
        s3: how to reach S3.
        now: the time, with zone.
        live: files that a writer may still write to.

    Raises:
        ManifestError: the archive's manifests are not whole; nothing may be released.
        LogStoreError: storage cannot be listed or read.
    """
    index.update()
    plan = ReleasePlan(settings.release_keep_days)
    newest = now - timedelta(days=settings.release_keep_days)
    for several in _batches(log_files(settings, s3=s3, live=live)):
        sealed = index.of_sources([file.uri for _, file in several])
        for _, file in several:
            objects = sealed.get(file.uri, [])
            copies = copies_of(file, objects)
            if _is_live_by_name(file):
                plan.keep("live", file)
            elif file.modified > newest:
                plan.keep("young", file)
            elif not objects:
                plan.keep("unsealed", file)
            elif copies is None:
                plan.keep("changed" if not _versions(file, objects) else "partly", file)
            else:
                plan.add(Release(file, copies))
    return plan


def copies_of(file: LogFile, objects: Sequence[ArchivedObject]) -> tuple[Copy, ...] | None:
    """The objects that together hold a source file from its first byte to its last.

    Args:
        file: as it stands now.
        objects: all that was sealed of its URI.

    Returns:
        The newest first; None if this version of the file was not sealed, or what it begins with cannot be told for certain.
    """
    versions = _versions(file, objects)
    if not versions:
        return None
    needed = [versions[-1]]
    while (offset := needed[-1].raw_offset) > 0:
        # A supplement begins where the whole lines of an earlier object end.
        before = [
            one
            for one in objects
            if one.covered_bytes == offset and one.raw_offset < offset and not one.verbatim
        ]
        if len({one.covered_sha256 for one in before}) != 1:
            return None
        needed.append(min(before, key=lambda one: one.raw_offset))
    return tuple(Copy(one.object, one.stored_bytes, one.stored_sha256) for one in needed)


def _versions(file: LogFile, objects: Sequence[ArchivedObject]) -> list[ArchivedObject]:
    return [one for one in objects if one.source_etag == file.etag and one.source_bytes == file.size]


def _is_live_by_name(file: LogFile) -> bool:
    path = local_path(file.uri)
    return path is not None and path.name == _LIVE_NAME


def _batches(files: Iterable[tuple[LogStore, LogFile]]) -> Iterator[list[tuple[LogStore, LogFile]]]:
    remaining = iter(files)
    while batch := list(islice(remaining, _LOOKED_UP_AT_ONCE)):
        yield batch

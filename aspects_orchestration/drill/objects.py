"""Reading a day's objects back, byte for byte, before anything is replayed from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aspects_orchestration.archive.index import ARCHIVE_SETTING
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.read_back import read_data
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store

_NAMED: Final = 10


class ArchiveDamagedError(AspectsError):
    """Objects of the archive are not what their manifest says."""


@dataclass(frozen=True)
class Stored:
    """A sealed object, and the file that holds it."""

    object: ArchivedObject
    file: LogFile


def read_back(
    archive: str, objects: Sequence[ArchivedObject], *, s3: S3Options, say: Callable[[str], None]
) -> list[Stored]:
    """Find every object in storage and compare its bytes with its manifest.

    Args:
        archive: URI prefix.
        objects: to read, by name.
        s3: how to reach S3.
        say: told of progress.

    Raises:
        ArchiveDamagedError: naming those that are missing, changed or unreadable.
        LogStoreError: the archive cannot be listed.
    """
    files = _listed(archive, {one.object.rpartition("/")[0] for one in objects}, s3)
    found = [(one, files.get(one.object)) for one in objects]
    damaged = [f"{one.object} is missing" for one, file in found if file is None]
    there = [Stored(one, file) for one, file in found if file is not None]
    sealed = {one.file: one.object for one in there}
    for read in read_data(open_store(archive, s3=s3, setting=ARCHIVE_SETTING), list(sealed)):
        one = sealed[read.file]
        if read.error is not None:
            damaged.append(f"{one.object} cannot be read ({read.error.what})")
        elif read.sha256 != one.stored_sha256:
            damaged.append(f"{one.object} has other bytes than were sealed")
    if damaged:
        more = f", and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        raise ArchiveDamagedError(
            f"{len(damaged)} of {len(objects)} objects in {archive} are not what was sealed:"
            f" {'; '.join(sorted(damaged)[:_NAMED])}{more}",
            do="Bring them back (an older version of the object, or a replica of the archive), or seal their source files"
            " again while they exist; the job verify_archive looks at all days.",
        )
    say(f"verified {len(there)} objects, {sum(one.file.size for one in there):,} bytes")
    return there


def _listed(archive: str, folders: Iterable[str], s3: S3Options) -> dict[str, LogFile]:
    files = {}
    for folder in sorted(folders):
        store = open_store(f"{archive}/{folder}", s3=s3, setting=ARCHIVE_SETTING)
        if not store.uri.startswith("s3://") and not store.exists(store.uri):
            continue
        for file in store.list():
            files[f"{folder}/{file.uri.rpartition('/')[2]}"] = file
    return files

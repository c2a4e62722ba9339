"""Reading a day's objects back, byte for byte, before anything is replayed from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from aspects_orchestration.archive.index import ARCHIVE_SETTING
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.errors import AspectsError, LogStoreError
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store

_BLOCK: Final = 1 << 20
#: Hashing lets go of the interpreter, and S3 answers late: a few at once keep both busy.
_THREADS: Final = 4
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
    store = open_store(archive, s3=s3, setting=ARCHIVE_SETTING)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read back") as pool:
        answers = pool.map(lambda one: _fault(store, one), there)
        damaged += [fault for fault in answers if fault is not None]
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


def _fault(store: LogStore, one: Stored) -> str | None:
    if one.file.size != one.object.stored_bytes:
        return f"{one.object.object} has {one.file.size} bytes, not {one.object.stored_bytes}"
    digest = hashlib.sha256()
    try:
        with store.open(one.file) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except LogStoreError as error:
        return f"{one.object.object} cannot be read ({error.what})"
    if digest.hexdigest() != one.object.stored_sha256:
        return f"{one.object.object} has other bytes than were sealed"
    return None

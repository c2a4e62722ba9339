"""Objects of the archive as logs to be read: found where the manifests say, and held against their seal before they are.

What was swapped or damaged since it was sealed must not be loaded as if it were what the site had written.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, Final

from aspects_orchestration.archive.index import ARCHIVE_SETTING
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.recompress import prefixes_sha256
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store
from aspects_orchestration.window import Window

#: What can be wrong with an object.
UNSOUND: Final = ("missing", "changed")

_BLOCK_BYTES: Final = 1024 * 1024
_AT_ONCE: Final = 4
_QUEUED: Final = 256
_NAMED: Final = 5
_TELL_S: Final = 5.0


class UnsoundArchiveError(AspectsError):
    """Objects of the archive are missing, or are not the ones that were sealed."""


@dataclass(frozen=True)
class SealedLog:
    """An object of the archive as a log to be read.

    Attributes:
        file: the object, as listed.
        sha256: of its stored bytes, as its manifest has it.
    """

    file: LogFile
    sha256: str


@dataclass(frozen=True)
class Unsound:
    """An object that cannot be read as what was sealed: its URI, and `missing` or `changed`."""

    uri: str
    kind: str


def holds(one: ArchivedObject, month: str, window: Window) -> bool:
    """Whether an object may hold an event of a window inside a month.

    The manifest tells, by the times of the lines, exactly; of an object none of whose lines has a time, the time at which
    its source was written, as for any log. What was archived as it was, because it could not be decompressed to its end,
    may hold anything.
    """
    if one.verbatim:
        return True
    if one.first_event is None or one.last_event is None:
        return one.undated > 0 and window.start <= one.source_modified < window.end
    return month in one.months and one.first_event < window.end and one.last_event >= window.start


def find(
    archive: str, objects: Iterable[ArchivedObject], *, s3: S3Options
) -> tuple[list[SealedLog], list[Unsound]]:
    """The objects as they stand in storage, and those that are not there, or not of the size that was sealed.

    Only the folders of the days that are needed are listed.

    Args:
        archive: URI prefix of the archive.
        objects: of its manifests.
        s3: how to reach S3.

    Raises:
        LogStoreError: storage cannot be listed.
    """
    by_folder: dict[str, dict[str, ArchivedObject]] = {}
    for one in objects:
        folder, _, name = one.object.rpartition("/")
        by_folder.setdefault(folder, {})[name] = one
    found: list[SealedLog] = []
    unsound: list[Unsound] = []
    for folder, wanted in sorted(by_folder.items()):
        store = open_store(f"{archive.rstrip('/')}/{folder}", s3=s3, setting=ARCHIVE_SETTING)
        root = store.uri.rstrip("/") + "/"
        for file in _listed(store):
            sealed = wanted.pop(file.uri.removeprefix(root), None)
            if sealed is None:
                continue
            if file.size != sealed.stored_bytes:
                unsound.append(Unsound(file.uri, "changed"))
            else:
                found.append(SealedLog(file, sealed.stored_sha256))
        unsound += [Unsound(root + name, "missing") for name in sorted(wanted)]
    return found, unsound


def unsound_among(
    archive: str,
    files: Sequence[LogFile],
    sealed: Mapping[str, str],
    *,
    s3: S3Options,
    say: Callable[[str], None] = lambda _: None,
) -> list[Unsound]:
    """Read objects as they are stored, and compare their bytes with their seal.

    Args:
        archive: URI prefix of the archive.
        files: as `find` has listed them.
        sealed: the hash of each, by URI.
        s3: how to reach S3.
        say: told every few seconds how far it is.

    Returns:
        Those whose bytes are not the ones that were sealed.

    Raises:
        LogStoreError: storage cannot be read.
    """
    store = open_store(archive, s3=s3, setting=ARCHIVE_SETTING)
    all_bytes = sum(file.size for file in files)
    done, told = 0, time.monotonic()
    unsound = []
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="read back") as readers:
        for portion in _portions(files):
            for file, digest in zip(
                portion, readers.map(lambda one: _sha256(store, one), portion), strict=True
            ):
                if digest != sealed[file.uri]:
                    unsound.append(Unsound(file.uri, "changed"))
                done += file.size
                if time.monotonic() - told > _TELL_S:
                    told = time.monotonic()
                    say(f"read back {done / 1e6:.1f} of {all_bytes / 1e6:.1f} MB of the archive")
    return unsound


def refusal(unsound: Sequence[Unsound]) -> UnsoundArchiveError:
    """The error that names objects which are missing or changed."""
    kinds = [
        f"{sum(one.kind == kind for one in unsound)} {kind}"
        for kind in UNSOUND
        if any(one.kind == kind for one in unsound)
    ]
    named = "; ".join(f"{one.uri} is {one.kind}" for one in unsound[:_NAMED])
    more = f"; and {len(unsound) - _NAMED} more" if len(unsound) > _NAMED else ""
    return UnsoundArchiveError(
        f"the archive does not hold what was sealed ({', '.join(kinds)}): {named}{more}",
        do="Nothing was loaded. Bring them back (an older version of the object, or a replica of the archive), or set"
        " `allow_loss: true` to load the month without them.",
    )


def begins_with(store: LogStore, file: LogFile, sealed: Sequence[ArchivedObject]) -> set[str]:
    """With which objects a file begins: with all that is archived of their source, up to their end.

    Args:
        store: that listed the file.
        file: a log.
        sealed: objects, of whatever source; each the last of a version of it.

    Returns:
        Their names.

    Raises:
        LogStoreError: as `LogStore.open`.
    """
    decompressed = {one.covered_bytes for one in sealed if not one.verbatim}
    hashes = prefixes_sha256(lambda: store.open(file), decompressed) if decompressed else {}
    return {
        one.object
        for one in sealed
        if (_begins_verbatim(store, file, one) if one.verbatim else hashes.get(one.covered_bytes))
        == one.covered_sha256
    }


def _begins_verbatim(store: LogStore, file: LogFile, sealed: ArchivedObject) -> str | None:
    held = hashlib.sha256()
    left = sealed.covered_bytes
    with closing(store.open(file)) as stream:
        while left and (block := stream.read(min(left, _BLOCK_BYTES))):
            held.update(block)
            left -= len(block)
    return None if left else held.hexdigest()


def _listed(store: LogStore) -> Iterator[LogFile]:
    if store.uri.startswith("s3://") or store.exists(store.uri):
        yield from store.list()


def _sha256(store: LogStore, file: LogFile) -> str:
    digest = hashlib.sha256()
    with closing(store.open(file)) as stream:
        for block in _blocks(stream):
            digest.update(block)
    return digest.hexdigest()


def _portions(files: Sequence[LogFile]) -> Iterator[Sequence[LogFile]]:
    """So that not all are queued at once."""
    return (files[first : first + _QUEUED] for first in range(0, len(files), _QUEUED))


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block

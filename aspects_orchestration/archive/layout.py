"""What is called how in the archive.

    <archive>/logs/<day>/<source>-<file>.zst     an object for each source file, readable as any tracking log is
    <archive>/manifests/<day>.jsonl              the day's seal: every object, and the hash of the manifest before
    <archive>/archive.json                       the archive's first day
    <archive>/progress/<day>/…                   what a seal under way has done so far; never needed once the day is sealed
    <archive>/quarantine/…                       lines that could not be loaded, unless ASPECTS_QUARANTINE says otherwise

A day is the UTC day on which a source file was closed, and so rarely that of all its events: which events an object
holds, its line in the manifest says.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Final, Literal

Compression = Literal["zst", "gz"]

LOGS: Final = "logs"
MANIFESTS: Final = "manifests"
PROGRESS: Final = "progress"
#: Says which day is the first; of two first seals at once, one writes it.
ARCHIVE: Final = "archive.json"
MANIFEST_ENDING: Final = ".jsonl"

_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
_COMPRESSED = re.compile(r"\.(gz|gzip|zst|zstd|bz2|xz)\Z", re.IGNORECASE)
_LONGEST_NAME: Final = 100
_OBJECT_NAME = re.compile(r"logs/\d{4}-\d{2}-\d{2}/[A-Za-z0-9._-]{1,200}", re.ASCII)
_MANIFEST_NAME = re.compile(r"(?:.*/)?(\d{4}-\d{2}-\d{2})\.jsonl\Z")


def object_name(
    day: date, source: str, etag: str, offset: int, compression: Compression | None, attempt: int = 0
) -> str:
    """Name of the object, below the archive, for a source file from an offset on.

    It follows from what is archived, not from when: a seal that is killed and started again, or two at once, write the
    same objects.

    Args:
        day: the day that is sealed.
        source: URI of the source file.
        etag: of that version of it.
        offset: byte of the decompressed file at which the object begins.
        compression: of the object; None for a source that is archived byte for byte as it is.
        attempt: over 0 if an object of that name is there already and holds something else.
    """
    again = f"\n{attempt}" if attempt else ""
    identity = f"{source}\n{etag}\n{offset}{again}"
    digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    name = source.rpartition("/")[2]
    readable = _UNUSUAL.sub("_", name if compression is None else _COMPRESSED.sub("", name))[-_LONGEST_NAME:]
    ending = "" if compression is None else f".{compression}"
    return f"{LOGS}/{day.isoformat()}/{digest}-{readable}{ending}"


def is_object_name(name: object) -> bool:
    """Whether a name can be that of an object below the archive: one that leads elsewhere cannot."""
    return isinstance(name, str) and _OBJECT_NAME.fullmatch(name) is not None and "/." not in name


def manifest_name(day: date) -> str:
    """Name of a day's manifest, below the archive."""
    return f"{MANIFESTS}/{day.isoformat()}{MANIFEST_ENDING}"


def manifest_day(name: str) -> date | None:
    """The day whose manifest a name or URI is; None if it is none's."""
    found = _MANIFEST_NAME.match(name)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def progress_folder(day: date) -> str:
    """Name of the folder, below the archive, for what a seal of a day has done so far."""
    return f"{PROGRESS}/{day.isoformat()}"

"""Lines that could not be loaded: kept whole in log storage, each with its reason, until their cause is mended.

A quarantine object is gzip-compressed NDJSON, one record a line. Its name follows from what was read, not from when:
a load that is killed and started again writes the same objects again.

    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/<file>-<offset>.ndjson.gz
    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/<file>-<offset>.missing.json    whom and what of that object the site lacks
    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/missing.jsonl.gz    the same of the whole load: the report to look at
    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/summary.json     the load ended, and these are its counts
    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/replayed.json    a later load has taken these records over
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

OBJECT_ENDING = ".ndjson.gz"
MISSING_ENDING = ".missing.json"
#: Of a load as a whole; not named as the quarantine objects are, because it is no record of lines.
MISSING_REPORT = "missing.jsonl.gz"
SUMMARY = "summary.json"
REPLAYED = "replayed.json"


@dataclass(frozen=True)
class QuarantinedLine:
    """One line in quarantine.

    Attributes:
        reason: why, in a word that may be shown.
        detail: what the reader or transformer said; may hold personal data.
        file: URI of the log it came from.
        byte_offset: of the line's first byte in the decompressed file.
        raw: the line's bytes as they were in the file; empty where `object` holds them.
        object: URI of an object of its own, for a line too long to be held in memory.
        missing: whom or what the site does not know: `users` or `courses`, and the id, username or course key.
    """

    reason: str
    detail: str
    file: str
    byte_offset: int
    raw: bytes
    object: str | None = None
    missing: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"QuarantinedLine({self.reason!r}, {self.file!r}, {self.byte_offset})"  # never the line


def encode(records: Sequence[QuarantinedLine]) -> bytes:
    """Records as the bytes of a quarantine object; equal records give equal bytes."""
    lines = b"".join(orjson.dumps(_as_json(record), option=orjson.OPT_APPEND_NEWLINE) for record in records)
    return gzip.compress(lines, compresslevel=6, mtime=0)


def decode(line: bytes) -> QuarantinedLine:
    """One record from its NDJSON line.

    Raises:
        ValueError: the line is no such record.
    """
    try:
        stored = orjson.loads(line)
        raw = base64.b64decode(stored["line_base64"]) if "line_base64" in stored else stored["line"].encode()
        return QuarantinedLine(
            stored["reason"],
            stored["detail"],
            stored["file"],
            stored["byte_offset"],
            raw,
            stored.get("object"),
            next(iter(stored.get("missing", {}).items()), None),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no quarantine record: {type(error).__name__}") from None


def encode_missing(records: Sequence[QuarantinedLine]) -> bytes | None:
    """Whom and what the site does not know of some records, and in how many lines each: a small JSON object.

    Returns:
        `{"users": {"42": 3}, "courses": {…}}` as bytes, sorted; None if nothing of the kind is among them.
    """
    found: dict[str, Counter[str]] = {}
    for record in records:
        if record.missing is not None:
            kind, key = record.missing
            found.setdefault(kind, Counter())[_printable(key)] += 1
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS) if found else None


def folder(quarantine: str, table: str, month: str) -> str:
    """URI of the folder of a month's quarantine."""
    return f"{quarantine.rstrip('/')}/{table}/{month}"


def missing_name(name: str) -> str:
    """Name of the object beside a quarantine object that says whom and what its lines lack."""
    return name.removesuffix(OBJECT_ENDING) + MISSING_ENDING


def object_name(file: str, etag: str, byte_offset: int) -> str:
    """Name of the object for the chunk at an offset of one version of a file."""
    digest = hashlib.sha256(f"{file}\n{etag}".encode()).hexdigest()[:16]
    return f"{digest}-{byte_offset:015d}{OBJECT_ENDING}"


def _as_json(record: QuarantinedLine) -> dict[str, Any]:
    stored: dict[str, Any] = {
        "reason": record.reason,
        "detail": _printable(record.detail),
        "file": record.file,
        "byte_offset": record.byte_offset,
    }
    if record.object is not None:
        stored["object"] = record.object
    if record.missing is not None:
        stored["missing"] = {record.missing[0]: _printable(record.missing[1])}
    try:
        stored["line"] = record.raw.decode()
    except UnicodeDecodeError:
        stored["line_base64"] = base64.b64encode(record.raw).decode()
    return stored


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:2_000]

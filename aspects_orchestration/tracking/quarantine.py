"""Lines that could not be loaded: kept whole in log storage, each with its reason, until their cause is mended.

A quarantine object is gzip-compressed NDJSON, one record a line. Its name follows from what was read, not from when:
a load that is killed and started again writes the same objects again.

    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/<file>-<offset>.ndjson.gz
    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/summary.json     the load ended, and these are its counts
    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/replayed.json    a later load has taken these records over
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson


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
    """

    reason: str
    detail: str
    file: str
    byte_offset: int
    raw: bytes
    object: str | None = None

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
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no quarantine record: {type(error).__name__}") from None


def folder(quarantine: str, table: str, month: str) -> str:
    """URI of the folder of a month's quarantine."""
    return f"{quarantine.rstrip('/')}/{table}/{month}"


def object_name(file: str, etag: str, byte_offset: int) -> str:
    """Name of the object for the chunk at an offset of one version of a file."""
    digest = hashlib.sha256(f"{file}\n{etag}".encode()).hexdigest()[:16]
    return f"{digest}-{byte_offset:015d}.ndjson.gz"


def _as_json(record: QuarantinedLine) -> dict[str, Any]:
    stored: dict[str, Any] = {
        "reason": record.reason,
        "detail": _printable(record.detail),
        "file": record.file,
        "byte_offset": record.byte_offset,
    }
    if record.object is not None:
        stored["object"] = record.object
    try:
        stored["line"] = record.raw.decode()
    except UnicodeDecodeError:
        stored["line_base64"] = base64.b64encode(record.raw).decode()
    return stored


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:2_000]

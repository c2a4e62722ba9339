"""A day's manifest: what was sealed, and the hash that seals it.

A manifest is NDJSON, so that one of 100,000 objects is written and read in bounded memory:

    {"manifest":"aspects-orchestration","version":1,"day":"2024-05-02","previous":{"day":"2024-05-01","sha256":"…"},…}
    {"object":"logs/2024-05-02/…-tracking.log-20240502.zst","source":"file:///…","raw_sha256":"…",…}
    {"objects":1,"raw_bytes":…,"stored_bytes":…,"lines":…,"sha256":"…"}

The first line names the day and the manifest before, by its hash; then comes a line for each object, sorted by name; the
last line has the sums, and the SHA-256 of all bytes before it (`head -n -1 <manifest> | sha256sum` says the same). Each
manifest carries the hash of the day before, so no day can be changed, swapped or left out without the next one telling.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson

from aspects_orchestration.archive.layout import is_object_name
from aspects_orchestration.errors import AspectsError

FORMAT: Final = "aspects-orchestration"
VERSION: Final = 1


class ManifestError(AspectsError):
    """A manifest is damaged, or not one at all."""


@dataclass(frozen=True)
class Link:
    """The manifest before: its day, and the hash it carries."""

    day: date
    sha256: str


@dataclass(frozen=True, order=True)
class ArchivedObject:
    """One object of the archive, and where it came from. Objects sort by name.

    Attributes:
        object: its name below the archive.
        source: URI of the source file.
        source_etag: of the version that was archived.
        source_bytes: of the source as it was stored.
        source_modified: when the source was last written (UTC).
        raw_offset: byte of the decompressed source at which the object begins; over 0 in the supplement of a file that grew.
        raw_bytes: decompressed bytes of the object.
        raw_sha256: their hash.
        stored_bytes: of the object as it is stored, compressed.
        stored_sha256: their hash.
        lines: lines of the object; the last one counts with or without its newline.
        first_event, last_event: the earliest and latest time of an event of it (UTC); None if there is none.
        months: lines by month of their event (UTC), such as `{"2024-05": 1200}`.
        undated: lines of which no time could be read; blank ones are not counted here.
        covered_bytes: bytes of the decompressed source, from its beginning, up to the end of the last whole line.
        covered_sha256: their hash; a file that has grown still begins with them.
        supplements: the day (YYYY-MM-DD) to which it would have belonged, had it been there when that day was sealed: of a
            file that grew after its day, or came to light after it; None for a file of the day itself.
        verbatim: the source could not be decompressed to its end, so it is archived byte for byte as it was, and what is
            said of raw bytes is said of those.
    """

    object: str
    source: str
    source_etag: str
    source_bytes: int
    source_modified: datetime
    raw_offset: int
    raw_bytes: int
    raw_sha256: str
    stored_bytes: int
    stored_sha256: str
    lines: int
    first_event: datetime | None
    last_event: datetime | None
    months: Mapping[str, int] = field(compare=False)
    undated: int
    covered_bytes: int
    covered_sha256: str
    supplements: str | None = None
    verbatim: bool = False

    def as_json(self) -> dict[str, Any]:
        """The object's line, as JSON-ready values."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> ArchivedObject:
        """The inverse of `as_json`.

        Raises:
            KeyError, TypeError, ValueError: it is none, or names an object that lies elsewhere.
        """
        values = {one.name: stored[one.name] for one in fields(ArchivedObject)}
        if not is_object_name(values["object"]):
            raise ValueError("an object's name leads out of the archive")
        for name, kind in _KINDS.items():
            if type(values[name]) is not kind or (kind is int and values[name] < 0):
                raise TypeError(name)
        for name in ("source_modified", "first_event", "last_event"):
            if values[name] is not None:
                values[name] = datetime.fromisoformat(values[name])
        return ArchivedObject(**values)


#: Of what a manifest's line holds; whoever has rewritten one may have put anything there.
_KINDS: Final = {
    **dict.fromkeys(("source", "source_etag", "raw_sha256", "stored_sha256", "covered_sha256"), str),
    **dict.fromkeys(("source_bytes", "raw_offset", "raw_bytes", "stored_bytes", "lines", "undated"), int),
    "covered_bytes": int,
    "months": dict,
    "verbatim": bool,
}


@dataclass(frozen=True)
class Head:
    """A manifest's first line.

    Attributes:
        day: what is sealed (a UTC day).
        previous: the manifest before; None for the archive's first day.
        sealed_at: when (UTC).
        sealed_by: run id.
        compression: of the objects, zst or gz.
    """

    day: date
    previous: Link | None
    sealed_at: datetime
    sealed_by: str
    compression: str


@dataclass(frozen=True)
class Totals:
    """A manifest's last line: sums over its objects, and the hash of all bytes before that line."""

    objects: int
    raw_bytes: int
    stored_bytes: int
    lines: int
    sha256: str


def encode(head: Head, objects: Iterable[ArchivedObject]) -> Iterator[bytes]:
    """A manifest's bytes, line by line.

    Args:
        head: its first line.
        objects: sorted by name.
    """
    digest = hashlib.sha256()
    count = raw = stored = lines = 0

    def line(values: Mapping[str, Any]) -> bytes:
        return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)

    first = line({"manifest": FORMAT, "version": VERSION, **vars(head)})
    digest.update(first)
    yield first
    for one in objects:
        row = line(one.as_json())
        digest.update(row)
        yield row
        count, raw, stored, lines = (
            count + 1,
            raw + one.raw_bytes,
            stored + one.stored_bytes,
            lines + one.lines,
        )
    yield line(vars(Totals(count, raw, stored, lines, digest.hexdigest())))


class ManifestReader:
    """A manifest, read line by line and checked while it is read.

    `head` is there at once, the objects by iterating, and `totals` after the last of them, when the hash has been compared.

    Args:
        lines: the manifest's lines, as a binary stream gives them.
        name: to name in errors.

    Raises:
        ManifestError: here or while iterating: it is no manifest, of another version, cut off, or changed.
    """

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        self._lines = iter(lines)
        self._name = name
        self._digest = hashlib.sha256()
        self._totals: Totals | None = None
        self.head = self._read_head()

    @property
    def totals(self) -> Totals:
        """The last line, once all objects have been read."""
        if self._totals is None:
            raise RuntimeError("the manifest has not been read to its end")
        return self._totals

    def __iter__(self) -> Iterator[ArchivedObject]:
        count = raw = stored = lines = 0
        before = ""
        for line in self._lines:
            values = self._values(line)
            if "object" not in values:
                self._end(values, Totals(count, raw, stored, lines, self._digest.hexdigest()))
                return
            try:
                one = ArchivedObject.from_json(values)
            except (KeyError, TypeError, ValueError):
                raise self._damaged(f"line {count + 2} is no object of a manifest") from None
            if one.object <= before:
                raise self._damaged(f"its objects are not in order at line {count + 2}")
            before = one.object
            self._digest.update(line)
            count, raw, stored, lines = (
                count + 1,
                raw + one.raw_bytes,
                stored + one.stored_bytes,
                lines + one.lines,
            )
            yield one
        raise self._damaged("it is cut off: its last line is missing")

    def _read_head(self) -> Head:
        line = next(self._lines, b"")
        values = self._values(line)
        if values.get("manifest") != FORMAT:
            raise self._damaged("its first line is not that of a manifest")
        if values.get("version") != VERSION:
            raise ManifestError(
                f"{self._name} is a manifest of version {values.get('version')}",
                do=f"This version reads {VERSION}: read it with the version of the project that wrote it, or a later one.",
            )
        self._digest.update(line)
        try:
            previous = values["previous"]
            return Head(
                date.fromisoformat(values["day"]),
                Link(date.fromisoformat(previous["day"]), previous["sha256"]) if previous else None,
                datetime.fromisoformat(values["sealed_at"]).astimezone(UTC),
                values["sealed_by"],
                values["compression"],
            )
        except (KeyError, TypeError, ValueError):
            raise self._damaged("its first line is not that of a manifest") from None

    def _end(self, values: dict[str, Any], counted: Totals) -> None:
        try:
            found = Totals(**values)
        except TypeError:
            raise self._damaged("its last line is not that of a manifest") from None
        if found.sha256 != counted.sha256:
            raise self._damaged("its content does not have the hash that it carries")
        if found != counted:
            raise self._damaged("its sums are not those of its objects")
        if next(self._lines, b""):
            raise self._damaged("something follows its last line")
        self._totals = found

    def _values(self, line: bytes) -> dict[str, Any]:
        try:
            values = orjson.loads(line)
        except ValueError:
            raise self._damaged("a line of it is no JSON") from None
        if not isinstance(values, dict):
            raise self._damaged("a line of it is no object")
        return values

    def _damaged(self, how: str) -> ManifestError:
        return ManifestError(
            f"{self._name} is damaged: {how}",
            do="Bring it back from a copy of the archive (an older version of the object, or a replica); the objects it"
            " lists are not touched by this. docs/disaster-recovery.md says how to go on without it.",
        )

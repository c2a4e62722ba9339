"""Sealed archives for tests, byte for byte as a seal would leave them: objects, facts by line, chained manifests.

The facts of the manifests come from the project's own exact reader of lines, so a test may hold them against logs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from backports import zstd

from aspects_orchestration.archive.layout import Compression, manifest_name, object_name
from aspects_orchestration.archive.manifest import ArchivedObject, Head, Link, ManifestReader, encode
from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.tracking.compression import decompressed
from aspects_orchestration.tracking.events import UnreadableEventError, event_time, parse_event
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store

Source = str | Path


@dataclass(frozen=True)
class TestArchive:
    """An archive that was written.

    Attributes:
        uri: its prefix, as ASPECTS_TRACKING_LOG_ARCHIVE takes it.
        days: what was sealed, by day.
        hashes: of the manifests, by day.
    """

    __test__ = False

    uri: str
    days: Mapping[date, tuple[ArchivedObject, ...]]
    hashes: Mapping[date, str]

    @property
    def objects(self) -> list[ArchivedObject]:
        """Every object, by name."""
        return sorted(one for objects in self.days.values() for one in objects)


def by_day(files: Iterable[Path]) -> dict[date, list[Path]]:
    """Local files by the UTC day of their last write, as days of an archive take them."""
    found: dict[date, list[Path]] = {}
    for file in sorted(files):
        found.setdefault(datetime.fromtimestamp(file.stat().st_mtime, UTC).date(), []).append(file)
    return found


def write_archive(
    uri: str,
    days: Mapping[date, Sequence[Source]],
    *,
    compression: Compression = "zst",
    after: TestArchive | None = None,
    s3: S3Options | None = None,
) -> TestArchive:
    """Seal days, and those between them, each with the source files given for it.

    Args:
        uri: of the archive, a folder or S3.
        days: source files by day, as paths or URIs; their version is the one that stands there now.
        compression: of the objects.
        after: the archive as an earlier call left it, to which days are added; a file that has grown since brings only
            what follows, as the supplement of a seal does.
        s3: how to reach S3.
    """
    store = open_store(uri, s3=s3)
    sealed = dict(after.days) if after else {}
    hashes = dict(after.hashes) if after else {}
    first = max(hashes, default=min(days) - timedelta(days=1)) + timedelta(days=1)
    for number in range((max(days) - first).days + 1):
        day = first + timedelta(days=number)
        known = [one for objects in sealed.values() for one in objects]
        sealed[day] = tuple(
            sorted(_seal(store, uri, day, source, known, compression, s3=s3) for source in days.get(day, ()))
        )
        before = day - timedelta(days=1)
        previous = Link(before, hashes[before]) if before in hashes else None
        head = Head(day, previous, datetime(day.year, day.month, day.day, 6, tzinfo=UTC), "test", compression)
        lines = list(encode(head, sealed[day]))
        assert store.create(f"{uri}/{manifest_name(day)}", lines)
        reader = ManifestReader(lines, manifest_name(day))
        assert tuple(reader) == sealed[day]
        hashes[day] = reader.totals.sha256
    return TestArchive(uri, sealed, hashes)


def _seal(
    store: LogStore,
    uri: str,
    day: date,
    source: Source,
    known: Sequence[ArchivedObject],
    compression: Compression,
    *,
    s3: S3Options | None,
) -> ArchivedObject:
    both_in_s3 = str(source).startswith("s3://") and uri.startswith("s3://")  # a client costs 0.1 s
    of_source = store if both_in_s3 else open_store(str(source), s3=s3)
    file = store.find(str(source)) if both_in_s3 else next(iter(of_source.list()))
    assert file is not None
    with of_source.open(file) as stream:
        whole = b"".join(block for block in decompressed(stream) if isinstance(block, bytes))
    grown_from = max((one.covered_bytes for one in known if _begins(whole, one, file)), default=0)
    raw = whole[grown_from:]
    stored = zstd.compress(raw) if compression == "zst" else _gzip(raw)
    name = object_name(day, file.uri, file.etag, grown_from, compression)
    assert store.create(f"{uri}/{name}", [stored])
    covered = whole.rfind(b"\n") + 1
    belongs = file.modified.date()
    months, undated, times = _facts(raw)
    return ArchivedObject(
        object=name,
        source=file.uri,
        source_etag=file.etag,
        source_bytes=file.size,
        source_modified=file.modified,
        raw_offset=grown_from,
        raw_bytes=len(raw),
        raw_sha256=hashlib.sha256(raw).hexdigest(),
        stored_bytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        lines=raw.count(b"\n") + (not raw.endswith(b"\n") and bool(raw)),
        first_event=min(times, default=None),
        last_event=max(times, default=None),
        months=months,
        undated=undated,
        covered_bytes=covered,
        covered_sha256=hashlib.sha256(whole[:covered]).hexdigest(),
        supplements=belongs.isoformat() if belongs < day else None,
    )


def _begins(whole: bytes, one: ArchivedObject, file: LogFile) -> bool:
    return (
        one.source == file.uri
        and len(whole) >= one.covered_bytes
        and hashlib.sha256(whole[: one.covered_bytes]).hexdigest() == one.covered_sha256
    )


def _facts(raw: bytes) -> tuple[dict[str, int], int, list[datetime]]:
    months: Counter[str] = Counter()
    undated, times = 0, []
    for line in unwrap(raw):
        if line.body is None:
            undated += line.source_lines if line.reason not in ("blank", "no_json", "other_json") else 0
            continue
        try:
            moment = at(event_time(parse_event(line.body))[0])
        except UnreadableEventError as error:
            undated += line.source_lines if error.reason != "not_an_event" else 0
            continue
        months[f"{moment:%Y-%m}"] += line.source_lines
        times.append(moment)
    return dict(sorted(months.items())), undated, times


def _gzip(raw: bytes) -> bytes:
    stored = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=stored, mtime=0) as stream:
        stream.write(raw)
    return stored.getvalue()

"""A sealed archive for drills, and drills of it; days are sealed through layout, manifest and store."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from backports import zstd

from aspects_orchestration.archive.layout import manifest_name, object_name
from aspects_orchestration.archive.manifest import ArchivedObject, Head, Link, ManifestReader, encode
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.drill.run import DrilledDay, DrillRequest, drill, only_one, plan_drill
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.tracking.stores import S3Options, open_store
from services.site import Site

_TIME = re.compile(rb'"time": ?"(\d{4}-\d{2}-\d{2}T[0-9:.]+)')
GB = 10**9


def seal(
    archive: str, days: Mapping[date, Sequence[Path]], *, previous: Link | None = None
) -> dict[str, ArchivedObject]:
    """Seal days with these files; returns the objects by the source's file name."""
    store = open_store(archive)
    sealed = {}
    for day, files in sorted(days.items()):
        objects = []
        for file in files:
            one, stored = _archived(day, file)
            assert store.create(f"{archive}/{one.object}", [stored])
            objects.append(one)
            sealed[file.name] = one
        head = Head(day, previous, utc_now(), "test", "zst")
        lines = list(encode(head, sorted(objects)))
        assert store.create(f"{archive}/{manifest_name(day)}", lines)
        reader = ManifestReader(lines, manifest_name(day))
        list(reader)
        previous = Link(day, reader.totals.sha256)
    return sealed


def _archived(day: date, file: Path) -> tuple[ArchivedObject, bytes]:
    raw = file.read_bytes()
    if file.suffix == ".gz":
        raw = gzip.decompress(raw)
    elif file.suffix in {".zst", ".bz2", ".xz"}:
        raise NotImplementedError(file.suffix)
    stored = zstd.compress(raw)
    times = [
        datetime.fromisoformat(found.decode()).replace(tzinfo=UTC)
        for line in raw.splitlines()
        for found in _TIME.findall(line)[:1]
    ]
    etag = hashlib.md5(raw).hexdigest()  # noqa: S324  as S3 names a version
    digest = hashlib.sha256(raw).hexdigest()
    one = ArchivedObject(
        object=object_name(day, file.as_uri(), etag, 0, "zst"),
        source=file.as_uri(),
        source_etag=etag,
        source_bytes=len(raw),
        source_modified=datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        raw_offset=0,
        raw_bytes=len(raw),
        raw_sha256=digest,
        stored_bytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        lines=raw.count(b"\n"),
        first_event=min(times, default=None),
        last_event=max(times, default=None),
        months=dict(sorted(Counter(f"{time:%Y-%m}" for time in times).items())),
        undated=0,
        covered_bytes=len(raw),
        covered_sha256=digest,
    )
    return one, stored


def drilled(
    site: Site,
    *,
    turn: str = "2024-06",
    day: date | None = None,
    said: list[str] | None = None,
    max_raw_bytes: int = 20 * GB,
) -> list[DrilledDay]:
    """A drill, as the job does it."""
    settings = site.settings
    say = said.append if said is not None else lambda _: None
    index = index_of(settings, s3=S3Options())
    plan = plan_drill(settings, index, index.update(), DrillRequest(turn, day, max_raw_bytes), now=utc_now())
    warehouse = site.warehouse()
    with only_one(settings, warehouse, say=say):
        return list(drill(settings, warehouse, plan, s3=S3Options(), say=say))


def scratches(site: Site) -> list[str]:
    """Scratch databases that stand."""
    found = site.sql(
        "SELECT name FROM system.databases WHERE startsWith(name, 'aspects_drill') FORMAT TSVRaw", admin=True
    )
    return found.decode().split()


def records(site: Site, columns: str) -> list[list[str]]:
    """Rows of the record of drills, by run and day."""
    found = site.sql(
        f"SELECT {columns} FROM aspects_orchestration.drills FINAL ORDER BY finished_at FORMAT TSVRaw",
        admin=True,
    )
    return [line.split("\t") for line in found.decode().splitlines()]

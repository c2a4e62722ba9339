"""Which files a load of a month reads: tracking logs as they are now, the sealed archive, both, or a quarantine.

Read from both, an event counts once: what is sealed just as it stands among the logs is read from the archive, and of a
log that has grown since, or that lies under another path than the one it was sealed from, the log is read and its objects
are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from aspects_orchestration.archive.index import ARCHIVE_SETTING, ArchiveIndex
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.reading import Unsound, begins_with, find, holds, refusal
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.catalog import Verdict, select
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store, open_stores
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.records import look_up

if TYPE_CHECKING:
    from aspects_orchestration.replay.plan import LoadRequest
    from aspects_orchestration.window import Window

#: All tracking logs as they are now; the sealed archive alone; both; what earlier loads of the month quarantined.
LIVE: Final = ("live",)
ARCHIVE: Final = ("archive",)
BOTH: Final = ("both",)
QUARANTINE: Final = ("quarantine",)
#: The name that LIVE had before there was an archive.
LOGS: Final = ("logs",)

_BATCH: Final = 10_000
#: Logs that lie elsewhere now are known by their name if no more sealed ones have it; by their size always.
_ALIKE: Final = 64
_FROM_ARCHIVE: Final = "in the archive, hold lines of the window"
_SEALED: Final = "sealed in the archive as they are"
_NOT_SOUND: Final = "in the archive, missing or changed"


class NoLogsError(AspectsError):
    """There is nothing to read."""


@dataclass(frozen=True)
class Chosen:
    """The files of a load.

    Attributes:
        files: by URI.
        sealed: of those that are objects of the archive, the hash that their bytes must have, by URI.
        unsound: objects that are left out, because they are missing or changed.
        verdicts: files by why they are read or not.
    """

    files: tuple[LogFile, ...]
    sealed: Mapping[str, str] = field(default_factory=dict)
    unsound: tuple[Unsound, ...] = ()
    verdicts: Counter[str] = field(default_factory=Counter)


def live_logs(settings: Settings, s3: S3Options) -> Iterator[LogFile]:
    """Every file under ASPECTS_TRACKING_LOGS, once; the archive's own are none of them, where it lies below.

    Raises:
        LogStoreError: storage cannot be listed.
    """
    archive = archive_root(settings)
    for store in open_stores(settings.tracking_log_prefixes, s3=s3):
        below = archive.startswith(store.uri.rstrip("/") + "/") and not store.uri.startswith(archive)
        for file in store.list():
            if not (below and file.uri.startswith(archive)):
                yield file


def archive_root(settings: Settings) -> str:
    """How the URIs of all files of the archive begin."""
    return open_store(settings.archive_uri, setting=ARCHIVE_SETTING).uri.rstrip("/") + "/"


def choose(
    settings: Settings,
    request: LoadRequest,
    warehouse: Warehouse,
    window: Window,
    *,
    reader: str,
    s3: S3Options,
) -> Chosen:
    """The files that a load of logs or of the archive reads.

    Args:
        settings: of the site.
        request: whose sources are LIVE, ARCHIVE, BOTH, or files to restrict to.
        warehouse: for the catalog; what is read from the archive alone needs none.
        window: the events to load.
        reader: version of reader and transformers, for the catalog.
        s3: how to reach S3.

    Raises:
        NoLogsError: there are no logs at all, nothing is sealed, or a file asked for is not there.
        UnsoundArchiveError: objects are missing or changed, and `allow_loss` is not set.
        ManifestError: the archive's manifests are not whole.
        LogStoreError, WarehouseError: storage or ClickHouse cannot be read.
    """
    if not request.reads_archive and request.sources != LIVE:
        return Chosen(tuple(_asked_for(live_logs(settings, s3), request.sources)))
    verdicts: Counter[str] = Counter()
    live: list[LogFile] = []
    index = _opened(settings, request, s3) if request.reads_archive else None
    if request.sources != ARCHIVE:
        listed = live_logs(settings, s3)
        if index is not None:
            listed = not_sealed(settings, index, listed, verdicts)
        for file, verdict in judged(settings, warehouse, listed, window, reader=reader):
            verdicts[verdict.value] += 1
            if verdict is not Verdict.ELSEWHERE and file.size:
                live.append(file)
        if not verdicts and index is None:
            raise NoLogsError(
                f"there are no tracking logs under {', '.join(settings.tracking_log_prefixes)}",
                do="Mend ASPECTS_TRACKING_LOGS (a folder or URI prefix; several by comma), load with `source: archive` if"
                " they are in the archive, or write samples with `make demo`.",
            )
    if index is None:
        return Chosen(tuple(sorted(live)), verdicts=verdicts)
    left_out = grown(index, live, s3)
    found, unsound = find(
        index.archive,
        (
            one
            for one in index.of_month(request.month)
            if one.object not in left_out and holds(one, request.month, window)
        ),
        s3=s3,
    )
    if unsound and not request.allow_loss:
        raise refusal(unsound)
    verdicts[_FROM_ARCHIVE] += len(found)
    if unsound:
        verdicts[_NOT_SOUND] += len(unsound)
    return Chosen(
        tuple(sorted([*live, *(one.file for one in found)])),
        {one.file.uri: one.sha256 for one in found},
        tuple(unsound),
        verdicts,
    )


def judged(
    settings: Settings, warehouse: Warehouse, listed: Iterable[LogFile], window: Window, *, reader: str
) -> Iterator[tuple[LogFile, Verdict]]:
    """Whether a window needs them, for each of some logs, as the catalog knows them by this version of the reader."""
    database = settings.orchestration_database
    return select(
        listed,
        lambda uris: look_up(warehouse, database, uris, window, reader),
        window,
        close=warehouse.close,
    )


def _opened(settings: Settings, request: LoadRequest, s3: S3Options) -> ArchiveIndex:
    index = index_of(settings, s3=s3)
    if not index.update() and request.sources == ARCHIVE:
        raise NoLogsError(
            f"nothing is sealed under {index.archive}",
            do="Mend ASPECTS_TRACKING_LOG_ARCHIVE (the prefix above `logs` and `manifests`), or load with `source: live`.",
        )
    return index


def not_sealed(
    settings: Settings, index: ArchiveIndex, listed: Iterable[LogFile], verdicts: Counter[str]
) -> Iterator[LogFile]:
    """The logs that are not in the archive just as they are; `verdicts` counts those that are."""
    archive = archive_root(settings)
    logs = iter(listed)
    while batch := list(islice(logs, _BATCH)):
        sealed = index.of_sources([file.uri for file in batch])
        for file in batch:
            versions = sealed.get(file.uri)
            if file.uri.startswith(archive) or (versions and versions[-1].source_etag == file.etag):
                verdicts[_SEALED] += 1
            else:
                yield file


def grown(index: ArchiveIndex, live: Sequence[LogFile], s3: S3Options) -> Collection[str]:
    """The objects of logs that will be read as they are now and hold all of them.

    A log of the same name that begins otherwise has taken the place of the one that was archived (as `tracking.log.1`
    does every night): then both are read.
    """
    left_out: set[str] = set()
    for file in live:
        sources = index.of_sources([file.uri, *index.sources_like(file, _ALIKE)])
        if not sources:
            continue
        versions = {version[-1].object: version for version in map(_newest_version, sources.values())}
        # Of what holds no whole line, a beginning says nothing.
        last = [version[-1] for version in versions.values() if version[-1].covered_bytes]
        for name in begins_with(open_store(file.uri, s3=s3), file, last):
            left_out.update(one.object for one in versions[name])
    return left_out


def _newest_version(objects: Sequence[ArchivedObject]) -> list[ArchivedObject]:
    """Of all objects of a source, oldest first, those that together are what was archived of it last."""
    newest: list[ArchivedObject] = []
    for one in objects:
        if not one.raw_offset:
            newest.clear()
        newest.append(one)
    return newest


def _asked_for(listed: Iterable[LogFile], sources: Sequence[str]) -> Iterator[LogFile]:
    wanted = set(sources)
    found = {}
    for file in listed:
        for name in (file.uri, file.uri.removeprefix("file://"), file.uri.rpartition("/")[2]):
            if name in wanted:
                found[file.uri] = (file, name)
    missing = wanted - {name for _, name in found.values()}
    if missing:
        raise NoLogsError(
            f"not among the tracking logs: {', '.join(sorted(missing))}",
            do="Name files below ASPECTS_TRACKING_LOGS by URI, path or file name.",
        )
    yield from (found[uri][0] for uri in sorted(found))

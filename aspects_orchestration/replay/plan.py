"""What one load of a month will read, and from whom: resolved once, frozen, and the same for every attempt at it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from aspects_orchestration.archive.reading import Unsound
from aspects_orchestration.errors import AspectsError, LogStoreError
from aspects_orchestration.replay.destinations import (
    MAX_REFUSED,
    Destination,
    require_possible,
    stands_here,
    whole_days,
)
from aspects_orchestration.replay.same_site import refuse_other_actors
from aspects_orchestration.replay.sources import (
    ARCHIVE,
    BOTH,
    LIVE,
    LOGS,
    QUARANTINE,
    Chosen,
    NoLogsError,
    choose,
)
from aspects_orchestration.retention.expired import refuse_expired
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking import quarantine
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import require_everywhere
from aspects_orchestration.window import Window, month_window, narrowed, partition_id
from aspects_orchestration.xapi.identities import EVENT_SINK, LMS, SiteSource, Source, answers_of
from aspects_orchestration.xapi.identities_files import index_file, throw_away_expired
from aspects_orchestration.xapi.identities_lookups import PATIENCE_S

_STAGING = "staging"


class Mode(StrEnum):
    """merge adds what is missing; rebuild drops the month first, in the raw table and in all chained behind it."""

    MERGE = "merge"
    REBUILD = "rebuild"


@dataclass(frozen=True)
class LoadRequest:
    """What an operator asks for.

    Attributes:
        month: the partition's key, such as 2024-05.
        mode: merge or rebuild.
        since, until: only events in this part of the month.
        dry_run: read, transform and count; write nothing.
        sources: LIVE for all tracking logs (LOGS is the same), ARCHIVE for what is sealed, BOTH, QUARANTINE for what
            earlier loads of the month quarantined, or URIs of files to restrict to.
        allow_expired: load a month that the TTL would drop.
        allow_loss: rebuild although events stand in the table that the logs do not hold; load from the archive although
            objects are missing or changed, without those.
        leave_unpartitioned: rebuild although chained tables without partitions keep what they hold.
        verify: this share of the events, from 0 to 1, goes through both engines, which must agree.
        destination: where the statements go.
        resend: to Ralph: send all statements, not only those that the raw table lacks.
        per_second: to Ralph: at most so many statements a second; None: as ASPECTS_RALPH_STATEMENTS_PER_SECOND says.
        max_refused: to Ralph: stop when more statements than that are refused.
    """

    month: str
    mode: Mode = Mode.MERGE
    since: datetime | None = None
    until: datetime | None = None
    dry_run: bool = False
    sources: tuple[str, ...] = LIVE
    allow_expired: bool = False
    allow_loss: bool = False
    leave_unpartitioned: bool = False
    verify: float = 0.0
    destination: Destination = Destination.CLICKHOUSE
    resend: bool = False
    per_second: int | None = None
    max_refused: int = MAX_REFUSED

    def __post_init__(self) -> None:
        if self.sources == LOGS:
            object.__setattr__(self, "sources", LIVE)

    @property
    def from_quarantine(self) -> bool:
        """Whether quarantine records are read instead of logs."""
        return self.sources == QUARANTINE

    @property
    def reads_archive(self) -> bool:
        """Whether sealed objects are read."""
        return self.sources in (ARCHIVE, BOTH)

    @property
    def restricted(self) -> bool:
        """Whether the load covers less than all logs of the whole month."""
        whole = self.sources == LIVE or self.reads_archive
        return not whole or self.since is not None or self.until is not None


@dataclass(frozen=True)
class LoadPlan:
    """What a load will do.

    Attributes:
        request: what was asked for.
        window: the events to load.
        files: what will be read, by URI.
        sealed: of the files that are objects of the archive, the hash that their bytes must have, by URI.
        unsound: objects of the archive that are missing or changed, and are left out.
        verdicts: files listed, by why they are read or not.
        site: where users and courses come from.
        load: the load's name, the same for each attempt that would do the same work.
        reader: version of reader and transformers, for the catalog.
    """

    request: LoadRequest
    window: Window
    files: tuple[LogFile, ...]
    site: SiteSource
    load: str
    reader: str
    sealed: Mapping[str, str] = field(default_factory=dict)
    unsound: tuple[Unsound, ...] = ()
    verdicts: Counter[str] = field(default_factory=Counter)

    @property
    def stored_bytes(self) -> int:
        """Bytes to read, as stored."""
        return sum(file.size for file in self.files)


def staging_prefix(settings: Settings, month: str) -> str:
    """How the names of a month's staging tables begin."""
    return f"{_STAGING}_{settings.xapi_database}_{settings.raw_xapi_table}_{partition_id(month)}_"


def lock_name(settings: Settings, month: str) -> str:
    """The table that locks a month."""
    return f"lock_{settings.xapi_database}_{settings.raw_xapi_table}_{partition_id(month)}"


def quarantine_folder(settings: Settings, month: str) -> str:
    """URI of the folder of a month's quarantine."""
    return quarantine.folder(settings.quarantine_uri, settings.raw_xapi_table, month)


def make_plan(
    settings: Settings,
    request: LoadRequest,
    warehouse: Warehouse,
    *,
    reader: str,
    s3: S3Options,
    now: datetime,
) -> LoadPlan:
    """Resolve a request: the window, the files that touch it, the site's users and courses.

    Raises:
        WindowError: an impossible month, since or until.
        ExpiredError: the policy, or a table's TTL, would drop what is loaded.
        OtherActorsError: statements stand there that name actors or the LMS otherwise than the settings say.
        NoLogsError: there are no logs at all, or a file asked for is not there.
        UnsoundArchiveError, ManifestError: the archive does not hold what was sealed.
        DestinationError, SettingsError: the destination cannot do what is asked, or is not set up.
        LogStoreError, IdentityError, WarehouseError: what their texts say.
    """
    window = narrowed(month_window(request.month), request.since, request.until)
    if request.destination is Destination.FILES:
        window = whole_days(window)
    require_possible(settings, request)
    if request.mode is Mode.REBUILD and request.restricted:
        raise AspectsError(
            "mode rebuild drops the whole month, but this load covers only a part of it",
            do="Leave out since, until and source, or use mode merge.",
        )
    if settings.uses_sample_logs and not settings.is_embedded and request.sources in (LIVE, BOTH):
        raise NoLogsError(
            "ASPECTS_TRACKING_LOGS is not set, and the demo's sample logs do not belong into a site's ClickHouse",
            do="Set ASPECTS_TRACKING_LOGS to the folder or URI prefix of the site's tracking logs.",
        )
    if not request.allow_expired and stands_here(settings, request.destination):
        refuse_expired(settings, warehouse, window, request.month, now)
    if request.mode is not Mode.REBUILD:
        refuse_other_actors(settings, warehouse, request.month, window)
    site = site_source(settings, s3, run_id=warehouse.run_id)
    if EVENT_SINK in settings.identities_sources:
        require_everywhere(warehouse, settings.event_sink_database, "external_id")
    if EVENT_SINK in settings.courses_sources:
        require_everywhere(warehouse, settings.event_sink_database, "course_overviews")
    if request.from_quarantine:
        chosen = Chosen(tuple(quarantined(settings, request.month, s3)))
    else:
        chosen = choose(settings, request, warehouse, window, reader=reader, s3=s3)
    load = _load_name(settings, request, window, reader, site, chosen.files)
    return LoadPlan(
        request,
        window,
        chosen.files,
        site,
        load,
        reader,
        sealed=chosen.sealed,
        unsound=chosen.unsound,
        verdicts=chosen.verdicts,
    )


def site_source(settings: Settings, s3: S3Options, *, run_id: str | None = None) -> SiteSource:
    """Where users and courses come from; files are indexed.

    Args:
        run_id: of the run whose workers shall share what they are told; None for a single process, which waits for no
            database that does not answer.

    Raises:
        IdentityError: a file that cannot be used.
        AspectsError: a source that is not available.
    """
    private = settings.home / "identities"
    throw_away_expired(private)

    def indexed(kind: str, sources: Sequence[str], setting: str) -> tuple[Source, ...]:
        return tuple(
            one if one in {EVENT_SINK, LMS} else _index(kind, one, setting, private, s3) for one in sources
        )

    return SiteSource(
        settings.event_sink_database,
        with_email=settings.agent_ifi_type != "external_id",
        users=indexed("users", settings.identities_sources, "ASPECTS_IDENTITIES"),
        courses=indexed("courses", settings.courses_sources, "ASPECTS_COURSES"),
        lms_url=settings.lms_database_url,
        answers=None if run_id is None else answers_of(private, run_id),
        patience_s=0.0 if run_id is None else PATIENCE_S,
    )


def _index(kind: str, source: str, setting: str, folder: Path, s3: S3Options) -> Path:
    store = open_store(source, s3=s3, setting=setting)
    file = next(iter(store.list()), None)
    if file is None:
        raise LogStoreError(f"{setting}: there is no file {source}", do=f"Write it, or mend {setting}.")
    found = file
    return index_file(kind, file.uri, file.etag, lambda: store.open(found), folder, setting=setting)


def quarantined(settings: Settings, month: str, s3: S3Options) -> list[LogFile]:
    """The quarantine objects of a month that no later load has taken over, of loads that ran to their end.

    Raises:
        NoLogsError: there are none.
    """
    found = [
        file for file in not_replayed(settings, month, s3) if file.uri.endswith(quarantine.OBJECT_ENDING)
    ]
    if not found:
        raise NoLogsError(
            f"nothing is in quarantine for {month}",
            do=f"There is nothing to replay; look under {quarantine_folder(settings, month)}.",
        )
    return sorted(found, key=lambda file: file.uri)


def not_replayed(settings: Settings, month: str, s3: S3Options) -> list[LogFile]:
    """All files in quarantine of the loads of a month that ran to their end and that no later load has taken over."""
    prefix = quarantine_folder(settings, month)
    try:
        listed = list(open_store(prefix, s3=s3, setting="ASPECTS_QUARANTINE").list())
    except LogStoreError:
        listed = []  # nothing was ever quarantined
    ended, replayed = (
        {file.uri.rpartition("/")[0] for file in listed if file.uri.endswith(f"/{name}")}
        for name in (quarantine.SUMMARY, quarantine.REPLAYED)
    )
    return [file for file in listed if file.uri.rpartition("/")[0] in ended - replayed]


def _load_name(
    settings: Settings,
    request: LoadRequest,
    window: Window,
    reader: str,
    site: SiteSource,
    files: Sequence[LogFile],
) -> str:
    """A name that two attempts share if, and only if, what one has staged is of use to the other."""
    parts = [
        settings.xapi_database,
        settings.raw_xapi_table,
        str(window.start_micros),
        str(window.end_micros),
        reader,
        settings.lms_root_url,
        settings.agent_ifi_type,
        *site.names,
        str(settings.max_line_bytes),
        *request.sources,
    ]
    if request.restricted:
        parts += [f"{file.uri} {file.etag}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

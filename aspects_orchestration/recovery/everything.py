"""All of it from nothing: the LMS tables, then every month of statements, newest first, from the archive or from both.

Safe to kill and to start again: months that were restored are remembered in ClickHouse and passed over, as long as the
archive holds nothing more of them and their rows still stand.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from aspects_orchestration.archive.index import ArchiveIndex
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.reading import UNSOUND, find, holds
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.lms.copy import CopyRequest, CopyResult, copy_table
from aspects_orchestration.lms.course_blocks import copy_course_blocks
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import SINK_TABLES
from aspects_orchestration.recovery.months import Outcome, load_one, of_month, span
from aspects_orchestration.recovery.records import Restored, remember_restored, restored_months
from aspects_orchestration.replay.observe import catalog
from aspects_orchestration.replay.plan import LoadRequest, site_source
from aspects_orchestration.replay.reading import Reading, Say, transformer_reader
from aspects_orchestration.replay.result import LoadResult, utc_now
from aspects_orchestration.replay.sources import (
    ARCHIVE,
    BOTH,
    NoLogsError,
    grown,
    judged,
    live_logs,
    not_sealed,
)
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.catalog import Verdict
from aspects_orchestration.tracking.stores import LogFile, S3Options
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import stored
from aspects_orchestration.warehouse.records import catalog_by_month
from aspects_orchestration.warehouse.schema import SchemaNames
from aspects_orchestration.window import Window, month_window, partition_id
from aspects_orchestration.xapi.identities import EVENT_SINK

#: So much is read to find out how fast this machine is, where no restore has told yet.
_SAMPLE_BYTES = 8 * 1024 * 1024
_TELL_S = 30.0


@dataclass(frozen=True)
class Ask:
    """What is wanted.

    Attributes:
        source: `archive`, or `both` archive and logs.
        again: load months too that were restored.
        allow_expired: load months too that the policy, or a TTL, drops.
        allow_loss: load months without objects that are missing or changed.
        lms_tables: copy the LMS tables first.
    """

    source: Literal["archive", "both"] = "archive"
    again: bool = False
    allow_expired: bool = False
    allow_loss: bool = False
    lms_tables: bool = True

    def request(self, month: str) -> LoadRequest:
        """The load of one month."""
        return LoadRequest(
            month,
            sources=ARCHIVE if self.source == "archive" else BOTH,
            allow_expired=self.allow_expired,
            allow_loss=self.allow_loss,
        )


@dataclass(frozen=True)
class MonthPlan:
    """One month of a plan.

    Attributes:
        month: the partition's key.
        files: that hold lines of it.
        stored_bytes: of those.
        content: a name for them all.
        passed_over: why it is not loaded; '' if it is.
    """

    month: str
    files: int
    stored_bytes: int
    content: str
    passed_over: str = ""


@dataclass(frozen=True)
class RecoveryPlan:
    """What a restore will do, newest month first.

    Attributes:
        months: all that the source holds lines of.
        bytes_per_s: as stored, measured; None if nothing was.
        measured: by what.
    """

    months: tuple[MonthPlan, ...]
    bytes_per_s: float | None = None
    measured: str = ""

    @property
    def to_load(self) -> tuple[MonthPlan, ...]:
        """The months that will be loaded."""
        return tuple(one for one in self.months if not one.passed_over)

    @property
    def stored_bytes(self) -> int:
        """Bytes to read, as stored; an object of two months is read for both."""
        return sum(one.stored_bytes for one in self.to_load)

    def described(self) -> list[str]:
        """The plan as lines: a month each, then the sum and the time it will take."""
        lines = []
        for one in self.months:
            size = f"{one.files} files, {one.stored_bytes / 1e6:.1f} MB"
            fate = one.passed_over or f"to load{self._time(one.stored_bytes)}"
            lines.append(f"{one.month}: {size}: {fate}")
        total = f"{len(self.to_load)} of {len(self.months)} months to load, {self.stored_bytes / 1e6:.1f} MB as stored"
        return [
            *lines,
            f"{total}{self._time(self.stored_bytes)}" + (f" ({self.measured})" if self.measured else ""),
        ]

    def _time(self, stored_bytes: int) -> str:
        if self.bytes_per_s is None:
            return ""
        return f", about {span(stored_bytes / self.bytes_per_s)}"


@dataclass
class _Pace:
    """How far a restore is, and when it will be done."""

    plan: RecoveryPlan
    say: Say
    started: float = field(default_factory=time.monotonic)
    done_bytes: int = 0
    done_months: int = 0
    _told: float = field(default_factory=time.monotonic)

    def reached(self, of_this_month: int) -> None:
        if time.monotonic() - self._told > _TELL_S:
            self.tell(of_this_month)

    def tell(self, of_this_month: int = 0) -> None:
        self._told = time.monotonic()
        done, all_bytes = self.done_bytes + of_this_month, self.plan.stored_bytes
        elapsed = max(self._told - self.started, 1e-3)
        speed = done / elapsed
        left = ""
        if done and done < all_bytes:
            seconds = (all_bytes - done) / speed
            left = f", about {span(seconds)} left (until {utc_now() + timedelta(seconds=seconds):%Y-%m-%d %H:%M} UTC)"
        self.say(
            f"restored {self.done_months} of {len(self.plan.to_load)} months, {done / 1e6:.1f} of {all_bytes / 1e6:.1f} MB,"
            f" {speed / 1e6:.2f} MB/s as stored{left}"
        )


def plan_everything(
    settings: Settings, ask: Ask, warehouse: Warehouse, *, s3: S3Options, say: Say, measure: bool = False
) -> RecoveryPlan:
    """Find out which months there are, what each takes, and which stand already.

    Args:
        settings: of the site.
        ask: what is wanted.
        warehouse: for the record of what is restored; every table is in place.
        s3: how to reach S3.
        say: told of progress.
        measure: where no restore has told how fast this is, read some megabytes to find out.

    Raises:
        NoLogsError: nothing is sealed.
        ManifestError: the archive's manifests are not whole.
        LogStoreError, WarehouseError: storage or ClickHouse cannot be read.
    """
    index = index_of(settings, s3=s3)
    days = index.update()
    if not days and ask.source == "archive":
        raise NoLogsError(
            f"nothing is sealed under {index.archive}",
            do="Set ASPECTS_TRACKING_LOG_ARCHIVE to the prefix above `logs` and `manifests`.",
        )
    live = _Live.none() if ask.source == "archive" else _live(settings, index, warehouse, s3=s3, say=say)
    target = f"{settings.xapi_database}.{settings.raw_xapi_table}"
    database = settings.orchestration_database
    restored = restored_months(warehouse, database, target, ask.source)
    plans = []
    for month in sorted({*index.months(), *live.months}, reverse=True):
        files = _of_month(settings, index, live, month, warehouse)
        if not files:
            continue
        one = MonthPlan(month, len(files), sum(size for _, size in files), _named(settings, files))
        plans.append(replace(one, passed_over=_why_not(settings, ask, one, restored.get(month), warehouse)))
    plan = RecoveryPlan(tuple(plans))
    told = [one for one in restored.values() if one.seconds and one.stored_bytes]
    if told:
        speed = sum(one.stored_bytes for one in told) / sum(one.seconds for one in told)
        return replace(plan, bytes_per_s=speed, measured=f"as {len(told)} months took that were restored")
    if measure and plan.to_load:
        return _measured(settings, plan, index, warehouse, s3=s3)
    return plan


def rebuild_all(
    settings: Settings, ask: Ask, plan: RecoveryPlan, warehouse: Warehouse, *, s3: S3Options, say: Say
) -> Iterator[Outcome]:
    """Load the months of a plan, newest first; yield what became of each, when it is remembered.

    Args:
        settings: of the site.
        ask: that the plan was made for.
        plan: by `plan_everything`.
        warehouse: of the run; each month's load has a run id made from its.
        s3: how to reach S3.
        say: told of progress, with the time left.

    Raises:
        AspectsError: there is no way to tell who is who, so that every line would be quarantined.
        UnreachableError: ClickHouse is gone.
    """
    require_identities(settings, warehouse)
    pace = _Pace(plan, say)
    target = f"{settings.xapi_database}.{settings.raw_xapi_table}"
    for one in plan.to_load:
        outcome = load_one(settings, ask.request(one.month), warehouse, s3=s3, say=say, reached=pace.reached)
        if outcome.result is not None and not _left_out(outcome.result):
            remember_restored(
                of_month(warehouse, one.month),
                settings.orchestration_database,
                target,
                ask.source,
                _restored(one, outcome.result),
            )
        pace.done_bytes += one.stored_bytes
        pace.done_months += 1
        pace.tell()
        yield outcome


def require_identities(settings: Settings, warehouse: Warehouse) -> None:
    """Refuse to load statements where nothing says who is who.

    Raises:
        AspectsError: the only source of users is a table of event_sink, and it is empty.
    """
    if set(settings.identities_sources) != {EVENT_SINK}:
        return
    table = "external_id" if settings.agent_ifi_type == "external_id" else "user_profile"
    (rows,) = warehouse.row("table_rows", database=settings.event_sink_database, table=table)
    if int(rows) == 0:
        raise AspectsError(
            f"users would be looked up in {settings.event_sink_database}.{table}, which is empty: every line would be"
            " quarantined",
            do="Set ASPECTS_LMS_DATABASE_URL to the LMS database, or ASPECTS_IDENTITIES to a file of users; with"
            " ASPECTS_ENABLE_PII=true the table is copied from the LMS first. Then run again.",
        )


def copy_lms_tables(
    settings: Settings, names: SchemaNames, warehouse: Warehouse, *, s3: S3Options, say: Say
) -> Iterator[CopyResult]:
    """Copy every LMS table that may be copied, as its asset would; yield what each copy did.

    Raises:
        AspectsError: the LMS database, or the export of course blocks, cannot be read.
    """
    request = CopyRequest(rows_per_second=settings.lms_rows_per_second)
    if settings.lms_database_url is None:
        say("no LMS tables are copied: ASPECTS_LMS_DATABASE_URL is not set")
    else:
        database = LmsDatabase(settings.lms_database_url)
        try:
            for table in SINK_TABLES.values():
                if table.personal and not settings.enable_pii:
                    say(
                        f"{table.name} is not copied: it holds personal data, and ASPECTS_ENABLE_PII is not true"
                    )
                    continue
                yield copy_table(
                    database, warehouse, names, table, request, enable_pii=settings.enable_pii, say=say
                )
        finally:
            database.close()
    if settings.course_blocks_uri is not None:
        yield copy_course_blocks(
            settings.course_blocks_uri,
            warehouse,
            names,
            request,
            s3=s3,
            spool=settings.home / "private",
            say=say,
        )


# --- what there is -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Live:
    """Logs that are not sealed as they are: files, the months they hold lines of, and objects they hold wholly."""

    files: Sequence[LogFile]
    months: frozenset[str]
    left_out: frozenset[str]

    @staticmethod
    def none() -> _Live:
        return _Live((), frozenset(), frozenset())


def _live(settings: Settings, index: ArchiveIndex, warehouse: Warehouse, *, s3: S3Options, say: Say) -> _Live:
    files = [file for file in not_sealed(settings, index, live_logs(settings, s3), Counter()) if file.size]
    catalog(settings, warehouse, files, s3=s3, say=say)
    by_month = catalog_by_month(warehouse, settings.orchestration_database)
    return _Live(files, frozenset(month for month, *_ in by_month), frozenset(grown(index, files, s3)))


def _of_month(
    settings: Settings, index: ArchiveIndex, live: _Live, month: str, warehouse: Warehouse
) -> list[tuple[str, int]]:
    """What is to be read for a month: a name that changes with the content, and bytes."""
    window = month_window(month)
    files = [
        (one.stored_sha256, one.stored_bytes)
        for one in index.of_month(month)
        if one.object not in live.left_out and holds(one, month, window)
    ]
    return files + [
        (f"{file.uri} {file.etag}", file.size)
        for file, verdict in judged(settings, warehouse, live.files, window, reader=transformer_reader())
        if verdict is not Verdict.ELSEWHERE
    ]


def _named(settings: Settings, files: Sequence[tuple[str, int]]) -> str:
    """A name for what will be read, and for whatever else decides what comes of it."""
    parts = [transformer_reader(), settings.lms_root_url, settings.agent_ifi_type]
    return hashlib.sha256("\n".join([*parts, *sorted(name for name, _ in files)]).encode()).hexdigest()[:16]


def _why_not(
    settings: Settings, ask: Ask, one: MonthPlan, restored: Restored | None, warehouse: Warehouse
) -> str:
    """Why a month is not loaded; '' if it is."""
    if not settings.first_month <= one.month <= f"{utc_now():%Y-%m}":
        return f"no partition (months are from ASPECTS_FIRST_MONTH, {settings.first_month}, to now)"
    if restored is None or ask.again or restored.content != one.content:
        return ""
    (rows,) = warehouse.row(
        "partition_rows",
        **stored(warehouse, settings.xapi_database, settings.raw_xapi_table).names(),
        partition_id=partition_id(one.month),
    )
    if int(rows or 0) < restored.rows:
        return ""
    return f"restored at {restored.finished_at:%Y-%m-%d %H:%M} UTC (`again: true` loads it all the same)"


def _measured(
    settings: Settings, plan: RecoveryPlan, index: ArchiveIndex, warehouse: Warehouse, *, s3: S3Options
) -> RecoveryPlan:
    """The plan with a speed, found out by reading and transforming some objects of its newest month."""
    month = plan.to_load[0].month
    window = month_window(month)
    some: list[ArchivedObject] = []
    for one in index.of_month(month):
        if holds(one, month, window) and sum(each.stored_bytes for each in some) < _SAMPLE_BYTES:
            some.append(one)
    found, _ = find(index.archive, some, s3=s3)
    files = tuple(one.file for one in found)
    stored = sum(file.size for file in files)
    if not stored:
        return plan
    seconds = _read_once(settings, files, window, warehouse, s3=s3)
    return replace(
        plan,
        bytes_per_s=stored / max(seconds, 1e-3),
        measured=f"as {stored / 1e6:.1f} MB of {month} took to read and transform just now; inserting comes on top",
    )


def _read_once(
    settings: Settings, files: tuple[LogFile, ...], window: Window, warehouse: Warehouse, *, s3: S3Options
) -> float:
    site = site_source(settings, s3, run_id=warehouse.run_id)
    try:
        return Reading(
            settings=settings,
            warehouse=warehouse,
            s3=s3,
            say=lambda _: None,
            files=files,
            window=window,
            site=site,
            reader=transformer_reader(),
            catalogs=False,
        ).read()
    finally:
        site.forget()


def _restored(one: MonthPlan, done: LoadResult) -> Restored:
    return Restored(
        one.month, one.content, done.rows_in_partition, one.stored_bytes, done.duration_s, utc_now()
    )


def _left_out(done: LoadResult) -> bool:
    """Whether objects were left out that somebody may still bring back."""
    return any(one.kind in UNSOUND for one in done.account.damages)

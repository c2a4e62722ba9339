"""One look at the newest hours: what the logs hold of them, what stands in ClickHouse, and where that falls short.

Only files count that are listed now, as they are now, and of which the catalog knows what they hold. What it does not
know yet is counted, and read first where that is asked for. The table is read for the stretch of time that is looked at
and no further.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aspects_orchestration.archive.manifest import ManifestError
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.gaps.compare import Comparison, Limits, Loaded, compare
from aspects_orchestration.gaps.hours import FileHours, each_once, lines_by_hour
from aspects_orchestration.replay.observe import catalog
from aspects_orchestration.replay.reading import transformer_reader
from aspects_orchestration.replay.sources import archive_root
from aspects_orchestration.retention.policy import site_policy
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.catalog import hour_range
from aspects_orchestration.tracking.chunks import is_live
from aspects_orchestration.tracking.stores import LogFile, S3Options, list_all
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.records import hours_loaded, statements_by_hour
from aspects_orchestration.warehouse.ttl import DataTtl
from aspects_orchestration.window import Window, month_window

#: By default so many of the newest days are looked at.
DAYS = 14
#: More than that are not looked at at once: the table of a large site is read by the hundred million rows.
MOST_DAYS = 400
#: By default the newest hours are left alone for so long: a pipeline that is late is not broken, and what it still holds
#: back it would insert again behind a replay.
LAG_HOURS = 3


class GapsError(AspectsError):
    """Gaps cannot be looked for."""


@dataclass(frozen=True)
class Request:
    """What to look at.

    Attributes:
        days: so many days, back from `until` or from the hours that are too young.
        lag_hours: hours younger than that are left alone.
        until: look at hours before this time (UTC); None: now.
        limits: what an hour may fall short by.
        budget_s: give listing the logs so many seconds; None: as long as it takes.
    """

    days: int = DAYS
    lag_hours: int = LAG_HOURS
    until: datetime | None = None
    limits: Limits = Limits()  # noqa: RUF009  frozen
    budget_s: float | None = None


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        window: the hours that were looked at; None where there are none that the site keeps.
        comparison: hour by hour.
        found: statements by hour since 1970-01-01 UTC, of hours without lines too.
        files: how many are listed.
        copies: how many of those that touch the window were left out, because others hold their lines.
        unread: files of which it is not known what they hold and to which nobody writes any more.
        unread_live: how many files are unknown because they are being written to.
    """

    window: Window | None
    comparison: Comparison
    found: dict[int, int]
    files: int
    copies: int
    unread: int
    unread_live: int


def look(
    settings: Settings,
    warehouse: Warehouse,
    *,
    s3: S3Options,
    now: datetime,
    request: Request = Request(),
    read_new: Callable[[str], None] | None = None,
) -> Look:
    """Compare the newest hours of the logs with the table.

    Args:
        settings: of the site.
        warehouse: a connection.
        s3: how to reach S3.
        now: the time, with zone.
        request: what to look at.
        read_new: read files that the catalog does not know first, live ones too, and tell this of it; None: go by what
            is known.

    Raises:
        GapsError: listing takes longer than it may.
        AspectsError: storage or ClickHouse cannot be reached, or the retention policy cannot be read.
    """
    files = {f"{file.uri}\n{file.etag}": file for file in _listed(settings, s3, request.budget_s)}
    window = window_of(settings, request, now)
    sources = _sources(settings, files.values(), s3)
    known, unknown = _known(settings, warehouse, files, sources, window)
    if read_new is not None and unknown:
        read_new(f"{len(unknown)} logs are new or have changed since they were read: reading them first")
        catalog(settings, warehouse, [files[one] for one in unknown], s3=s3, say=read_new)
        known, unknown = _known(settings, warehouse, files, sources, window)
    live = sum(is_live(files[one], now=now) for one in unknown)
    kept = each_once(known)
    found, loaded = {}, {}
    if window is not None:
        target = f"{settings.xapi_database}.{settings.raw_xapi_table}"
        found = statements_by_hour(warehouse, settings.xapi_database, settings.raw_xapi_table, window)
        loaded = {
            hour: Loaded(*one)
            for hour, one in hours_loaded(warehouse, settings.orchestration_database, target, window).items()
        }
    return Look(
        window,
        compare(lines_by_hour(kept), found, loaded, request.limits),
        found,
        len(files),
        len(known) - len(kept),
        len(unknown) - live,
        live,
    )


def window_of(settings: Settings, request: Request, now: datetime) -> Window | None:
    """The hours to look at: whole ones, not too young, of months that are partitions and that retention keeps.

    Raises:
        SettingsError: the retention policy cannot be read.
    """
    end = _hour(now) - timedelta(hours=request.lag_hours)
    if request.until is not None:
        end = min(end, _hour(request.until))
    start = max(end - timedelta(days=request.days), month_window(settings.first_month).start)
    months = site_policy(settings).months_of_raw(f"{settings.xapi_database}.{settings.raw_xapi_table}")
    if months is not None:
        cutoff = DataTtl(months, "month").cutoff(now)
        start = max(start, _hour(cutoff) + timedelta(hours=1))
    return Window(start, end) if start < end else None


def hour_start(hour: int) -> datetime:
    """The beginning of an hour since 1970-01-01 UTC."""
    return datetime.fromtimestamp(hour * 3600, UTC)


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _listed(settings: Settings, s3: S3Options, budget_s: float | None) -> Iterator[LogFile]:
    started = time.monotonic()
    for _, file in list_all(settings.tracking_log_prefixes, s3=s3):
        if budget_s is not None and time.monotonic() - started > budget_s:
            raise GapsError(
                f"listing {', '.join(settings.tracking_log_prefixes)} takes longer than {budget_s:.0f} s",
                do="Leave it to the schedule check_xapi_gaps_daily, which may take its time, and keep fewer old logs under"
                " ASPECTS_TRACKING_LOGS: the archive has them.",
            )
        if file.size:
            yield file


def _sources(settings: Settings, files: Iterable[LogFile], s3: S3Options) -> dict[str, str]:
    """Of listed files that are objects of the archive, the log that each is, or is a part of; by their URIs."""
    archive = archive_root(settings)
    objects = {file.uri.removeprefix(archive): file.uri for file in files if file.uri.startswith(archive)}
    if not objects:
        return {}
    index = index_of(settings, s3=s3)
    # What is wrong with a manifest, verify_archive says; what was read of them before still holds.
    with contextlib.suppress(ManifestError):
        index.update()
    return {objects[name]: source for name, source in index.sources_of(list(objects)).items()}


def _known(
    settings: Settings,
    warehouse: Warehouse,
    files: dict[str, LogFile],
    sources: Mapping[str, str],
    window: Window | None,
) -> tuple[list[FileHours], list[str]]:
    """What is known of listed files that touch the window, and the keys of those of which nothing is."""
    first, end = hour_range(window) if window is not None else (0, 0)
    known, unknown = [], []
    for key, is_unknown, lines, undated, first_micros, last_micros, hours, counts in warehouse.rows(
        "gaps_files",
        listed=files,
        database=settings.orchestration_database,
        reader=transformer_reader(),
        first_hour=first,
        end_hour=end,
    ):
        if is_unknown:
            unknown.append(str(key))
            continue
        by_hour = {int(hour): int(count) for hour, count in zip(hours, counts, strict=True)}
        known.append(
            FileHours(
                files[key].uri,
                int(lines),
                int(undated),
                int(first_micros),
                int(last_micros),
                by_hour,
                sources.get(files[key].uri, ""),
            )
        )
    return known, unknown

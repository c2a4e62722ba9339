"""What the tracking logs hold: the catalog brought up to date, and summed up by store and month."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from aspects_orchestration.markdown import cell
from aspects_orchestration.replay.reading import Reading, Say, transformer_reader
from aspects_orchestration.replay.sources import archive_root, judged, live_logs
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.catalog import Verdict
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_stores
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.records import catalog_by_month, store_summary
from aspects_orchestration.window import Window
from aspects_orchestration.xapi.identities import SiteSource

#: A moment of which no log has an event: read for such a window, logs are cataloged and nothing is transformed.
_NO_TIME = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class StoreObserved:
    """What one store (a prefix of ASPECTS_TRACKING_LOGS) holds, as the catalog has it."""

    uri: str
    files: int
    stored_bytes: int
    lines: int
    undated: int
    first_event: datetime | None
    last_event: datetime | None


@dataclass(frozen=True)
class MonthObserved:
    """Transformable lines of a month, and the files that hold them."""

    month: str
    lines: int
    files: int


@dataclass(frozen=True)
class Observed:
    """What the tracking logs hold."""

    stores: tuple[StoreObserved, ...]
    months: tuple[MonthObserved, ...]
    files_read: int

    def stores_table(self) -> str:
        """The stores as a Markdown table."""
        rows = [
            "| store | files | MB stored | lines | undated | first event | last event |",
            "|---|--:|--:|--:|--:|---|---|",
        ]
        rows += [
            f"| {cell(one.uri)} | {one.files:,} | {one.stored_bytes / 1e6:,.1f} | {one.lines:,} | {one.undated:,}"
            f" | {_shown(one.first_event)} | {_shown(one.last_event)} |"
            for one in self.stores
        ]
        return "\n".join(rows)

    def months_table(self) -> str:
        """The months as a Markdown table."""
        rows = ["| month | transformable lines | files |", "|---|--:|--:|"]
        rows += [f"| {one.month} | {one.lines:,} | {one.files:,} |" for one in self.months]
        return "\n".join(rows)


def observe(settings: Settings, warehouse: Warehouse, *, s3: S3Options, say: Say) -> Observed:
    """Read every log that the catalog does not know, and sum the catalog up.

    Raises:
        AspectsError: storage or ClickHouse cannot be reached; what was read by then is remembered.
    """
    files_read = catalog(settings, warehouse, live_logs(settings, s3), s3=s3, say=say)
    return summed_up(settings, warehouse, files_read=files_read)


def catalog(
    settings: Settings, warehouse: Warehouse, listed: Iterable[LogFile], *, s3: S3Options, say: Say
) -> int:
    """Read those of some logs that the catalog does not know.

    Returns:
        How many those were.

    Raises:
        AspectsError: storage or ClickHouse cannot be reached; what was read by then is remembered.
    """
    reader = transformer_reader()
    unknown = [
        file
        for file, verdict in judged(settings, warehouse, listed, _NO_TIME, reader=reader)
        if verdict is Verdict.UNKNOWN
    ]
    say(f"{len(unknown)} files are new or have changed since they were read")
    Reading(
        settings=settings,
        warehouse=warehouse,
        s3=s3,
        say=say,
        files=tuple(sorted(unknown)),
        window=_NO_TIME,
        site=SiteSource(settings.event_sink_database),
        reader=reader,
    ).read()
    return len(unknown)


def summed_up(settings: Settings, warehouse: Warehouse, *, files_read: int = 0) -> Observed:
    """The catalog by store and month, as it is; reads no log."""
    database = settings.orchestration_database
    stores = open_stores(settings.tracking_log_prefixes)
    archive = archive_root(settings)
    apart = "" if any(store.uri.startswith(archive) for store in stores) else archive
    by_month = catalog_by_month(warehouse, database, [store.uri for store in stores], apart=apart)
    return Observed(
        tuple(
            StoreObserved(store.uri, *store_summary(warehouse, database, store.uri, apart=apart))
            for store in stores
        ),
        tuple(MonthObserved(*row) for row in by_month),
        files_read,
    )


def forget(settings: Settings, warehouse: Warehouse) -> None:
    """Empty the catalog, so that every log is read again when it is needed, or by `observe`."""
    warehouse.run("catalog_forget", database=settings.orchestration_database)


def _shown(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%SZ}" if moment else "–"

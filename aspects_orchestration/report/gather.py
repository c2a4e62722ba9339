"""What the page shows, gathered part by part: a part that cannot be read says why, and the others are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.archive.status import status_of
from aspects_orchestration.drill.record import RecordedDay, last_drill
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.clickhouse import slowest_queries
from aspects_orchestration.monitoring.clickhouse_questions import SlowQuery
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.signals.tables import worry
from aspects_orchestration.monitoring.watch import Look, Reader, look
from aspects_orchestration.monitoring.words import shown
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import stored
from aspects_orchestration.warehouse.records import statements_by_hour
from aspects_orchestration.window import Window

T = TypeVar("T")

WEEK: Final = timedelta(days=7)
_MONTHS: Final = 36
#: Newest lag of an hour since 1970: seconds.
ByHour = dict[int, float]


@dataclass(frozen=True)
class Part(Generic[T]):
    """A part of the page.

    Attributes:
        value: what it shows; None if it could not be read.
        why: why not, and what to do.
    """

    value: T | None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """One reading, in words.

    Attributes:
        name: of the signal.
        title: of it, and of what it was measured.
        state: how it stands.
        value: with its unit.
        worry: its thresholds.
        why: why it could not be read, or what is worth knowing.
        do: what to do, if it is bad.
    """

    name: str
    title: str
    state: State
    value: str
    worry: str
    why: str
    do: str


@dataclass(frozen=True)
class Month:
    """A month of the raw table: what stands, and when it was loaded last (UTC); None if it never was."""

    month: str
    rows: int
    bytes: int
    loaded_at: datetime | None


@dataclass(frozen=True)
class Report:
    """All of the page.

    Attributes:
        site: its name.
        at: when it was gathered (UTC).
        took_ms: how long the look at all signals took.
        rows: the signals, the worst first.
        lag: worst lag by hour (hours since 1970-01-01 UTC), in seconds, of a week.
        volume: statements by hour, of a week.
        months: the newest of the raw table.
        archive: lines of text.
        drills: the days of the last drill.
        slow: the slowest queries of an hour.
    """

    site: str
    at: datetime
    took_ms: float
    rows: tuple[Row, ...]
    lag: ByHour
    volume: Part[dict[int, int]]
    months: Part[list[Month]]
    archive: Part[list[str]]
    drills: Part[list[RecordedDay]]
    slow: Part[list[SlowQuery]]

    @property
    def worst(self) -> State:
        """How the pipeline stands."""
        return max((one.state for one in self.rows), key=lambda one: one.rank, default=State.OK)

    @property
    def window(self) -> Window:
        """The week that the charts show."""
        end = self.at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return Window(end - WEEK, end)


def gather(
    settings: Settings,
    readers: Sequence[Reader],
    rules: Rules,
    connect: Callable[[], Warehouse],
    *,
    site: str,
    lag: ByHour,
    s3: S3Options,
    now: datetime,
) -> Report:
    """Take one look at everything.

    Args:
        settings: of the site.
        readers: whom to ask for signals.
        rules: in force; one look judges a value as it is.
        connect: to ClickHouse; it may fail.
        site: its name.
        lag: what was observed of it in the last week.
        s3: how to reach S3.
        now: the time (UTC).
    """
    at_once = {name: replace(rules.of(one), for_ticks=1) for name, one in SIGNALS.items()}
    seen = look(readers, rules=replace(rules, changed=at_once), before={}, now=now)
    warehouse = part(connect)

    def asked(ask: Callable[[Warehouse], T]) -> Part[T]:
        if warehouse.value is None:
            return Part(None, warehouse.why)
        connected = warehouse.value
        return part(lambda: ask(connected))

    end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    window = Window(end - WEEK, end)
    return Report(
        site,
        now,
        seen.took_ms,
        rows_of(seen, rules),
        lag,
        asked(lambda one: statements_by_hour(one, settings.xapi_database, settings.raw_xapi_table, window)),
        asked(lambda one: months_of(settings, one)),
        part(lambda: status_of(index_of(settings, s3=s3), now).lines_of_text),
        asked(lambda one: last_drill(one, settings.orchestration_database)),
        part(lambda: slowest_queries(settings, now)),
    )


def part(ask: Callable[[], T]) -> Part[T]:
    """What was asked for, or why it cannot be told."""
    try:
        return Part(ask())
    except AspectsError as error:
        return Part(None, str(error))


def rows_of(seen: Look, rules: Rules) -> tuple[Row, ...]:
    """The readings of a look, the worst first."""
    rows = []
    for key, reading in seen.readings.items():
        signal, standing = SIGNALS[reading.signal], seen.standings[key]
        of = ", ".join(f"{name} {value}" for name, value in reading.labels)
        rows.append(
            Row(
                signal.name,
                f"{signal.title} ({of})" if of else signal.title,
                standing.state,
                "not read" if standing.value is None else shown(standing.value, signal.unit),
                worry(signal, rules.of(signal)),
                reading.why,
                "" if standing.state in {State.OK, State.UNKNOWN} else signal.do,
            )
        )
    return tuple(sorted(rows, key=lambda one: -one.state.rank))


def months_of(settings: Settings, warehouse: Warehouse) -> list[Month]:
    """The newest months of the raw table, the newest first."""
    found = warehouse.rows(
        "report_months",
        **stored(warehouse, settings.xapi_database, settings.raw_xapi_table).names(),
        orchestration=settings.orchestration_database,
        target=f"{settings.xapi_database}.{settings.raw_xapi_table}",
        limit=_MONTHS,
    )
    return [
        Month(str(month), int(rows), int(size), at(int(loaded)) if loaded else None)
        for month, rows, size, loaded in found
    ]

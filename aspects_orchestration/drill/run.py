"""The restore drill, from beginning to end.

For each day whose turn it is: read its objects back and compare them with their manifest; replay them, and nothing else,
into an empty scratch database by the ordinary load of every month that they touch; compare event ids and statements
with what stands; drop the scratch; write down what was found and how long it took. What stands is only read. A
drill that is killed leaves a scratch that the next one drops.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from aspects_orchestration.archive.index import ArchiveIndex, SealedDay
from aspects_orchestration.drill.choose import (
    DayPlan,
    choose_days,
    newest_sealed_line,
    plan_named_day,
)
from aspects_orchestration.drill.compare import MonthComparison, compare_month, compare_quarantine
from aspects_orchestration.drill.objects import Stored, read_back
from aspects_orchestration.drill.record import DIFFERS, FAILED, PASSED, DrillRecord, remember_drill
from aspects_orchestration.drill.scratch import fresh_scratch
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.load import load_month
from aspects_orchestration.replay.plan import LoadPlan, LoadRequest, site_source, staging_prefix
from aspects_orchestration.replay.reading import Say, transformer_reader
from aspects_orchestration.replay.result import LoadResult, utc_now
from aspects_orchestration.replay.same_site import Naming, sampled_namings
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.quarantine import MISSING_REPORT
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.lock import locked
from aspects_orchestration.window import Window, month_window

_LOCK = "lock_restore_drill"
_LOAD = "drill"
_NAMED_IN_A_SENTENCE = 5


@dataclass(frozen=True)
class DrillRequest:
    """What an operator or the schedule asks for.

    Attributes:
        turn: the drill's month, such as 2026-11.
        day: a sealed day to drill; None for those whose turn it is.
        max_raw_bytes: of one day, decompressed; of a larger one a part is replayed.
    """

    turn: str
    day: date | None
    max_raw_bytes: int


@dataclass(frozen=True)
class DrillPlan:
    """What a drill will do.

    Attributes:
        request: what was asked for.
        archive: URI prefix.
        days: to replay, one after the other.
        sealed_until: the last sealed day.
        newest_line: time of the newest sealed event; None if there is none.
        archive_raw_bytes: of the whole archive, decompressed.
    """

    request: DrillRequest
    archive: str
    days: tuple[DayPlan, ...]
    sealed_until: date
    newest_line: datetime | None
    archive_raw_bytes: int


@dataclass(frozen=True)
class DrilledDay:
    """One day, drilled.

    Attributes:
        plan: what was to be done.
        record: what was written down of it.
        months: the comparisons, by month.
        verify_s, load_s: seconds that reading the objects back and loading them took.
    """

    plan: DayPlan
    record: DrillRecord
    months: tuple[MonthComparison, ...] = ()
    verify_s: float = 0.0
    load_s: float = 0.0
    error: str = field(default="")

    @property
    def passed(self) -> bool:
        """Whether all of the day came back as it stands."""
        return self.record.outcome == PASSED


def plan_drill(
    settings: Settings,
    index: ArchiveIndex,
    sealed: Sequence[SealedDay],
    request: DrillRequest,
    *,
    now: datetime,
) -> DrillPlan:
    """Resolve a request.

    Args:
        settings: of the site.
        index: of the archive.
        sealed: what its `update` has just returned.
        request: what is asked for.
        now: the time, with zone.

    Raises:
        NothingToDrillError: nothing is sealed, or not the day asked for.
    """
    first, limit = settings.first_month, request.max_raw_bytes
    days = (
        choose_days(index, sealed, request.turn, first_month=first, max_raw_bytes=limit)
        if request.day is None
        else [
            plan_named_day(index, sealed, request.day, request.turn, first_month=first, max_raw_bytes=limit)
        ]
    )
    return DrillPlan(
        request,
        index.archive,
        tuple(days),
        sealed[-1].day,
        newest_sealed_line(index, sealed, now),
        index.raw_bytes(),
    )


@contextmanager
def only_one(settings: Settings, warehouse: Warehouse, *, say: Say) -> Iterator[None]:
    """Hold the lock of drills for the time of a `with` block.

    Raises:
        LockedError: a drill that is alive holds it.
    """
    with locked(warehouse, settings.orchestration_database, _LOCK, say=say, doing="is drilling a restore"):
        yield


def drill(
    settings: Settings, warehouse: Warehouse, plan: DrillPlan, *, s3: S3Options, say: Say
) -> Iterator[DrilledDay]:
    """Do what a plan says, day by day; its caller holds `only_one`.

    A day that cannot be replayed is written down as failed, and the next one goes on.

    Args:
        settings: of the site.
        warehouse: its run id is this run's.
        plan: by `plan_drill`.
        s3: how to reach S3.
        say: told of progress; safe to show.
    """
    for day in plan.days:
        say(f"drilling {day.described()}")
        started = utc_now()
        try:
            drilled = _drill_day(settings, warehouse, plan, day, s3=s3, say=say, started=started)
        except AspectsError as error:
            record = _record(warehouse, plan, day, FAILED, str(error), started)
            drilled = DrilledDay(day, record, error=str(error))
        say("writing the drill down")
        remember_drill(settings, warehouse, drilled.record)
        say(f"drilled {day.day}: {drilled.record.summary}")
        yield drilled


def _drill_day(
    settings: Settings,
    warehouse: Warehouse,
    plan: DrillPlan,
    day: DayPlan,
    *,
    s3: S3Options,
    say: Say,
    started: datetime,
) -> DrilledDay:
    months = []
    with fresh_scratch(settings, warehouse, say=say) as scratch:
        began = time.monotonic()
        say(f"reading {len(day.objects)} objects back")
        stored = read_back(plan.archive, day.objects, s3=s3, say=say)
        verify_s = time.monotonic() - began
        loads = []
        for month in day.months:
            as_it_stands, named_as = _as_it_stands(settings, scratch, warehouse, day, month, say)
            loads.append((_load(as_it_stands, warehouse, stored, month, s3=s3, say=say), named_as))
        rto_s = time.monotonic() - began
        for result, named_as in loads:
            say(f"comparing {result.month}")
            staging = staging_prefix(scratch, result.month) + _LOAD
            found = compare_month(settings, scratch, warehouse, result, staging, now=utc_now())
            compare_quarantine(settings, warehouse, result, day.of_month(result.month), found)
            found.named_as = named_as
            months.append(found)
    outcome = PASSED if all(one.passed for one in months) else DIFFERS
    return DrilledDay(
        day,
        replace(
            _record(warehouse, plan, day, outcome, summary(day, months), started),
            restored=sum(one.restored for one in months),
            missing=sum(one.missing for one in months),
            different=sum(one.different for one in months),
            expired=sum(one.expired for one in months),
            quarantined=sum(one.quarantined.total() for one in months),
            newly_quarantined=sum(one.newly_quarantined.total() for one in months),
            ids=tuple(found for one in months for found in (*one.missing_ids, *one.different_ids)),
            rto_day_s=rto_s,
            rto_all_s=rto_s * plan.archive_raw_bytes / day.raw_bytes if day.raw_bytes else 0.0,
        ),
        tuple(months),
        verify_s,
        rto_s - verify_s,
    )


def _load(
    scratch: Settings, warehouse: Warehouse, stored: Sequence[Stored], month: str, *, s3: S3Options, say: Say
) -> LoadResult:
    """The ordinary load of a month, of these objects alone."""
    files = tuple(sorted(one.file for one in stored if month in one.object.months))
    plan = LoadPlan(
        # A month that retention has let go can be restored all the same; nothing drops it in the scratch.
        LoadRequest(month, sources=tuple(one.uri for one in files), allow_expired=True),
        month_window(month),
        files,
        site_source(scratch, s3, run_id=warehouse.run_id),
        _LOAD,
        transformer_reader(),
        verdicts=Counter(sealed=len(files)),
    )

    def say_what_stays(line: str) -> None:
        # The report of who is missing goes with the scratch.
        if MISSING_REPORT not in line:
            say(line)

    return load_month(scratch, plan, warehouse, s3=s3, say=say_what_stays, keep_staging=True)


def _as_it_stands(
    settings: Settings, scratch: Settings, warehouse: Warehouse, day: DayPlan, month: str, say: Say
) -> tuple[Settings, str]:
    """Settings that name actors and LMS as the statements of these days do, should the site have changed that since."""
    sampled = sampled_namings(settings, warehouse, _window_of(day, month))
    common = sampled.most_common(1)
    naming = common[0][0] if common else Naming("", "")
    if not naming.contradicts(settings):
        return scratch, ""
    kind = naming.kind if naming.kind in {"external_id", "mbox", "mbox_sha1sum"} else settings.agent_ifi_type
    root = naming.root_url or settings.lms_root_url
    named_as = f"XAPI_AGENT_IFI_TYPE {kind} and LMS_ROOT_URL {root}"
    say(f"statements of {month} were made with {named_as}: they are restored so")
    return replace(scratch, agent_ifi_type=kind, lms_root_url=root), named_as  # type: ignore[arg-type]


def _window_of(day: DayPlan, month: str) -> Window:
    """The stretch of a month that the day's objects span."""
    window = month_window(month)
    objects = day.of_month(month)
    firsts = [one.first_event for one in objects if one.first_event is not None]
    lasts = [one.last_event for one in objects if one.last_event is not None]
    start = max(window.start, min(firsts, default=window.start))
    end = min(window.end, max(lasts, default=window.end))
    return Window(start, end) if start < end else window


def _record(
    warehouse: Warehouse, plan: DrillPlan, day: DayPlan, outcome: str, sentence: str, started: datetime
) -> DrillRecord:
    now = utc_now()
    return DrillRecord(
        run_id=warehouse.run_id,
        turn=plan.request.turn,
        day=day.day,
        outcome=outcome,
        months=day.months,
        objects=len(day.objects),
        stored_bytes=day.stored_bytes,
        raw_bytes=day.raw_bytes,
        lines=day.lines,
        summary=sentence,
        started_at=started,
        finished_at=now,
        rpo_s=(now - plan.newest_line).total_seconds() if plan.newest_line else None,
    )


def summary(day: DayPlan, months: Sequence[MonthComparison]) -> str:
    """What a drill of a day has found, and where something differs, what to do."""
    if not day.lines:
        return f"{day.day} holds no lines: there is nothing to restore"
    restored = sum(one.restored for one in months)
    said = [f"{restored} statements of {day.lines} lines of {day.day} came back from the archive alone"]
    if expired := sum(one.expired for one in months):
        said.append(f"{expired} of them stand no more in ClickHouse, by retention")
    if day.strange_months:
        said.append(f"not loaded, as no months of this site: {', '.join(day.strange_months)}")
    for one in months:
        said += _differences(one)
    if all(one.passed for one in months):
        said.append(
            "all others stand as they came back" if expired else "all of them stand as they came back"
        )
    return "; ".join(said)


def _differences(one: MonthComparison) -> Iterator[str]:
    if one.named_as:
        yield f"{one.month} was restored with {one.named_as}, as it stands"
    if one.missing:
        yield (
            f"{one.missing} statements of {one.month} do not stand in the table ({_some(one.missing_ids, one.missing)}):"
            f" load {one.month} (dagster asset materialize --select xapi_events_all --partition {one.month}), and find out"
            " who deleted or never wrote them"
        )
    if one.different:
        places = ", ".join(f"{place} ({count})" for place, count in one.places.most_common(5))
        yield (
            f"{one.different} statements of {one.month} stand there and say something else"
            f" ({_some(one.different_ids, one.different)}) in {places}: a course that was renamed since, other"
            " transformers, or a row that was changed; a rebuild of the month would write what came back"
        )
    if one.newly_quarantined:
        reasons = ", ".join(f"{reason} {count}" for reason, count in one.newly_quarantined.most_common())
        yield (
            f"lines of {one.month} that were loaded once can be loaded no more ({reasons}): bring back the users or"
            " courses (ASPECTS_IDENTITIES, ASPECTS_COURSES)"
        )
    if one.nothing_came_back:
        reasons = ", ".join(f"{reason} {count}" for reason, count in one.quarantined.most_common())
        yield (
            f"not one statement of {one.month} came back, all its lines are quarantined ({reasons}): look at"
            " ASPECTS_IDENTITIES and ASPECTS_COURSES"
        )


def _some(ids: Sequence[str], count: int) -> str:
    named = ", ".join(ids[:_NAMED_IN_A_SENTENCE])
    return f"{named} and {count - _NAMED_IN_A_SENTENCE} more" if count > _NAMED_IN_A_SENTENCE else named

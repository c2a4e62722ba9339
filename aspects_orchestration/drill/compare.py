"""What a drill has restored, held against what stands: event ids and statements, month by month, slice by slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.drill.statements import differing_places
from aspects_orchestration.replay.result import LoadResult
from aspects_orchestration.retention.policy import site_policy
from aspects_orchestration.retention.rules import rules_of
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import catch_up, stored
from aspects_orchestration.warehouse.publish import Slice, cut_slices
from aspects_orchestration.warehouse.records import latest_load
from aspects_orchestration.warehouse.ttl import DataTtl
from aspects_orchestration.window import micros, month_window, partition_id

#: Statements of a slice; should all of one stand with other bodies, both of each are held in memory (1 to 2 KB each).
SLICE_STATEMENTS: Final = 20_000
#: So many ids of each kind are named.
NAMED_IDS: Final = 1_000
#: Why lines are quarantined that the site's users and courses would mend.
_OF_THE_SITE: Final = ("unknown_user", "no_external_id", "no_email", "unknown_course")
_MINUTE_MICROS: Final = 60_000_000
_EVER = datetime(1900, 1, 1, tzinfo=UTC)
_NEVER = datetime(2299, 12, 31, tzinfo=UTC)


@dataclass
class MonthComparison:
    """One month of a drill, compared.

    Attributes:
        month: its key.
        restored: statements that came out of the archive.
        missing: of these, do not stand in the table although they should.
        expired: do not stand there because retention has let them go.
        rewritten: stand there in another way of writing that says the same, as other writers have it.
        of_another_event: stand there with the body of another event of the day that has the same id.
        different: stand there and say something else.
        places: where these differ, such as `object.definition.name`, and how many of them.
        missing_ids, different_ids: the first of each.
        quarantined: lines of the month's objects that could not be loaded, by reason.
        newly_quarantined: how many more of them than when their source files were loaded, by reason.
        quarantine_unknown: quarantined lines of which no load's account says whether they could be loaded before.
        nothing_came_back: lines lack users or courses, not one gave a statement, and whether they ever did is unknown.
        named_as: how the month's statements name actors and LMS, where the settings say otherwise; '' else.
    """

    month: str
    restored: int = 0
    missing: int = 0
    expired: int = 0
    rewritten: int = 0
    of_another_event: int = 0
    different: int = 0
    places: Counter[str] = field(default_factory=Counter)
    missing_ids: list[str] = field(default_factory=list)
    different_ids: list[str] = field(default_factory=list)
    quarantined: Counter[str] = field(default_factory=Counter)
    newly_quarantined: Counter[str] = field(default_factory=Counter)
    quarantine_unknown: int = 0
    nothing_came_back: bool = False
    named_as: str = ""

    @property
    def passed(self) -> bool:
        """Whether all of it came back as it stands."""
        return not (
            self.missing or self.different or self.newly_quarantined.total() or self.nothing_came_back
        )


def compare_month(
    settings: Settings,
    scratch: Settings,
    warehouse: Warehouse,
    result: LoadResult,
    staging_table: str,
    *,
    now: datetime,
) -> MonthComparison:
    """Compare what a load of a month has put into the scratch with what stands.

    Args:
        settings: of the site.
        scratch: those of the scratch.
        warehouse: a connection.
        result: of the load.
        staging_table: of that load, kept.
        now: the time, with zone; what retention has let go by then is not missing.
    """
    month = result.month
    found = MonthComparison(month, quarantined=Counter(result.account.total.quarantined))
    window = month_window(month)
    tables = {
        "database": settings.xapi_database,
        "table": settings.raw_xapi_table,
        "scratch_database": scratch.xapi_database,
    }
    catch_up(warehouse, (settings.xapi_database, settings.raw_xapi_table))
    kept_from = micros(_kept_from(settings, warehouse, month, now))
    minutes = [
        (int(minute), int(rows))
        for minute, rows in warehouse.rows(
            "publish_minutes", staging_database=scratch.xapi_database, staging_table=settings.raw_xapi_table
        )
        if window.start_micros <= int(minute) * _MINUTE_MICROS < window.end_micros
    ]
    for one in cut_slices(minutes, SLICE_STATEMENTS):
        _compare_slice(warehouse, one, tables, staging_table, kept_from, found)
    return found


def _compare_slice(
    warehouse: Warehouse,
    one: Slice,
    tables: dict[str, Any],
    staging_table: str,
    kept_from: int,
    found: MonthComparison,
) -> None:
    restored, missing, expired, other_body = map(
        int, warehouse.row("drill_compare", kept_from=kept_from, **tables, **one.bounds())
    )
    found.restored += restored
    found.missing += missing
    found.expired += expired
    if missing and len(found.missing_ids) < NAMED_IDS:
        rows = warehouse.rows(
            "drill_missing",
            kept_from=kept_from,
            limit=NAMED_IDS - len(found.missing_ids),
            **tables,
            **one.bounds(),
        )
        found.missing_ids += [event_id for (event_id,) in rows]
    if not other_body:
        return
    for event_id, event, standing, of_another_event in warehouse.rows(
        "drill_other_bodies", staging_table=staging_table, **tables, **one.bounds()
    ):
        if of_another_event:
            found.of_another_event += 1
            continue
        places = min((differing_places(event, other) for other in standing), key=len)
        if not places:
            found.rewritten += 1
            continue
        found.different += 1
        found.places.update(places)
        if len(found.different_ids) < NAMED_IDS:
            found.different_ids.append(event_id)


def _kept_from(settings: Settings, warehouse: Warehouse, month: str, now: datetime) -> datetime:
    """Statements of a month that are older than this have gone by policy, by the table's TTL, or dropped by retention."""
    raw = f"{settings.xapi_database}.{settings.raw_xapi_table}"
    policy = site_policy(settings)
    months = policy.months_of_raw(raw)
    cutoffs = [_EVER]
    if months is not None and policy.hold_of(raw, month, now) is None:
        cutoffs.append(DataTtl(months, "month").cutoff(now))
    lies = stored(warehouse, settings.xapi_database, settings.raw_xapi_table)
    for database, table, _, _, engine_full in warehouse.rows("retention_tables"):
        if (database, table) != (lies.database, lies.table):
            continue
        cutoffs += [
            rule.expiry.ttl.cutoff(now)
            for rule in rules_of(engine_full)
            if rule.expiry is not None and partition_id(month) not in rule.kept
        ]
    if _was_dropped(settings, warehouse, month, raw):
        return _NEVER
    return max(cutoffs)


def _was_dropped(settings: Settings, warehouse: Warehouse, month: str, raw: str) -> bool:
    """Whether retention has dropped the month by a policy that has changed since, and nobody has loaded it again."""
    rows = warehouse.row(
        "partition_rows",
        **stored(warehouse, settings.xapi_database, settings.raw_xapi_table).names(),
        partition_id=partition_id(month),
    )[0]
    drops = warehouse.row(
        "retention_log_dropped",
        database=settings.orchestration_database,
        target=raw,
        partition_id=partition_id(month),
    )[0]
    return not rows and bool(drops)


def compare_quarantine(
    settings: Settings,
    warehouse: Warehouse,
    result: LoadResult,
    objects: Sequence[ArchivedObject],
    found: MonthComparison,
) -> None:
    """Hold the lines that a drill quarantined against what the month's last load says of the same source files.

    That load's account lists its largest files; of others, and of files that it read in another version, nothing is known.

    Args:
        settings: of the site.
        warehouse: a connection.
        result: of the load into the scratch.
        objects: that it read.
        found: gets the answer.
    """
    if not found.quarantined:
        return
    target = f"{settings.xapi_database}.{settings.raw_xapi_table}"
    record = latest_load(warehouse, settings.orchestration_database, target, result.month)
    before: dict[str, Any] = record.account.get("files", {}) if record else {}
    by_source: dict[str, list[ArchivedObject]] = {}
    for one in objects:
        by_source.setdefault(one.source, []).append(one)
    accounts = {uri.rpartition("/")[2]: account for uri, account in result.account.files.items()}
    for source, parts in by_source.items():
        now = LineAccount()
        for part in parts:
            now += accounts.get(part.object.rpartition("/")[2], LineAccount())
        if not now.quarantined:
            continue
        stored = before.get(source)
        if stored is None or stored.get("lines") != now.lines:
            found.quarantine_unknown += now.quarantined_lines
            continue
        then = Counter(stored.get("quarantined", {}))
        if now.quarantined_lines > then.total():
            found.newly_quarantined += now.quarantined - then
    # A drill of lines that nobody can load any more must not pass for one of lines that never could be.
    found.nothing_came_back = (
        not result.account.total.with_statements
        and found.quarantine_unknown > 0
        and any(found.quarantined[reason] for reason in _OF_THE_SITE)
    )

"""One month of one view: what its own SELECT gives of its source, against what stands in its target.

The SELECT is the one that ClickHouse keeps of the view, and is sent as it stands there; the month is bound from outside,
by a filter on the source (`additional_table_filters`), so that one partition of each table is read and no other. Rows
that are missing and rows that are there twice are counted apart, because they come from different mishaps.

A site writes while it is looked at, and an insert stands in its tables one after the other. Events of the last minutes are
therefore left out, and what an insert under way could explain is looked at twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from aspects_orchestration.dashboards.chain import Chain, Table, View
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import catch_up
from aspects_orchestration.warehouse.statements import Statement, ddl, quoted_text, with_columns, with_select
from aspects_orchestration.window import micros, month_window, partition_id

State = Literal["complete", "drifted", "expired", "not compared", "not answered", "broken"]

#: Groups that do not fit go to the server's disk.
_SPILL_BYTES = 1_000_000_000
#: Rows of other tables that views look up; what is read beyond that means that the filter did not hold.
_LOOKED_UP_ROWS = 10_000_000
#: Batches, retries and clocks: what is younger may be on its way.
SETTLED: Final = timedelta(minutes=10)
#: A block of an insert has about as many rows; more cannot be one that is under way.
_ROWS_OF_AN_INSERT = 1_100_000
#: A TTL in months shortens days at the end of a month, so that rows may go up to three days early.
_SHORTENED = timedelta(days=3)
#: How much earlier than by its own time a row goes, by what the TTL makes of that time.
_EARLIER = {"todate": timedelta(days=1), "tostartofmonth": timedelta(days=31)}
_WHOLE_NUMBERS = ("UInt", "Int")
_BROKEN_NUMBERS = ("Float", "Decimal")
#: Engines that keep one row a key.
_KEEP_KEYS = ("Replacing", "Summing", "Aggregating", "Coalescing")
#: Errors of ClickHouse whose text names tables, columns, grants and limits, never the value of a row.
_TEXT_WITHOUT_VALUES = frozenset({47, 60, 81, 159, 241, 243, 394, 396, 497})
_TOO_MANY_ROWS = 158


@dataclass(frozen=True)
class Compared:
    """One view's month.

    Attributes:
        view, source, target: as `database.name`.
        state: how it stands; `broken` where nothing can follow, `expired` where a TTL has taken the month, `not answered`
            where ClickHouse could not say.
        why: in words, where it was not compared, or only in part.
        unit: what is counted: events, or keys that its rows are kept by.
        expected: of them, by the view's own SELECT.
        stand: of them, in the target.
        missing: expected ones that do not stand, rows of an event that stands in part among them.
        strange: those that stand and that the SELECT does not give.
        doubled: rows beyond what is expected.
        until_merge: of these, such as go by themselves when ClickHouse merges their parts.
    """

    view: str
    source: str
    target: str
    state: State
    why: str = ""
    unit: str = "events"
    expected: int = 0
    stand: int = 0
    missing: int = 0
    strange: int = 0
    doubled: int = 0
    until_merge: int = 0

    @property
    def for_good(self) -> int:
        """Doubled rows that no merge takes away."""
        return self.doubled - self.until_merge


def compare_month(warehouse: Warehouse, chain: Chain, view: View, month: str, *, now: datetime) -> Compared:
    """Compare one month of a view with its source.

    Args:
        warehouse: a user who may read what the view reads.
        chain: from `follow`.
        view: one of its views.
        month: such as 2024-05.
        now: the time by which TTLs have expired and events have settled, with zone.

    Raises:
        WarehouseError: a grant is missing, or ClickHouse cannot be reached.
    """
    source, target = chain.tables.get(view.source), chain.tables.get(view.target)
    names = (view.known_as, ".".join(view.source), target.known_as if target else ".".join(view.target))
    if target is None or source is None:
        lost = names[2] if target is None else names[1]
        return Compared(
            *names,
            "broken",
            f"{lost} is not there: it was renamed or dropped, or this user may not see it. ClickHouse refuses every insert"
            " on its way through the view",
        )
    since, why = _kept_since((source, target), month, now)
    if since is None or since >= month_window(month).end:
        return Compared(*names, "expired" if since else "not compared", why)
    asked = _Asked(warehouse, view, source, target, month, since, _settled_until(month, now), names)
    reason = asked.why_not()
    if reason:
        return Compared(*names, "not compared", reason)
    found = _looked_at_twice(asked.by_event if asked.has_events else asked.by_key)
    if sum(one.target == view.target for one in chain.views) > 1:
        # What this SELECT does not give, that of another view that writes to the same table may.
        found = _among_others(found)
    return replace(found, why="; ".join(one for one in (why, found.why) if one))


def _settled_until(month: str, now: datetime) -> datetime:
    """The end of a month, or of that part of it whose events have come to stand everywhere."""
    return min(month_window(month).end, (now - SETTLED).astimezone(UTC).replace(microsecond=0))


def _kept_since(tables: tuple[Table, ...], month: str, now: datetime) -> tuple[datetime | None, str]:
    """From when on rows of a month are kept by all TTLs, and in words what goes; None where that cannot be said."""
    window = month_window(month)
    since, why = window.start, ""
    for table in tables:
        for rule in table.rules:
            if partition_id(month) in rule.kept or rule.kind in {"move", "recompress"}:
                continue
            of_table = f"the TTL of {table.known_as} ({rule.text})"
            if rule.expiry is None or rule.expiry.column not in {"emission_time", table.month_column}:
                return None, f"{of_table} takes rows in a way that cannot be told from drift"
            cutoff = rule.expiry.ttl.cutoff(now) + _EARLIER.get(rule.expiry.function, timedelta())
            if cutoff <= since:
                continue
            if rule.expiry.ttl.months is not None:
                cutoff += _SHORTENED
            since = (cutoff + timedelta(seconds=1)).replace(microsecond=0)
            if since < window.end and rule.expiry.column != "emission_time":
                return (
                    None,
                    f"{of_table} has begun to drop the month, by another time than that of the events",
                )
            why = f"{of_table} has dropped " + (
                "the month" if since >= window.end else f"what is older than {since:%Y-%m-%d %H:%M:%S} UTC"
            )
    return since.astimezone(UTC), why


@dataclass(frozen=True)
class _Asked:
    """What is asked of one view: of its month from `since` to `until`."""

    warehouse: Warehouse
    view: View
    source: Table
    target: Table
    month: str
    since: datetime
    until: datetime
    names: tuple[str, str, str]

    @property
    def is_running(self) -> bool:
        """Whether the end of the month is left out, because it is still written."""
        return self.until < month_window(self.month).end

    @property
    def has_events(self) -> bool:
        """Whether events can be told apart, and merges take none of them away."""
        return (
            {"event_id", "emission_time"} <= self.view.columns.keys()
            and {"event_id", "emission_time"} <= self.target.columns.keys()
            and {"event_id", "emission_time"} <= self.source.columns.keys()
            and (self.target.keeps_all or (self.target.replaces and self.target.sorts_events))
        )

    def why_not(self) -> str:
        """Why the month cannot be told apart; empty if it can."""
        why = _why_no_month(self.source) or _why_no_month(self.target)
        if not why and self.until <= self.since:
            why = "nothing of the month has settled yet"
        return why if why or self.has_events else self._why_no_keys()

    def _why_no_keys(self) -> str:
        target = self.target
        if self.since > month_window(self.month).start:
            return "a TTL has dropped a part of the month, and its rows do not say which"
        if self.is_running and "emission_time" not in self.source.columns:
            return (
                f"the month is still written, and rows of {self.source.known_as} do not say which are young"
            )
        if target.keeps_all:
            return f"rows of {target.known_as} carry no event id, and ClickHouse keeps all of them apart"
        if not any(one in target.engine for one in _KEEP_KEYS):
            return f"{target.known_as} is a {target.engine}, whose rows are not compared"
        if not target.sorting_key or not set(target.sorting_key) <= self.view.columns.keys():
            return f"rows of {target.known_as} carry no event id, and nothing else by which one could be told from another"
        return ""

    def by_event(self) -> Compared:
        """Event by event, with the rows of each."""
        partition = {"partition_id": partition_id(self.month)}
        bounds = {"since": micros(self.since), "until": micros(self.until)}
        of_target: dict[str, Any] = {
            "database": self.target.database,
            "table": self.target.name,
            **partition,
            **bounds,
        }

        def ask(name: str, **more: object) -> list[int]:
            asked = ddl(name, cluster=self.warehouse.cluster, **of_target, **more)
            return self._numbers(name, with_select(asked, self.view.select), self._bound())

        found = ask("dashboards/by_event")
        if found[-1]:
            # The SELECT gave an event more than once: by its own nature, or because its source holds it twice.
            found = ask(
                "dashboards/by_event_of_doubled",
                source_database=self.view.source[0],
                source_table=self.view.source[1],
            )
        expected, stand, missing, strange, missing_rows, doubled, rows, _ = found
        if missing_rows and self.target.replaces and not self._why_no_keys():
            # Rows of one event may have the same sorting key, and a merge has made one of them.
            return self.by_key()
        until_merge = 0
        if doubled and self.target.replaces:
            left = self.warehouse.row("dashboards/rows_after_merge", **of_target)[0]
            until_merge = max(0, min(doubled, rows - int(left)))
        missing += missing_rows
        return self._judged("", "events", expected, stand, missing, strange, doubled, until_merge)

    def by_key(self) -> Compared:
        """Key by key, with the sums of each; of a month that is still written, only what is missing."""
        expected, stand, missing, strange, _, missing_sum, doubled_sum = self._keys()
        why = ""
        if self.is_running:
            strange = doubled_sum = 0
            why = "the month is still written: only what is missing is looked for"
        elif not self.target.sums:
            why = f"{self.target.known_as} keeps one row a key, so that doubled ones cannot be seen in it"
        return self._judged(why, "keys", expected, stand, missing + missing_sum, strange, doubled_sum, 0)

    def _keys(self) -> list[int]:
        target = self.target
        key = {name: target.columns[name] for name in target.sorting_key}
        summed = {
            name: of
            for name, of in target.columns.items()
            if target.sums
            and name not in key
            and name in self.view.columns
            and (not target.engine_columns or name in target.engine_columns)
        }
        amounts = {name: of for name, of in summed.items() if of.startswith(_WHOLE_NUMBERS)}
        asked = ddl(
            "dashboards/by_key",
            cluster=self.warehouse.cluster,
            database=target.database,
            table=target.name,
            partition_id=partition_id(self.month),
            # A merge takes away keys whose every sum is 0.
            zeros_go=bool(amounts) and not any(of.startswith(_BROKEN_NUMBERS) for of in summed.values()),
        )
        settings = self._bound(settled=self.is_running)
        if target.sums and self.source.replaces:
            # What the source holds twice until its next merge counts once; sums do not change by FINAL.
            settings["final"] = 1
        asked = with_select(with_columns(asked, {"key": key, "amounts": amounts}), self.view.select)
        return self._numbers("dashboards/by_key", asked, settings)

    def _numbers(self, step: str, asked: Statement, settings: dict[str, object]) -> list[int]:
        return [int(one or 0) for one in self.warehouse.rows_of(asked, step=step, settings=settings)[0]]

    def _judged(self, why: str, unit: str, *numbers: int) -> Compared:
        return _judged(Compared(*self.names, "complete", why, unit, *numbers))

    def _bound(self, *, settled: bool = False) -> dict[str, object]:
        """Settings that bind a query to the month, and keep it from writing, and from taking the server's memory.

        Args:
            settled: bind it to what has settled too. Events are bound where they are counted; keys say nothing of when.
        """
        condition = f"_partition_id = '{partition_id(self.month)}'"
        if settled:
            condition += f" AND emission_time < fromUnixTimestamp64Micro({micros(self.until)}, 'UTC')"
        rows = self.source.rows_of(self.month) + self.target.rows_of(self.month)
        return {
            "additional_table_filters": f"{{{quoted_text('.'.join(self.view.source))}: {quoted_text(condition)}}}",
            "readonly": 2,
            "max_bytes_before_external_group_by": _SPILL_BYTES,
            "max_rows_to_read": 4 * rows + _LOOKED_UP_ROWS,
        }


def _why_no_month(table: Table) -> str:
    """Why a table's month cannot be read by itself; empty if it can."""
    if not table.is_monthly:
        return (
            f"{table.known_as} is not partitioned by month, so that its month cannot be read by itself"
            f" ({table.rows:,} rows in all)"
        )
    if not table.month_column.startswith("emission_"):
        return (
            f"{table.known_as} is partitioned by the months of {table.month_column}, and these need not be those of the"
            " events"
        )
    return ""


def _judged(found: Compared) -> Compared:
    state: State = "drifted" if found.missing or found.strange or found.doubled else "complete"
    return replace(found, state=state)


def _looked_at_twice(look: Callable[[], Compared]) -> Compared:
    """What is so at the second look too, where an insert that was under way at the first could explain it."""
    first = look()
    if not 0 < first.missing + first.strange + first.doubled <= _ROWS_OF_AN_INSERT:
        return first
    again = look()
    doubled = min(first.doubled, again.doubled)
    return _judged(
        replace(
            again,
            missing=min(first.missing, again.missing),
            strange=min(first.strange, again.strange),
            doubled=doubled,
            until_merge=min(again.until_merge, doubled),
        )
    )


def _among_others(found: Compared) -> Compared:
    why = f"{found.target} is filled by several views: rows that none of them gives are not seen"
    return _judged(replace(found, strange=0, why=why))


def compare_all(warehouse: Warehouse, chain: Chain, month: str, *, now: datetime) -> list[Compared]:
    """Every view's month, nearest to the raw table first; one that cannot be asked says why and stops no other.

    Raises:
        WarehouseError: ClickHouse cannot be reached.
    """
    # A replica may have the raw rows already and not yet those behind them.
    catch_up(warehouse, *((one.database, one.name) for one in chain.in_order))
    found = []
    for view in chain.views:
        try:
            found.append(compare_month(warehouse, chain, view, month, now=now))
        except WarehouseError as error:
            if error.code is None:
                raise
            target = chain.tables.get(view.target)
            known_as = target.known_as if target else ".".join(view.target)
            found.append(Compared(view.known_as, ".".join(view.source), known_as, *_refused(error)))
    return found


def _refused(error: WarehouseError) -> tuple[State, str]:
    """What an error of ClickHouse's says of a view: its text may hold values of rows, which stay in ClickHouse."""
    if error.code == _TOO_MANY_ROWS:
        return (
            "not compared",
            "its SELECT reads far more than the month: other tables, or its source unfiltered",
        )
    if error.code in _TEXT_WITHOUT_VALUES:
        return "not answered", str(error)
    why = (
        f"its SELECT fails with ClickHouse's error {error.code}; system.query_log has the text, which may hold values of"
        " statements"
    )
    return "not answered", why

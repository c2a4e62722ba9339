"""One month of one view: what its own SELECT gives of its source, against what stands in its target.

The SELECT is the one that ClickHouse keeps of the view, and is sent as it stands there; the month is bound from outside,
by a filter on the source (`additional_table_filters`), so that one partition of each table is read and no other. Rows
that are missing and rows that are there twice are counted apart, because they come from different mishaps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from aspects_orchestration.dashboards.chain import Chain, Table, View
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import catch_up
from aspects_orchestration.warehouse.statements import ddl, quoted_text, with_columns, with_select
from aspects_orchestration.window import micros, month_window, partition_id

State = Literal["complete", "drifted", "expired", "not compared", "broken"]

#: Groups that do not fit go to the server's disk.
_SPILL_BYTES = 1_000_000_000
#: Rows of other tables that views look up; what is read beyond that means that the filter did not hold.
_LOOKED_UP_ROWS = 10_000_000
#: A TTL in months shortens days at the end of a month, so that rows may go up to three days early.
_SHORTENED = timedelta(days=3)
_WHOLE_INTEGERS = ("UInt", "Int")


@dataclass(frozen=True)
class Compared:
    """One view's month.

    Attributes:
        view, source, target: as `database.name`.
        state: how it stands; `broken` where nothing can follow, `expired` where a TTL has taken the month.
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
        now: the time by which TTLs have expired, with zone.

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
    window = month_window(month)
    since, why = _kept_since((source, target), month, now)
    if since is None or since >= window.end:
        return Compared(*names, "expired" if since else "not compared", why)
    reason = _not_comparable(view, source, target, partly=since > window.start)
    if reason:
        return Compared(*names, "not compared", reason)
    if _has_events(view, source, target):
        found = _by_event(warehouse, view, source, target, month, since, names)
    else:
        found = _by_key(warehouse, view, source, target, month, names)
    if sum(one.target == view.target for one in chain.views) > 1:
        # What this SELECT does not give, that of another view that writes to the same table may.
        found = _among_others(found)
    return replace(found, why="; ".join(one for one in (why, found.why) if one))


def _kept_since(tables: tuple[Table, ...], month: str, now: datetime) -> tuple[datetime | None, str]:
    """From when on rows of a month are kept by all TTLs, and in words what goes; None where a TTL cannot be read."""
    window = month_window(month)
    since, why = window.start, ""
    for table in tables:
        for rule in table.rules:
            if partition_id(month) in rule.kept or rule.kind in {"move", "recompress"}:
                continue
            if rule.expiry is None:
                return (
                    None,
                    f"the TTL of {table.known_as} ({rule.text}) takes rows in a way that cannot be told from drift",
                )
            cutoff = rule.expiry.ttl.cutoff(now)
            if cutoff <= since:
                continue
            if rule.expiry.ttl.months is not None:
                cutoff += _SHORTENED
            since = (cutoff + timedelta(seconds=1)).replace(microsecond=0)
            why = f"the TTL of {table.known_as} ({rule.text}) has dropped " + (
                "the month" if since >= window.end else f"what is older than {since:%Y-%m-%d %H:%M:%S} UTC"
            )
    return since.astimezone(UTC), why


def _not_comparable(view: View, source: Table, target: Table, *, partly: bool) -> str:
    """Why a view's month cannot be told apart; empty if it can."""
    for table in (source, target):
        if not table.is_monthly:
            return (
                f"{table.known_as} is not partitioned by month, so that its month cannot be read by itself"
                f" ({table.rows:,} rows in all)"
            )
    if _has_events(view, source, target):
        return ""
    if partly:
        return "a TTL has dropped a part of the month, and its rows do not say which"
    if not target.sorting_key or not set(target.sorting_key) <= view.columns.keys():
        return f"rows of {target.known_as} carry no event id, and nothing else by which one could be told from another"
    if target.engine.removeprefix("Replicated").removeprefix("Shared") == "MergeTree":
        return f"rows of {target.known_as} carry no event id, and ClickHouse keeps all of them apart"
    return ""


def _has_events(view: View, source: Table, target: Table) -> bool:
    return (
        "event_id" in view.columns
        and {"event_id", "emission_time"} <= target.columns.keys()
        and {"event_id", "emission_time"} <= source.columns.keys()
    )


def _by_event(
    warehouse: Warehouse,
    view: View,
    source: Table,
    target: Table,
    month: str,
    since: datetime,
    names: tuple[str, str, str],
) -> Compared:
    of_target: dict[str, Any] = {
        "database": target.database,
        "table": target.name,
        "partition_id": partition_id(month),
        "since": micros(since),
    }
    settings = _bound(view, source, target, month, since)

    def ask(name: str, **more: object) -> list[int]:
        found = with_select(ddl(name, cluster=warehouse.cluster, **of_target, **more), view.select)
        return [int(one or 0) for one in warehouse.rows_of(found, step=name, settings=settings)[0]]

    found = ask("dashboards/by_event")
    if found[-1]:
        # The SELECT gave an event more than once: by its own nature, or because its source holds it twice.
        found = ask(
            "dashboards/by_event_of_doubled", source_database=view.source[0], source_table=view.source[1]
        )
    expected, stand, missing, strange, missing_rows, doubled, rows, _ = found
    until_merge = 0
    if doubled and target.replaces:
        left = warehouse.row("dashboards/rows_after_merge", **of_target)[0]
        until_merge = min(doubled, rows - int(left))
    missing += missing_rows
    return Compared(
        *names,
        "drifted" if missing or strange or doubled else "complete",
        "",
        "events",
        expected,
        stand,
        missing,
        strange,
        doubled,
        until_merge,
    )


def _by_key(
    warehouse: Warehouse, view: View, source: Table, target: Table, month: str, names: tuple[str, str, str]
) -> Compared:
    key = {name: target.columns[name] for name in target.sorting_key}
    amounts = {
        name: of
        for name, of in target.columns.items()
        if target.sums and name not in key and name in view.columns and of.startswith(_WHOLE_INTEGERS)
    }
    asked = ddl(
        "dashboards/by_key",
        cluster=warehouse.cluster,
        database=target.database,
        table=target.name,
        partition_id=partition_id(month),
    )
    asked = with_select(with_columns(asked, {"key": key, "amounts": amounts}), view.select)
    settings = _bound(view, source, target, month, month_window(month).start)
    if target.sums and source.replaces:
        # What the source holds twice until its next merge counts once; sums do not change by FINAL.
        settings["final"] = 1
    found = [
        int(one or 0) for one in warehouse.rows_of(asked, step="dashboards/by_key", settings=settings)[0]
    ]
    expected, stand, missing, strange, _, missing_sum, doubled_sum = found
    why = (
        ""
        if target.sums
        else f"{target.known_as} keeps one row a key, so that doubled ones cannot be seen in it"
    )
    missing += missing_sum
    return Compared(
        *names,
        "drifted" if missing or strange or doubled_sum else "complete",
        why,
        "keys",
        expected,
        stand,
        missing,
        strange,
        doubled_sum,
        0,
    )


def _bound(view: View, source: Table, target: Table, month: str, since: datetime) -> dict[str, object]:
    """Settings that bind a query to the month, and keep it from writing, and from taking the server's memory."""
    condition = f"_partition_id = '{partition_id(month)}'"
    if since > month_window(month).start:
        condition += f" AND emission_time >= fromUnixTimestamp64Micro({micros(since)}, 'UTC')"
    rows = source.rows_of(month) + target.rows_of(month)
    return {
        "additional_table_filters": f"{{{quoted_text('.'.join(view.source))}: {quoted_text(condition)}}}",
        "readonly": 2,
        "max_bytes_before_external_group_by": _SPILL_BYTES,
        "max_rows_to_read": 4 * rows + _LOOKED_UP_ROWS,
    }


def _among_others(found: Compared) -> Compared:
    state: State = "drifted" if found.missing or found.doubled else "complete"
    why = f"{found.target} is filled by several views: rows that none of them gives are not seen"
    return replace(found, state=state, strange=0, why=why)


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
            found.append(
                Compared(
                    view.known_as,
                    ".".join(view.source),
                    target.known_as if target else ".".join(view.target),
                    "broken",
                    str(error),
                )
            )
    return found

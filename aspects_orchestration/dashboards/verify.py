"""What must hold of what dashboards read. Nothing is repaired here; what does not hold names the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from aspects_orchestration.dashboards.chain import Chain, follow
from aspects_orchestration.dashboards.compare import Compared, compare_all
from aspects_orchestration.dashboards.dictionaries import Dictionary, dictionaries_of, refreshes_of
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import shard_asked, stored
from aspects_orchestration.warehouse.lock import SILENT_S
from aspects_orchestration.warehouse.publish import Target
from aspects_orchestration.warehouse.rebuild import full_refresh, plan_rebuild
from aspects_orchestration.warehouse.schema import SchemaNames
from aspects_orchestration.warehouse.statements import ddl
from aspects_orchestration.warehouse.verify import Finding
from aspects_orchestration.window import partition_id


@dataclass(frozen=True)
class Sources:
    """What the questions are asked of.

    Attributes:
        warehouse: as whom to ask.
        names: of the site.
        now: the time, with zone.
        lock_of: the table that locks a month.
    """

    warehouse: Warehouse
    names: SchemaNames
    now: datetime
    lock_of: Callable[[str], str]

    def chain(self) -> Chain:
        """The chain as it is now, behind the table in which the raw statements lie."""
        raw = stored(self.warehouse, self.names.xapi_database, self.names.xapi_table)
        return follow(self.warehouse, raw.database, raw.table)

    def shard(self) -> str:
        """Which part of a cluster of several shards is looked at, in words; empty if it is all there is."""
        return shard_asked(self.warehouse)

    def databases(self, chain: Chain) -> list[str]:
        """Databases in which dashboards' sources are."""
        return sorted({*chain.databases, self.names.event_sink_database})


MonthQuestion = Callable[[Sources, str], Finding]
Question = Callable[[Sources], Finding]


def sources_are_complete(sources: Sources, month: str) -> Finding:
    """Every table behind the raw one holds of the month what its view's own SELECT gives: nothing missing, nothing twice."""
    chain = sources.chain()
    if not chain.views:
        return _no_views(sources)
    found = compare_all(sources.warehouse, chain, month, now=sources.now)
    return finding(sources, month, found)


def finding(sources: Sources, month: str, found: Sequence[Compared]) -> Finding:
    """A comparison as an answer."""
    compared = [one for one in found if one.state in {"complete", "drifted"}]
    bad = [one for one in found if one.state in {"drifted", "broken", "not answered"}]
    left = [one for one in found if one.state in {"expired", "not compared"}]
    numbers = {
        "tables_compared": len(compared),
        "tables_not_compared": len(left),
        "missing": sum(one.missing for one in found),
        "doubled": sum(one.doubled for one in found),
        "strange": sum(one.strange for one in found),
    }
    for one in bad:
        of_table = {"missing": one.missing, "doubled": one.doubled, "strange": one.strange}
        numbers |= {f"{name} ({one.target})": number for name, number in of_table.items() if number}
    lines = tuple(said(one) for one in found)
    shard = sources.shard()
    asked = f" on {shard} (on the others ask a node of each)" if shard else ""
    if bad:
        drift = "; ".join(said(one) for one in bad[:5]) + (
            f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        )
        told = (
            f"whether the dashboards' sources are complete for {month} cannot be told{asked}"
            if all(one.state == "not answered" for one in bad)
            else f"the dashboards' sources are not complete for {month}{asked}"
        )
        return Finding(False, f"{told}: {drift}. {mending(sources, month, bad)}", numbers, lines)
    if compared:
        rest = f"; {len(left)} cannot be compared, or are older than is kept" if left else ""
        told = f"{len(compared)} tables hold just what their views give{rest}"
        if not any(one.expected for one in compared):
            told = f"nothing of it stands, in the raw table or behind it{rest}"
        return Finding(
            True, f"the dashboards' sources are complete for {month}: {told}{asked}", numbers, lines
        )
    if all(one.state == "expired" for one in left):
        return Finding(
            True, f"every TTL has dropped {month}: nothing of it is to be complete", numbers, lines
        )
    # Nothing found amiss where nothing was looked at is no answer.
    return Finding(
        False,
        f"whether the dashboards' sources are complete for {month} cannot be told{asked}, because none could be compared: "
        + "; ".join(lines[:5]),
        numbers,
        lines,
    )


def views_can_follow(sources: Sources) -> Finding:
    """Every view's source and target are there, and every view that is refreshed by the clock is refreshed."""
    chain = sources.chain()
    if not chain.views:
        return _no_views(sources)
    lines = []
    for view in chain.views:
        for role, name in (("reads from", view.source), ("writes to", view.target)):
            if name not in chain.tables:
                lines.append(
                    f"{view.known_as} {role} {'.'.join(name)}, which is not there: it was renamed or dropped. ClickHouse"
                    " refuses every insert into the raw table meanwhile. Rename it back, or build the model anew"
                    " (dbt run --full-refresh --select its name)"
                )
    refreshed = refreshes_of(sources.warehouse, sources.databases(chain))
    lines += [f"{one.known_as}: {one.trouble}" for one in refreshed if one.trouble]
    numbers = {"views": len(chain.views), "refreshed_views": len(refreshed), "faults": len(lines)}
    if lines:
        return Finding(False, "; ".join(lines), numbers, tuple(lines))
    return Finding(
        True,
        f"{len(chain.views)} views hang behind {'.'.join(chain.raw)}, and each can follow; {len(refreshed)} more are"
        " refreshed by the clock",
        numbers,
    )


def dictionaries_are_loaded(sources: Sources) -> Finding:
    """Every dictionary can be loaded, is no older than its lifetime, and is not empty where its source is not."""
    found = dictionaries_of(sources.warehouse, sources.databases(sources.chain()))
    bad = [one for one in found if one.trouble]
    numbers = {
        "dictionaries": len(found),
        "unused": sum(one.is_unused for one in found),
        "faults": len(bad),
        "elements": sum(one.elements for one in found),
    }
    lines = tuple(f"{one.known_as} {one.trouble or _well(one)}" for one in found)
    if bad:
        told = "; ".join(f"{one.known_as} {one.trouble}" for one in bad)
        return Finding(
            False,
            f"{told}. All that ClickHouse says of it is last_exception in system.dictionaries; once the cause is mended:"
            f" {'; '.join(dict.fromkeys(one.mend for one in bad))}",
            numbers,
            lines,
        )
    return Finding(True, f"{len(found)} dictionaries, all as they should be", numbers, lines)


#: Questions about a month of the sources, by the name of their check.
MONTH_QUESTIONS: dict[str, MonthQuestion] = {"sources_are_complete": sources_are_complete}
#: Questions about the sources as they are now.
SOURCE_QUESTIONS: dict[str, Question] = {"views_can_follow": views_can_follow}
#: Questions about dictionaries.
DICTIONARY_QUESTIONS: dict[str, Question] = {"dictionaries_are_loaded": dictionaries_are_loaded}


def said(one: Compared) -> str:
    """One table's month in a sentence."""
    if one.state in {"broken", "not answered", "not compared", "expired"}:
        word = {"broken": "", "expired": "no drift: "}.get(one.state, f"{one.state}: ")
        return f"{one.target} ({one.view}): {word}{one.why}"
    parts = []
    if one.missing:
        parts.append(f"{one.missing:,} of {one.expected:,} {one.unit} are missing")
    if one.doubled:
        merge = f", {one.until_merge:,} of them until their parts are merged" if one.until_merge else ""
        parts.append(f"{one.doubled:,} rows too many{merge}")
    if one.strange:
        parts.append(f"{one.strange:,} {one.unit} stand that {one.source} does not give (any more)")
    text = ", ".join(parts) or f"complete, {one.stand:,} {one.unit}"
    return f"{one.target}: {text}" + (f" ({one.why})" if one.why else "")


def mending(sources: Sources, month: str, bad: Sequence[Compared]) -> str:
    """What to run: the statement that merges what only waits for that, or the load that fills the chain anew."""
    if any(one.state == "broken" for one in bad):
        return "Mend that first (check views_can_follow says more), then ask again"
    if any(one.state == "not answered" for one in bad):
        return "Mend that first, then ask again"
    loading = _loading(sources, month)
    if loading:
        return f"Run {loading} is loading the month: ask again when it is done"
    only_merges = [one for one in bad if not (one.missing or one.strange or one.for_good)]
    if len(only_merges) == len(bad):
        return "An administrator runs: " + "; ".join(
            merging(one, month, cluster=sources.warehouse.cluster) for one in only_merges
        )
    try:
        left = plan_rebuild(sources.warehouse, _target(sources, month), leave_unpartitioned=True).left
    except WarehouseError as error:
        return f"Mode rebuild would mend it, but is refused: {error}"
    command = rebuild_command(month, leave_unpartitioned=bool(left))
    refreshes = "".join(f"; then {full_refresh(name)}" for name in left)
    return f"Load the month with mode rebuild, which empties and fills the whole chain: {command}{refreshes}"


def rebuild_command(month: str, *, leave_unpartitioned: bool = False) -> str:
    """The command of docs/backfill.md that rebuilds a month."""
    asked = {"mode": "rebuild", **({"leave_unpartitioned": True} if leave_unpartitioned else {})}
    config = json.dumps({"ops": {"xapi_events_all": {"config": asked}}})
    return f"dagster asset materialize --select xapi_events_all --partition {month} --config-json '{config}'"


def merging(one: Compared, month: str, *, cluster: str = "") -> str:
    """The statement that merges the parts of a table's month."""
    database, _, table = one.target.partition(".")
    return ddl(
        "dashboards/merge_month",
        cluster=cluster,
        database=database,
        table=table,
        partition_id=partition_id(month),
    ).shown()


def _loading(sources: Sources, month: str) -> str:
    """The run that holds the lock of a month, and is alive; empty if none does."""
    database = sources.names.orchestration_database
    try:
        holder, _, _, silent_s, _ = sources.warehouse.row(
            "lock_holder", database=database, table=sources.lock_of(month)
        )
    except WarehouseError as error:
        if error.code in {60, 81}:  # no such table, no such database
            return ""
        raise
    return str(holder) if holder and silent_s < SILENT_S else ""


def _target(sources: Sources, month: str) -> Target:
    names = sources.names
    return Target(
        names.xapi_database, names.xapi_table, partition_id(month), names.orchestration_database, ""
    )


def _well(one: Dictionary) -> str:
    if one.is_unused:
        return "is not loaded yet: the first question loads it"
    return f"holds {one.elements:,} elements" + (
        f", loaded {one.updated:%Y-%m-%d %H:%M:%S} UTC" if one.updated else ""
    )


def _no_views(sources: Sources) -> Finding:
    return Finding(
        False,
        f"no materialized view hangs on {sources.names.xapi_database}.{sources.names.xapi_table}, so that dashboards are"
        " fed by nothing. Run Aspects' dbt project (tutor … do dbt), or set ASPECTS_DASHBOARDS=false where a site has none",
        {"views": 0},
    )

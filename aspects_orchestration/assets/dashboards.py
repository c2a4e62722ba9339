"""What dashboards read: tables behind the raw one and dictionaries of names. Others make them; here they are observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import dagster as dg

from aspects_orchestration.assets.xapi_events_all import XAPI_EVENTS_ALL
from aspects_orchestration.dashboards import report
from aspects_orchestration.dashboards.chain import Chain
from aspects_orchestration.dashboards.compare import Compared
from aspects_orchestration.dashboards.dictionaries import Dictionary, Refresh

GROUP: Final = "dashboards"
SOURCES: Final = dg.AssetKey(["dashboards", "sources"])
DICTIONARIES: Final = dg.AssetKey(["dashboards", "dictionaries"])

Metadata = dict[str, dg.MetadataValue | int | float | str]


def dashboard_assets(months: dg.PartitionsDefinition) -> list[dg.AssetSpec]:
    """Both of them; the job `observe_dashboards` says what they hold."""
    return [
        dg.AssetSpec(
            SOURCES,
            deps=[XAPI_EVENTS_ALL],
            partitions_def=months,
            group_name=GROUP,
            kinds={"clickhouse", "dbt"},
            description="Tables that materialized views fill behind the raw statements, as Aspects' dbt project makes them:"
            " whatever chain stands in ClickHouse is followed. Dashboards read these. They are looked at, never written.",
        ),
        dg.AssetSpec(
            DICTIONARIES,
            deps=[dg.AssetKey("course_overviews"), dg.AssetKey("course_blocks"), dg.AssetKey("user_profile")],
            group_name=GROUP,
            kinds={"clickhouse", "dbt"},
            description="Dictionaries that dashboards take names of courses, blocks and learners from: whether each is"
            " loaded, how old it is, and how much it holds. They are looked at, never written.",
        ),
    ]


def sources_observation(chain: Chain, refreshed: Sequence[Refresh]) -> dg.AssetObservation:
    """The chain as it is now: rows and newest row of each table, rows by month."""
    metadata: Metadata = {
        "tables": dg.MetadataValue.md(report.tables(chain)),
        "rows_by_month": dg.MetadataValue.md(report.months(chain)),
        "views": len(chain.views),
    }
    if refreshed:
        metadata["refreshed_by_the_clock"] = dg.MetadataValue.md(report.refreshes(refreshed))
    for one in chain.in_order:
        metadata[f"rows ({one.known_as})"] = one.rows
        if one.newest:
            metadata[f"newest ({one.known_as})"] = dg.MetadataValue.timestamp(one.newest)
    return dg.AssetObservation(SOURCES, metadata=metadata)


def month_observation(month: str, found: Sequence[Compared]) -> dg.AssetObservation:
    """One month of the chain: what each table lacks, and has too much."""
    metadata: Metadata = {
        "comparison": dg.MetadataValue.md(report.comparison(found)),
        "missing": sum(one.missing for one in found),
        "doubled": sum(one.doubled for one in found),
        "strange": sum(one.strange for one in found),
    }
    for one in found:
        if one.state in {"complete", "drifted"}:
            metadata[f"missing ({one.target})"] = one.missing
            metadata[f"doubled ({one.target})"] = one.doubled
    return dg.AssetObservation(SOURCES, partition=month, metadata=metadata)


def dictionaries_observation(found: Sequence[Dictionary]) -> dg.AssetObservation:
    """The dictionaries as they are now."""
    metadata: Metadata = {"dictionaries": dg.MetadataValue.md(report.dictionaries(found))}
    for one in found:
        metadata[f"elements ({one.known_as})"] = one.elements
        if one.age is not None:
            metadata[f"age_s ({one.known_as})"] = int(one.age.total_seconds())
    return dg.AssetObservation(DICTIONARIES, metadata=metadata)

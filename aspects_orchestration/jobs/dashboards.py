"""Looking at what dashboards read: `observe_dashboards` at all of it, `check_dashboards` at one month."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field

from aspects_orchestration.assets.dashboards import (
    DICTIONARIES,
    SOURCES,
    dictionaries_observation,
    month_observation,
    sources_observation,
)
from aspects_orchestration.checks.dashboards import sources_of
from aspects_orchestration.checks.result import evaluation
from aspects_orchestration.dashboards.compare import compare_all
from aspects_orchestration.dashboards.dictionaries import dictionaries_of, refreshes_of
from aspects_orchestration.dashboards.verify import (
    Sources,
    dictionaries_are_loaded,
    finding,
    sources_are_complete,
    views_can_follow,
)
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.verify import Finding
from aspects_orchestration.window import month_window

T = TypeVar("T")

_ERROR = dg.AssetCheckSeverity.ERROR


class ObserveDashboardsConfig(dg.Config):
    """Which months to compare."""

    months: list[str] = Field(
        [],
        description="Months to compare with what their views give, such as 2024-05. Default: the running one and the one"
        " before. Each reads that month of every table.",
    )


# A generator: what an op has only logged is lost where it fails, and drift is what one looks for.
@dg.op(out={})
def look_at_dashboards_sources(
    context: dg.OpExecutionContext, config: ObserveDashboardsConfig, clickhouse: ClickHouseResource
) -> Iterator[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """Observe tables and dictionaries, compare months, and fail where anything does not hold."""
    sources = sources_of(clickhouse, context.run_id)
    failed: list[str] = []

    def judged(
        asset: dg.AssetKey, name: str, found: Finding, month: str | None = None
    ) -> dg.AssetCheckEvaluation:
        context.log.info(f"{name}: {found.summary}")
        if not found.passed:
            failed.append(f"{name}: {found.summary}")
        return evaluation(asset, name, found, _ERROR, partition=month)

    try:
        for month in config.months or _newest(sources.now):
            month_window(month)
        chain = sources.chain()
        databases = sources.databases(chain)
        yield judged(SOURCES, "views_can_follow", _answer(views_can_follow, sources))
        yield sources_observation(chain, _or_nothing(refreshes_of, sources, databases))
        yield judged(DICTIONARIES, "dictionaries_are_loaded", _answer(dictionaries_are_loaded, sources))
        yield dictionaries_observation(_or_nothing(dictionaries_of, sources, databases))
        for month in config.months or _newest(sources.now):
            context.log.info(f"comparing {month}: {len(chain.views)} views")
            if not chain.views:
                yield judged(SOURCES, "sources_are_complete", sources_are_complete(sources, month), month)
                continue
            compared = compare_all(sources.warehouse, chain, month, now=sources.now)
            yield month_observation(month, compared)
            yield judged(SOURCES, "sources_are_complete", finding(sources, month, compared), month)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    if failed:
        raise dg.Failure(description="; ".join(failed), allow_retries=False)


def _answer(ask: Callable[[Sources], Finding], sources: Sources) -> Finding:
    try:
        return ask(sources)
    except AspectsError as error:
        return Finding(False, str(error))


def _or_nothing(
    look: Callable[[Warehouse, Sequence[str]], list[T]], sources: Sources, databases: Sequence[str]
) -> list[T]:
    """What cannot be seen is not shown; the check of the same says why it cannot."""
    try:
        return look(sources.warehouse, databases)
    except AspectsError:
        return []


def _newest(now: datetime) -> list[str]:
    """The running month and the one before."""
    return [f"{now.replace(day=1) - timedelta(days=1):%Y-%m}", f"{now:%Y-%m}"]


@dg.job(
    description="Look at what dashboards read: rows, newest rows and months of every table behind the raw one, dictionaries,"
    " and the newest months (or those given) compared with what the views give. Fails where something is missing, doubled"
    " or stale; changes nothing."
)
def observe_dashboards() -> None:
    """Observe and compare."""
    look_at_dashboards_sources()


def dashboards_jobs(months: dg.PartitionsDefinition) -> list[Any]:
    """Both jobs.

    Args:
        months: of the site.
    """
    check_dashboards = dg.define_asset_job(
        "check_dashboards",
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(SOURCES, "sources_are_complete")),
        partitions_def=months,
        description="Are the dashboards' sources complete for a month? Compares every table behind the raw one with what its"
        " view gives; a backfill over many months is one run a month. Changes nothing.",
    )
    return [check_dashboards, observe_dashboards]

"""What must hold of what dashboards read: of a month by the job `check_dashboards`, as it is now by `observe_dashboards`."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import dagster as dg

from aspects_orchestration.assets.dashboards import DICTIONARIES, SOURCES
from aspects_orchestration.checks.result import answered, check_specs, selected, told
from aspects_orchestration.dashboards.verify import (
    DICTIONARY_QUESTIONS,
    MONTH_QUESTIONS,
    SOURCE_QUESTIONS,
    Sources,
)
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.plan import lock_name
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource, schema_names
from aspects_orchestration.settings import load_settings

#: Of all that is asked of the sources as they are now.
NOW_QUESTIONS: Final = {**SOURCE_QUESTIONS, **DICTIONARY_QUESTIONS}


def dashboard_month_checks(months: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """Whether the sources are complete for a month."""

    @dg.multi_asset_check(
        specs=check_specs(SOURCES, MONTH_QUESTIONS, partitions_def=months),
        can_subset=True,
    )
    def check_dashboards_month(
        context: dg.AssetCheckExecutionContext, clickhouse: ClickHouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        sources = sources_of(clickhouse, context.run.run_id)
        month = context.partition_key
        yield from told(
            answered(
                selected(context, MONTH_QUESTIONS), lambda key: MONTH_QUESTIONS[key.name](sources, month)
            )
        )

    return check_dashboards_month


def dashboard_checks() -> dg.AssetChecksDefinition:
    """Whether views can follow and dictionaries are loaded, as one step."""

    @dg.multi_asset_check(
        specs=[*check_specs(SOURCES, SOURCE_QUESTIONS), *check_specs(DICTIONARIES, DICTIONARY_QUESTIONS)],
        can_subset=True,
    )
    def check_dashboards_now(
        context: dg.AssetCheckExecutionContext, clickhouse: ClickHouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        sources = sources_of(clickhouse, context.run.run_id)
        yield from told(
            answered(selected(context, NOW_QUESTIONS), lambda key: NOW_QUESTIONS[key.name](sources))
        )

    return check_dashboards_now


def sources_of(clickhouse: ClickHouseResource, run_id: str) -> Sources:
    """What the questions are asked of, in a run.

    Raises:
        dg.Failure: ClickHouse cannot be reached.
    """
    try:
        warehouse = clickhouse.warehouse(run_id=run_id)
        settings = load_settings()
        return Sources(warehouse, schema_names(settings), utc_now(), partial(lock_name, settings))
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None

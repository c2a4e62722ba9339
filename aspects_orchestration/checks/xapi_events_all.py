"""What must hold of a month of xapi_events_all; run after every load, and by the job `check_xapi_events_all`."""

from collections.abc import Iterator

import dagster as dg

from aspects_orchestration.assets.xapi_events_all import XAPI_EVENTS_ALL
from aspects_orchestration.checks.result import answered, check_specs, selected, told
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.resources.clickhouse import ClickHouseResource, schema_names
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse.verify import QUESTIONS, Month


def xapi_events_all_checks(months: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """All checks of a month, as one step: a step for each would cost more than the questions."""

    @dg.multi_asset_check(
        specs=check_specs(XAPI_EVENTS_ALL, QUESTIONS, partitions_def=months),
        can_subset=True,
    )
    def check_xapi_events_all_month(
        context: dg.AssetCheckExecutionContext, clickhouse: ClickHouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        try:
            warehouse = clickhouse.warehouse(run_id=context.run.run_id)
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        month = Month(schema_names(load_settings()), context.partition_key)
        yield from told(
            answered(selected(context, QUESTIONS), lambda key: QUESTIONS[key.name](warehouse, month))
        )

    return check_xapi_events_all_month

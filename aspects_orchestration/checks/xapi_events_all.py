"""What must hold of a month of xapi_events_all; run after every load, and by the job `check_xapi_events_all`."""

from collections.abc import Iterator

import dagster as dg

from aspects_orchestration.assets.xapi_events_all import XAPI_EVENTS_ALL
from aspects_orchestration.checks.result import check_result
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.resources.clickhouse import ClickHouseResource, schema_names
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse.verify import QUESTIONS, Month, answers


def xapi_events_all_checks(months: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """All checks of a month, as one step: a step for each would cost more than the questions."""

    @dg.multi_asset_check(
        specs=[
            dg.AssetCheckSpec(
                name, asset=XAPI_EVENTS_ALL, description=question.__doc__, partitions_def=months
            )
            for name, question in QUESTIONS.items()
        ],
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
        failed = []
        asked = {key.name for key in context.selected_asset_check_keys}
        for name, finding in answers(warehouse, month, asked):
            if not finding.passed:
                failed.append(f"{name}: {finding.summary}")
            yield check_result(XAPI_EVENTS_ALL, name, finding, dg.AssetCheckSeverity.ERROR)
        if failed:
            # A run with a failed check has failed: whoever looks at its exit code must not take it for good.
            raise dg.Failure(description="; ".join(failed), allow_retries=False)

    return check_xapi_events_all_month

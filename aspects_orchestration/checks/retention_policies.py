"""What must hold of retention; run with the asset retention_policies and by the job `observe_retention`."""

from collections.abc import Iterator

import dagster as dg

from aspects_orchestration.assets.retention_policies import RETENTION_POLICIES
from aspects_orchestration.checks.result import answered, check_specs, selected, told
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.retention.verify import QUESTIONS
from aspects_orchestration.retention.world import look
from aspects_orchestration.settings import load_settings

#: What is lost is lost; all else is a policy that nobody has applied yet.
_WARNINGS = QUESTIONS.keys() - {"held_partitions_stand"}


def retention_policies_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step with one look at the site."""

    @dg.multi_asset_check(
        specs=check_specs(RETENTION_POLICIES, QUESTIONS),
        can_subset=True,
    )
    def check_retention_policies(
        context: dg.AssetCheckExecutionContext,
        clickhouse: ClickHouseResource,
        log_storage: LogStorageResource,
    ) -> Iterator[dg.AssetCheckResult]:
        try:
            warehouse = clickhouse.warehouse(run_id=context.run.run_id)
            world = look(load_settings(), warehouse, s3=log_storage.s3(), now=utc_now())
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        found = answered(selected(context, QUESTIONS), lambda key: QUESTIONS[key.name](warehouse, world))
        yield from told(found, warnings=_WARNINGS)

    return check_retention_policies

"""What must hold of retention; run with the asset retention_policies and by the job `observe_retention`."""

from collections.abc import Iterator

import dagster as dg

from aspects_orchestration.assets.retention_policies import RETENTION_POLICIES
from aspects_orchestration.checks.result import check_result
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.retention.verify import QUESTIONS
from aspects_orchestration.retention.world import look
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse.verify import Finding

#: What is lost is lost; all else is a policy that nobody has applied yet.
_ERRORS = {"held_partitions_stand"}


def retention_policies_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step with one look at the site."""

    @dg.multi_asset_check(
        specs=[
            dg.AssetCheckSpec(name, asset=RETENTION_POLICIES, description=question.__doc__)
            for name, question in QUESTIONS.items()
        ],
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
        failed = []
        asked = {key.name for key in context.selected_asset_check_keys}
        for name in (one for one in QUESTIONS if one in asked):
            try:
                finding = QUESTIONS[name](warehouse, world)
            except AspectsError as error:
                finding = Finding(False, str(error))
            is_error = name in _ERRORS
            if is_error and not finding.passed:
                failed.append(f"{name}: {finding.summary}")
            severity = dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN
            yield check_result(RETENTION_POLICIES, name, finding, severity)
        if failed:
            raise dg.Failure(description="; ".join(failed), allow_retries=False)

    return check_retention_policies

"""retention_policies: what each table has, what the policy says of it, and the plan that would bring the one to the other.

Safe to materialize at any time: it looks, and changes nothing. Applying is the job `apply_retention`.
"""

import dagster as dg

from aspects_orchestration.assets.xapi_events_all import XAPI_EVENTS_ALL
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.report import inline_picture
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.retention import report
from aspects_orchestration.retention.log import log_held
from aspects_orchestration.retention.world import World, look
from aspects_orchestration.settings import load_settings

RETENTION_POLICIES = dg.AssetKey("retention_policies")


def retention_policies() -> dg.AssetsDefinition:
    """The asset."""

    @dg.asset(
        key=RETENTION_POLICIES,
        deps=[XAPI_EVENTS_ALL],
        group_name="retention",
        kinds={"clickhouse"},
        description="How long rows are kept: for each table its TTL, its partitions and when each will go, beside the policy"
        " (ASPECTS_DATA_TTL_EXPRESSION and retention.yaml), as a table and a picture, and the plan that would bring tables"
        " to the policy. Looks only; the job `apply_retention` does the plan.",
    )
    def observe_retention(
        context: dg.AssetExecutionContext, clickhouse: ClickHouseResource, log_storage: LogStorageResource
    ) -> dg.MaterializeResult[None]:
        settings = load_settings()
        try:
            warehouse = clickhouse.warehouse(run_id=context.run.run_id)
            world = look(settings, warehouse, s3=log_storage.s3(), now=utc_now())
            log_held(settings, warehouse, world.plan)
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        context.log.info(report.summary(world.plan))
        return dg.MaterializeResult(metadata=retention_metadata(world))

    return observe_retention


def retention_metadata(world: World) -> dict[str, dg.MetadataValue | int | float | str]:
    """What the asset shows of one look: sentences, tables, the picture, and the figures to follow over time."""
    plan = world.plan
    picture = inline_picture(report.timeline(world), "partitions by month and table")
    return {
        "summary": dg.MetadataValue.md(report.summary(plan)),
        "timeline": dg.MetadataValue.md(picture),
        "tables": dg.MetadataValue.md(report.tables(world)),
        "partitions": dg.MetadataValue.md(report.partitions(world)),
        "plan": dg.MetadataValue.md(report.plan(plan)),
        "plan_id": plan.id,
        "policy": world.policy.source,
        "steps": len(plan.steps),
        "partitions_due": len(plan.of_state("due")),
        "partitions_held": len(plan.of_state("held")),
        "partitions_unarchived": len(plan.of_state("unarchived")),
        "bytes": sum(table.bytes for table in world.observed.tables),
        "bytes_freed": plan.frees_bytes,
    }

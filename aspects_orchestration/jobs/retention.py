"""Observing retention, and applying it: a dry run prints a plan with an id, and a real run does that plan or nothing."""

import dagster as dg
from pydantic import Field

from aspects_orchestration.assets.retention_policies import RETENTION_POLICIES, retention_metadata
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.retention import report
from aspects_orchestration.retention.apply import apply_plan, only_one
from aspects_orchestration.retention.log import log_held
from aspects_orchestration.retention.world import World, archive_of, look
from aspects_orchestration.settings import load_settings

observe_retention = dg.define_asset_job(
    "observe_retention",
    selection=dg.AssetSelection.assets(RETENTION_POLICIES),
    description="Look at TTLs and partitions, compare them with the policy, and check. Changes nothing.",
)


class ApplyConfig(dg.Config):
    """What to do of the plan."""

    dry_run: bool = Field(True, description="Print the plan and its id; change nothing.")
    plan: str = Field(
        "",
        description="For a real run: the id that a dry run printed. If the world has changed since, nothing is done."
        " The word `unseen` does whatever the plan is now, as the schedule does.",
    )


@dg.op
def bring_tables_to_policy(
    context: dg.OpExecutionContext,
    config: ApplyConfig,
    clickhouse: ClickHouseResource,
    log_storage: LogStorageResource,
) -> None:
    """Make the plan, print it, and, in a real run, do it."""
    settings, s3 = load_settings(), log_storage.s3()
    try:
        warehouse = clickhouse.warehouse(run_id=context.run_id)
        archive = archive_of(settings, warehouse, s3=s3, thorough=True)
        if config.dry_run:
            world = look(settings, warehouse, s3=s3, now=utc_now(), archive=archive)
            _print(context, world)
            context.log_event(dg.AssetObservation(RETENTION_POLICIES, metadata=retention_metadata(world)))
            return
        with only_one(settings, warehouse, say=context.log.info):
            archive = archive_of(settings, warehouse, s3=s3, thorough=True)
            world = look(settings, warehouse, s3=s3, now=utc_now(), archive=archive)
            _print(context, world)
            log_held(settings, warehouse, world.plan)
            applied = apply_plan(
                settings, warehouse, world.plan, asked=config.plan.strip(), s3=s3, say=context.log.info
            )
            after = look(settings, warehouse, s3=s3, now=utc_now())
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    done: dict[str, dg.MetadataValue | int | float | str] = {
        "applied_plan": applied.plan_id,
        "steps_done": len(applied.done),
        "dropped_rows": dg.MetadataValue.json(applied.dropped_rows),
        "done": dg.MetadataValue.md(
            "\n".join(f"- `{step.described(settings.cluster_name)}`" for step in applied.done)
        ),
    }
    context.log_event(dg.AssetObservation(RETENTION_POLICIES, metadata={**retention_metadata(after), **done}))


@dg.job(
    description="Bring tables to the retention policy: TTLs and settings, expired partitions dropped whole, leftovers"
    " removed. Prints its plan and changes nothing unless dry_run is false and `plan` names the plan that was printed."
)
def apply_retention() -> None:
    """Print or do the plan."""
    bring_tables_to_policy()


def _print(context: dg.OpExecutionContext, world: World) -> None:
    context.log.info(report.summary(world.plan))
    for line in world.plan.described():
        context.log.info(f"plan {world.plan.id}: {line}")
    for fate in world.plan.of_state("unarchived") + world.plan.of_state("held"):
        context.log.info(f"stays: {fate.partition.month} of {fate.table.full_name}: {fate.why}")
    for left in world.plan.left_alone:
        context.log.warning(f"left alone: {left.what}: {left.why}")
    for warning in world.plan.warnings:
        context.log.warning(warning)

"""Retention by the clock: looked at every week, and applied where that is switched on. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.jobs.retention import apply_retention, observe_retention
from aspects_orchestration.retention.apply import UNSEEN


def observe_retention_weekly() -> dg.ScheduleDefinition:
    """Observes on Mondays at 03:00 UTC."""
    return dg.ScheduleDefinition(
        name="observe_retention_weekly",
        job=observe_retention,
        cron_schedule="0 3 * * 1",
        execution_timezone="UTC",
        description="Look at TTLs and partitions, compare them with the policy, and check.",
    )


def apply_retention_weekly() -> dg.ScheduleDefinition:
    """Applies on Mondays at 04:00 UTC whatever the plan is then."""
    return dg.ScheduleDefinition(
        name="apply_retention_weekly",
        job=apply_retention,
        cron_schedule="0 4 * * 1",
        execution_timezone="UTC",
        run_config={"ops": {"bring_tables_to_policy": {"config": {"dry_run": False, "plan": UNSEEN}}}},
        description="Bring tables to the retention policy without anybody looking at the plan first. Switch it on only when"
        " you trust the policy.",
    )

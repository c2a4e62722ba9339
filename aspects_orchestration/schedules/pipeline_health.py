"""The checks of the pipeline by the clock. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.jobs.pipeline_health import check_pipeline_health


def check_pipeline_health_hourly() -> dg.ScheduleDefinition:
    """Checks 20 minutes past every hour; the sensors look far more often."""
    return dg.ScheduleDefinition(
        name="check_pipeline_health_hourly",
        job=check_pipeline_health,
        cron_schedule="20 * * * *",
        execution_timezone="UTC",
        description="Take one look at every signal of the pipeline, as checks on the assets pipeline_health.",
    )

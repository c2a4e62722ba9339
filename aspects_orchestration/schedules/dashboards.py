"""What dashboards read, by the clock. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.jobs.dashboards import observe_dashboards


def observe_dashboards_daily() -> dg.ScheduleDefinition:
    """Looks at 05:30 UTC, when the nightly load has had its time."""
    return dg.ScheduleDefinition(
        name="observe_dashboards_daily",
        job=observe_dashboards,
        cron_schedule="30 5 * * *",
        execution_timezone="UTC",
        description="Observe the tables and dictionaries that dashboards read, and compare the two newest months.",
    )

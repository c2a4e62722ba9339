"""Gaps by the clock. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.jobs.gaps import check_xapi_gaps


def check_xapi_gaps_daily() -> dg.ScheduleDefinition:
    """Checks at 05:00 UTC, when the nightly load has had its time."""
    return dg.ScheduleDefinition(
        name="check_xapi_gaps_daily",
        job=check_xapi_gaps,
        cron_schedule="0 5 * * *",
        execution_timezone="UTC",
        description="Read logs that are new, and compare the newest two weeks hour by hour with ClickHouse.",
    )

"""Retired users leave ClickHouse every day. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.jobs.personal_data import delete_retired_users


def delete_retired_users_daily() -> dg.ScheduleDefinition:
    """Deletes retired users at 04:30 UTC, for good: whoever switches it on has seen a dry run."""
    return dg.ScheduleDefinition(
        name="delete_retired_users_daily",
        job=delete_retired_users,
        cron_schedule="30 4 * * *",
        execution_timezone="UTC",
        run_config={"ops": {"delete_retired": {"config": {"dry_run": False}}}},
        description="Delete users whose retirement is completed from the tables with personal data.",
    )

"""Restore drills by the clock. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.drill.choose import turn_of
from aspects_orchestration.jobs.restore_drill import check_restore_drill, restore_drill


def restore_drill_monthly() -> dg.ScheduleDefinition:
    """Drills on the third of each month at 05:00 UTC, when the month before is loaded and sealed."""

    @dg.schedule(
        name="restore_drill_monthly",
        job=restore_drill,
        cron_schedule="0 5 3 * *",
        execution_timezone="UTC",
        description="Replay a day of the archive, of each archived year's last calendar month, into a scratch database, and"
        " compare it with what stands.",
    )
    def drill(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        turn = turn_of(context.scheduled_execution_time)
        return dg.RunRequest(
            run_key=turn, run_config={"ops": {"drill_a_restore": {"config": {"turn": turn}}}}
        )

    return drill


def check_restore_drill_daily() -> dg.ScheduleDefinition:
    """Asks the checks every day at 06:30 UTC."""
    return dg.ScheduleDefinition(
        name="check_restore_drill_daily",
        job=check_restore_drill,
        cron_schedule="30 6 * * *",
        execution_timezone="UTC",
        description="Ask whether the last restore drill passed and is recent, and how much of the logs is not sealed yet.",
    )

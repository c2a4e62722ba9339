"""Rotation by the clock. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.archive.rotate import plan_rotation
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.jobs.rotate import rotate_tracking_logs
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings


def rotate_when_due() -> dg.ScheduleDefinition:
    """Looks five minutes before every hour, UTC; launches a run only where there is something to do.

    Before the hour, because the archive takes a file for the day on which it was last written: rotated by the hour, all but
    the last five minutes of a day are sealed with that day.
    """

    @dg.schedule(
        name="rotate_tracking_logs_when_due",
        job=rotate_tracking_logs,
        cron_schedule="55 * * * *",
        execution_timezone="UTC",
        description="Look every hour whether a live log is due by ASPECTS_ROTATE (by default once the hour is over), and"
        " rotate it. Needs ASPECTS_LIVE_LOG.",
    )
    def look_and_rotate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = load_settings()
        if not settings.live_logs:
            return dg.SkipReason("ASPECTS_LIVE_LOG is not set: there is nothing to rotate")
        try:
            plan = plan_rotation(settings, now=utc_now())
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        if plan.renamings or plan.refused or plan.earlier:
            return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")
        return dg.SkipReason("; ".join(plan.left))

    return look_and_rotate

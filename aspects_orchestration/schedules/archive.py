"""The archive by the clock. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.archive.seal import newest_that_can_be_sealed
from aspects_orchestration.jobs.archive_tracking_logs import archive_tracking_logs

#: After full hours, so that what is written or shipped at the hour is there.
_MINUTE = 15


def archive_tracking_logs_nightly(lateness_hours: int) -> dg.ScheduleDefinition:
    """Seals the newest day that is over for long enough, a quarter of an hour after it can be sealed.

    Args:
        lateness_hours: ASPECTS_ARCHIVE_LATENESS_HOURS.
    """

    @dg.schedule(
        name="archive_tracking_logs_nightly",
        job=archive_tracking_logs,
        cron_schedule=f"{_MINUTE} {lateness_hours % 24} * * *",
        execution_timezone="UTC",
        description="Seal the day that has ended, once its late files have had their time, and every day before it that is"
        " missing.",
    )
    def seal(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = newest_that_can_be_sealed(context.scheduled_execution_time, lateness_hours).isoformat()
        return dg.RunRequest(run_key=day, partition_key=day)

    return seal

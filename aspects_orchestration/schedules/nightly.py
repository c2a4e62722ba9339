"""What runs by the clock: logs are cataloged, and the month that is filling is loaded. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.jobs.backfill import backfill_xapi_events_all
from aspects_orchestration.jobs.tracking_logs import observe_tracking_logs


def observe_nightly() -> dg.ScheduleDefinition:
    """Observes the tracking logs at 01:30 UTC."""
    return dg.ScheduleDefinition(
        name="observe_tracking_logs_nightly",
        job=observe_tracking_logs,
        cron_schedule="30 1 * * *",
        execution_timezone="UTC",
        description="Read tracking logs that are new or have changed, so that the catalog knows which months they touch.",
    )


def load_current_month_nightly() -> dg.ScheduleDefinition:
    """Loads the current month at 02:00 UTC, and on the first days of a month also the one before."""

    @dg.schedule(
        name="load_current_month_nightly",
        job=backfill_xapi_events_all,
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        description="Load the month that is filling; on the first three days of a month also the one that has ended.",
    )
    def load(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        today = context.scheduled_execution_time
        months = [f"{today:%Y-%m}"]
        if today.day <= 3:
            # Late shipping: the last logs of a month often arrive when it is over.
            last = (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)
            months.append(f"{last[0]:04d}-{last[1]:02d}")
        return [dg.RunRequest(run_key=f"{today:%Y-%m-%d} {month}", partition_key=month) for month in months]

    return load

"""The archive is verified by the clock. Off until switched on."""

from __future__ import annotations

from typing import Final

import dagster as dg

from aspects_orchestration.jobs.verify_archive import verify_archive

#: So many weeks, and every object has been read to its last byte once: 5 % of them a week.
WEEKS: Final = 20


def verify_archive_weekly() -> dg.ScheduleDefinition:
    """Verifies on Sundays at 08:00 UTC, after the night's seal, and reads another twentieth of the objects each week."""

    @dg.schedule(
        name="verify_archive_weekly",
        job=verify_archive,
        cron_schedule="0 8 * * 0",
        execution_timezone="UTC",
        description=f"Verify structure and chain of the archive, and read one object in {WEEKS} to its last byte: another"
        f" part each week, so that after {WEEKS} weeks all have been read.",
    )
    def verify(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = context.scheduled_execution_time
        group = day.toordinal() // 7 % WEEKS + 1
        config = {"ops": {"verify_sealed_days": {"config": {"read_data_subset": f"{group}/{WEEKS}"}}}}
        return dg.RunRequest(run_key=f"{day:%Y-%m-%d}", run_config=config)

    return verify

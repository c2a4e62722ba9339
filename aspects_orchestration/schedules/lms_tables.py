"""What copies the LMS's tables by the clock. Off until switched on."""

import dagster as dg


def lms_tables_schedules(*, with_blocks: bool) -> list[dg.ScheduleDefinition]:
    """The schedules.

    Args:
        with_blocks: whether course_blocks is copied here; otherwise it is observed.
    """
    daily = dg.ScheduleDefinition(
        name="copy_lms_tables_daily",
        job_name="copy_lms_tables",
        cron_schedule="0 1 * * *",
        execution_timezone="UTC",
        description="Copy what is new or has changed in the LMS, an hour before the current month is loaded.",
    )
    observe = dg.ScheduleDefinition(
        name="observe_course_blocks_daily",
        job_name="observe_course_blocks",
        cron_schedule="15 1 * * *",
        execution_timezone="UTC",
        description="Look how many course blocks the CMS has written, and when.",
    )
    return [daily] if with_blocks else [daily, observe]

"""The operator's page by the clock. Off until switched on."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.assets.operator_report import OPERATOR_REPORT


def operator_report_hourly() -> dg.ScheduleDefinition:
    """Five minutes past every hour."""
    return dg.ScheduleDefinition(
        name="operator_report_hourly",
        target=dg.AssetSelection.assets(OPERATOR_REPORT),
        cron_schedule="5 * * * *",
        execution_timezone="UTC",
        description="Write the page operator_report anew: signals, charts of a week, months, archive, drills, slow queries.",
    )

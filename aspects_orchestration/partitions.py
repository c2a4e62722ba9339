"""Months and days, as Dagster's partitions."""

import dagster as dg


def months(first_month: str) -> dg.MonthlyPartitionsDefinition:
    """Every month from the first one up to the current one, keys such as 2024-05, in UTC.

    Args:
        first_month: ASPECTS_FIRST_MONTH.
    """
    # end_offset: the month that is still running is a partition too; load it again as it fills.
    return dg.MonthlyPartitionsDefinition(start_date=first_month, fmt="%Y-%m", end_offset=1, timezone="UTC")


def days(first_month: str) -> dg.DailyPartitionsDefinition:
    """Every day from the first of the first month up to yesterday, keys such as 2024-05-01, in UTC.

    Args:
        first_month: ASPECTS_FIRST_MONTH.
    """
    return dg.DailyPartitionsDefinition(start_date=f"{first_month}-01", timezone="UTC")

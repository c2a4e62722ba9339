"""Copying and checking the LMS's tables, and looking at the one that the CMS writes."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.lms.event_sink import COURSE_BLOCKS, SINK_TABLES
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.settings import load_settings


def lms_tables_jobs(*, with_blocks: bool) -> list[Any]:
    """The jobs.

    Args:
        with_blocks: whether course_blocks is copied here; otherwise there is a job that observes it.

    Returns:
        Job definitions; those of assets have a type that dagster keeps to itself.
    """
    tables = dg.AssetSelection.assets(*SINK_TABLES, *([COURSE_BLOCKS.name] if with_blocks else []))
    jobs: list[Any] = [
        dg.define_asset_job(
            "copy_lms_tables",
            selection=tables,
            description="Copy what is new or has changed in the LMS into event_sink, and check it. Safe to run again.",
        ),
        dg.define_asset_job(
            "check_lms_tables",
            selection=dg.AssetSelection.checks_for_assets(*SINK_TABLES),
            description="Check the copies of LMS tables again, without copying anything.",
        ),
    ]
    return jobs if with_blocks else [*jobs, observe_course_blocks]


@dg.op
def count_course_blocks(context: dg.OpExecutionContext, clickhouse: ClickHouseResource) -> None:
    """Observe `course_blocks`: blocks, rows, and the age of the newest."""
    settings = load_settings()
    try:
        keys, newest, rows = clickhouse.warehouse(run_id=context.run_id).row(
            "lms_keys_count",
            database=settings.event_sink_database,
            table=COURSE_BLOCKS.name,
            key=COURSE_BLOCKS.key,
        )
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    metadata: dict[str, int | str | float] = {"dagster/row_count": int(keys), "rows_in_table": int(rows)}
    if newest:
        at = datetime.fromisoformat(newest)
        age = datetime.now(UTC) - (at if at.tzinfo else at.replace(tzinfo=UTC))
        metadata |= {"newest_row": newest, "newest_row_age_h": round(age.total_seconds() / 3600, 1)}
    context.log_event(dg.AssetObservation(COURSE_BLOCKS.name, metadata=metadata))


@dg.job(
    description="Count the course blocks that the CMS has written into event_sink and look how old the newest is. Writes"
    " nothing."
)
def observe_course_blocks() -> None:
    """Observe the table."""
    count_course_blocks()

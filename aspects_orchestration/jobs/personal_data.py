"""Taking personal data out of ClickHouse: all of it when it is switched off, and that of retired users.

Both jobs only say what they would do until they are given `dry_run: false`.
"""

import dagster as dg
from pydantic import Field

from aspects_orchestration.errors import AspectsError, SettingsError
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.retirement import retired_prefix, retired_users
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.warehouse.personal_data import (
    RETIRED_PREFIX,
    PiiPlan,
    delete_users,
    empty,
    plan_deletion,
    plan_emptying,
)


class EmptyConfig(dg.Config):
    """How to empty the tables with personal data."""

    dry_run: bool = Field(True, description="Only say which tables would be emptied, and of how many rows.")


class RetireConfig(dg.Config):
    """How to delete retired users."""

    dry_run: bool = Field(True, description="Only say how many users and rows would be deleted, by table.")
    wait_s: float = Field(
        3600, gt=0, description="How long to wait for ClickHouse to rewrite a table, in seconds."
    )


@dg.op
def empty_tables_with_personal_data(
    context: dg.OpExecutionContext, config: EmptyConfig, clickhouse: ClickHouseResource
) -> None:
    """Take personal data out of `event_sink` after ASPECTS_ENABLE_PII was switched off."""
    settings = load_settings()
    try:
        if settings.enable_pii:
            raise SettingsError(
                "ASPECTS_ENABLE_PII is true, so the tables with personal data would be filled again",
                do="Set ASPECTS_ENABLE_PII=false here and in Aspects, then run this job again.",
            )
        warehouse = clickhouse.warehouse(run_id=context.run_id)
        plan = plan_emptying(warehouse, settings.event_sink_database)
        _say(context, plan, dry_run=config.dry_run)
        if not config.dry_run:
            empty(warehouse, plan, say=context.log.info)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    _observe(context, plan, dry_run=config.dry_run)


@dg.op
def delete_retired(
    context: dg.OpExecutionContext, config: RetireConfig, clickhouse: ClickHouseResource
) -> None:
    """Delete users whose retirement is completed from every table with personal data."""
    settings = load_settings()
    try:
        database = lms_database(settings)
        try:
            warehouse = clickhouse.warehouse(run_id=context.run_id)
            plan = plan_deletion(
                warehouse,
                settings.event_sink_database,
                retired_users(database),
                retired_prefix=retired_prefix(database) or RETIRED_PREFIX,
            )
        finally:
            database.close()
        _say(context, plan, dry_run=config.dry_run)
        if not config.dry_run:
            delete_users(warehouse, plan, say=context.log.info, wait_s=config.wait_s)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    _observe(context, plan, dry_run=config.dry_run)


def lms_database(settings: Settings) -> LmsDatabase:
    """The LMS database of the settings.

    Raises:
        SettingsError: none is named.
    """
    if settings.lms_database_url is None:
        raise SettingsError(
            "who has been retired stands in the LMS database, and none is named",
            do="Set ASPECTS_LMS_DATABASE_URL to a read replica of it.",
        )
    return LmsDatabase(settings.lms_database_url)


def _say(context: dg.OpExecutionContext, plan: PiiPlan, *, dry_run: bool) -> None:
    context.log.info("to be removed:" if not dry_run else "dry run, would be removed:")
    for line in plan.described():
        context.log.info(line)


def _observe(context: dg.OpExecutionContext, plan: PiiPlan, *, dry_run: bool) -> None:
    for one in plan.tables:
        removed = {"rows_to_remove": one.rows} if dry_run else {"rows_removed": one.rows}
        users = {"users_concerned": len(one.user_ids)} if one.user_ids else {}
        context.log_event(dg.AssetObservation(one.table, metadata={**removed, **users}))


@dg.job(
    description="After ASPECTS_ENABLE_PII was switched off: empty external_id and user_profile, and take the usernames out"
    " of course_enrollment. A dry run until it is given `dry_run: false`."
)
def empty_personal_data() -> None:
    """Take personal data out of event_sink."""
    empty_tables_with_personal_data()


@dg.job(
    description="Delete users whose retirement is COMPLETED in the LMS from external_id and user_profile, take their"
    " usernames out of course_enrollment, and wait until they are gone. A dry run until it is given `dry_run: false`."
    " Statements keep their anonymous ids."
)
def delete_retired_users() -> None:
    """Delete retired users."""
    delete_retired()

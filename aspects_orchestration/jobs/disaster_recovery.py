"""Getting statements back: a window of time by `replay_window`, everything by `rebuild_all`.

Both load month by month as the asset does, newest first, and are safe to run again whenever they were killed. Without
Dagster, the same from a shell: `python -m aspects_orchestration.jobs.recover`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from aspects_orchestration.assets.event_sink import copy_metadata, copy_summary
from aspects_orchestration.assets.xapi_events_all import POOL, XAPI_EVENTS_ALL, load_metadata, moment
from aspects_orchestration.checks.result import evaluation
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.recovery import everything, months
from aspects_orchestration.recovery.everything import Ask
from aspects_orchestration.recovery.months import Outcome
from aspects_orchestration.replay import report
from aspects_orchestration.replay.destinations import MAX_REFUSED, Destination
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource, schema_names
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.verify import Month, answers

_ALLOW_EXPIRED = (
    "Load months too that the retention policy or a table's TTL drops; TTL merges are stopped first."
)
_ALLOW_LOSS = "Go on without objects of the archive that are missing or are not the ones that were sealed."


class ReplayConfig(dg.Config):
    """Which window to load again, and from where."""

    since: str = Field(description="The first moment (ISO 8601; UTC where it has no zone).")
    until: str | None = Field(None, description="The moment behind the last one; now, unless given.")
    source: Literal["live", "archive", "both"] = Field(
        "both",
        description="live: the tracking logs. archive: what is sealed. both: the logs, and what is sealed and not among them"
        " any more.",
    )
    dry_run: bool = Field(False, description="Read, transform and count; write nothing.")
    allow_expired: bool = Field(False, description=_ALLOW_EXPIRED)
    allow_loss: bool = Field(False, description=_ALLOW_LOSS)
    destination: Literal["clickhouse", "ralph", "files"] = Field(
        "clickhouse", description="Where statements go, as of xapi_events_all; files: of the whole days."
    )
    resend: bool = Field(False, description="ralph: statements too that stand in the raw table.")
    statements_per_second: int | None = Field(None, ge=0, description="ralph: at most so many.")
    max_refused: int = Field(
        MAX_REFUSED, ge=0, description="ralph: a month stops when it refuses more statements than that."
    )


class RebuildConfig(dg.Config):
    """What to restore everything from."""

    source: Literal["archive", "both"] = Field(
        "archive", description="archive: what is sealed. both: the tracking logs too."
    )
    dry_run: bool = Field(False, description="Say which months would be loaded, and how long it would take.")
    again: bool = Field(False, description="Load months too that an earlier run has restored.")
    allow_expired: bool = Field(False, description=_ALLOW_EXPIRED)
    allow_loss: bool = Field(False, description=_ALLOW_LOSS)
    lms_tables: bool = Field(True, description="Copy the LMS tables first.")


@dg.op(pool=POOL)
def load_the_months_of_a_window(
    context: dg.OpExecutionContext,
    config: ReplayConfig,
    clickhouse: ClickHouseResource,
    log_storage: LogStorageResource,
) -> Iterator[Any]:
    """Load each month that the window touches, newest first, and check it."""
    settings, s3 = load_settings(), log_storage.s3()
    outcomes = []
    try:
        if settings.uses_sample_logs and settings.is_embedded:
            write_sample(settings.home)
        now = utc_now()
        since, until = moment("since", config.since) or now, moment("until", config.until) or now
        parts = months.parts_of(since, until, first_month=settings.first_month, now=now)
        requests = [
            replace(
                part,
                sources=(config.source,),
                dry_run=config.dry_run,
                allow_expired=config.allow_expired,
                allow_loss=config.allow_loss,
                destination=Destination(config.destination),
                resend=config.resend,
                per_second=config.statements_per_second,
                max_refused=config.max_refused,
            )
            for part in parts
        ]
        warehouse = clickhouse.warehouse(run_id=context.run_id)
        for outcome in months.replay_window(settings, requests, warehouse, s3=s3, say=context.log.info):
            yield from _told(context, settings, warehouse, outcome)
            outcomes.append(outcome)
        months.require_all(outcomes)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    yield dg.Output(None)


@dg.op(pool=POOL)
def restore_everything(
    context: dg.OpExecutionContext,
    config: RebuildConfig,
    clickhouse: ClickHouseResource,
    log_storage: LogStorageResource,
) -> Iterator[Any]:
    """Create the schema, copy the LMS tables, and load every month, newest first."""
    settings, s3, say = load_settings(), log_storage.s3(), context.log.info
    ask = Ask(
        source=config.source,
        again=config.again,
        allow_expired=config.allow_expired,
        allow_loss=config.allow_loss,
        lms_tables=config.lms_tables,
    )
    outcomes = []
    try:
        warehouse = clickhouse.warehouse(run_id=context.run_id)
        say("the schema is in place")
        if ask.lms_tables and not config.dry_run:
            for copied in everything.copy_lms_tables(
                settings, schema_names(settings), warehouse, s3=s3, say=say
            ):
                say(copy_summary(copied))
                yield dg.AssetMaterialization(copied.table, metadata=copy_metadata(settings, copied))
        plan = everything.plan_everything(settings, ask, warehouse, s3=s3, say=say, measure=config.dry_run)
        for line in plan.described():
            say(line)
        if not config.dry_run:
            for outcome in everything.rebuild_all(settings, ask, plan, warehouse, s3=s3, say=say):
                yield from _told(context, settings, warehouse, outcome)
                outcomes.append(outcome)
            months.require_all(outcomes)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    yield dg.Output(None)


def _told(
    context: dg.OpExecutionContext, settings: Settings, warehouse: Warehouse, outcome: Outcome
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation]:
    """A month as its asset would have told it: the load, and what the checks say."""
    result = outcome.result
    if result is None:
        return
    context.log.info(f"{outcome.month}: {report.summary(result)}")
    if result.dry_run or not result.stands_here:
        yield dg.AssetObservation(
            XAPI_EVENTS_ALL, partition=outcome.month, metadata=load_metadata(result, None)
        )
        return
    yield dg.AssetMaterialization(
        XAPI_EVENTS_ALL, partition=outcome.month, metadata=load_metadata(result, warehouse)
    )
    failed = []
    for name, finding in answers(warehouse, Month(schema_names(settings), outcome.month)):
        yield evaluation(XAPI_EVENTS_ALL, name, finding, dg.AssetCheckSeverity.ERROR, partition=outcome.month)
        if not finding.passed:
            failed.append(f"{name}: {finding.summary}")
    if failed:
        context.log.error(f"checks of {outcome.month} failed: {'; '.join(failed)}")


@dg.job(
    description="Load again what happened between two moments: finds the months that the window touches, loads the part of"
    " each that lies in it, newest first, from the logs, the archive or both, and checks it. Adds what is missing, and"
    " nothing twice."
)
def replay_window() -> None:
    """Load a window."""
    load_the_months_of_a_window()


@dg.job(
    description="Restore an empty ClickHouse: the schema, the LMS tables, then every month from the sealed archive, newest"
    " first. Goes on where it was killed; months that stand are passed over. With `dry_run` it lists months, bytes and"
    " the time it will take."
)
def rebuild_all() -> None:
    """Restore everything."""
    restore_everything()

"""Logs that arrived or grew are cataloged, and, with ASPECTS_LOAD_NEW_LOGS, the months that they touch are loaded."""

from dataclasses import replace
from typing import Final

import dagster as dg

from aspects_orchestration.deadline import within
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.jobs.backfill import backfill_xapi_events_all
from aspects_orchestration.jobs.tracking_logs import observe_tracking_logs
from aspects_orchestration.replay.new_logs import (
    Found,
    Memory,
    asked_for,
    asked_to_read,
    loadable_from,
    look_for_new,
    may_read,
    why_not_now,
)
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.sensors.runs_under_way import how_many_under_way, is_under_way
from aspects_orchestration.settings import Settings, load_settings

_EVERY_S: Final = 300
#: A tick lists for so long, and goes on with the next one.
_LISTING_S: Final = 1.2
_DEADLINE_S: Final = 8.0
#: No more runs than that are queued or run at once on this sensor's account.
_AT_ONCE: Final = 2


def new_tracking_logs() -> dg.SensorDefinition:
    """Off until it is switched on; loads only where ASPECTS_LOAD_NEW_LOGS says so."""

    @dg.sensor(
        name="new_tracking_logs",
        jobs=[observe_tracking_logs, backfill_xapi_events_all],
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Finds logs that arrived or grew, once nothing is written to them any more, and has them read into the"
        " catalog. With ASPECTS_LOAD_NEW_LOGS it loads the months that they touch, one run a month at a time.",
    )
    def watch(
        context: dg.SensorEvaluationContext, clickhouse: ClickHouseResource, log_storage: LogStorageResource
    ) -> dg.SensorResult:
        now, settings, memory = utc_now(), load_settings(), Memory.read(context.cursor)
        # Impatient: what is slow now is listed by the next tick.
        s3 = replace(log_storage.s3(), attempts=1, connect_timeout_s=3.0, read_timeout_s=5.0)
        connected = clickhouse.warehouse

        def look() -> tuple[Found, str]:
            warehouse = connected(run_id="sensor new_tracking_logs")
            found = look_for_new(settings, warehouse, memory, s3=s3, now=now, budget_s=_LISTING_S)
            return found, loadable_from(settings, now)

        try:
            found, first_month = within(_DEADLINE_S, "log storage or ClickHouse", look)
        except AspectsError as error:
            return dg.SensorResult(skip_reason=str(error), cursor=memory.written())
        requests, reasons, kept = [], [_summary(found)], found.memory
        if found.unread and not is_under_way(context.instance, observe_tracking_logs.name):
            if may_read(kept, now):
                kept = asked_to_read(kept, now)
                key = f"new logs {now:%Y-%m-%dT%H:%M}"
                requests.append(dg.RunRequest(run_key=key, job_name=observe_tracking_logs.name))
            else:
                reasons.append("reading them was tried just now")
        if memory.old_to is None:
            reasons.append(_told_of_old(found))
        elif found.months:
            asked, why, kept = _loads(context, settings, found, kept, first_month)
            requests += asked
            reasons += why
        for reason in filter(None, reasons):
            context.log.info(reason)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=kept.written())
        return dg.SensorResult(skip_reason="; ".join(filter(None, reasons)), cursor=kept.written())

    return watch


def _loads(
    context: dg.SensorEvaluationContext, settings: Settings, found: Found, kept: Memory, first_month: str
) -> tuple[list[dg.RunRequest], list[str], Memory]:
    """Runs of the months that new logs touch, the newest first; why others have to wait; and what to remember."""
    now = utc_now()
    months = sorted((month for month in found.months if first_month <= month <= f"{now:%Y-%m}"), reverse=True)
    if not settings.load_new_logs:
        return [], [f"{', '.join(months[:6])} could be loaded: ASPECTS_LOAD_NEW_LOGS is not on"], kept
    if is_under_way(context.instance, observe_tracking_logs.name):
        return [], ["new logs are being read: what they touch is loaded behind that"], kept
    room = _AT_ONCE - how_many_under_way(context.instance, backfill_xapi_events_all.name)
    requests: list[dg.RunRequest] = []
    reasons: list[str] = []
    for month in months:
        lines, newest = found.months[month]
        why_not = why_not_now(kept, month, newest, now)
        if is_under_way(context.instance, backfill_xapi_events_all.name, month):
            why_not = "a run of it is under way"
        elif not why_not and len(requests) >= room:
            why_not = "other runs come first"
        if why_not:
            reasons.append(f"{month} is not loaded now: {why_not}")
            continue
        kept = asked_for(kept, month, newest, now)
        requests.append(
            dg.RunRequest(
                run_key=f"new logs {month} {newest} {kept.asked[month].tries}",
                job_name=backfill_xapi_events_all.name,
                partition_key=month,
            )
        )
        reasons.append(f"{month} is loaded: new logs hold {lines:,} lines of it")
    return requests, reasons[:8], kept


def _summary(found: Found) -> str:
    rest = "" if found.whole else ", and goes on behind them with the next tick"
    return (
        f"{found.files:,} logs listed{rest}: {found.unread:,} are new or have grown, {found.growing:,} may still be"
        " written to"
    )


def _told_of_old(found: Found) -> str:
    if found.memory.old_to is None:
        return "logs that were there before are read first"
    if not found.months:
        return ""
    months = sorted(found.months)
    return (
        f"logs that were there before hold {len(months)} months that were never loaded from them ({months[0]} to"
        f" {months[-1]}): they are not loaded by themselves, launch a backfill of backfill_xapi_events_all"
    )

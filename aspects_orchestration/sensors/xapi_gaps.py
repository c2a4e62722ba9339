"""Hours that fall short are offered for a replay, and, with ASPECTS_REPLAY_GAPS, replayed.

So an outage of Ralph, Redis, Vector or ClickHouse heals from the logs. A replay inserts only what is not there, so one too
many costs time and nothing else; and what a replay could not fill is remembered by the load itself, and is no gap again.
"""

from dataclasses import replace

import dagster as dg

from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS
from aspects_orchestration.checks.xapi_gaps import gaps_metadata
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.gaps import report
from aspects_orchestration.gaps.heal import Memory, Stretch, stretches
from aspects_orchestration.gaps.look import Look, Request, look
from aspects_orchestration.jobs.backfill import backfill_xapi_events_all
from aspects_orchestration.jobs.tracking_logs import observe_tracking_logs
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.sensors.runs_under_way import is_under_way
from aspects_orchestration.settings import load_settings

_EVERY_S = 1800
#: A tick has a minute in all.
_LISTING_S = 30.0
#: So many replays are asked for in one tick, of as many months: the newest months first.
_AT_ONCE = 4


def xapi_gaps_sensor() -> dg.SensorDefinition:
    """Off until it is switched on; replays only where ASPECTS_REPLAY_GAPS says so."""

    @dg.sensor(
        name="xapi_gaps",
        jobs=[backfill_xapi_events_all, observe_tracking_logs],
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Compares the newest days of the logs hour by hour with ClickHouse, and offers what falls short for a"
        " replay. With ASPECTS_REPLAY_GAPS it replays just those hours, one run a month at a time.",
    )
    def watch(
        context: dg.SensorEvaluationContext, clickhouse: ClickHouseResource, log_storage: LogStorageResource
    ) -> dg.SensorResult:
        now, settings = utc_now(), load_settings()
        try:
            warehouse = clickhouse.warehouse(run_id=f"sensor xapi_gaps {now:%Y-%m-%dT%H:%M}")
            seen = look(
                settings, warehouse, s3=log_storage.s3(), now=now, request=Request(budget_s=_LISTING_S)
            )
        except AspectsError as error:
            # Where ClickHouse is down there is nothing to compare with; the next tick finds what it missed.
            return dg.SensorResult(skip_reason=str(error), cursor=context.cursor or "")
        memory = Memory.read(context.cursor).after(seen.comparison.gaps, now)
        requests = []
        if seen.unread and not is_under_way(context.instance, observe_tracking_logs.name):
            requests.append(
                dg.RunRequest(run_key=f"unread logs {now:%Y-%m-%dT%H}", job_name=observe_tracking_logs.name)
            )
        reasons = []
        taken: set[str] = set()
        for stretch in sorted(stretches(seen.comparison.hours), key=lambda one: one.month, reverse=True):
            why_not = memory.why_not_now(stretch, now)
            if not settings.replay_gaps:
                why_not = "ASPECTS_REPLAY_GAPS is not on"
            elif stretch.month in taken or is_under_way(
                context.instance, backfill_xapi_events_all.name, stretch.month
            ):
                why_not = "another run of the month comes first"
            elif not why_not and len(taken) == _AT_ONCE:
                why_not = "other months come first"
            if why_not:
                reasons.append(f"{_shown(stretch)} is not replayed now: {why_not}")
                continue
            taken.add(stretch.month)
            requests.append(_replay(stretch, memory))
            memory = memory.asked_for(stretch, now)
            context.log.info(f"{_shown(stretch)} is replayed")
        for reason in reasons:
            context.log.info(reason)
        gaps = tuple(one.hour for one in seen.comparison.gaps)
        news = [_observation(seen)] if gaps != memory.told else []
        cursor = replace(memory, told=gaps).written()
        if requests:
            return dg.SensorResult(run_requests=requests, asset_events=news, cursor=cursor)
        why = "; ".join([report.summary(seen), *reasons[:3]])
        return dg.SensorResult(skip_reason=why, asset_events=news, cursor=cursor)

    return watch


def _replay(stretch: Stretch, memory: Memory) -> dg.RunRequest:
    lines = sum(one.lines for one in stretch.hours)
    return dg.RunRequest(
        # The same hours with the same lines are asked for under another key only when a try has come to nothing.
        run_key=f"{stretch.since:%Y-%m-%dT%H}/{stretch.until:%Y-%m-%dT%H} {lines} {memory.try_number(stretch)}",
        job_name=backfill_xapi_events_all.name,
        partition_key=stretch.month,
        run_config=stretch.run_config(),
    )


def _shown(stretch: Stretch) -> str:
    return (
        f"{stretch.since:%Y-%m-%d %H:00} to {stretch.until:%Y-%m-%d %H:00} UTC ({stretch.missing:,} statements"
        f" missing in {len(stretch.hours)} hours)"
    )


def _observation(seen: Look) -> dg.AssetObservation:
    return dg.AssetObservation(
        TRACKING_LOGS,
        description=report.summary(seen),
        metadata=gaps_metadata(seen),
    )

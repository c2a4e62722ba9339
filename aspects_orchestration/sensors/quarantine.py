"""Lines that wait for a user or a course: their month is replayed from quarantine when whom they name has arrived."""

import json
from datetime import UTC, datetime

import dagster as dg

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.jobs.backfill import backfill_xapi_events_all
from aspects_orchestration.partitions import months
from aspects_orchestration.replay.arrivals import Position, sweep
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.sensors.runs_under_way import is_under_way
from aspects_orchestration.settings import load_settings

_REPLAY = {"ops": {"xapi_events_all": {"config": {"source": "quarantine"}}}}


def replay_quarantine() -> dg.SensorDefinition:
    """Off until it is switched on; a month is replayed once a day at most."""

    @dg.sensor(
        name="replay_quarantine_when_they_arrive",
        job=backfill_xapi_events_all,
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Looks up the users and courses that loads did not find. When some of a month have arrived, the month's"
        " quarantine is loaded again, once a day at most.",
    )
    def look(
        context: dg.SensorEvaluationContext, clickhouse: ClickHouseResource, log_storage: LogStorageResource
    ) -> dg.SensorResult:
        settings = load_settings()
        after = Position(**json.loads(context.cursor)) if context.cursor else None
        try:
            found = sweep(
                settings,
                clickhouse.warehouse(run_id="sensor replay_quarantine_when_they_arrive"),
                months(settings.first_month).get_partition_keys(),
                s3=log_storage.s3(),
                after=after,
            )
        except AspectsError as error:
            return dg.SensorResult(skip_reason=str(error), cursor=context.cursor or "")
        cursor = json.dumps(vars(found.rest)) if found.rest else ""
        today = datetime.now(UTC)
        requests = [
            dg.RunRequest(
                run_key=f"{one.month} {one.quarantine} {today:%Y-%m-%d}",
                partition_key=one.month,
                run_config=_REPLAY,
            )
            for one in found.arrivals
            if not is_under_way(context.instance, backfill_xapi_events_all.name, one.month)
        ]
        for one in found.arrivals:
            context.log.info(
                f"{one.month}: of those who were missing, {one.users} users and {one.courses} courses have arrived; its"
                " quarantine can be loaded"
            )
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        why = f"looked up {found.missing} users and courses that loads did not find: none has arrived"
        if found.arrivals:
            why = "a run of each month whose users or courses have arrived is under way"
        return dg.SensorResult(skip_reason=why, cursor=cursor)

    return look

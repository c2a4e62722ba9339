"""Months that will be gone soon and are not in the archive: somebody must hear of it while the logs can still be sealed."""

import json

import dagster as dg

from aspects_orchestration.alerts.message import Message
from aspects_orchestration.alerts.tell import tell_now, where_of
from aspects_orchestration.assets.retention_policies import RETENTION_POLICIES
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.retention.verify import Expiring, expiring_unarchived
from aspects_orchestration.retention.world import look
from aspects_orchestration.settings import load_settings

_EVERY_S = 6 * 3600


def unarchived_months_expire() -> dg.SensorDefinition:
    """The sensor; it tells of each month once a day while that holds."""

    @dg.sensor(
        name="unarchived_months_expire",
        minimum_interval_seconds=_EVERY_S,
        description="Raises an alert for every month of raw statements that goes within 14 days while its logs are not"
        " sealed in the archive and verified: an observation of retention_policies, a warning in the log.",
    )
    def watch(
        context: dg.SensorEvaluationContext, clickhouse: ClickHouseResource, log_storage: LogStorageResource
    ) -> dg.SensorResult | dg.SkipReason:
        now, settings = utc_now(), load_settings()
        try:
            warehouse = clickhouse.warehouse(run_id=f"sensor unarchived_months_expire {now:%Y-%m-%dT%H:%M}")
            found = expiring_unarchived(look(settings, warehouse, s3=log_storage.s3(), now=now))
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        told: dict[str, str] = json.loads(context.cursor or "{}")
        today = f"{now:%Y-%m-%d}"
        new = [one for one in found if told.get(one.month) != today]
        cursor = json.dumps({one.month: today for one in found})
        if not new:
            context.update_cursor(cursor)
            return dg.SkipReason(f"{len(found)} unarchived months expire soon; all were told of today")
        title = f"{len(new)} months will be gone soon and are not archived"
        text = "\n".join(str(one) for one in new)
        context.log.warning(f"{title}: {text}")
        where = where_of(settings)
        message = Message(
            "warning", f"{where.site}: {title}", f"{text}\n{where.asset(*RETENTION_POLICIES.path)}"
        )
        if settings.alert_urls and not tell_now(settings, [message], say=context.log.warning):
            # It is told of again, to everybody, at the next tick.
            cursor = context.cursor or "{}"
        return dg.SensorResult(asset_events=[_observation(new)], cursor=cursor)

    return watch


def _observation(found: list[Expiring]) -> dg.AssetObservation:
    rows = ["| month | goes on | raw statements | why |", "|---|---|--:|---|"]
    rows += [f"| {one.month} | {one.goes_at} | {one.rows:,} | {one.why} |" for one in found]
    return dg.AssetObservation(
        RETENTION_POLICIES,
        metadata={
            "alert": dg.MetadataValue.md("\n".join(rows)),
            "months_expiring_unarchived": len(found),
        },
    )

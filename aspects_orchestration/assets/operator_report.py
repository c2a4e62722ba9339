"""operator_report: everything that matters on one page, as a file and in the UI."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from aspects_orchestration.alerts.tell import where_of
from aspects_orchestration.assets.pipeline_health import GROUP, health_key
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.readers import all_readers
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.replay.report import inline_picture
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.report.gather import WEEK, ByHour, Report, gather
from aspects_orchestration.report.page import markdown, page, week, write
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.settings import load_settings

OPERATOR_REPORT = dg.AssetKey("operator_report")
_PAGE = 1000


def operator_report() -> dg.AssetsDefinition:
    """The asset."""

    @dg.asset(
        key=OPERATOR_REPORT,
        group_name=GROUP,
        kinds={"clickhouse"},
        description="State of every signal, lag and volume of a week, months, archive, drills and slow queries, on one page:"
        " a file in ASPECTS_REPORT that needs no network, and in short here. Looks only.",
    )
    def report_to_operators(
        context: dg.AssetExecutionContext, clickhouse: ClickHouseResource, log_storage: LogStorageResource
    ) -> dg.MaterializeResult[None]:
        settings, now = load_settings(), utc_now()
        try:
            found = gather(
                settings,
                all_readers(settings),
                load_rules(settings.alerts_file),
                lambda: clickhouse.warehouse(run_id=context.run.run_id),
                site=where_of(settings).site,
                lag=lag_by_hour(context.instance, now),
                s3=log_storage.s3(),
                now=now,
            )
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        path = write(page(found), settings.report_uri, log_storage.s3())
        context.log.info(f"{found.worst.upper()}: {path}")
        return dg.MaterializeResult(metadata=report_metadata(found, path))

    return report_to_operators


def report_metadata(found: Report, path: str) -> dict[str, dg.MetadataValue | int | float | str]:
    """What the asset shows: the report in short, where the page is, and figures to follow over time."""
    by_state = {state: sum(one.state is state for one in found.rows) for state in State}
    return {
        "report": dg.MetadataValue.md(markdown(found, path)),
        "week": dg.MetadataValue.md(inline_picture(week(found), "lag and statements by hour, of a week")),
        "page": dg.MetadataValue.path(path),
        "state": found.worst.value,
        **{f"signals_{state}": count for state, count in by_state.items()},
        "look_ms": round(found.took_ms, 1),
    }


def lag_by_hour(instance: dg.DagsterInstance, now: datetime) -> ByHour:
    """The worst lag that was observed in each hour of the last week, by hour since 1970-01-01 UTC, in seconds."""
    worst: ByHour = {}
    for seen_at, value in _observed(instance, (now - WEEK).timestamp()):
        hour = int(seen_at // 3600)
        worst[hour] = max(worst.get(hour, 0.0), value)
    return worst


def _observed(instance: dg.DagsterInstance, since: float) -> Iterator[tuple[float, float]]:
    wanted = dg.AssetRecordsFilter(asset_key=health_key("clickhouse_lag"), after_timestamp=since)
    cursor = None
    while True:
        result = instance.fetch_observations(wanted, limit=_PAGE, cursor=cursor)
        for record in result.records:
            observation = record.asset_observation
            value = (
                observation.metadata["value"].value
                if observation and "value" in observation.metadata
                else None
            )
            if isinstance(value, int | float):
                yield datetime.fromtimestamp(record.timestamp, UTC).timestamp(), float(value)
        if not result.has_more:
            return
        cursor = result.cursor

"""ClickHouse is critically late and the logs hold newer lines: a replay is offered, or, with ASPECTS_REPLAY_LAG, started.

It goes by what the sensor clickhouse_health has observed, and by the catalog of the logs, so it costs nothing while all is
well. What a replay could not fill is not replayed again.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from aspects_orchestration.assets.pipeline_health import health_key
from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS
from aspects_orchestration.deadline import within
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.jobs.disaster_recovery import replay_window
from aspects_orchestration.jobs.tracking_logs import observe_tracking_logs
from aspects_orchestration.monitoring.acting import LAG_SIGNAL, Decision, Ended, Lag, Memory, decide
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.sensors.runs_under_way import is_under_way
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.window import micros

_EVERY_S: Final = 120
_DEADLINE_S: Final = 8.0
#: An observation older than that says nothing of now: nobody looks any more.
_FRESH: Final = timedelta(minutes=20)
#: So many of the newest observations are read, to find since when it has been so.
_OBSERVATIONS: Final = 60
_RUN_KEY: Final = "dagster/run_key"


def act_on_health() -> dg.SensorDefinition:
    """Off until it is switched on; starts replays only where ASPECTS_REPLAY_LAG says so."""

    @dg.sensor(
        name="act_on_health",
        jobs=[replay_window, observe_tracking_logs],
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="When ClickHouse is critically late and the logs hold newer lines, offers that window for a replay. With"
        " ASPECTS_REPLAY_LAG it starts replay_window for it, one at a time, and never twice for what it could not fill.",
    )
    def act(context: dg.SensorEvaluationContext, clickhouse: ClickHouseResource) -> dg.SensorResult:
        now, settings, memory = utc_now(), load_settings(), Memory.read(context.cursor)
        state, since = _observed(context.instance, now)
        if state is None:
            why = f"nobody has observed {LAG_SIGNAL} lately: switch on the sensor clickhouse_health"
            return dg.SensorResult(skip_reason=why, cursor=memory.written())
        lag = Lag(state, since, None, None)
        if state is State.CRITICAL:
            try:
                warehouse = clickhouse.warehouse
                lag = within(
                    _DEADLINE_S,
                    "ClickHouse",
                    lambda: _lag(settings, warehouse(run_id="sensor act_on_health"), lag, now),
                )
            except AspectsError as error:
                return dg.SensorResult(skip_reason=str(error), cursor=memory.written())
        decision = decide(
            lag, memory, _ended(context.instance, memory), now=now, switched_on=settings.replay_lag
        )
        return _result(context, decision, state, now)

    return act


def _result(
    context: dg.SensorEvaluationContext, decision: Decision, state: State, now: datetime
) -> dg.SensorResult:
    requests = []
    if decision.replay is not None:
        requests.append(
            dg.RunRequest(
                run_key=decision.replay.key, job_name=replay_window.name, run_config=dict(decision.config())
            )
        )
    if state is State.CRITICAL and not is_under_way(context.instance, observe_tracking_logs.name):
        # Only what is cataloged is known to be in the logs; the log that is being written is read again each hour.
        requests.append(dg.RunRequest(run_key=f"late {now:%Y-%m-%dT%H}", job_name=observe_tracking_logs.name))
    news = []
    why = decision.why
    if decision.since is not None:
        why = f"{decision.since:%Y-%m-%d %H:%M:%S} to {decision.until:%Y-%m-%d %H:%M:%S} UTC: {decision.why}"
    if decision.offer or decision.replay is not None:
        context.log.warning(f"{why}. By hand: {decision.command()}")
        news.append(
            dg.AssetObservation(
                TRACKING_LOGS,
                description=why,
                metadata={
                    "replay_since": f"{decision.since:%Y-%m-%dT%H:%M:%SZ}",
                    "replay_until": f"{decision.until:%Y-%m-%dT%H:%M:%SZ}",
                    "replay_command": decision.command(),
                },
            )
        )
    cursor = decision.memory.written()
    if requests:
        return dg.SensorResult(run_requests=requests, asset_events=news, cursor=cursor)
    return dg.SensorResult(skip_reason=why, asset_events=news, cursor=cursor)


def _observed(instance: dg.DagsterInstance, now: datetime) -> tuple[State | None, datetime | None]:
    """How the lag stands by its newest observation, and since when; None where there is no fresh one."""
    since, newest = None, None
    for record in instance.fetch_observations(health_key(LAG_SIGNAL), limit=_OBSERVATIONS).records:
        seen_at = datetime.fromtimestamp(record.timestamp, UTC)
        observation = record.asset_observation
        found = observation.metadata.get("state") if observation else None
        try:
            state = State(str(found.value if found else ""))
        except ValueError:
            break
        if newest is None:
            if now - seen_at > _FRESH:
                return None, None
            newest = state
        elif state is not newest:
            break
        since = seen_at
    return newest, since


def _lag(settings: Settings, warehouse: Warehouse, lag: Lag, now: datetime) -> Lag:
    statement_micros, statements = warehouse.row(
        "newest_statement", database=settings.xapi_database, table=settings.raw_xapi_table
    )
    (line_micros,) = warehouse.row(
        "catalog_newest", database=settings.orchestration_database, until=micros(now)
    )
    return Lag(
        lag.state,
        lag.since,
        at(int(statement_micros)) if statements else None,
        at(int(line_micros)) if line_micros else None,
    )


def _ended(instance: dg.DagsterInstance, memory: Memory) -> Ended:
    """How the replay that was asked for last stands; one that somebody else has launched is under way too."""
    if is_under_way(instance, replay_window.name):
        return "under way"
    if memory.asked is None:
        return "unknown"
    runs = instance.get_runs(dg.RunsFilter(tags={_RUN_KEY: memory.asked.key}), limit=1)
    if not runs:
        return "unknown"
    return "succeeded" if runs[0].status is dg.DagsterRunStatus.SUCCESS else "failed"

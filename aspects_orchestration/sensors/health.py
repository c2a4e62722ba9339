"""What the health sensors share: look, show every number, remember, tell.

A tick never fails because a service is down: what cannot be read is a state of its own.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import dagster as dg

from aspects_orchestration.alerts.incidents import Kept, follow
from aspects_orchestration.alerts.tell import told, where_of
from aspects_orchestration.assets.pipeline_health import observations
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.memory import read, read_cursor, written
from aspects_orchestration.monitoring.model import Reading, labels_of
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.monitoring.signals.pipeline import ALERT_DELIVERY
from aspects_orchestration.monitoring.watch import Look, Reader, look
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import Settings, load_settings

#: For a look and telling of it; a tick takes no longer than 10 s.
_TICK_S: Final = 9.0
#: For telling after a look that took all its time: who takes longer is heard of at the next tick.
_AT_LEAST_S: Final = 1.0
#: Five readings in a row tell growth, so that a queue is seen to grow after five minutes.
_EVERY_S = 60


def health_sensor(
    name: str, readers_of: Callable[[Settings], Sequence[Reader]], *, description: str, none: str
) -> dg.SensorDefinition:
    """A health sensor, off until it is switched on; it starts no run.

    Args:
        name: of the sensor.
        readers_of: whom to ask, for the settings in force.
        description: for people.
        none: why there may be nobody to ask.
    """

    @dg.sensor(
        name=name,
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=description,
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return tick(context, readers_of, sensor=name, none=none)

    return watch


def tick(
    context: dg.SensorEvaluationContext,
    readers_of: Callable[[Settings], Sequence[Reader]],
    *,
    sensor: str,
    none: str,
) -> dg.SensorResult:
    """One tick of a health sensor.

    Args:
        context: of the tick; its cursor holds how signals stood, and what was told of them.
        readers_of: whom to ask, for the settings in force.
        sensor: its name.
        none: why there may be nobody to ask.
    """
    settings = load_settings()
    readers = readers_of(settings)
    if not readers:
        return dg.SensorResult(skip_reason=none, cursor=context.cursor or "")
    try:
        rules = load_rules(settings.alerts_file)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    now = utc_now()
    cursor = read_cursor(context.cursor)
    kept = Kept.from_json(cursor.get("alerts"))
    if settings.alert_urls:
        readers = [*readers, _delivery(kept, sensor)]
    before = read(cursor.get("standings"))
    seen = look(readers, rules=rules, before=before, now=now)
    for change in seen.changes:
        context.log.warning(f"{change.key}: {change.after.state}. {change.after.why}".rstrip())
    kept = told(
        settings,
        follow(seen, kept, rules, where_of(settings)),
        say=context.log.warning,
        deadline_s=max(_TICK_S - seen.took_ms / 1000, _AT_LEAST_S),
    )
    return dg.SensorResult(
        skip_reason=summary(seen),
        asset_events=observations(seen),
        cursor=json.dumps(
            {"standings": written(seen, before), "alerts": kept.as_json()}, separators=(",", ":")
        ),
    )


def _delivery(kept: Kept, sensor: str) -> Reader:
    """How many messages wait since the tick before."""

    def waiting(now: datetime) -> list[Reading]:
        labels = labels_of({"sensor": sensor})
        return [Reading(ALERT_DELIVERY, float(len(kept.waiting)), now, 0.0, labels)]

    return Reader("the messages that wait", (ALERT_DELIVERY,), waiting)


def summary(seen: Look) -> str:
    """How many signals are in which state, and which are bad."""
    by_state: dict[str, list[str]] = {}
    for key, standing in seen.standings.items():
        by_state.setdefault(standing.state.value, []).append(key)
    parts = [f"{len(keys)} {state}" for state, keys in by_state.items()]
    bad = [key for state, keys in by_state.items() if state != "ok" for key in keys]
    return f"{', '.join(parts)} in {seen.took_ms:.0f} ms" + (f": {', '.join(bad[:8])}" if bad else "")

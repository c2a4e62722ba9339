"""What the health sensors share: look, show every number, remember, tell.

A tick never fails because a service is down: what cannot be read is a state of its own.
"""

import json
from collections.abc import Sequence

import dagster as dg

from aspects_orchestration.assets.pipeline_health import observations
from aspects_orchestration.monitoring.memory import read, read_cursor, written
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.watch import Look, Reader, look
from aspects_orchestration.replay.result import utc_now


def tick(
    context: dg.SensorEvaluationContext,
    readers: Sequence[Reader],
    rules: Rules,
    *,
    none: str,
) -> dg.SensorResult:
    """One tick of a health sensor.

    Args:
        context: of the tick; its cursor holds how signals stood.
        readers: whom to ask.
        rules: those in force.
        none: why there may be nobody to ask.
    """
    if not readers:
        return dg.SensorResult(skip_reason=none, cursor=context.cursor or "")
    now = utc_now()
    kept = read_cursor(context.cursor)
    seen = look(readers, rules=rules, before=read(kept.get("standings")), now=now)
    for change in seen.changes:
        context.log.warning(f"{change.key}: {change.after.state}. {change.after.why}".rstrip())
    return dg.SensorResult(
        skip_reason=summary(seen),
        asset_events=observations(seen),
        cursor=json.dumps({**kept, "standings": written(seen)}, separators=(",", ":")),
    )


def summary(seen: Look) -> str:
    """How many signals are in which state, and which are bad."""
    by_state: dict[str, list[str]] = {}
    for key, standing in seen.standings.items():
        by_state.setdefault(standing.state.value, []).append(key)
    parts = [f"{len(keys)} {state}" for state, keys in by_state.items()]
    bad = [key for state, keys in by_state.items() if state != "ok" for key in keys]
    return f"{', '.join(parts)} in {seen.took_ms:.0f} ms" + (f": {', '.join(bad[:8])}" if bad else "")

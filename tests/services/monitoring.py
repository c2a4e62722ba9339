"""Reading signals and standing ticks, for tests of what is watched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from aspects_orchestration.monitoring.model import Reading, Standing
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.watch import Look, Reader, look

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def readings_of(readers: Sequence[Reader]) -> dict[str, Reading]:
    """All readings of one look, by key."""
    return dict(look(readers, rules=Rules(), before={}, now=START).readings)


def values_of(readers: Sequence[Reader]) -> dict[str, float | None]:
    """The values of one look, by key."""
    return {key: reading.value for key, reading in readings_of(readers).items()}


def ticks(readers: Sequence[Reader], number: int, before: dict[str, Standing] | None = None) -> Look:
    """The last of a number of looks, a minute apart, each with what stood before it."""
    standing = dict(before or {})
    for minute in range(number):
        seen = look(readers, rules=Rules(), before=standing, now=START + timedelta(minutes=minute))
        standing = dict(seen.standings)
    return seen


def ticked(sensor: dg.SensorDefinition, cursor: str | None = None) -> tuple[dg.SensorResult, str]:
    """What one tick of a sensor gives, and all that it shows to anybody."""
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, cursor=cursor) as context,
    ):
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        shown = f"{result!r} {result.cursor} {result.skip_reason} {context.log}"
        return result, shown

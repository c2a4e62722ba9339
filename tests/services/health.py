"""Ticks of health sensors, and what they left, as tests look at them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from aspects_orchestration.monitoring.memory import read, read_cursor
from aspects_orchestration.monitoring.model import Standing
from services.effort import spent_s
from services.site import Site


@dataclass(frozen=True)
class Tick:
    """What a tick left.

    Attributes:
        took_s: how long it took, in seconds.
        spent_s: CPU seconds of it, here and in the embedded server.
        standings: how signals stand after it, by key.
        observed: the metadata of each signal's observation, by signal.
        cursor: as the sensor keeps it.
        said: its reason for starting no run.
    """

    took_s: float
    spent_s: float
    standings: dict[str, Standing]
    observed: dict[str, dict[str, Any]]
    cursor: str
    said: str

    def states(self) -> set[str]:
        """All states that some signal is in."""
        return {one.state.value for one in self.standings.values()}


def tick_of(
    sensor: dg.SensorDefinition, site: Site, monkeypatch: pytest.MonkeyPatch, cursor: str | None = None
) -> Tick:
    """Evaluate a sensor with a site's settings in the environment."""
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        before_s, started = spent_s(site), time.monotonic()
        result = sensor(context)
        took_s = time.monotonic() - started
        after_s = spent_s(site)
    assert isinstance(result, dg.SensorResult)
    observed = {
        event.asset_key.path[-1]: {name: one.value for name, one in event.metadata.items()}
        for event in result.asset_events
    }
    kept = result.cursor or ""
    return Tick(
        took_s,
        after_s - before_s,
        read(read_cursor(kept).get("standings")),
        observed,
        kept,
        str(result.skip_reason or ""),
    )

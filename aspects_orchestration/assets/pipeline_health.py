"""One asset a signal: each reading is an observation of it, so the UI plots every number over time."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from aspects_orchestration.monitoring.model import Reading, Signal, Standing
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import Look

GROUP = "monitoring"


def health_key(signal: str) -> dg.AssetKey:
    """The asset of a signal."""
    return dg.AssetKey(["pipeline_health", signal])


def pipeline_health() -> list[dg.AssetSpec]:
    """All of them. They are observed by sensors and made by nobody."""
    return [
        dg.AssetSpec(
            health_key(signal.name),
            description=f"{signal.title} ({signal.unit}). {signal.meaning}\n\nWhen it is bad: {signal.do}",
            group_name=GROUP,
            kinds={"clickhouse"} if signal.group == "clickhouse" else set(),
        )
        for signal in SIGNALS.values()
    ]


def observations(seen: Look) -> list[dg.AssetObservation]:
    """An observation for each signal that was read, with the worst value as `value`, and one for each of its labels."""
    by_signal: dict[str, list[tuple[Reading, Standing]]] = {}
    for key, reading in seen.readings.items():
        by_signal.setdefault(reading.signal, []).append((reading, seen.standings[key]))
    return [_observation(SIGNALS[signal], found) for signal, found in by_signal.items()]


def _observation(signal: Signal, found: list[tuple[Reading, Standing]]) -> dg.AssetObservation:
    reading, standing = max(found, key=lambda one: (one[1].state.rank, _badness(signal, one[0])))
    return dg.AssetObservation(
        health_key(signal.name),
        description=f"{signal.title}: {standing.state}" + (f" ({standing.why})" if standing.why else ""),
        metadata={**_value("value", standing), "state": standing.state.value, **_rest(reading, found)},
    )


def _badness(signal: Signal, reading: Reading) -> float:
    value = reading.value or 0.0
    return value if signal.rule.worse == "above" else -value


def _value(name: str, standing: Standing) -> dict[str, Any]:
    # No entry at all where nothing was read: a plot with a gap says so, a zero would not.
    return {} if standing.value is None else {name: float(standing.value)}


def _rest(reading: Reading, found: Iterable[tuple[Reading, Standing]]) -> dict[str, Any]:
    rest: dict[str, Any] = {"took_ms": round(reading.took_ms, 1)}
    if reading.why:
        rest["why"] = reading.why
    for one, standing in found:
        if one.labels:
            rest |= _value(f"value ({', '.join(f'{name} {value}' for name, value in one.labels)})", standing)
    return rest

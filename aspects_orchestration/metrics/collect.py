"""Readings as Prometheus gauges."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aspects_orchestration.monitoring.model import Signal, Standing, State
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import Look

#: Several scrapers, or one that is impatient, cost no more than one.
FRESH_S: Final = 15.0
#: Prometheus' base units, for those that have one.
_SUFFIXES: Final = (("s", "_seconds"), ("ms", "_milliseconds"), ("share", "_ratio"), ("bytes", "_bytes"))

LookNow = Callable[[Mapping[str, Standing]], Look]


class Signals(Collector):
    """All readings, taken anew at a scrape unless they are fresh.

    Args:
        look_now: takes a look, given how signals stood before.
        fresh_s: so long a look is shown again, in seconds.
    """

    def __init__(self, look_now: LookNow, *, fresh_s: float = FRESH_S) -> None:
        self._look_now = look_now
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._seen: Look | None = None
        self._at = 0.0

    def describe(self) -> list[Metric]:
        """Nothing ahead of a scrape: what is watched may change with the settings."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges of the newest look."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._at > self._fresh_s:
                before = self._seen.standings if self._seen else {}
                self._seen = self._look_now(before)
                self._at = time.monotonic()
            seen = self._seen
        yield from gauges(seen)


def gauges(seen: Look) -> Iterator[Metric]:
    """A gauge for each signal that was read, its state, and how long the look took."""
    states = GaugeMetricFamily(
        "aspects_signal_state",
        "0 ok, 1 unknown, 2 warn, 3 critical: the worst of a signal's readings.",
        labels=("signal",),
    )
    by_signal: dict[str, list[str]] = {}
    for key, reading in seen.readings.items():
        by_signal.setdefault(reading.signal, []).append(key)
    for name, keys in by_signal.items():
        worst = max((seen.standings[key].state for key in keys), key=lambda one: one.rank, default=State.OK)
        states.add_metric((name,), worst.rank)
        yield _gauge(SIGNALS[name], [(seen.readings[key].labels, seen.readings[key].value) for key in keys])
    yield states
    took = GaugeMetricFamily("aspects_look_seconds", "How long reading all signals took.")
    took.add_metric((), seen.took_ms / 1000)
    yield took
    at = GaugeMetricFamily("aspects_look_timestamp_seconds", "When the signals were read.")
    at.add_metric((), _seconds(seen.at))
    yield at


def metric_name(signal: Signal) -> str:
    """A signal's name for Prometheus, with its unit where Prometheus has one."""
    first = signal.unit.split(" ")[0]
    return f"aspects_{signal.name}" + next((suffix for unit, suffix in _SUFFIXES if unit == first), "")


def _gauge(signal: Signal, found: list[tuple[tuple[tuple[str, str], ...], float | None]]) -> Metric:
    names = sorted({_label(name) for labels, _ in found for name, _ in labels})
    gauge = GaugeMetricFamily(metric_name(signal), f"{signal.title} ({signal.unit}).", labels=names)
    for labels, value in found:
        # What could not be read has no sample: its state says so, and a stale value would lie.
        if value is not None:
            given = {_label(name): text for name, text in labels}
            gauge.add_metric([given.get(name, "") for name in names], value)
    return gauge


def _label(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _seconds(at: datetime) -> float:
    return at.timestamp()

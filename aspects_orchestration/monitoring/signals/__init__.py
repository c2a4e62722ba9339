"""The catalogue: every signal that is watched, by name, with its default rule."""

from collections.abc import Mapping
from types import MappingProxyType

from aspects_orchestration.monitoring.model import Signal
from aspects_orchestration.monitoring.signals import clickhouse, pipeline, queues, services

SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        signal.name: signal
        for signal in (*clickhouse.SIGNALS, *queues.SIGNALS, *services.SIGNALS, *pipeline.SIGNALS)
    }
)

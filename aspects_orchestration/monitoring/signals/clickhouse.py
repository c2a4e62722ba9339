"""What is watched of ClickHouse."""

from aspects_orchestration.monitoring.model import Signal

SIGNALS: tuple[Signal, ...] = ()

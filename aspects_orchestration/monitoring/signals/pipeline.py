"""What is watched of this project itself: the delivery of alerts, its runs, its logs."""

from aspects_orchestration.monitoring.model import Signal

SIGNALS: tuple[Signal, ...] = ()

"""What is watched of Ralph, Vector and Superset."""

from aspects_orchestration.monitoring.model import Signal

SIGNALS: tuple[Signal, ...] = ()

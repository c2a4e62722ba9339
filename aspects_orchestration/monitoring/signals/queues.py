"""What is watched of queues: Celery, the Redis event bus, Kafka."""

from aspects_orchestration.monitoring.model import Signal

SIGNALS: tuple[Signal, ...] = ()

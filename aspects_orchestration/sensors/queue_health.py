"""Watches queues: Celery's, dead letters, and the event bus in Redis or Kafka."""

import dagster as dg

from aspects_orchestration.monitoring.queues import readers
from aspects_orchestration.sensors.health import health_sensor


def queue_health() -> dg.SensorDefinition:
    """Watches what the settings name."""
    return health_sensor(
        "queue_health",
        readers,
        description="Reads how many tasks and events wait: in Celery's queues, among the dead letters, and on the event bus"
        " in Redis or Kafka. Watches what the settings name (docs/monitoring-services.md).",
        none="No queue is named: set REDIS_HOST, EVENT_BUS_REDIS_CONNECTION_URL or EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS.",
    )

"""Watches queues: Celery's, dead letters, and the event bus in Redis or Kafka."""

import dagster as dg

from aspects_orchestration.monitoring.queues import readers
from aspects_orchestration.sensors.health import tick

# Five readings in a row tell growth, so that a queue is seen to grow after five minutes.
_EVERY_S = 60


def queue_health() -> dg.SensorDefinition:
    """Off until it is switched on."""

    @dg.sensor(
        name="queue_health",
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reads how many tasks and events wait: in Celery's queues, among the dead letters, and on the event bus"
        " in Redis or Kafka. Watches what the settings name (docs/monitoring-services.md).",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return tick(
            context,
            readers,
            sensor="queue_health",
            none="No queue is named: set REDIS_HOST, EVENT_BUS_REDIS_CONNECTION_URL or EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS.",
        )

    return watch

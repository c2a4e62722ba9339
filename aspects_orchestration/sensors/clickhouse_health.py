"""ClickHouse is watched: lag, volume, parts, inserts, disks, replication; every number is observed, every change logged."""

import dagster as dg

from aspects_orchestration.monitoring.clickhouse import readers
from aspects_orchestration.sensors.health import tick

_EVERY_S = 60


def clickhouse_health() -> dg.SensorDefinition:
    """Off until it is switched on; it starts no run and never starts the embedded server."""

    @dg.sensor(
        name="clickhouse_health",
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reads lag, volume, parts, inserts, replication, disks and slow queries of ClickHouse, shows every"
        " number on the assets pipeline_health, and tells of those that become bad. What cannot be read is unknown.",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return tick(context, readers, sensor="clickhouse_health", none="ClickHouse is not watched")

    return watch

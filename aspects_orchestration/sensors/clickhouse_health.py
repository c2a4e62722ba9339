"""ClickHouse is watched: lag, volume, parts, inserts, disks, replication; every number is observed, every change told."""

import dagster as dg

from aspects_orchestration.monitoring.clickhouse import readers
from aspects_orchestration.sensors.health import health_sensor


def clickhouse_health() -> dg.SensorDefinition:
    """It never starts the embedded server."""
    return health_sensor(
        "clickhouse_health",
        readers,
        description="Reads lag, volume, parts, inserts, replication, disks and slow queries of ClickHouse, shows every"
        " number on the assets pipeline_health, and tells of those that become bad. What cannot be read is unknown.",
        none="ClickHouse is not watched",
    )

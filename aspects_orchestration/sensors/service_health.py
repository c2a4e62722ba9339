"""Watches Ralph, Vector and Superset."""

import dagster as dg

from aspects_orchestration.monitoring.services import readers
from aspects_orchestration.sensors.health import health_sensor


def service_health() -> dg.SensorDefinition:
    """Asks those that the settings name."""
    return health_sensor(
        "service_health",
        readers,
        description="Asks Ralph, Vector and Superset whether they are well, and how long Ralph takes to say so. Asks those"
        " that the settings name (docs/monitoring-services.md).",
        none="No service is named: set RALPH_HOST, ASPECTS_VECTOR_HOST or SUPERSET_HOST.",
    )

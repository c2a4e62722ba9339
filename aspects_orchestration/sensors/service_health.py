"""Watches Ralph, Vector and Superset."""

import dagster as dg

from aspects_orchestration.monitoring.services import readers
from aspects_orchestration.sensors.health import tick

_EVERY_S = 60


def service_health() -> dg.SensorDefinition:
    """Off until it is switched on."""

    @dg.sensor(
        name="service_health",
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Asks Ralph, Vector and Superset whether they are well, and how long Ralph takes to say so. Asks those"
        " that the settings name (docs/monitoring-services.md).",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return tick(
            context,
            readers,
            sensor="service_health",
            none="No service is named: set RALPH_HOST, ASPECTS_VECTOR_HOST or SUPERSET_HOST.",
        )

    return watch

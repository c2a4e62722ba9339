"""What is watched of this project itself."""

from aspects_orchestration.monitoring.model import Rule, Signal

#: Of this signal nobody is alerted: its own message would wait with the others.
ALERT_DELIVERY = "alert_delivery"

SIGNALS: tuple[Signal, ...] = (
    Signal(
        ALERT_DELIVERY,
        "Alerts that could not be delivered yet",
        "messages",
        Rule(warn=1, critical=10, for_ticks=2, clear_ticks=1),
        "Nobody hears of what the other signals tell. Each is tried again at every tick.",
        "Look at the sensor's log for who refused them; try `python -m aspects_orchestration.alerts test`, and mend"
        " ASPECTS_ALERT_URLS.",
        "pipeline",
        ("sensor",),
    ),
)

"""What is watched of Ralph, Vector and Superset."""

from aspects_orchestration.monitoring.model import Rule, Signal

_UP = Rule(worse="below", critical=0)


def _up(name: str, title: str, *, meaning: str, do: str, labels: tuple[str, ...] = ()) -> Signal:
    return Signal(name, title, "up", _UP, f"{meaning} 1: it is well.", do, "services", labels)


SIGNALS: tuple[Signal, ...] = (
    _up(
        "ralph_up",
        "Ralph's heartbeats",
        meaning="Ralph takes statements from the LMS's workers and writes them to ClickHouse; `lbheartbeat` says that it "
        "runs, `heartbeat` that it reaches its database too.",
        do="Read Ralph's log and restart it; where only `heartbeat` fails, look at ClickHouse and Ralph's user there. Then "
        "look for gaps (docs/gaps.md).",
        labels=("check",),
    ),
    Signal(
        "ralph_latency",
        "Time until Ralph's heartbeat is answered",
        "ms",
        Rule(warn=1_000, critical=2_500, for_ticks=3, margin=0.1),
        "A slow Ralph holds up the workers that send to it. Usually ClickHouse is given too many small inserts.",
        "Turn batching on (EVENT_ROUTING_BACKEND_BATCHING_ENABLED) or its size up; then run one Ralph more.",
        "services",
        ("check",),
    ),
    _up(
        "vector_up",
        "Vector's health",
        meaning="Vector reads the LMS's logs and writes statements to ClickHouse.",
        do="Read Vector's log and restart it; it goes on where it stopped as long as the logs are there. Then look for gaps "
        "(docs/gaps.md).",
        labels=("host",),
    ),
    _up(
        "superset_up",
        "Superset's health",
        meaning="Dashboards cannot be seen without it. No data is lost.",
        do="Read Superset's log and restart it.",
    ),
)

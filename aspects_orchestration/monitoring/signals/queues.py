"""What is watched of queues: Celery, the Redis event bus, Kafka.

A length by itself says little, because each site's queues have a usual length of their own: what grows over several
readings is what nobody keeps up with. Limits are for what grew while nobody looked.
"""

from typing import Literal

from aspects_orchestration.monitoring.model import Rule, Signal

# Growth is told from five readings in a row, five minutes with a sensor that ticks every minute: longer than a burst of
# events or the publishing of one course. Shorter queues than a hundred may grow as they like.
_GROWTH = Rule(warn=100, critical=10_000, of="growing", for_ticks=5)
_LIMIT = Rule(warn=10_000, critical=100_000, margin=0.1)
_UP = Rule(worse="below", critical=0)

_WORKERS = (
    "Look whether workers run and what they do; add an lms-worker or cms-worker, and see that batching is on."
)
_CONSUMERS = "Look whether the consumers run (`manage.py lms consume_events`), and add one."


def _queue(
    name: str,
    title: str,
    rule: Rule,
    *,
    meaning: str,
    do: str,
    labels: tuple[str, ...] = (),
    unit: Literal["tasks", "events", "up"] = "events",
) -> Signal:
    return Signal(name, title, unit, rule, meaning, do, "queues", labels)


SIGNALS: tuple[Signal, ...] = (
    _queue(
        "redis_up",
        "Redis answers",
        _UP,
        meaning="Without Redis no task and no event moves; events that wait for their batch may be lost. 1: it answers.",
        do="Start Redis; then look for gaps (docs/gaps.md): what was lost meanwhile is in the tracking logs.",
        labels=("use",),
        unit="up",
    ),
    _queue(
        "celery_queue_length",
        "Tasks that wait in a Celery queue",
        _LIMIT,
        meaning="Events reach ClickHouse late, and other tasks of the LMS wait with them.",
        do=_WORKERS,
        labels=("queue",),
        unit="tasks",
    ),
    _queue(
        "celery_queue_growth",
        "Tasks that wait in a Celery queue, while it grows",
        _GROWTH,
        meaning="Workers do not keep up: more tasks come than are done.",
        do=_WORKERS,
        labels=("queue",),
        unit="tasks",
    ),
    _queue(
        "dead_queue_length",
        "Events that could not be sent to Ralph and were put aside",
        Rule(warn=1, critical=1_000),
        meaning="Live batching gave up on these events: they are not in ClickHouse.",
        do="Mend Ralph; then `manage.py lms recover_failed_events` sends them again, and replay_window fills what is left.",
        labels=("queue",),
    ),
    _queue(
        "redis_stream_lag",
        "Events on the Redis event bus that a group has not been given yet",
        _LIMIT,
        meaning="Events reach ClickHouse late; what is trimmed from the stream before it is read is lost to live delivery.",
        do=_CONSUMERS,
        labels=("stream", "group"),
    ),
    _queue(
        "redis_stream_lag_growth",
        "Events on the Redis event bus that a group has not been given yet, while they grow more",
        _GROWTH,
        meaning="Consumers do not keep up: more events come than are read.",
        do=_CONSUMERS,
        labels=("stream", "group"),
    ),
    _queue(
        "redis_stream_pending",
        "Events on the Redis event bus that a group was given and has not acknowledged, while they grow more",
        _GROWTH,
        meaning="Consumers take events and do not finish them: they crash, or Ralph refuses what they send.",
        do="Read the consumers' logs; a consumer started with `claim_msgs_older_than` takes over what others left.",
        labels=("stream", "group"),
    ),
    _queue(
        "kafka_up",
        "Kafka answers",
        _UP,
        meaning="Without Kafka no event moves. 1: it answers.",
        do="Start the brokers; then look for gaps (docs/gaps.md): what was lost meanwhile is in the tracking logs.",
        unit="up",
    ),
    _queue(
        "kafka_lag",
        "Events of a Kafka partition that a group has not committed",
        _LIMIT,
        meaning="Events reach ClickHouse late; what outlives the topic's retention unread is lost to live delivery.",
        do=_CONSUMERS,
        labels=("topic", "partition", "group"),
    ),
    _queue(
        "kafka_lag_growth",
        "Events of a Kafka partition that a group has not committed, while they grow more",
        _GROWTH,
        meaning="Consumers do not keep up: more events come than are read.",
        do=_CONSUMERS,
        labels=("topic", "partition", "group"),
    ),
)

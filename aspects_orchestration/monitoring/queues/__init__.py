"""Reading queues: Celery's, dead letters, the event bus in Redis or Kafka. What the site does not have is not read."""

from aspects_orchestration.monitoring.queues.kafka import kafka_reader
from aspects_orchestration.monitoring.queues.redis_lists import celery_reader, dead_letters_reader
from aspects_orchestration.monitoring.queues.redis_streams import streams_reader
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import Settings


def readers(settings: Settings) -> list[Reader]:
    """Who is asked of queues, by the settings: nobody whose address is not set."""
    site = settings.watched
    found = []
    if site.celery is not None:
        found.append(celery_reader(site.celery, site.celery_queues))
    if site.cache is not None:
        others = () if site.celery is None else (site.celery.database,)
        found.append(
            dead_letters_reader(
                site.cache, site.dead_queues, also=others, says_whether_up=site.celery is None
            )
        )
    if site.bus_redis is not None:
        found.append(streams_reader(site.bus_redis, site.bus_topic, site.bus_groups))
    if site.bus_kafka is not None:
        found.append(kafka_reader(site.bus_kafka, site.bus_topic, site.bus_groups))
    return found

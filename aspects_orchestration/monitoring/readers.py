"""All readers of a site: those of every pipeline that it runs."""

from aspects_orchestration.monitoring import clickhouse, queues, services
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import Settings


def all_readers(settings: Settings) -> list[Reader]:
    """Whom to ask, for the settings in force; nobody of a pipeline that the site does not run."""
    return [*clickhouse.readers(settings), *queues.readers(settings), *services.readers(settings)]

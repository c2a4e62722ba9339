"""The readers of ClickHouse: one for each question of `clickhouse_questions`, on a connection of its own.

Each asks as the pipeline's user and needs few rights; where one is missing, the signals that need it are unknown and say
which GRANT to run, and the others go on. Nothing here starts the embedded server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import SecretStr

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.monitoring.clickhouse_questions import (
    QUESTIONS,
    SLOW_WITHIN,
    Asked,
    Question,
    SlowQuery,
    slowest,
)
from aspects_orchestration.monitoring.model import Reading
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import ClickHouseAddress, Settings
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Patience, Warehouse

#: Below the deadline of a look (watch.DEADLINE_S), for a connection and an answer that hang.
_PATIENCE: Final = Patience(connect_s=2, answer_s=3)
#: Seconds after which the server itself ends a query of monitoring: what watches must not be what overloads.
_MAX_EXECUTION_S: Final = 5


def readers(settings: Settings) -> list[Reader]:
    """The readers of a site's ClickHouse, one for each question; every site runs it."""
    place = _Place(settings)
    where = settings.clickhouse.url if settings.clickhouse else "embedded"
    return [
        Reader(f"ClickHouse ({where})", question.signals, _reads(place, question))
        for question in QUESTIONS
        if question.signals != ("clickhouse_nodes_missing",) or settings.cluster_name
    ]


def slowest_queries(settings: Settings, now: datetime, *, within: timedelta = SLOW_WITHIN) -> list[SlowQuery]:
    """The ten slowest kinds of queries of a stretch of time until now, slowest first.

    Raises:
        WarehouseError: they cannot be read; says what to grant or to switch on.
    """
    warehouse = _Place(settings).warehouse()
    try:
        return slowest(Asked(warehouse, settings, now), within)
    finally:
        warehouse.close()


class _Place:
    """Where ClickHouse is, found out once for all readers of a look."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._address = settings.clickhouse

    def warehouse(self) -> Warehouse:
        cluster = self.settings.cluster_name
        settings: dict[str, object] = {"max_execution_time": _MAX_EXECUTION_S, "max_threads": 2}
        if cluster:
            # Of a node that is down the others must not be silent; it is counted by clickhouse_nodes_missing.
            settings |= {
                "skip_unavailable_shards": 1,
                "connections_with_failover_max_tries": 1,
                "connect_timeout_with_failover_ms": 700,
                "handshake_timeout_ms": 700,
                "receive_timeout": 2,
            }
        return Warehouse(
            self.address(), run_id="monitoring", cluster=cluster, patience=_PATIENCE, settings=settings
        )

    def address(self) -> ClickHouseAddress:
        with self._lock:
            if self._address is None:
                self._address = _embedded(self.settings)
            return self._address


def _embedded(settings: Settings) -> ClickHouseAddress:
    found = server.status(settings.home)
    if found is None:
        raise WarehouseError(
            "The embedded ClickHouse does not run or does not answer",
            do="It starts with the next run that needs it, or by `python -m aspects_orchestration.warehouse.server start`.",
        )
    return ClickHouseAddress(found.host, found.http_port, user=found.user, password=SecretStr(found.password))


def _reads(place: _Place, question: Question) -> Callable[[datetime], Sequence[Reading]]:
    def read(now: datetime) -> Sequence[Reading]:
        started = time.monotonic()
        warehouse = place.warehouse()
        try:
            found = question.ask(Asked(warehouse, place.settings, now))
        finally:
            warehouse.close()
        took_ms = (time.monotonic() - started) * 1000
        return [replace(one, took_ms=took_ms) for one in found]

    return read

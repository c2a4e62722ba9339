"""Talking to ClickHouse: connections, and statements from `sql/`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from aspects_orchestration.warehouse.answers import answered, with_retries
from aspects_orchestration.warehouse.connection import connect, let_go
from aspects_orchestration.warehouse.statements import Statement, ddl, quoted_name

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.external import ExternalData
    from urllib3 import PoolManager

    from aspects_orchestration.settings import ClickHouseAddress

T = TypeVar("T")

#: A slice of INSERT … SELECT behind many materialized views may take this long.
_RECEIVE_TIMEOUT_S = 3600
#: Escapes may double it.
_PARAMETER_BYTES = 50_000
#: A server that restarts is away for less, in seconds.
_RESTART_S = 60.0
#: Whatever a user's profile says. A replicated table would drop a block in silence that it has seen before, also one that
#: was deleted since; and what stands on a shard that is down must not count as missing.
_ON_CLUSTERS: Mapping[str, object] = {"insert_deduplicate": 0, "skip_unavailable_shards": 0}


@dataclass(frozen=True)
class Origin:
    """Who sends a query; it stands in `log_comment` of every query, so `system.query_log` can be read by run."""

    run_id: str
    step: str = ""

    def comment(self) -> str:
        """The text of `log_comment`: a small JSON object."""
        return json.dumps({"product": "aspects-orchestration", "run_id": self.run_id, "step": self.step})


@dataclass(frozen=True)
class Patience:
    """How long to wait for ClickHouse, in whole seconds: for a connection, and for each piece of an answer."""

    connect_s: int = 10
    answer_s: int = _RECEIVE_TIMEOUT_S


class Warehouse:
    """ClickHouse as one run sees it: a connection a thread, statements by name, errors with advice.

    Args:
        address: where, and as whom.
        run_id: of this run; part of every query's `log_comment`.
        cluster: CLICKHOUSE_CLUSTER_NAME, '' for a single server.
        quorum: replicas that must have what is published before it counts (ASPECTS_INSERT_QUORUM); of clusters.
        patience: how long to wait for an answer.
        settings: ClickHouse settings of every query.

    Attributes:
        engines: of tables, by database and name, as far as they were asked for; of clusters.
    """

    def __init__(
        self,
        address: ClickHouseAddress,
        *,
        run_id: str,
        cluster: str = "",
        quorum: str = "auto",
        patience: Patience | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.address = address
        self.run_id = run_id
        self.cluster = cluster
        self.quorum = quorum
        self.patience = patience or Patience()
        self.engines: dict[tuple[str, str], tuple[str, str]] = {}
        self._query_settings = dict(settings or {})
        self._local = threading.local()

    def as_run(self, run_id: str) -> Warehouse:
        """The same place, for another run."""
        return Warehouse(self.address, run_id=run_id, cluster=self.cluster, quorum=self.quorum)

    def another(self) -> Warehouse:
        """The same place, over a connection that nobody else uses; close it."""
        return Warehouse(
            self.address, run_id=self.run_id, cluster=self.cluster, patience=Patience(answer_s=60)
        )

    def for_good(self) -> dict[str, object]:
        """Settings of an insert whose rows are to be there when it has ended, and to outlast a node."""
        if not self.cluster:
            return {}
        # A Distributed table that sends in the background would acknowledge what no shard has yet.
        return {"distributed_foreground_insert": 1, "insert_quorum": self.quorum}

    def client(self) -> Client:
        """This thread's own connection (one shared by threads is one session, and errs)."""
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client, pool = answered(
                lambda: connect(
                    self.address,
                    connect_s=self.patience.connect_s,
                    answer_s=self.patience.answer_s,
                    # Those that wait for seconds only ask much at once, and hang up at once: not with the connections
                    # of loads.
                    alone=self.patience != Patience(),
                ),
                self.address,
            )
            self._local.client, self._local.pool = client, pool
        return client

    def close(self) -> None:
        """Close this thread's connection; the next query opens another."""
        client: Client | None = self._local.__dict__.pop("client", None)
        if client is not None:
            client.close()
        pool: PoolManager | None = self._local.__dict__.pop("pool", None)
        if pool is not None:
            let_go(pool)

    def rows(
        self, name: str, *, step: str = "", listed: Iterable[str] | None = None, **parameters: object
    ) -> list[tuple[Any, ...]]:
        """All rows of `sql/<name>.sql`; for results that fit in memory.

        Args:
            name: the file's name without `.sql`.
            step: what the query is for, for `log_comment`.
            listed: texts that are sent beside it, of which it asks as table `listed`, column `text`; there may be
                more of them than fit into a parameter.
            parameters: what its placeholders are bound to.
        """
        found = ddl(name, cluster=self.cluster, **parameters)
        return self.rows_of(found, step=step or name, listed=listed)

    def rows_of(
        self,
        statement: Statement,
        *,
        step: str = "",
        listed: Iterable[str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> list[tuple[Any, ...]]:
        """All rows of a statement; see `rows`.

        Args:
            statement: made by `ddl`.
            step, listed: see `rows`.
            settings: ClickHouse settings of this query alone.
        """

        texts = None if listed is None else list(listed)

        def send() -> list[tuple[Any, ...]]:
            result = self.client().query(
                statement.sql,
                parameters=dict(statement.parameters),
                settings={**self._settings(step), **(settings or {})},
                external_data=None if texts is None else _table_of(texts),
            )
            return [tuple(row) for row in result.result_rows]

        # It answered before: it restarts, or a balancer hung up. To ask once more changes nothing. One that never
        # answered is told of at once, and whoever has little patience has asked for an answer now.
        known = getattr(self._local, "client", None) is not None and self.patience == Patience()
        return with_retries(lambda: answered(send, self.address), for_s=_RESTART_S if known else 0)

    def row(self, name: str, *, step: str = "", **parameters: object) -> tuple[Any, ...]:
        """The one row of `sql/<name>.sql`."""
        return self.rows(name, step=step, listed=None, **parameters)[0]

    def run(
        self, name: str, *, step: str = "", settings: Mapping[str, object] | None = None, **parameters: object
    ) -> None:
        """Run `sql/<name>.sql` for its effect; DDL goes to the whole cluster where there is one."""
        self.run_statement(
            ddl(name, cluster=self.cluster, **parameters), step=step or name, settings=settings
        )

    def run_statement(
        self, found: Statement, *, step: str, settings: Mapping[str, object] | None = None
    ) -> None:
        """Run a statement that `ddl` made for its effect."""

        def send() -> None:
            self.client().command(
                found.sql,
                parameters=dict(found.parameters),
                settings={**self._settings(step), **(settings or {})},
            )

        answered(send, self.address)

    def time_zone(self) -> tuple[str, bool]:
        """The server's time zone, by which it partitions, and whether that is UTC."""
        zone = str(self.row("server_time_zone")[0])
        return zone, zone.removeprefix("Etc/") in {"UTC", "GMT", "UCT", "Zulu"}

    def insert_rows(
        self,
        database: str,
        table: str,
        columns: Sequence[str],
        block: bytes | bytearray,
        *,
        token: str | None = None,
    ) -> None:
        """Insert rows encoded as RowBinary, all or none.

        Args:
            database, table: where to.
            columns: the names of the encoded columns, in order.
            block: the rows, one after the other.
            token: of this block; sent again with it (to a table with a deduplication window), nothing is doubled.
        """
        settings: dict[str, object] = dict(self._settings("insert"))
        if token is not None:
            settings |= {"insert_deduplication_token": token, "insert_deduplicate": 1}

        def send() -> None:
            self.client().raw_insert(
                f"{quoted_name(database)}.{quoted_name(table)}",
                list(columns),
                cast(bytes, block),  # whatever can be sent without a copy
                fmt="RowBinary",
                settings=settings,
            )

        answered(send, self.address)

    def insert_json(self, database: str, table: str, lines: bytes) -> None:
        """Insert rows that are JSON objects, one a line; times are ISO 8601 with a zone."""
        settings = {**self._settings("insert"), "date_time_input_format": "best_effort"}

        def send() -> None:
            self.client().raw_insert(
                f"{quoted_name(database)}.{quoted_name(table)}",
                None,
                lines,
                fmt="JSONEachRow",
                settings=settings,
            )

        answered(send, self.address)

    def insert_from(
        self, name: str, data: bytes, structure: Sequence[str], *, step: str = "", **parameters: object
    ) -> int:
        """Run `sql/<name>.sql`, an INSERT … SELECT from the temporary table `sent`, which holds rows sent with it.

        Args:
            name: the file's name without `.sql`.
            data: the rows, as ArrowStream; the server holds them in memory for the time of the query.
            structure: a name and a type of ClickHouse for each of their columns.
            step: what the query is for, for `log_comment`.
            parameters: what its placeholders are bound to.

        Returns:
            How many rows were written, those of materialized views behind the table included.
        """
        from clickhouse_connect.driver.external import ExternalData

        found = ddl(name, cluster=self.cluster, **parameters)

        def send() -> int:
            done = self.client().command(
                found.sql,
                parameters=dict(found.parameters),
                external_data=ExternalData(
                    file_name="sent", data=data, fmt="ArrowStream", structure=list(structure)
                ),
                settings={
                    **self._settings(step or name),
                    **self.for_good(),
                    "max_insert_block_size": 10_000_000,
                },
            )
            return int(getattr(done, "summary", {}).get("written_rows", 0))

        return answered(send, self.address)

    def _settings(self, step: str) -> dict[str, object]:
        comment = Origin(self.run_id, step).comment()
        return {**(_ON_CLUSTERS if self.cluster else {}), **self._query_settings, "log_comment": comment}


def encoded_text(text: str) -> bytes:
    """A text as RowBinary has it: its length, then its UTF-8."""
    found = text.encode()
    return encoded_length(len(found)) + found


def encoded_length(value: int) -> bytes:
    """A length as RowBinary has it: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _table_of(texts: Iterable[str]) -> ExternalData:
    from clickhouse_connect.driver.external import ExternalData

    data = b"".join(map(encoded_text, texts))
    return ExternalData(file_name="listed", data=data, fmt="RowBinary", structure="text String")


def parameter_batches(values: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists that each fit into one parameter (ClickHouse's `http_max_field_value_size` is 128 KiB)."""
    batch: list[str] = []
    held = 0
    for value in values:
        size = len(value.encode()) + 3
        if batch and held + size > _PARAMETER_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(value)
        held += size
    if batch:
        yield batch

"""A cluster of two shards: two embedded servers, Distributed tables over them, and a stand-in for `ON CLUSTER`.

The engine of the embedded server reads and writes through Distributed tables, `cluster()` and `clusterAllReplicas()` as
any does. It has no queue of DDL and no replication between servers. So a proxy in front of the first shard does what
that queue does: a statement with `ON CLUSTER` goes to every server, to one that is down when it is back, and whatever
one of them refuses is refused.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.schema import FUNCTIONS, SchemaNames, pipeline_grants
from aspects_orchestration.warehouse.statements import ddl
from services.site import Site, stop_server

#: Two shards, one replica each.
CLUSTER = "aspects"
#: Of other layouts over the same servers: the first shard alone, and one shard of two replicas.
SMALLER = "smaller"
MIRRORED = "mirrored"
USER = "pipeline_of_the_cluster"
PASSWORD = "password-of-the-cluster"
#: Where the statements lie on each shard, and the table over both.
STORED = "xapi.xapi_events_all"
EVERYWHERE = "xapi.xapi_events_all_everywhere"
_OVER_BOTH = f"Distributed('{CLUSTER}', 'xapi', 'xapi_events_all', cityHash64(event_id))"
_ON_CLUSTER = f"ON CLUSTER '{CLUSTER}'".encode()
_REPLICATED = b"ENGINE = Replicated"
_NOT_FINISHED = (
    b"Code: 159. DB::Exception: Distributed DDL task is not finished on all hosts. (TIMEOUT_EXCEEDED)"
)

#: Status, headers and body.
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class OnCluster:
    """The proxy: what is for the cluster goes to every port, anything else to the first.

    Attributes:
        ports: of the servers' HTTP interfaces; the first is the node that is connected to.
        port: its own.
        sent: the statements that went to every server.
        shares_out: lead to another server with every connection, as a balancer does.
    """

    ports: tuple[int, ...]
    port: int = 0
    sent: list[bytes] = field(default_factory=list)
    shares_out: bool = False
    _connections: int = 0
    _waiting: dict[int, list[tuple[str, dict[str, str], bytes]]] = field(default_factory=dict)

    def another(self) -> int:
        """The port to which the next connection leads."""
        self._connections += self.shares_out
        return self.ports[self._connections % len(self.ports)]

    def answer(self, port: int, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """What the servers say to a request; of several the first refusal, else the first answer."""
        if _ON_CLUSTER not in body:
            return _asked(port, path, headers, body)
        self.sent.append(body)
        # Of the same length, so that nothing else of the request has to be changed.
        alone = body.replace(_ON_CLUSTER, b" " * len(_ON_CLUSTER))
        alone = alone.replace(_REPLICATED, _REPLICATED.replace(b"Replicated", b" " * 10))
        answers = [self._told(one, path, headers, alone) for one in self.ports]
        return next((one for one in answers if one[0] != 200), answers[0])

    def _told(self, port: int, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Let one server do a statement behind those that it has missed; what it cannot do now it does when it is back."""
        waiting = self._waiting.setdefault(port, [])
        try:
            while waiting:
                _asked(port, *waiting[0])
                waiting.pop(0)
            return _asked(port, path, headers, body)
        except OSError:
            waiting.append((path, headers, body))
            return 500, {"X-ClickHouse-Exception-Code": "159"}, _NOT_FINISHED


def _asked(port: int, path: str, headers: dict[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST" if body else "GET", path, body or None, headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@contextmanager
def on_cluster(ports: tuple[int, ...]) -> Iterator[OnCluster]:
    """A proxy that ends with the block."""
    proxy = OnCluster(ports)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            """Lead this connection to one server."""
            super().setup()
            self.port = proxy.another()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            """Whatever the servers say."""
            body = (
                self.rfile.read(int(self.headers["Content-Length"]))
                if "Content-Length" in self.headers
                else b""
            )
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                body = b"".join(iter(self._chunk, b""))
            kept = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"host", "content-length", "transfer-encoding", "connection"}
            }
            try:
                status, headers, found = proxy.answer(self.port, self.path, kept, body)
            except OSError:
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "transfer-encoding", "connection", "keep-alive"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def _chunk(self) -> bytes:
            size = int(self.rfile.readline().split(b";")[0], 16)
            data = self.rfile.read(size)
            self.rfile.readline()
            return data

        do_GET = do_POST = answer  # noqa: N815 - the names that the base class calls

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        proxy.port = running.server_address[1]
        try:
            yield proxy
        finally:
            running.shutdown()
            thread.join()


@dataclass
class TwoShards:
    """The cluster, and ways to look into it.

    Attributes:
        homes: of the two servers.
        proxy: the way to them.
    """

    homes: tuple[Path, Path]
    proxy: OnCluster

    def site(self, folder: Path, **environ: str) -> Site:
        """A site without logs that is set to the cluster, as the pipeline's user."""
        made = Site(folder)
        made.logs.mkdir()
        made.environ.update(
            {
                "ASPECTS_CLICKHOUSE_URL": self.url(),
                "CLICKHOUSE_CLUSTER_NAME": CLUSTER,
                "ASPECTS_RAW_XAPI_TABLE": EVERYWHERE.split(".")[1],
                "ASPECTS_DATA_TTL_EXPRESSION": "",
                **environ,
            }
        )
        return made

    def url(self, shard: int | None = None) -> str:
        """ASPECTS_CLICKHOUSE_URL of the way through the proxy, or straight to one shard (1 or 2)."""
        port = self.proxy.port if shard is None else self.proxy.ports[shard - 1]
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"

    def on(self, shard: int, statement: str) -> str:
        """What one shard (1 or 2) answers to its admin."""
        address = server.ensure_running(self.homes[shard - 1])
        return b"".join(server.query(address, statement, admin=True)).decode()

    def on_both(self, *statements: str) -> None:
        """Let both shards do something."""
        for statement in statements:
            for shard in (1, 2):
                self.on(shard, statement)

    def rows(self) -> str:
        """All statements of both shards, sorted as those of a single server are."""
        return self.on(1, f"SELECT event_id, emission_time, event FROM {EVERYWHERE} ORDER BY ALL FORMAT TSV")

    def counts(self, table: str = STORED, what: str = "count()") -> tuple[int, int]:
        """Rows of a table on each shard, or another number of it."""
        first, second = (int(self.on(shard, f"SELECT {what} FROM {table} FORMAT TSV")) for shard in (1, 2))
        return first, second

    def stop(self, shard: int) -> None:
        """Stop a shard."""
        stop_server(self.homes[shard - 1])

    def start(self, shard: int) -> None:
        """Start a shard that was stopped, on the same ports."""
        server.ensure_running(self.homes[shard - 1])

    def empty(self) -> None:
        """As it was in the beginning: Aspects' tables without rows, and nothing else."""
        self.proxy.shares_out = False
        self.proxy.sent.clear()
        self.proxy._waiting.clear()
        for database in (
            "aspects_orchestration",
            "aspects_drill_aspects_orchestration",
            "reporting",
            "xapi",
            "event_sink",
        ):
            self.on_both(f"DROP DATABASE IF EXISTS {database} SYNC")
        self.on_both(*_upstreams_tables(), f"CREATE TABLE {EVERYWHERE} AS {STORED} ENGINE = {_OVER_BOTH}")


@contextmanager
def two_shards(folder: Path) -> Iterator[TwoShards]:
    """Two servers that know each other as the shards of a cluster; `empty` makes its tables."""
    homes = (folder / "shard1", folder / "shard2")
    try:
        ports = [server.ensure_running(home, grants=()).tcp_port for home in homes]
        for home in homes:
            stop_server(home)
            _configure(home / "clickhouse", ports)
        addresses = [server.ensure_running(home, grants=()) for home in homes]
        with on_cluster((addresses[0].http_port, addresses[1].http_port)) as proxy:
            yield TwoShards(homes, proxy)
    finally:
        for home in homes:
            stop_server(home)


def _upstreams_tables() -> list[str]:
    """Aspects' schema, as its administrator makes it on each shard."""
    names = SchemaNames()
    upstreams = {names.xapi_database, names.event_sink_database}
    statements = [
        *(ddl("database_create", database=database) for database in sorted(upstreams)),
        *(
            ddl(file, database=database, table=table)
            for (database, table), file in names.tables().items()
            if database in upstreams
        ),
        *(ddl(f"{function}_create") for function in FUNCTIONS),
    ]
    return [one.shown() for one in statements]


def _configure(folder: Path, ports: list[int]) -> None:
    nodes = [f"<replica><host>127.0.0.1</host><port>{port}</port></replica>" for port in ports]
    layouts = {CLUSTER: nodes, SMALLER: nodes[:1], MIRRORED: ["".join(nodes)]}
    clusters = "".join(
        f"<{name}><secret>of-the-cluster</secret>"
        + "".join(f"<shard><internal_replication>true</internal_replication>{one}</shard>" for one in shards)
        + f"</{name}>"
        for name, shards in layouts.items()
    )
    (folder / "config.d").mkdir(exist_ok=True)
    (folder / "config.d/cluster.xml").write_text(
        f"<clickhouse><remote_servers>{clusters}</remote_servers></clickhouse>"
    )
    names = SchemaNames(xapi_table=EVERYWHERE.split(".")[1])
    # What docs/cluster.md adds for a table over several shards.
    granted = (*pipeline_grants(names, cluster=CLUSTER), f"GRANT INSERT ON {STORED}")
    grants = "".join(f"<query>{escape(grant)}</query>" for grant in granted)
    (folder / "users.d").mkdir(exist_ok=True)
    (folder / "users.d/cluster.xml").write_text(
        f"<clickhouse><users><{USER}>"
        f"<password_sha256_hex>{sha256(PASSWORD.encode()).hexdigest()}</password_sha256_hex>"
        "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>"
        f"<grants>{grants}</grants></{USER}></users></clickhouse>"
    )

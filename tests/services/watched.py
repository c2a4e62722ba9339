"""A ClickHouse with users of a test's own and a cluster of a test's own, beside what the embedded server is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from xml.sax.saxutils import escape

from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.schema import pipeline_grants
from aspects_orchestration.warehouse.server import ServerAddress
from services.site import Site, stop_server

PASSWORD = "password-of-a-test"


@dataclass(frozen=True)
class Shard:
    """A node of a cluster: its native port on this machine, and as whom it is asked."""

    port: int
    user: str = "default"
    password: str = ""


def start_with_users(site: Site, users: Mapping[str, Sequence[str]]) -> ServerAddress:
    """Start a site's server, or start it again, with further users.

    Args:
        site: whose.
        users: the grants of each, as `pipeline_grants` gives them; all have `PASSWORD`.
    """
    stop_server(site.home)
    folder = site.home / "clickhouse" / "users.d"
    folder.mkdir(parents=True, exist_ok=True)
    written = "".join(
        f"<{name}><password_sha256_hex>{sha256(PASSWORD.encode()).hexdigest()}</password_sha256_hex>"
        "<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota><grants>"
        + "".join(f"<query>{escape(grant)}</query>" for grant in grants)
        + f"</grants></{name}>"
        for name, grants in users.items()
    )
    (folder / "test.xml").write_text(f"<clickhouse><users>{written}</users></clickhouse>")
    return server.ensure_running(site.home, grants=pipeline_grants(schema_names(site.settings)))


def start_with_cluster(site: Site, name: str, shards: Sequence[Shard]) -> ServerAddress:
    """Start a site's server again, on the same ports, as one that knows a cluster."""
    stop_server(site.home)
    folder = site.home / "clickhouse" / "config.d"
    folder.mkdir(parents=True, exist_ok=True)
    written = "".join(
        f"<shard><replica><host>127.0.0.1</host><port>{one.port}</port><user>{one.user}</user>"
        f"<password>{one.password}</password></replica></shard>"
        for one in shards
    )
    (folder / "test.xml").write_text(
        f"<clickhouse><remote_servers><{name}>{written}</{name}></remote_servers></clickhouse>"
    )
    return server.ensure_running(
        site.home, grants=pipeline_grants(schema_names(site.settings), cluster="aspects")
    )


def settings_of(address: ServerAddress, user: str, password: str = PASSWORD, **variables: str) -> Settings:
    """Settings of a site whose ClickHouse is that server, as that user."""
    url = f"http://{user}:{password}@127.0.0.1:{address.http_port}"
    return load_settings({"ASPECTS_CLICKHOUSE_URL": url, **variables})

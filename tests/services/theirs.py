"""A ClickHouse that somebody else runs: the site's settings name it by URL, and the site did not make its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.settings import ClickHouseAddress
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import create_missing, pipeline_grants
from services.site import Site, stop_server


@dataclass
class TheirServer:
    """Somebody's ClickHouse below a folder of theirs.

    Args:
        home: where its data lies.
        address: where it listens now, and as whom one may come.
    """

    home: Path
    address: server.ServerAddress

    def url(self, *, port: int | None = None, scheme: str = "http") -> str:
        """ASPECTS_CLICKHOUSE_URL for the pipeline's user, perhaps through a proxy."""
        credentials = f"{self.address.user}:{quote(self.address.password, safe='')}"
        return f"{scheme}://{credentials}@{self.address.host}:{port or self.address.http_port}"

    def admin(self) -> Warehouse:
        """Its administrator's connection."""
        return Warehouse(
            ClickHouseAddress(
                self.address.host,
                self.address.http_port,
                user=self.address.admin_user,
                password=SecretStr(self.address.admin_password),
            ),
            run_id="admin",
        )

    def restart(self) -> None:
        """Stop it, whatever it is doing, and start it again; its port may be another one then."""
        stop_server(self.home)
        self.address = server.ensure_running(self.home)


@pytest.fixture
def theirs(tmp_path: Path, site: Site) -> Iterator[TheirServer]:
    """A ClickHouse with Aspects' tables, made by its administrator; the site's settings name it."""
    home = tmp_path / "theirs"
    names = schema_names(site.settings)
    made = TheirServer(home, server.ensure_running(home, grants=pipeline_grants(names)))
    create_missing(made.admin().client(), names)
    site.environ["ASPECTS_CLICKHOUSE_URL"] = made.url()
    yield made
    stop_server(home)

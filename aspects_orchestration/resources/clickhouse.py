"""ClickHouse as assets, checks and jobs reach it: the configured one, or the embedded one."""

from __future__ import annotations

import dagster as dg
from pydantic import SecretStr

from aspects_orchestration.settings import ClickHouseAddress, Settings, load_settings
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import require_home_shard, require_sound_layout
from aspects_orchestration.warehouse.schema import SchemaNames, create_missing, pipeline_grants


def schema_names(settings: Settings) -> SchemaNames:
    """The names that the site has chosen."""
    return SchemaNames(
        settings.xapi_database,
        settings.raw_xapi_table,
        settings.event_sink_database,
        settings.orchestration_database,
    )


def connect(settings: Settings, *, run_id: str) -> Warehouse:
    """ClickHouse with every table in place, as the pipeline's user.

    The embedded server is started if it does not run. Tables are created where they are absent: in the embedded
    server by its admin, elsewhere by the configured user; what is there is never altered.

    Raises:
        WarehouseError: it cannot be reached, or a table is missing and may not be created.
        ClusterError: its nodes are laid out so that rows could be lost or doubled.
    """
    names = schema_names(settings)
    if settings.clickhouse is not None:
        warehouse = Warehouse(
            settings.clickhouse,
            run_id=run_id,
            cluster=settings.cluster_name,
            quorum=settings.insert_quorum,
        )
        require_sound_layout(warehouse, names.xapi_database, names.xapi_table)
        create_missing(warehouse.client(), names, settings.cluster_name)
        require_home_shard(warehouse, names.orchestration_database)
        return warehouse
    embedded = server.ensure_running(settings.home, grants=pipeline_grants(names))
    admin = Warehouse(
        ClickHouseAddress(
            embedded.host,
            embedded.http_port,
            user=embedded.admin_user,
            password=SecretStr(embedded.admin_password),
        ),
        run_id=run_id,
    )
    create_missing(admin.client(), names)
    return Warehouse(
        ClickHouseAddress(
            embedded.host, embedded.http_port, user=embedded.user, password=SecretStr(embedded.password)
        ),
        run_id=run_id,
    )


class ClickHouseResource(dg.ConfigurableResource["ClickHouseResource"]):
    """Where the statements stand. Its address comes from the settings (docs/settings.md)."""

    def warehouse(self, *, run_id: str) -> Warehouse:
        """A connection for one run; see `connect`."""
        return connect(load_settings(), run_id=run_id)

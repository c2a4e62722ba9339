"""A ClickHouse of several nodes: what stands where, which nodes may be spoken to, and catching up before rows are compared.

Aspects makes each table `ON CLUSTER` with a Replicated engine, and no Distributed tables: one shard of several replicas
is what it is made for. There a load compares ids with what its own node has; so it speaks to one node, and lets that
one catch up first. With several shards each node has a part of the statements, and only a Distributed table, which the
operator makes, reaches them all: without one nothing is loaded. The project's own tables are filled on one shard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial

from aspects_orchestration.errors import SettingsError, WarehouseError
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import SchemaNames

_DISTRIBUTED = re.compile(r"Distributed\((.*)\)\s*(?:SETTINGS .*)?\Z", re.DOTALL)
_ARGUMENT = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|`((?:[^`\\]|\\.)*)`|([\w$.-]+))\s*(?:,|\Z)")
_MACRO = re.compile(r"\{(\w+)\}")
_HOME = "home_shard_"
_TIMEOUT = 159
#: A balancer that shares out connections between two nodes is not noticed once in so many powers of two.
_CONNECTIONS = 8


class ClusterError(WarehouseError):
    """The cluster is laid out so that rows could be lost or doubled in silence."""


@dataclass(frozen=True)
class Node:
    """A node of a cluster.

    Attributes:
        shard: its number, from 1.
        address: host and native port, as the cluster's configuration has them.
        is_local: whether it is the server that was asked.
        replicates: whether its shard's replicas copy from each other, so that a Distributed table writes to one of them.
    """

    shard: int
    address: str
    is_local: bool
    replicates: bool


@dataclass(frozen=True)
class Stored:
    """Where the rows of a table lie: the table itself, or, on each shard, the one behind a Distributed table.

    Attributes:
        database, table: of the table that has parts, views behind it, a TTL.
        cluster: over which the Distributed table is laid; empty for a table that has its rows itself.
        has_key: whether the Distributed table says which row goes to which shard.
        is_replicated: whether replicas of the table copy from each other.
    """

    database: str
    table: str
    cluster: str = ""
    has_key: bool = False
    is_replicated: bool = False

    def names(self) -> dict[str, str]:
        """The parameters that name it."""
        return {"database": self.database, "table": self.table}


def stored(warehouse: Warehouse, database: str, table: str) -> Stored:
    """Where the rows of a table lie. Without a cluster nothing is asked: it is the table itself."""
    if not warehouse.cluster:
        return Stored(database, table)
    return _stored(warehouse, database, table)


def names_where_stored(warehouse: Warehouse, names: SchemaNames) -> SchemaNames:
    """The site's names, with that of the table in which the raw statements lie."""
    raw = stored(warehouse, names.xapi_database, names.xapi_table)
    return replace(names, xapi_database=raw.database, xapi_table=raw.table)


def _stored(warehouse: Warehouse, database: str, table: str) -> Stored:
    engine, engine_full = _engine(warehouse, database, table)
    if engine != "Distributed":
        return Stored(database, table, is_replicated=engine.startswith(("Replicated", "Shared")))
    cluster, behind_database, behind_table, *key = _arguments(str(engine_full), f"{database}.{table}")
    behind, _ = _engine(warehouse, behind_database, behind_table)
    if behind in {"", "Distributed"}:
        found = "is Distributed itself" if behind else "is not on this node"
        raise ClusterError(
            f"{database}.{table} is laid over {behind_database}.{behind_table}, which {found}",
            do="Name a Distributed table over one that stands on every node of the cluster in ASPECTS_RAW_XAPI_TABLE.",
        )
    return Stored(
        behind_database, behind_table, cluster, bool(key), behind.startswith(("Replicated", "Shared"))
    )


def _engine(warehouse: Warehouse, database: str, table: str) -> tuple[str, str]:
    known = warehouse.engines.get((database, table))
    if known is None:
        rows = warehouse.rows("table_engine", database=database, table=table)
        if not rows:
            return "", ""  # it may come
        known = warehouse.engines[database, table] = (str(rows[0][0]), str(rows[0][1]))
    return known


def _arguments(engine_full: str, name: str) -> list[str]:
    """Cluster, database, table, and, if there is one, the beginning of the sharding key."""
    found = _DISTRIBUTED.match(engine_full)
    text = found[1] if found else ""
    arguments: list[str] = []
    at = 0
    while len(arguments) < 3 and (one := _ARGUMENT.match(text, at)):
        arguments.append(next(group for group in one.groups() if group is not None))
        at = one.end()
    if len(arguments) < 3:
        raise ClusterError(
            f"{name} is {engine_full[:100]}: over which table cannot be told",
            do="Create it as Distributed('<cluster>', '<database>', '<table>', cityHash64(event_id)).",
        )
    return [*arguments, text[at:].strip()] if text[at:].strip() else arguments


# --- the layout --------------------------------------------------------------------------------------------------


def nodes(warehouse: Warehouse, cluster: str) -> list[Node]:
    """The nodes of a cluster, by shard; macros in its name are the server's."""
    rows = warehouse.rows("cluster_nodes", cluster_name=name_of(warehouse, cluster))
    return [
        Node(int(shard), f"{host}:{port}", bool(local), bool(replicates))
        for shard, host, port, local, replicates in rows
    ]


def name_of(warehouse: Warehouse, cluster: str) -> str:
    """A cluster's name with the server's own words for the macros in it."""
    return _MACRO.sub(lambda found: str(warehouse.row("cluster_macro", macro=found[1])[0]), cluster)


def require_sound_layout(warehouse: Warehouse, database: str, table: str) -> None:
    """Refuse a ClickHouse in which a load would not see all statements, or would write them more than once.

    Args:
        warehouse: its cluster is CLICKHOUSE_CLUSTER_NAME; a single server is asked nothing.
        database, table: the raw statements'.

    Raises:
        ClusterError: what is wrong with it, and how to set it up.
        SettingsError: there is no such cluster.
    """
    if not warehouse.cluster:
        return
    name = f"{database}.{table}"
    raw = _stored(warehouse, database, table)
    found = nodes(warehouse, warehouse.cluster)
    if not found:
        known = ", ".join(str(one) for (one,) in warehouse.rows("cluster_names")) or "none"
        raise SettingsError(
            f"CLICKHOUSE_CLUSTER_NAME: the server knows no cluster {warehouse.cluster}, but {known}",
            do="Give one of these; leave it empty for one server.",
        )
    shards = {node.shard for node in found}
    if len(shards) > 1:
        _require_all_shards(warehouse, found, raw, name)
    reached = nodes(warehouse, raw.cluster) if raw.cluster else found
    several = any(sum(other.shard == one.shard for other in reached) > 1 for one in reached)
    if several and not raw.is_replicated and _engine(warehouse, raw.database, raw.table)[0]:
        raise ClusterError(
            f"{raw.database}.{raw.table} is not replicated, on a cluster whose shards have several replicas: each node has"
            " rows of its own, and what stands on one would be loaded again through another",
            do="Let Aspects create it with CLICKHOUSE_CLUSTER_NAME set (ReplicatedReplacingMergeTree), or leave"
            " CLICKHOUSE_CLUSTER_NAME empty for a single server.",
        )
    if raw.cluster and several and not all(node.replicates for node in reached):
        raise ClusterError(
            f"{name} writes each row to every replica of a shard, and these copy it to each other once more: the cluster"
            f" {raw.cluster} has no internal_replication",
            do=f"Set <internal_replication>true</internal_replication> in each shard of {raw.cluster} (remote_servers).",
        )


def _require_all_shards(warehouse: Warehouse, found: list[Node], raw: Stored, name: str) -> None:
    shards = len({node.shard for node in found})
    if not _engine(warehouse, raw.database, raw.table)[0]:
        raise ClusterError(
            f"there is no table {name}, and on a cluster of {shards} shards it is not made here",
            do="Let Aspects create its tables (tutor … do init -l aspects), then create one over all shards, and name it in"
            " ASPECTS_RAW_XAPI_TABLE (docs/cluster.md).",
        )
    if not raw.cluster:
        raise ClusterError(
            f"the cluster {warehouse.cluster} has {shards} shards, and {name} has the statements of one of them alone:"
            " what stands on another shard would be loaded again",
            do=f"Create a table over all of them, CREATE TABLE {name}_everywhere ON CLUSTER '{warehouse.cluster}' AS {name}"
            f" ENGINE = Distributed('{warehouse.cluster}', '{raw.database}', '{raw.table}', cityHash64(event_id)), and name"
            " it in ASPECTS_RAW_XAPI_TABLE, in this project's environment alone (docs/cluster.md).",
        )
    reached = {node.address for node in nodes(warehouse, raw.cluster)}
    left_out = sorted({node.address for node in found} - reached)
    if left_out:
        raise ClusterError(
            f"{name} is laid over the cluster {raw.cluster}, which leaves out nodes of {warehouse.cluster}:"
            f" {', '.join(left_out[:5])}",
            do="Lay it over a cluster that has all of them, or name the smaller one in CLICKHOUSE_CLUSTER_NAME.",
        )
    if not raw.has_key:
        raise ClusterError(
            f"{name} has no sharding key, so that nothing can be inserted into {shards} shards",
            do="Create it again with one: Distributed(…, cityHash64(event_id)). It has no rows of its own.",
        )


def shard_asked(warehouse: Warehouse) -> str:
    """Of a cluster with several shards the one that answers, as `shard 1 of 2`; empty if there are no others."""
    found = nodes(warehouse, warehouse.cluster) if warehouse.cluster else []
    shards = {node.shard for node in found}
    here = next((str(node.shard) for node in found if node.is_local), "?")
    return f"shard {here} of {len(shards)}" if len(shards) > 1 else ""


# --- the project's own tables ------------------------------------------------------------------------------------


def require_home_shard(warehouse: Warehouse, database: str) -> None:
    """Refuse to go on through another shard than the one on which the project's own tables are filled.

    `ON CLUSTER` makes them on every shard, and rows stand where they were written. A run that came through another
    shard would find locks that nobody has signed, and loads that nobody has remembered.

    Args:
        warehouse: its cluster is CLICKHOUSE_CLUSTER_NAME.
        database: the project's own; it stands.

    Raises:
        ClusterError: this node is of another shard, or of none.
    """
    found = nodes(warehouse, warehouse.cluster) if warehouse.cluster else []
    if len({node.shard for node in found}) < 2:
        return
    here = next((node.shard for node in found if node.is_local), None)
    if here is None:
        raise ClusterError(
            f"the node that answers at {warehouse.address.host}:{warehouse.address.port} is none of the cluster"
            f" {warehouse.cluster}",
            do="Name a node of the cluster in CLICKHOUSE_HOST or ASPECTS_CLICKHOUSE_URL.",
        )
    marks = _home_shards(warehouse, database)
    if not marks:
        warehouse.run("home_shard_mark", database=database, table=f"{_HOME}{here}")
        marks = _home_shards(warehouse, database)
    if marks != {here}:
        home = ", ".join(str(one) for one in sorted(marks))
        where = [node.address for node in found if node.shard in marks]
        raise ClusterError(
            f"this connection leads to shard {here} of the cluster {warehouse.cluster}, and what {database} remembers"
            f" stands on shard {home}",
            do=f"Name a node of that shard in CLICKHOUSE_HOST or ASPECTS_CLICKHOUSE_URL ({', '.join(where[:5])}). To move,"
            f" drop the table {database}.{_HOME}{home} ON CLUSTER while nothing runs: then the records begin anew.",
        )


def _home_shards(warehouse: Warehouse, database: str) -> set[int]:
    rows = warehouse.rows("tables_like", database=database, prefix=_HOME)
    return {int(name.removeprefix(_HOME)) for (name,) in rows if name.removeprefix(_HOME).isdigit()}


def require_everywhere(warehouse: Warehouse, database: str, table: str) -> None:
    """Refuse a table of which each shard has rows of its own, where it must be whole on the node that is asked.

    Args:
        warehouse: its cluster is CLICKHOUSE_CLUSTER_NAME.
        database, table: of Aspects' copies of LMS tables.

    Raises:
        ClusterError: there are several shards, and the table is not replicated to all nodes.
    """
    found = nodes(warehouse, warehouse.cluster) if warehouse.cluster else []
    if len({node.shard for node in found}) < 2:
        return
    rows = warehouse.rows("table_replicas", database=database, table=table)
    if not rows or int(rows[0][0]) < len(found):
        raise ClusterError(
            f"{database}.{table} is not the same on the {len(found)} nodes of the cluster {warehouse.cluster}: each shard"
            " has rows of its own, and dashboards join them with the statements of their shard",
            do="Create it as one table that is replicated to every node: a Replicated engine whose path has no {shard}"
            " (docs/cluster.md). Identities and courses can also be read from `lms` or a file (ASPECTS_IDENTITIES,"
            " ASPECTS_COURSES).",
        )


# --- one node, and what it has -----------------------------------------------------------------------------------


def require_one_node(warehouse: Warehouse) -> None:
    """Refuse a balancer that shares out connections: a replica lags behind, so that a run would not see its own rows.

    Raises:
        ClusterError: connections lead to several nodes.
    """
    if not warehouse.cluster:
        return
    found: set[str] = set()
    for _ in range(_CONNECTIONS):
        another = warehouse.another()
        try:
            found.add(str(another.row("node_asked")[0]))
        finally:
            another.close()
    if len(found) > 1:
        raise ClusterError(
            f"connections to {warehouse.address.host}:{warehouse.address.port} lead to several nodes"
            f" ({', '.join(sorted(found))}), which do not have each other's rows at once",
            do="Name one node of the cluster in CLICKHOUSE_HOST or ASPECTS_CLICKHOUSE_URL, or a balancer that goes to"
            " another node only when the first is down.",
        )


def catch_up(warehouse: Warehouse, *tables: tuple[str, str], everywhere: bool = False) -> None:
    """Wait until the rows of tables are those that any replica has taken in, before they are compared with others.

    A node that lags, or that a run has come to because another one died, would count as missing what stands on that
    one. Through a Distributed table any node may be asked, so that all of them catch up.

    Args:
        warehouse: without a cluster, or for tables that are not replicated, nothing is done.
        tables: database and name of each; those that are not there are passed over.
        everywhere: on every node, for what is then done `ON CLUSTER`.

    Raises:
        ClusterError: a node is away with rows that nobody else has; nothing may be compared until it is back.
    """
    for database, table in tables if warehouse.cluster else ():
        one = _stored(warehouse, database, table)
        if not one.is_replicated:
            continue
        statement = "replicas_catch_up" if one.cluster or everywhere else "replica_catch_up"
        try:
            # Sent twice it comes to the same.
            with_retries(partial(warehouse.run, statement, database=one.database, table=one.table))
        except WarehouseError as error:
            if error.code != _TIMEOUT:
                raise
            raise ClusterError(
                f"{one.database}.{one.table} lacks rows that another replica has taken in, and they did not come",
                do="Look at system.replication_queue for what holds them up, and bring back the node that has them (or drop"
                " its replica, if it is lost). Then run again: nothing was inserted meanwhile, so that nothing is doubled.",
            ) from error


def whole_on_node(warehouse: Warehouse, database: str, table: str, *, known: str = "") -> str:
    """Let the node that answers catch up with a table, unless it is the one that has.

    Args:
        warehouse, database, table: where, and what.
        known: what this returned before, if it did.

    Returns:
        The node, to be bound into an insert that must not run on another; empty without a cluster.
    """
    if not warehouse.cluster:
        return ""
    while (node := with_retries(lambda: str(warehouse.row("node_asked")[0]))) != known:
        catch_up(warehouse, (database, table))
        known = node
    return node

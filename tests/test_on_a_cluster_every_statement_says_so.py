"""With a cluster's name every statement is one for the cluster: what the engine reads in it, and no file left out.

None of this is run here: the embedded engine has neither a queue for `ON CLUSTER` nor replication. It parses it.
"""

from __future__ import annotations

import re

import pytest
from services.site import Site

from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.statements import ddl, statement, statements_folder

FILES = sorted(
    str(file.relative_to(statements_folder()).with_suffix(""))
    for file in statements_folder().rglob("*.sql")
    if file.name != "grants.sql"
)
CHANGES = re.compile(r"(CREATE|ALTER|DROP|RENAME|TRUNCATE|OPTIMIZE|SYSTEM|DELETE|EXCHANGE|ATTACH|DETACH)\b")
#: Statements that change something and are for the node that is asked, and why.
OF_ONE_NODE = {
    "replica_catch_up": "the node that is asked is the one that is to catch up",
    "expected_ids_forget": "single servers",
    "expected_ids_forget_of_runs": "replicas copy it from each other, and other shards have no such rows",
    "staging_forget": "replicas copy it from each other, and other shards have no such rows",
}
#: System tables that say the same on every node, or of the project's own tables, which are filled on one shard.
SAME_EVERYWHERE = {
    "system.tables",
    "system.columns",
    "system.databases",
    "system.functions",
    "system.clusters",
    "system.replicas",
}
#: Statements that look at another one on the node that is asked, and why.
LOOKS_AT_ONE_NODE = {
    "table_size": "the staging table, which is filled on one shard",
    "staging_ages": "staging tables, which are filled on one shard",
    "free_space": "which of its own disks have the table's parts, asked of each node by itself",
    "query_finished": "single servers",
    "production_backups": "each node backs up what it has, and the audit says of which it speaks",
    "dashboards/rows_of_tables": "copies of LMS tables, which must be the same on every node",
}


def written(name: str, cluster: str) -> str:
    """A statement with something in every place."""
    return ddl(name, cluster=cluster, **dict.fromkeys(re.findall(r"\{(\w+):", statement(name)), "x")).sql


def verb(sql: str) -> str:
    return re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE).strip()


def parsed(site: Site, sql: str) -> str:
    """The statement as the engine reads it; it refuses anything but one valid statement."""
    return (
        site.sql(f"SELECT formatQuery($sql_text${sql}$sql_text$) FORMAT TSVRaw", admin=True).decode().strip()
    )


def test_every_change_is_made_on_the_cluster_with_engines_that_replicate(shared_site: Site) -> None:
    """As upstream's migrations do: `ON CLUSTER`, `Replicated` before the engine, paths left to the server's macros."""
    seen = 0
    for name in FILES:
        alone, together = (
            parsed(shared_site, written(name, "")),
            parsed(shared_site, written(name, "aspects")),
        )
        assert " ON CLUSTER " not in alone
        if not CHANGES.match(verb(written(name, ""))) or name in OF_ONE_NODE:
            assert " ON CLUSTER " not in together, name
            continue
        seen += 1
        assert together.count(" ON CLUSTER aspects") == 1, name
        engine = re.search(r"^ENGINE = (\w+)(.*)$", together, re.MULTILINE)
        if engine is not None and engine[1] != "Null":
            assert engine[1] in {"ReplicatedMergeTree", "ReplicatedReplacingMergeTree"}, name
            assert "'" not in engine[2], "no path: the server's default_replica_path and its macros"
        elif name.endswith("_create") and "CREATE TABLE" in together:
            assert engine is not None, name
        # Nothing else differs from what a single server is sent, and that is compared with upstream's schema elsewhere.
        assert (
            together.replace(" ON CLUSTER aspects", "").replace("ENGINE = Replicated", "ENGINE = ") == alone
        ), name
    assert seen > 40
    assert set(OF_ONE_NODE) <= set(FILES)


def test_what_belongs_to_a_node_is_asked_of_every_node_or_shard() -> None:
    left = {}
    for name in FILES:
        text = re.sub(r"--.*$", "", written(name, "aspects"), flags=re.MULTILINE)
        asked = set(re.findall(r"(?<!, )\bsystem\.\w+", text)) - SAME_EVERYWHERE
        if asked:
            left[name] = asked
    assert set(left) == set(LOOKS_AT_ONE_NODE), left


@pytest.mark.parametrize("cluster", ["aspects", "{cluster}", "eu-west.1"])
def test_macros_and_other_names_stay_as_they_are(shared_site: Site, cluster: str) -> None:
    assert f"ON CLUSTER '{cluster}'" in written("partition_drop", cluster)
    assert f"clusterAllReplicas('{cluster}', system.disks)" in written("monitoring/disks", cluster)
    assert f"cluster('{cluster}', system.parts)" in written("partition_rows", cluster)
    for name in ("partition_drop", "monitoring/disks", "partition_rows"):
        assert parsed(shared_site, written(name, cluster))


def test_a_single_server_is_asked_as_it_was(shared_site: Site) -> None:
    for name in FILES:
        text = written(name, "")
        assert not re.search(r"\b(ON CLUSTER|GLOBAL|cluster\(|clusterAllReplicas)", text), name
    shared_site.warehouse()
    single = shared_site.warehouse()
    assert single.for_good() == {}
    assert set(single._settings("step")) == {"log_comment"}


def test_inserts_on_a_cluster_outlast_a_node_and_are_never_dropped_in_silence(shared_site: Site) -> None:
    single = shared_site.warehouse()
    for quorum in ("auto", "0", "2"):
        one = Warehouse(single.address, run_id="run", cluster="aspects", quorum=quorum)
        assert one.for_good() == {"distributed_foreground_insert": 1, "insert_quorum": quorum}
        # The engine knows each of these settings and takes each value.
        taken = one._settings("step") | one.for_good()
        assert taken["insert_deduplicate"] == 0
        assert taken["skip_unavailable_shards"] == 0
        single.client().query("SELECT 1", settings=taken)
        assert one.as_run("another").quorum == quorum

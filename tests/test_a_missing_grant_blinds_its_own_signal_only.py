"""Whoever watches needs few rights; a missing one makes its own signals unknown, and they say what to GRANT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from services.bad_http import hanging
from services.site import Site, stop_server
from services.watched import Shard, settings_of, start_with_cluster, start_with_users

from aspects_orchestration.monitoring.clickhouse import readers, slowest_queries
from aspects_orchestration.monitoring.model import Reading
from aspects_orchestration.monitoring.signals import clickhouse as catalogue
from aspects_orchestration.monitoring.watch import read_all
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.server import ServerAddress

#: All that is needed to watch; every one stands in sql/grants.sql, alone or within another.
NEEDED = {
    "SHOW TABLES ON *.*": {"clickhouse_max_parts", "clickhouse_stuck_replication", "clickhouse_system_logs"},
    "SELECT ON xapi.*": {"clickhouse_lag", "clickhouse_hourly_volume", "clickhouse_rows_last_hour"},
    "SELECT(metric, value) ON system.metrics": {
        "clickhouse_queries",
        "clickhouse_delayed_inserts",
        "clickhouse_distributed_files",
    },
    "SELECT(event, value) ON system.events": {
        "clickhouse_rejected_inserts",
        "clickhouse_replicated_data_loss",
        "clickhouse_merges_differ",
        "clickhouse_mutations_differ",
    },
    # Where the server does not count the parts, or does not say, they are counted from system.parts.
    "SELECT(metric, value) ON system.asynchronous_metrics": set(),
    "SELECT ON system.parts": {"clickhouse_max_parts", "clickhouse_system_logs"},
    "SELECT(num_tries, num_postponed) ON system.replication_queue": {"clickhouse_stuck_replication"},
    "SELECT ON system.disks": {"clickhouse_disk_free"},
    "SELECT(event_type, event_date, event_time, database, table, rows) ON system.part_log": {
        "clickhouse_rows_per_insert"
    },
    "SELECT(event_date, event_time, type, is_initial_query, query, query_duration_ms, read_rows) ON system.query_log": {
        "clickhouse_slow_queries"
    },
}
SIGNALS = {one.name for one in catalogue.SIGNALS} - {"clickhouse_nodes_missing"}


def arrive(site: Site) -> None:
    """Statements of now, and the log of their insert."""
    site.sql(
        "INSERT INTO xapi.xapi_events_all"
        " SELECT generateUUIDv4(), now64(6) - number / 100, '{}' FROM numbers(1000)",
        admin=True,
    )
    site.sql("SYSTEM FLUSH LOGS", admin=True)


def without(missing: str) -> list[str]:
    return [f"GRANT {grant}" for grant in NEEDED if grant != missing]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with statements, and a user for each right that lacks just that one."""
    site = Site(tmp_path_factory.mktemp("watched"))
    site.warehouse()
    users = {f"lacks_{number}": without(grant) for number, grant in enumerate(NEEDED)}
    start_with_users(site, {"lacks_none": without(""), **users})
    arrive(site)
    yield site
    stop_server(site.home)


def readings(settings: Settings) -> dict[str, Reading]:
    return {one.signal: one for one in read_all(readers(settings), now=datetime.now(UTC))}


def unknown(settings: Settings) -> dict[str, str]:
    """The signals that cannot be read, and why."""
    return {name: one.why for name, one in readings(settings).items() if one.value is None}


def address(site: Site) -> ServerAddress:
    found = server.status(site.home)
    assert found is not None
    return found


def test_these_rights_are_enough(watched: Site) -> None:
    settings = settings_of(address(watched), "lacks_none")
    assert set(readings(settings)) == SIGNALS
    assert unknown(settings) == {}
    assert slowest_queries(settings, datetime.now(UTC))


def test_the_pipelines_own_user_has_them(watched: Site) -> None:
    assert unknown(watched.settings) == {}


@pytest.mark.parametrize("grant", NEEDED)
def test_a_missing_one_is_named_by_its_own_signals_and_no_other(watched: Site, grant: str) -> None:
    user = f"lacks_{list(NEEDED).index(grant)}"
    found = unknown(settings_of(address(watched), user))
    assert set(found) == NEEDED[grant]
    for why in found.values():
        said = re.search(r"GRANT (.+? ON [\w.*]+) TO `(\w+)`", why)
        assert said, why
        assert said[2] == user
        assert said[1].split(" ON ")[1] == grant.split(" ON ")[1] or grant == "SELECT ON xapi.*"


def test_granting_what_they_say_is_the_cure(watched: Site) -> None:
    cured: dict[str, list[str]] = {}
    for number, grant in enumerate(NEEDED):
        said = unknown(settings_of(address(watched), f"lacks_{number}")).values()
        cures = {found[0] for why in said for found in re.finditer(r"GRANT .+? ON [\w.*]+(?= TO)", why)}
        assert bool(cures) == bool(NEEDED[grant])
        cured[f"cured_{number}"] = [*without(grant), *sorted(cures)]
    start_with_users(watched, cured)
    arrive(watched)
    assert {user: unknown(settings_of(address(watched), user)) for user in cured} == {
        user: {} for user in cured
    }


def test_logs_that_are_switched_off_say_so(site: Site) -> None:
    site.warehouse()
    stop_server(site.home)
    folder = site.home / "clickhouse" / "config.d"
    folder.mkdir()
    (folder / "off.xml").write_text('<clickhouse><query_log remove="1"/><part_log remove="1"/></clickhouse>')
    for log in ("query_log", "part_log"):
        site.sql(f"DROP TABLE IF EXISTS system.{log} SYNC", admin=True)
    found = unknown(site.settings)
    assert set(found) == {"clickhouse_lag", "clickhouse_slow_queries", "clickhouse_rows_per_insert"}
    assert "is empty" in found["clickhouse_lag"]
    assert "Switch it on: `<query_log>`" in found["clickhouse_slow_queries"]
    assert "Switch it on: `<part_log>`" in found["clickhouse_rows_per_insert"]


@pytest.mark.parametrize("hangs", [False, True])
def test_on_a_cluster_a_node_is_asked_by_name_and_one_that_is_down_is_missed(site: Site, hangs: bool) -> None:
    with hanging() as port:
        look_at_a_cluster_with(site, Shard(port if hangs else 1))


def look_at_a_cluster_with(site: Site, dead: Shard) -> None:
    site.warehouse()
    one = address(site)
    alive = Shard(one.tcp_port, one.user, one.password)
    one = start_with_cluster(site, "aspects", [alive, dead])
    site.sql("SYSTEM FLUSH LOGS", admin=True)
    settings = settings_of(one, one.user, one.password, CLICKHOUSE_CLUSTER_NAME="aspects")
    found = read_all(readers(settings), now=datetime.now(UTC))
    (node,) = site.sql("SELECT hostName()", admin=True).decode().split()
    (missing,) = [reading for reading in found if reading.signal == "clickhouse_nodes_missing"]
    assert missing.value == 1
    assert f"127.0.0.1:{dead.port}" in missing.why
    by_node = {one.name for one in catalogue.SIGNALS if "node" in one.labels}
    assert {reading.signal for reading in found if ("node", node) in reading.labels} == by_node
    blind = {reading.signal for reading in found if reading.value is None}
    assert blind <= {"clickhouse_lag", "clickhouse_rows_per_insert"}, "an empty table"


def test_on_a_cluster_the_right_to_ask_other_nodes_is_named(watched: Site) -> None:
    own = address(watched)
    start_with_cluster(watched, "aspects", [Shard(own.tcp_port, own.user, own.password)])
    start_with_users(watched, {"lacks_remote": without("")})
    settings = settings_of(address(watched), "lacks_remote", CLICKHOUSE_CLUSTER_NAME="aspects")
    found = unknown(settings)
    assert "GRANT READ ON REMOTE TO `lacks_remote`" in found["clickhouse_queries"]
    assert "clickhouse_lag" not in found

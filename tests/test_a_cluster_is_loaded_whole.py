"""On a cluster of two shards, real servers both, a month is loaded, rebuilt, dropped and looked at as on one server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import pytest
from services.drills import drilled, seal
from services.events import enrolled, who, write_people
from services.retention import applied, policy
from services.site import Site
from services.two_shards import CLUSTER, EVERYWHERE, MIRRORED, SMALLER, STORED, TwoShards, two_shards
from services.views import chain_views

from aspects_orchestration.dashboards.verify import Sources, sources_are_complete
from aspects_orchestration.doctor.model import Patient, Verdict
from aspects_orchestration.doctor.tables import schema
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.clickhouse import readers
from aspects_orchestration.monitoring.signals.clickhouse import SIGNALS
from aspects_orchestration.monitoring.watch import read_all
from aspects_orchestration.replay.load import load_month
from aspects_orchestration.replay.plan import Mode, lock_name
from aspects_orchestration.report.gather import months_of
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.cluster import ClusterError
from aspects_orchestration.warehouse.personal_data import plan_emptying

ROOT = Path(__file__).resolve().parents[1]
MONTH = "2024-05"
DAY = date(2024, 5, 10)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoShards]:
    """The two servers of the module."""
    with two_shards(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def shards(pair: TwoShards) -> TwoShards:
    """The cluster, without a row."""
    pair.empty()
    return pair


@pytest.fixture
def site(shards: TwoShards, tmp_path: Path) -> Site:
    """A site on the cluster, with sample logs of May 2024 and around."""
    made = shards.site(tmp_path)
    made.write_samples(SampleSpec(lines=1_500, damage=0.01), files=2)
    return made


def passed(site: Site) -> dict[str, str]:
    """Checks of the month that do not hold, with what they say."""
    return {name: found.summary for name, found in site.check(MONTH).items() if not found.passed}


@pytest.mark.slow
def test_a_month_stands_once_whatever_shard_has_it_and_whoever_wrote_it(
    shards: TwoShards, site: Site
) -> None:
    first = site.load(MONTH)
    assert first.statements is not None
    assert first.statements.inserted == first.ids == first.rows_in_partition > 200
    assert sum(shards.counts()) == first.ids
    assert min(shards.counts()) > first.ids // 4, "both shards have their part"
    assert passed(site) == {}
    rows = shards.rows()

    second = site.load(MONTH)
    assert second.statements is not None
    assert (second.statements.inserted, second.statements.already_there) == (0, first.ids)

    # Another writer puts a statement wherever it is connected to, and some are lost.
    shards.on(2, f"INSERT INTO {STORED} SELECT * FROM {EVERYWHERE} WHERE cityHash64(event_id) % 7 = 0")
    shards.on(1, f"DELETE FROM {STORED} WHERE cityHash64(event_id) % 7 = 0")
    shards.on(2, f"OPTIMIZE TABLE {STORED} FINAL")
    shards.on(2, f"DELETE FROM {STORED} WHERE cityHash64(event_id) % 11 = 0")
    shards.on_both(f"OPTIMIZE TABLE {STORED} FINAL")  # parts count what was only marked as deleted
    lost = first.ids - sum(shards.counts())
    assert shards.rows() != rows
    third = site.load(MONTH)
    assert third.statements is not None
    assert third.statements.inserted == lost > 10
    assert shards.rows() == rows
    assert passed(site) == {}
    (month,) = [one for one in months_of(site.settings, site.warehouse()) if one.month == MONTH]
    assert month.rows == first.ids


@pytest.mark.slow
def test_a_rebuild_empties_and_fills_both_shards_and_all_that_hangs_behind(
    shards: TwoShards, site: Site
) -> None:
    chain_views(site, command=shards.on_both)
    loaded = site.load(MONTH)
    rows = shards.rows()
    shards.on_both("INSERT INTO reporting.by_event SELECT * FROM reporting.by_event")
    shards.on(2, f"DELETE FROM {STORED} WHERE cityHash64(event_id) % 5 = 0")
    shards.on(2, f"OPTIMIZE TABLE {STORED} FINAL")
    left = shards.counts()
    said: list[str] = []

    rebuilt = site.load(MONTH, said, mode=Mode.REBUILD)

    assert rebuilt.dropped[STORED] == sum(left) < loaded.ids
    assert rebuilt.dropped["reporting.by_event"] == 2 * loaded.ids
    assert shards.rows() == rows
    assert shards.counts("reporting.by_event") == shards.counts()
    assert shards.counts("reporting.by_day", "sum(events)") == shards.counts()
    assert passed(site) == {}
    drops = [one for one in shards.proxy.sent if b"DROP PARTITION" in one]
    assert len(drops) == len(rebuilt.dropped) == 3
    names, lock = schema_names(site.settings), partial(lock_name, site.settings)
    found = sources_are_complete(Sources(site.warehouse(), names, datetime.now(UTC), lock), MONTH)
    assert found.passed, found.summary
    assert "on shard 1 of 2" in found.summary
    assert found.numbers["tables_compared"] == 2


@pytest.mark.slow
def test_a_shard_that_is_down_stops_the_load_and_nothing_is_lost_or_doubled(
    shards: TwoShards, site: Site
) -> None:
    said: list[str] = []

    def goes_down(line: str) -> None:
        said.append(line)
        if line.startswith("counts agree"):
            shards.stop(2)

    warehouse = site.warehouse()
    plan = site.plan(MONTH, warehouse)
    try:
        with pytest.raises(AspectsError) as broken:
            load_month(site.settings, plan, warehouse, s3=S3Options(), say=goes_down)
        with pytest.raises(AspectsError) as refused:
            site.load(MONTH)
        by_signal = {one.signal: one for one in read_all(readers(site.settings), now=datetime.now(UTC))}
    finally:
        shards.start(2)
    port = shards.on(2, "SELECT getServerPort('tcp_port')").strip()
    for error in (broken.value, refused.value):
        assert f"127.0.0.1:{port}" in error.what, "the node is named"
        assert "remote_servers" in error.do
    assert any(line.startswith("counts agree") for line in said)
    missing = by_signal["clickhouse_nodes_missing"]
    assert (missing.value, missing.why) == (1, f"1 of 2 nodes answer; not 127.0.0.1:{port}")

    again = site.load(MONTH)
    assert again.resumed_chunks > 0, "what was staged stays"
    assert (
        sum(shards.counts())
        == again.ids
        == int(shards.on(1, f"SELECT uniqExact(event_id) FROM {EVERYWHERE}"))
    )
    assert min(shards.counts()) > 0
    assert passed(site) == {}


def test_retention_drops_a_month_on_both_shards_and_behind_them(shards: TwoShards, site: Site) -> None:
    chain_views(site, command=shards.on_both)
    policy(site, "raw: {keep_months: 12}")
    site.warehouse()
    for number, month in enumerate(("2024-04", MONTH)):
        shards.on_both(
            f"INSERT INTO {STORED} SELECT generateUUIDv4(), toDateTime64('{month}-03', 6) + number, '{{}}'"
            f" FROM numbers({100 + number})"
        )
    now = datetime(2025, 5, 20, tzinfo=UTC)
    before = shards.counts(f"{STORED} WHERE toYYYYMM(emission_time) = 202405")

    done = applied(site, now=now)

    assert {(step.target, step.partition_id) for step in done.done if step.statement == "partition_drop"} >= {
        (EVERYWHERE, "202404"),
        ("reporting.by_event", "202404"),
    }
    assert shards.counts() == before
    assert before == (101, 101)
    assert shards.counts("reporting.by_event") == before
    assert applied(site, now=now).done == ()


@pytest.mark.slow
def test_a_drill_compares_with_what_both_shards_have(shards: TwoShards, tmp_path: Path) -> None:
    site = shards.site(tmp_path)
    write_people(site)
    log = site.logs / "may.log.1"
    log.write_bytes(
        b"".join(enrolled(f"2024-05-10T{n % 24:02d}:00:00.{n:06d}Z", learner=who(n)) for n in range(40))
    )
    site.load(MONTH)
    seal(str(site.folder / "archive"), {DAY: [log]})
    (whole,) = drilled(site)
    assert whole.passed, whole.record.summary
    assert whole.record.restored == 40
    shards.on(2, f"DELETE FROM {STORED} WHERE cityHash64(event_id) % 3 = 0")
    gone = 40 - sum(shards.counts())
    (differs,) = drilled(site)
    assert (differs.passed, differs.record.missing) == (False, gone)
    assert gone > 0
    assert shards.on(2, "SELECT count() FROM system.databases WHERE name LIKE 'aspects_drill%'") == "0\n"


def test_health_is_read_of_every_node(shards: TwoShards, site: Site) -> None:
    site.warehouse()
    shards.on_both(
        f"INSERT INTO {STORED} SELECT generateUUIDv4(), toDateTime64('2024-05-03', 6) + getServerPort('tcp_port') % 97, ''",
        "SYSTEM FLUSH LOGS",
    )
    found = read_all(readers(site.settings), now=datetime(2024, 6, 1, tzinfo=UTC))
    unknown = {one.signal: one.why for one in found if one.value is None}
    assert set(unknown) <= {"clickhouse_rows_per_insert"}, unknown
    by_node = {one.name for one in SIGNALS if "node" in one.labels}
    assert by_node <= {one.signal for one in found}
    for asked in ("uptime", "disks"):  # both nodes have this machine's name, and are one to a signal's label
        assert len(site.warehouse().rows(f"monitoring/{asked}")) == 2
    by_signal = {one.signal: one for one in found}
    assert (by_signal["clickhouse_nodes_missing"].value, by_signal["clickhouse_nodes_missing"].why) == (
        0,
        "2 of 2 nodes answer",
    )
    newest = shards.on(1, f"SELECT toUnixTimestamp64Micro(max(emission_time)) FROM {EVERYWHERE}")
    lag_s = datetime(2024, 6, 1, tzinfo=UTC).timestamp() - int(newest) / 1e6
    assert by_signal["clickhouse_lag"].value == pytest.approx(max(0.0, lag_s), abs=1)


def doctors(site: Site) -> tuple[Verdict, str]:
    """What the doctor says of the schema."""
    found = schema(Patient(site.settings, S3Options(), datetime.now(UTC)))
    return found.verdict, found.found


def test_the_doctor_finds_the_schema_sound_behind_a_distributed_table(site: Site) -> None:
    site.warehouse()
    assert doctors(site)[0] is Verdict.OK, doctors(site)


def remade(table: str, arguments: str) -> str:
    """The statement that makes the table over both shards another one."""
    return f"CREATE OR REPLACE TABLE {table} AS {STORED} ENGINE = Distributed({arguments})"


@pytest.mark.parametrize(
    ("made", "environ", "what", "do"),
    [
        (
            "",
            {"CLICKHOUSE_CLUSTER_NAME": ""},
            "is Distributed over a cluster, and CLICKHOUSE_CLUSTER_NAME is empty",
            "CLICKHOUSE_CLUSTER_NAME",
        ),
        (
            "",
            {"CLICKHOUSE_CLUSTER_NAME": "nowhere"},
            "knows no cluster nowhere, but aspects, ",
            "Give one of these",
        ),
        (
            "",
            {"ASPECTS_RAW_XAPI_TABLE": "xapi_events_all"},
            "has 2 shards, and xapi.xapi_events_all has the statements of one of them alone",
            "ENGINE = Distributed('aspects', 'xapi', 'xapi_events_all', cityHash64(event_id))",
        ),
        (
            "",
            {"ASPECTS_RAW_XAPI_TABLE": "no_such"},
            "there is no table xapi.no_such",
            "create one over all shards",
        ),
        (
            remade(EVERYWHERE, f"'{CLUSTER}', 'xapi', 'xapi_events_all'"),
            {},
            "has no sharding key",
            "cityHash64(event_id)",
        ),
        (
            remade(EVERYWHERE, f"'{SMALLER}', 'xapi', 'xapi_events_all', cityHash64(event_id)"),
            {},
            "which leaves out nodes of aspects: 127.0.0.1:",
            "Lay it over a cluster that has all of them",
        ),
        (
            remade(EVERYWHERE, f"'{CLUSTER}', 'xapi', 'gone', cityHash64(event_id)"),
            {},
            "laid over xapi.gone, which is not on this node",
            "stands on every node",
        ),
        (
            "",
            {"CLICKHOUSE_CLUSTER_NAME": MIRRORED, "ASPECTS_RAW_XAPI_TABLE": "xapi_events_all"},
            "xapi.xapi_events_all is not replicated, on a cluster whose shards have several replicas",
            "ReplicatedReplacingMergeTree",
        ),
    ],
)
def test_a_layout_that_would_lose_or_double_statements_is_refused(
    shards: TwoShards, tmp_path: Path, made: str, environ: dict[str, str], what: str, do: str
) -> None:
    if made:
        shards.on_both(made)
    site = shards.site(tmp_path, **environ)
    with pytest.raises(AspectsError) as refused:
        site.warehouse()
    assert what in refused.value.what
    assert do in refused.value.do
    assert shards.on(1, "SELECT count() FROM system.databases WHERE name = 'aspects_orchestration'") == "0\n"


def test_the_statement_that_a_refusal_names_makes_the_layout_sound(shards: TwoShards, tmp_path: Path) -> None:
    shards.on_both(f"DROP TABLE {EVERYWHERE} SYNC")
    site = shards.site(tmp_path, ASPECTS_RAW_XAPI_TABLE="xapi_events_all")
    verdict, found = doctors(site)
    assert verdict is Verdict.DANGER
    assert "has the statements of one of them alone" in found
    with pytest.raises(ClusterError) as refused:
        site.warehouse()
    statement = refused.value.do.partition("CREATE TABLE")[2].partition(", and name")[0]
    assert EVERYWHERE in statement
    shown = re.findall(
        r"^```sql\n(.*?)^```", (ROOT / "docs/cluster.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert " ".join(shown[0].split()) == f"CREATE TABLE{statement}", "as it is shown in the docs"
    shards.on_both(shown[0].replace(f" ON CLUSTER '{CLUSTER}'", ""))
    site.environ["ASPECTS_RAW_XAPI_TABLE"] = EVERYWHERE.split(".")[1]
    assert doctors(site)[0] is not Verdict.DANGER


def test_what_is_remembered_on_one_shard_is_not_begun_anew_on_another(shards: TwoShards, site: Site) -> None:
    site.warehouse()
    site.environ["ASPECTS_CLICKHOUSE_URL"] = shards.url(2)
    with pytest.raises(ClusterError, match=r"leads to shard 2 of the cluster aspects.*stands on shard 1"):
        site.warehouse()


def test_a_balancer_that_shares_out_connections_is_refused(shards: TwoShards, site: Site) -> None:
    warehouse = site.warehouse()
    plan = site.plan(MONTH, warehouse)
    shards.proxy.shares_out = True
    with pytest.raises(ClusterError, match="lead to several nodes"):
        load_month(site.settings, plan, warehouse, s3=S3Options(), say=lambda _: None)
    assert shards.counts() == (0, 0)


def test_tables_of_the_lms_that_differ_by_shard_are_not_read_nor_written(
    shards: TwoShards, site: Site
) -> None:
    site.environ.update(ASPECTS_IDENTITIES="event_sink", ASPECTS_COURSES="event_sink")
    with pytest.raises(ClusterError, match=r"event_sink\.external_id is not the same on the 2 nodes"):
        site.load(MONTH)
    warehouse = site.warehouse()
    with pytest.raises(ClusterError, match="not the same on the 2 nodes"):
        plan_emptying(warehouse, "event_sink")
    assert shards.counts() == (0, 0)

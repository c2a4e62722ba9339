"""Every signal of ClickHouse has the value that was brought about, and one that is bad says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import clickhouse_connect
import pytest
from services.site import Site, stop_server
from services.watched import Shard, settings_of, start_with_cluster

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.monitoring.clickhouse import readers, slowest_queries
from aspects_orchestration.monitoring.model import Reading, Standing, judge
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import look, read_all
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse import server

RAW = "xapi.xapi_events_all"
#: A Tuesday at four in the afternoon; in the past, so that the server's own clock is none of the test's business.
NOW = datetime(2024, 5, 21, 16, 0, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("signals"))
    site.warehouse()
    yield site
    stop_server(site.home)


@pytest.fixture
def empty(made: Site) -> Site:
    made.sql(f"TRUNCATE TABLE {RAW}", admin=True)
    return made


def put(site: Site, newest: datetime, rows: int = 1, every_s: float = 1.0) -> None:
    """Statements at and before a time."""
    site.sql(
        f"INSERT INTO {RAW} SELECT generateUUIDv4(),"
        f" fromUnixTimestamp64Micro({round(newest.timestamp() * 1e6)}"
        f" - number * {round(every_s * 1e6)}, 'UTC'), '{{}}' FROM numbers({rows})",
        admin=True,
    )


def readings(settings: Settings, *signals: str, now: datetime = NOW) -> list[Reading]:
    asked = [one for one in readers(settings) if set(signals) & set(one.signals)]
    return [one for one in read_all(asked, now=now) if one.signal in signals]


def reading(site: Site, signal: str, now: datetime = NOW) -> Reading:
    (found,) = readings(site.settings, signal, now=now)
    return found


def states(site: Site, signal: str, now: datetime = NOW) -> str:
    """The state after three looks at the same."""
    before: dict[str, Standing] = {}
    asked = [one for one in readers(site.settings) if signal in one.signals]
    for _ in range(3):
        before = dict(look(asked, rules=Rules(), before=before, now=now).standings)
    return before[signal].state.value


# --- lag and volume ---


@pytest.mark.parametrize(
    ("ago", "state"),
    [
        (timedelta(seconds=30), "ok"),
        (timedelta(minutes=14, seconds=59), "ok"),
        (timedelta(minutes=15), "warn"),
        (timedelta(minutes=59, seconds=59), "warn"),
        (timedelta(hours=1), "critical"),
        (timedelta(days=3), "critical"),
        (timedelta(days=70), "critical"),
    ],
)
def test_lag_is_the_age_of_the_newest_statement(empty: Site, ago: timedelta, state: str) -> None:
    put(empty, NOW - ago, rows=50)
    assert reading(empty, "clickhouse_lag").value == ago.total_seconds()
    assert states(empty, "clickhouse_lag") == state


def test_an_empty_table_has_no_lag_and_says_so(empty: Site) -> None:
    found = reading(empty, "clickhouse_lag")
    assert found.value is None
    assert f"{RAW} is empty" in found.why
    assert states(empty, "clickhouse_lag") == "unknown"


def test_a_statement_from_the_future_hides_no_lag(empty: Site) -> None:
    put(empty, NOW - timedelta(hours=5))
    put(empty, datetime(2026, 7, 1, tzinfo=UTC))
    found = reading(empty, "clickhouse_lag")
    assert found.value == 5 * 3600
    assert "dated in the future" in found.why


def test_clocks_that_run_ahead_by_seconds_are_no_lag(empty: Site) -> None:
    put(empty, NOW + timedelta(seconds=20))
    assert reading(empty, "clickhouse_lag").value == 0


def test_what_is_usual_at_this_hour_is_no_worry(empty: Site) -> None:
    """A site whose learners sleep: nothing for six hours, in each of the weeks before."""
    for weeks in range(1, 5):
        put(empty, NOW - weeks * WEEK - timedelta(hours=6), rows=10)
    put(empty, NOW - timedelta(hours=7, minutes=1))
    found = reading(empty, "clickhouse_lag")
    assert found.value == 7 * 3600 + 60
    assert found.usual == 6 * 3600
    assert "usual at this hour of the week: 6.0 h" in found.why
    assert states(empty, "clickhouse_lag") == "critical"
    put(empty, NOW - timedelta(hours=6, minutes=16))
    assert states(empty, "clickhouse_lag") == "warn"
    put(empty, NOW - timedelta(hours=6, minutes=10))
    assert states(empty, "clickhouse_lag") == "ok"


def test_one_outage_does_not_make_the_next_one_usual(empty: Site) -> None:
    put(empty, NOW - WEEK - timedelta(hours=9))
    for weeks in (2, 3, 4):
        put(empty, NOW - weeks * WEEK)
    put(empty, NOW - timedelta(hours=8))
    assert states(empty, "clickhouse_lag") == "critical"


@pytest.mark.parametrize(
    ("rows", "share", "state"),
    [(400, 1.0, "ok"), (210, 0.525, "ok"), (190, 0.475, "warn"), (0, 0.0, "critical")],
)
def test_volume_is_held_against_the_same_hour_of_four_weeks(
    empty: Site, rows: int, share: float, state: str
) -> None:
    for weeks, usual in ((1, 390), (2, 410), (3, 5), (4, 2000)):
        put(empty, NOW - weeks * WEEK, rows=usual)
        put(empty, NOW - weeks * WEEK + timedelta(hours=1), rows=777)
    put(empty, NOW, rows=rows)
    assert reading(empty, "clickhouse_rows_last_hour").value == rows
    found = reading(empty, "clickhouse_hourly_volume")
    assert found.value == pytest.approx(share)
    assert "usual are 400" in found.why
    assert states(empty, "clickhouse_hourly_volume") == state


@pytest.mark.parametrize(("weeks", "rows"), [(2, 400), (4, 15)])
def test_without_enough_to_compare_with_volume_does_not_worry(empty: Site, weeks: int, rows: int) -> None:
    for one in range(1, weeks + 1):
        put(empty, NOW - one * WEEK, rows=rows)
    assert reading(empty, "clickhouse_hourly_volume").value == 1.0
    assert "compare" in reading(empty, "clickhouse_hourly_volume").why


def test_neither_grows_with_the_table(empty: Site) -> None:
    """Ten million statements over three months: what is read is the last hour, those of four weeks, and parts' bounds."""
    put(empty, NOW, rows=10_000_000, every_s=0.77)
    readings(empty.settings, "clickhouse_lag", "clickhouse_hourly_volume")
    put(empty, NOW + timedelta(hours=2))
    readings(empty.settings, "clickhouse_lag", now=NOW + timedelta(hours=5))
    empty.sql("SYSTEM FLUSH LOGS", admin=True)
    found = empty.sql(
        "SELECT JSONExtractString(log_comment, 'step') AS step, max(read_rows), max(query_duration_ms) FROM system.query_log"
        " WHERE type = 'QueryFinish' AND step LIKE 'monitoring/%' AND query NOT LIKE '%FINAL%'"
        " AND event_time > now() - 60 GROUP BY step FORMAT TSV",
        admin=True,
    )
    read = {row.split("\t")[0]: int(row.split("\t")[1]) for row in found.decode().splitlines()}
    granule = 8192
    hour = 3600 / 0.77
    assert read["monitoring/lag"] <= hour + 3 * granule
    assert read["monitoring/lag_newest"] < 1000
    assert read["monitoring/lag_usual"] <= 12 * granule
    assert read["monitoring/volume"] <= 5 * (hour + 3 * granule)


# --- counters ---


def test_inserts_that_are_refused_are_counted(empty: Site) -> None:
    (before,) = readings(empty.settings, "clickhouse_rejected_inserts")
    standing = judge(SIGNALS["clickhouse_rejected_inserts"].rule, before, None)
    assert standing.state == "ok"
    empty.sql(
        "CREATE TABLE xapi.full (n Int8) ENGINE = MergeTree ORDER BY n SETTINGS parts_to_throw_insert = 1",
        admin=True,
    )
    empty.sql("SYSTEM STOP MERGES xapi.full", admin=True)
    empty.sql("INSERT INTO xapi.full VALUES (1)", admin=True)
    with pytest.raises(WarehouseError, match="TOO_MANY_PARTS"):
        empty.sql("INSERT INTO xapi.full VALUES (1)", admin=True)
    (after,) = readings(empty.settings, "clickhouse_rejected_inserts")
    empty.sql("DROP TABLE xapi.full SYNC", admin=True)
    found = judge(SIGNALS["clickhouse_rejected_inserts"].rule, after, standing)
    assert found.value
    assert found.value >= 1
    assert found.state == "warn"


def test_inserts_that_are_slowed_down_are_seen_while_they_wait(empty: Site) -> None:
    empty.sql(
        "CREATE TABLE xapi.slow (n Int8) ENGINE = MergeTree ORDER BY n SETTINGS parts_to_delay_insert = 1,"
        " min_delay_to_insert_ms = 4000, max_delay_to_insert = 4",
        admin=True,
    )
    empty.sql("SYSTEM STOP MERGES xapi.slow", admin=True)
    empty.sql("INSERT INTO xapi.slow VALUES (1)", admin=True)
    waiting = threading.Thread(
        target=empty.sql, args=("INSERT INTO xapi.slow VALUES (1)",), kwargs={"admin": True}, daemon=True
    )
    waiting.start()
    seen = 0.0
    while waiting.is_alive() and not seen:
        seen = reading(empty, "clickhouse_delayed_inserts").value or 0.0
    assert seen, "it waits for four seconds"
    waiting.join()
    empty.sql("DROP TABLE xapi.slow SYNC", admin=True)
    assert reading(empty, "clickhouse_delayed_inserts").value == 0


def test_single_rows_are_said_to_need_batching(empty: Site) -> None:
    for number in range(12):
        put(empty, NOW - timedelta(minutes=number))
    empty.sql("SYSTEM FLUSH LOGS", admin=True)
    now = datetime.now(UTC)
    assert reading(empty, "clickhouse_rows_per_insert", now=now).value is not None
    empty.sql("TRUNCATE TABLE system.part_log", admin=True)
    for number in range(12):
        put(empty, NOW - timedelta(minutes=number), rows=1 if number else 5000)
    empty.sql("SYSTEM FLUSH LOGS", admin=True)
    found = reading(empty, "clickhouse_rows_per_insert", now=now)
    assert found.value == 1
    assert "12 new parts" in found.why
    assert states(empty, "clickhouse_rows_per_insert", now=now) == "warn"
    empty.sql("TRUNCATE TABLE system.part_log", admin=True)
    put(empty, NOW, rows=5000)
    empty.sql("SYSTEM FLUSH LOGS", admin=True)
    assert reading(empty, "clickhouse_rows_per_insert", now=now).value == 5000
    assert states(empty, "clickhouse_rows_per_insert", now=now) == "ok"


def test_slow_queries_are_shown_without_what_they_ask_for(empty: Site) -> None:
    empty.sql(
        "SELECT sleep(0.5), 'jane.doe@example.com' AS \"Jane Doe\" /* of Jane */ FROM numbers(1)"
        " WHERE 'jane.doe@example.com' != toString(number) AND number NOT IN (4711)",
        admin=True,
    )
    empty.sql("SYSTEM FLUSH LOGS", admin=True)
    found = slowest_queries(empty.settings, datetime.now(UTC))
    (slow,) = [one for one in found if "sleep" in one.text]
    assert slow.seconds >= 0.5
    assert not {"jane", "4711", "doe"} & set(slow.text.lower().replace(".", " ").replace("`", " ").split())
    assert "FROM numbers(?)" in slow.text
    assert len(found) <= 10
    assert [one.seconds for one in found] == sorted((one.seconds for one in found), reverse=True)


def test_parts_of_the_fullest_partition_are_counted_and_it_is_named(empty: Site) -> None:
    empty.sql(
        "CREATE TABLE xapi.many (n UInt32) ENGINE = MergeTree PARTITION BY n % 2 ORDER BY n", admin=True
    )
    empty.sql("SYSTEM STOP MERGES xapi.many", admin=True)
    empty.sql(
        "INSERT INTO xapi.many SELECT number * 2 FROM numbers(305) SETTINGS max_block_size = 1,"
        " min_insert_block_size_rows = 1, max_insert_threads = 1",
        admin=True,
    )
    found = reading(empty, "clickhouse_max_parts")
    state = states(empty, "clickhouse_max_parts")
    empty.sql("DROP TABLE xapi.many SYNC", admin=True)
    assert found.value == 305
    assert found.why == "xapi.many partition 0"
    assert state == "warn"


def test_disks_and_logs_are_those_of_the_server(empty: Site) -> None:
    free, total = empty.sql("SELECT free_space, total_space FROM system.disks", admin=True).split()
    found = reading(empty, "clickhouse_disk_free")
    assert dict(found.labels) == {"disk": "default"}
    assert found.value == pytest.approx(int(free) / int(total), abs=0.02)
    logs = empty.sql(
        "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'system'", admin=True
    )
    assert reading(empty, "clickhouse_system_logs").value == pytest.approx(int(logs) / 2**30, rel=0.5)


def test_a_restart_is_seen_however_long_ago_the_last_look_was(site: Site) -> None:
    site.warehouse()
    rule = SIGNALS["clickhouse_restart"].rule
    (first,) = readings(site.settings, "clickhouse_restart")
    stood = judge(rule, first, None)
    (again,) = readings(site.settings, "clickhouse_restart")
    assert judge(rule, again, stood).state == "ok"
    assert first.value is not None
    # As if it had been started an hour before: the test need not wait for that.
    earlier = judge(rule, Reading(first.signal, first.value - 3600, NOW, 1.0), None)
    found = judge(rule, again, earlier)
    assert found.state == "warn"
    assert "up since" in found.why
    (uptime,) = readings(site.settings, "clickhouse_uptime")
    assert uptime.value is not None
    assert uptime.value < 600


def test_files_that_wait_for_another_shard_are_counted(site: Site) -> None:
    site.warehouse()
    own = server.ensure_running(site.home)
    own = start_with_cluster(site, "aspects", [Shard(1)])
    client = clickhouse_connect.get_client(
        host=own.host, port=own.http_port, username=own.admin_user, password=own.admin_password
    )
    client.command(
        "CREATE TABLE xapi.everywhere (n Int8) ENGINE = Distributed(aspects, xapi, nowhere)",
    )
    rule = SIGNALS["clickhouse_distributed_files"].rule
    settings = settings_of(own, own.user, own.password)
    standing: Standing | None = None
    for files in range(7):
        (found,) = readings(settings, "clickhouse_distributed_files")
        assert found.value == files
        standing = judge(rule, found, standing)
        client.command("INSERT INTO xapi.everywhere VALUES (1)")
    client.close()
    assert standing is not None
    assert standing.state == "warn", "it has grown over five readings"

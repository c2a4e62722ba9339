"""A tick of clickhouse_health is short whatever ClickHouse does, never fails, and never takes silence for health."""

from __future__ import annotations

import os
import signal

import pytest
from services.bad_http import answering, hanging
from services.health import Tick, tick_of
from services.site import Site, stop_server

from aspects_orchestration.monitoring.signals import clickhouse as catalogue
from aspects_orchestration.sensors.clickhouse_health import clickhouse_health
from aspects_orchestration.warehouse import server

#: Of a single server: the nodes of a cluster are watched on clusters alone.
SIGNALS = {one.name for one in catalogue.SIGNALS} - {"clickhouse_nodes_missing"}
SECRET = "s3cret-of-the-pipeline"


@pytest.fixture
def running(site: Site) -> Site:
    """A site whose server runs with all tables, and some statements of now."""
    site.warehouse()
    arrive(site, 100)
    site.sql("SYSTEM FLUSH LOGS", admin=True)
    return site


def arrive(site: Site, rows: int) -> None:
    site.sql(
        "INSERT INTO xapi.xapi_events_all"
        f" SELECT generateUUIDv4(), now64(6) - number / 100, '{{}}' FROM numbers({rows})",
        admin=True,
    )


def elsewhere(site: Site, port: int, user: str = "someone") -> Site:
    """The same site, with the server of a port as its ClickHouse."""
    return Site(site.folder, {"ASPECTS_CLICKHOUSE_URL": f"http://{user}:{SECRET}@127.0.0.1:{port}"})


def tick(site: Site, monkeypatch: pytest.MonkeyPatch, cursor: str | None = None) -> Tick:
    found = tick_of(clickhouse_health(), site, monkeypatch, cursor)
    assert SECRET not in f"{found.cursor}{found.observed}{found.said}"
    return found


def test_with_everything_up_it_takes_less_than_two_seconds(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tick(running, monkeypatch)
    assert found.took_s < 2
    assert set(found.observed) == SIGNALS
    # How full the disk of a machine that runs tests is, is its own business.
    assert {one.state for key, one in found.standings.items() if "disk" not in key} == {"ok"}, found.said
    assert all("value" in one for one in found.observed.values())
    assert len(found.cursor) < 10_000


def test_one_that_hangs_is_critical_within_ten_seconds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with hanging() as port:
        first = tick(elsewhere(site, port), monkeypatch)
        second = tick(elsewhere(site, port), monkeypatch, first.cursor)
    assert first.took_s < 10
    assert second.took_s < 10
    assert all_unknown_but_up(second)
    assert len(second.cursor) < 20_000


def test_one_that_answers_byte_by_byte_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b"26.9.2.1\tUTC\n" * 100, every_s=0.5) as port:
        found = tick(elsewhere(site, port), monkeypatch)
    assert found.took_s < 10
    assert found.standings["clickhouse_lag"].state == "unknown"
    assert found.standings["clickhouse_up"].state == "unknown"


def test_one_that_is_killed_is_critical_and_comes_back(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.ensure_running(running.home)
    url = f"http://{address.user}:{address.password}@127.0.0.1:{address.http_port}"
    apart = Site(running.folder, {"ASPECTS_CLICKHOUSE_URL": url})
    up = tick(apart, monkeypatch)
    assert up.standings["clickhouse_up"].state == "ok"
    os.kill(address.pid, signal.SIGKILL)
    down = tick(apart, monkeypatch, tick(apart, monkeypatch, up.cursor).cursor)
    assert down.took_s < 2, "a refused connection is known at once"
    assert down.standings["clickhouse_up"].state == "critical"
    assert "does not answer" in down.standings["clickhouse_up"].why
    assert down.standings["clickhouse_lag"].state == "unknown"
    assert server.ensure_running(running.home).http_port == address.http_port
    back = tick(apart, monkeypatch, down.cursor)
    assert back.standings["clickhouse_up"].state == "ok"
    assert back.standings["clickhouse_restart"].value == pytest.approx(
        float(back.observed["clickhouse_restart"]["value"])
    )
    assert address.password not in down.cursor


def test_a_wrong_password_is_said_and_is_no_outage(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    address = server.ensure_running(running.home)
    found = tick(elsewhere(running, address.http_port, user=address.user), monkeypatch)
    assert found.took_s < 2
    assert found.states() == {"unknown"}
    assert "refused user" in found.standings["clickhouse_up"].why
    assert "password" in found.standings["clickhouse_up"].why


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>It works!</html>", 200),
        (b"\x00\xff\x80" * 50, 200),
        (b"", 200),
        (b"Bad Gateway", 502),
        (b"1\n", 200),
        (b"26.9.2.1\tUTC\n", 200),
    ],
)
def test_a_wrong_answer_is_unknown(
    site: Site, monkeypatch: pytest.MonkeyPatch, body: bytes, status: int
) -> None:
    with answering(body, status=status) as port:
        found = tick(elsewhere(site, port), monkeypatch)
    assert found.took_s < 10
    assert found.states() <= {"unknown", "ok"}
    assert {one.state for key, one in found.standings.items() if key != "clickhouse_up"} == {"unknown"}
    assert all(one.why for one in found.standings.values())
    assert "mistake in the project" not in found.cursor


@pytest.mark.parametrize("parts", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_hundred_thousand_parts_in_ten_thousand_partitions_cost_no_time(
    running: Site, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """With the parts in a table beside the raw one, and in the raw one's own database; merges stand still."""
    running.sql(
        "CREATE TABLE xapi.many (n UInt32) ENGINE = MergeTree PARTITION BY n % 10000 ORDER BY n SETTINGS"
        " max_parts_in_total = 1000000, parts_to_throw_insert = 100000, parts_to_delay_insert = 100000",
        admin=True,
    )
    running.sql("SYSTEM STOP MERGES xapi.many", admin=True)
    address = server.ensure_running(running.home)
    for _ in range(parts // 10_000):
        insert = "INSERT INTO xapi.many SELECT number FROM numbers(10000) SETTINGS max_partitions_per_insert_block = 0"
        list(server.query(address, insert, admin=True, timeout_s=300))
    count = "SELECT count(), uniq(partition_id) FROM system.parts WHERE active AND table = 'many'"
    assert running.sql(count, admin=True).split() == [str(parts).encode(), b"10000"]
    arrive(running, 100)
    first = tick(running, monkeypatch)
    again = tick(running, monkeypatch, first.cursor)
    assert again.spent_s < 2
    assert again.took_s < 10
    assert again.standings["clickhouse_lag"].state == "ok"
    most = again.standings["clickhouse_max_parts"].value
    assert most is not None
    assert most >= parts / 10_000
    assert len(again.cursor) < 10_000


def test_an_embedded_server_that_is_stopped_is_not_started(
    running: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_server(running.home)
    found = tick(running, monkeypatch)
    assert server.status(running.home) is None
    assert found.states() == {"unknown"}
    assert "does not run" in found.standings["clickhouse_lag"].why


def all_unknown_but_up(found: Tick) -> bool:
    assert found.standings["clickhouse_up"].state == "critical", found.standings["clickhouse_up"]
    return {one.state for key, one in found.standings.items() if key != "clickhouse_up"} == {"unknown"}

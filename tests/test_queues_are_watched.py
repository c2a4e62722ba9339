"""Queues are watched: how long they are and whether they grow, as real Celery, Redis streams and Kafka fill them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.celery_app import CMS, LMS, send_tasks
from services.http_double import http, http_double, timed
from services.kafka import Kafka, kafka_cluster
from services.monitoring import readings_of, ticked, ticks, values_of
from services.ports import free_port
from services.valkey import PASSWORD, Valkey

from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.queues import readers
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.sensors.queue_health import queue_health
from aspects_orchestration.settings import load_settings

GROUP = "event_routing_backends"


def of(valkey: Valkey, **environ: str) -> list[Reader]:
    return readers(load_settings(redis(valkey) | environ))


def redis(valkey: Valkey) -> dict[str, str]:
    return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(valkey.port), "REDIS_PASSWORD": PASSWORD}


def bus(valkey: Valkey) -> list[Reader]:
    url = f"redis://:{PASSWORD.replace(' ', '%20').replace('/', '%2F').replace('@', '%40')}@127.0.0.1:{valkey.port}/0"
    return readers(load_settings({"EVENT_BUS_REDIS_CONNECTION_URL": url}))


def kafka_readers(servers: str, **environ: str) -> list[Reader]:
    return readers(load_settings({"EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS": servers, **environ}))


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with kafka_cluster() as cluster:
        yield cluster


# --- Celery


def test_tasks_that_celery_sent_are_counted_by_queue(valkey: Valkey) -> None:
    send_tasks(valkey.port, PASSWORD, LMS, 7)
    send_tasks(valkey.port, PASSWORD, CMS, 2)
    values = values_of(of(valkey))
    assert values[f"celery_queue_length{{queue={LMS}}}"] == 7
    assert values[f"celery_queue_length{{queue={CMS}}}"] == 2
    assert values["redis_up{use=celery}"] == 1


def test_tasks_of_every_priority_are_counted(valkey: Valkey) -> None:
    for priority in (0, 3, 6, 9):
        send_tasks(valkey.port, PASSWORD, LMS, 2, priority=priority)
    assert len(valkey.client().keys(f"{LMS}*")) == 4  # kombu keeps a list for each
    assert values_of(of(valkey))[f"celery_queue_length{{queue={LMS}}}"] == 8


def test_an_empty_queue_is_zero_and_ok(valkey: Valkey) -> None:
    seen = ticks(of(valkey), 1)
    assert seen.readings[f"celery_queue_length{{queue={LMS}}}"].value == 0
    assert {standing.state for standing in seen.standings.values()} == {State.OK}


def test_other_queues_are_watched_where_they_are_named(valkey: Valkey) -> None:
    send_tasks(valkey.port, PASSWORD, "edx.lms.core.high", 3)
    values = values_of(of(valkey, ASPECTS_CELERY_QUEUES="edx.lms.core.high"))
    assert values["celery_queue_length{queue=edx.lms.core.high}"] == 3
    assert not any(LMS in key for key in values)


def test_a_queue_that_grows_over_several_readings_warns_and_one_that_shrinks_does_not(valkey: Valkey) -> None:
    client, growth = valkey.client(), f"celery_queue_growth{{queue={LMS}}}"
    states = []
    standing = None
    for added in (150, 10, 10, 10, 10, 10):
        client.lpush(LMS, *range(added))
        seen = ticks(of(valkey), 1, standing)
        standing = dict(seen.standings)
        states.append(seen.standings[growth].state)
    assert states == [*[State.OK] * 5, State.WARN]
    assert seen.standings[f"celery_queue_length{{queue={LMS}}}"].state is State.OK
    for _ in range(2):
        client.rpop(LMS, 50)
        standing = dict(ticks(of(valkey), 1, standing).standings)
    assert standing[growth].state is State.OK


def test_a_queue_over_its_limit_warns_though_it_does_not_grow(valkey: Valkey) -> None:
    valkey.client().lpush(LMS, *range(10_001))
    assert ticks(of(valkey), 1).worst("celery_queue_length").state is State.WARN  # type: ignore[union-attr]


def test_a_key_that_is_no_queue_hides_no_other_queue(valkey: Valkey) -> None:
    valkey.client().set(CMS, "text")
    valkey.client().lpush(LMS, 1)
    readings = readings_of(of(valkey))
    assert readings[f"celery_queue_length{{queue={LMS}}}"].value == 1
    wrong = readings[f"celery_queue_length{{queue={CMS}}}"]
    assert wrong.value is None
    assert "is not a list" in wrong.why


# --- dead letters


def test_dead_letters_are_found_where_the_backend_puts_them(valkey: Valkey) -> None:
    dead = "dead_queue_xapi"  # in the database of the cache, which batching uses
    before = ticks(of(valkey), 1)
    assert before.worst("dead_queue_length").state is State.OK  # type: ignore[union-attr]
    valkey.client(1).lpush(dead, '{"name": "an event"}')
    seen = ticks(of(valkey), 1)
    assert seen.readings[f"dead_queue_length{{queue={dead}}}"].value == 1
    assert seen.worst("dead_queue_length").state is State.WARN  # type: ignore[union-attr]


def test_dead_letters_of_other_backends_and_in_the_first_database_are_found(valkey: Valkey) -> None:
    valkey.client(1).lpush("dead_queue_another", 1, 2)
    valkey.client(0).lpush("dead_queue_caliper", 1, 2, 3)
    valkey.client(1).set("dead_queue_text", "no list")
    values = values_of(of(valkey))
    assert values["dead_queue_length{queue=dead_queue_another}"] == 2
    assert values["dead_queue_length{queue=dead_queue_caliper}"] == 3
    assert "dead_queue_length{queue=dead_queue_text}" not in values


def test_a_large_cache_is_not_searched(valkey: Valkey) -> None:
    cache = valkey.client(1)
    cache.mset({f"key {number}": "" for number in range(10_001)})
    cache.lpush("dead_queue_another", 1)
    cache.lpush("dead_queue_xapi", 1)
    cache.config_resetstat()
    values = values_of(of(valkey))
    assert values["dead_queue_length{queue=dead_queue_xapi}"] == 1
    assert "dead_queue_length{queue=dead_queue_another}" not in values
    assert "cmdstat_scan" not in cache.info("commandstats")


def test_a_database_that_may_not_be_selected_counts_nothing_twice(valkey: Valkey) -> None:
    valkey.client(1).lpush("dead_queue_xapi", 1)
    values = values_of(of(valkey, OPENEDX_CELERY_REDIS_DB="9999"))
    assert values["dead_queue_length{queue=dead_queue_xapi}"] == 1


# --- the event bus in Redis


def test_lag_and_pending_are_told_by_group(valkey: Valkey) -> None:
    client = valkey.client()
    for number in range(20):
        client.xadd("analytics", {"event": number})
    client.xgroup_create("analytics", GROUP, id="0")
    client.xgroup_create("analytics", "another", id="0")
    client.xreadgroup(GROUP, "aspects", {"analytics": ">"}, count=5)
    values = values_of(bus(valkey))
    assert values[f"redis_stream_lag{{group={GROUP},stream=analytics}}"] == 15
    assert values[f"redis_stream_pending{{group={GROUP},stream=analytics}}"] == 5
    assert values["redis_stream_lag{group=another,stream=analytics}"] == 20
    assert values["redis_stream_pending{group=another,stream=analytics}"] == 0


def test_lag_is_told_where_redis_does_not_tell_it(valkey: Valkey) -> None:
    client = valkey.client()
    ids = [client.xadd("analytics", {"event": number}) for number in range(30)]
    client.xgroup_create("analytics", GROUP, id="0")
    client.xreadgroup(GROUP, "aspects", {"analytics": ">"}, count=10)
    client.xdel("analytics", ids[20])
    assert client.xinfo_groups("analytics")[0]["lag"] is None
    reading = readings_of(bus(valkey))[f"redis_stream_lag{{group={GROUP},stream=analytics}}"]
    assert reading.value == 19
    client.xreadgroup(GROUP, "aspects", {"analytics": ">"})
    assert values_of(bus(valkey))[f"redis_stream_lag{{group={GROUP},stream=analytics}}"] == 0


def test_where_lag_is_not_told_no_more_than_some_entries_are_read(valkey: Valkey) -> None:
    client = valkey.client()
    ids = [client.xadd("analytics", {"event": number}) for number in range(700)]
    client.xgroup_create("analytics", GROUP, id="0")
    client.xdel("analytics", ids[600])
    reading = readings_of(bus(valkey))[f"redis_stream_lag{{group={GROUP},stream=analytics}}"]
    assert (reading.value, reading.why.startswith("At most")) == (699, True)


def test_a_group_that_is_not_there_has_all_before_it(valkey: Valkey) -> None:
    for number in range(4):
        valkey.client().xadd("analytics", {"event": number})
    reading = readings_of(bus(valkey))[f"redis_stream_lag{{group={GROUP},stream=analytics}}"]
    assert reading.value == 4
    assert "consume_events" in reading.why


def test_a_stream_that_is_not_there_is_unknown_and_says_what_to_set(valkey: Valkey) -> None:
    readings = readings_of(bus(valkey))
    assert readings["redis_up{use=event_bus}"].value == 1
    lag = readings[f"redis_stream_lag{{group={GROUP},stream=analytics}}"]
    assert lag.value is None
    assert "EVENT_BUS_TOPIC_PREFIX" in lag.why


def test_the_prefix_of_topics_is_that_of_the_stream(valkey: Valkey) -> None:
    valkey.client().xadd("dev-analytics", {"event": 1})
    prefixed = {"ASPECTS_ENABLE_EVENT_BUS_CONSUMER": "true", "EVENT_BUS_TOPIC_PREFIX": "dev"}
    assert values_of(of(valkey, **prefixed))[f"redis_stream_lag{{group={GROUP},stream=dev-analytics}}"] == 1


# --- Kafka


def test_lag_is_told_by_partition_and_group(kafka: Kafka) -> None:
    kafka.create("analytics", 3)
    kafka.produce("analytics", 0, 10)
    kafka.produce("analytics", 1, 5)
    kafka.commit("analytics", "one", {0: 4, 1: 5})
    found = values_of(kafka_readers(kafka.servers, ASPECTS_EVENT_BUS_GROUPS="one,never"))
    assert found["kafka_up"] == 1
    lag = {
        (group, partition): found[f"kafka_lag{{group={group},partition={partition},topic=analytics}}"]
        for group in ("one", "never")
        for partition in range(3)
    }
    assert lag == {
        ("one", 0): 6,
        ("one", 1): 0,
        ("one", 2): 0,
        ("never", 0): 10,
        ("never", 1): 5,
        ("never", 2): 0,
    }


def test_a_topic_that_is_not_there_is_unknown_and_is_not_made(kafka: Kafka) -> None:
    of_none = kafka_readers(kafka.servers, ASPECTS_EVENT_BUS_TOPIC="none-such")
    for _ in range(2):
        readings = readings_of(of_none)
        assert readings["kafka_up"].value == 1
        lag = readings[f"kafka_lag{{group={GROUP},topic=none-such}}"]
        assert lag.value is None
        assert "no such topic" in lag.why


def test_brokers_that_are_down_are_critical_and_come_back(kafka: Kafka) -> None:
    kafka.create("here", 1)
    asked = kafka_readers(kafka.servers, ASPECTS_EVENT_BUS_TOPIC="here")
    kafka.down()
    try:
        assert ticks(asked, 1).standings["kafka_up"].state is State.CRITICAL
    finally:
        kafka.up()
    assert values_of(asked)["kafka_up"] == 1


# --- what is wrong is told apart, and holds nobody up


def test_a_wrong_password_is_told_and_not_shown(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    readings = readings_of(of(valkey, REDIS_PASSWORD="sEcReT-wrong"))
    length = readings[f"celery_queue_length{{queue={LMS}}}"]
    assert (readings["redis_up{use=celery}"].value, length.value) == (1, None)
    assert "REDIS_PASSWORD" in length.why
    assert "sEcReT" not in f"{readings} {caplog.text}"


def test_a_user_that_may_not_ask_is_told_the_grant(valkey: Valkey) -> None:
    valkey.client().execute_command("ACL", "SETUSER", "poor", "on", ">pw", "+ping", "+select")
    try:
        poor = readings_of(of(valkey, REDIS_USERNAME="poor", REDIS_PASSWORD="pw"))
        length = poor[f"celery_queue_length{{queue={LMS}}}"]
        assert length.value is None
        grant = length.why.partition("ACL SETUSER <user> ")[2].split()
        assert grant
        valkey.client().execute_command("ACL", "SETUSER", "poor", *grant)
        allowed = values_of(of(valkey, REDIS_USERNAME="poor", REDIS_PASSWORD="pw"))
        assert None not in allowed.values()
    finally:
        valkey.client().execute_command("ACL", "DELUSER", "poor")


def test_a_redis_that_was_killed_is_critical_and_comes_back(own_valkey: Valkey) -> None:
    asked = of(own_valkey)
    own_valkey.kill()
    seen = ticks(asked, 1)
    assert seen.standings["redis_up{use=celery}"].state is State.CRITICAL
    assert "nothing listens there" in seen.standings["redis_up{use=celery}"].why
    assert seen.standings[f"celery_queue_length{{queue={LMS}}}"].state is State.UNKNOWN
    own_valkey.start()
    assert None not in values_of(asked).values()


def test_a_redis_that_hangs_is_critical_in_time(own_valkey: Valkey) -> None:
    own_valkey.hang()
    try:
        found = values_of(of(own_valkey, ASPECTS_ENABLE_EVENT_BUS_CONSUMER="true"))
        assert (found["redis_up{use=celery}"], found["redis_up{use=event_bus}"]) == (0, 0)
    finally:
        own_valkey.go_on()


def test_another_service_in_the_place_of_redis_is_told() -> None:
    with http_double({}) as other:
        other.answers[""] = http(400, "password=hidden")
        readings = readings_of(
            readers(load_settings({"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(other.port)}))
        )
    up = readings["redis_up{use=celery}"]
    assert up.value == 0
    assert "hidden" not in str(readings)


def test_a_slow_redis_is_read_all_the_same(valkey: Valkey) -> None:
    valkey.client().lpush(LMS, 1)
    valkey.client().client_pause(1_000)
    readings = readings_of(of(valkey))
    length = readings[f"celery_queue_length{{queue={LMS}}}"]
    assert length.value == 1
    assert length.took_ms > 500


def test_a_redis_that_is_down_is_told_where_only_dead_letters_are_watched() -> None:
    nowhere = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(free_port()), "ASPECTS_CELERY_QUEUES": "none"}
    seen = ticks(readers(load_settings(nowhere)), 1)
    assert seen.standings["redis_up{use=cache}"].state is State.CRITICAL


def test_a_slow_broker_is_read_and_a_slower_one_is_critical(kafka: Kafka) -> None:
    kafka.create("slow", 1)
    kafka.produce("slow", 0, 3)
    asked = kafka_readers(kafka.servers, ASPECTS_EVENT_BUS_TOPIC="slow")
    lag = f"kafka_lag{{group={GROUP},partition=0,topic=slow}}"
    try:
        kafka.slow(200)
        assert values_of(asked)[lag] == 3
        kafka.slow(4_000)
        assert values_of(asked)["kafka_up"] == 0
    finally:
        kafka.slow(0)
    assert values_of(asked)[lag] == 3


def test_a_password_for_kafka_is_never_shown(kafka: Kafka, capfd: pytest.CaptureFixture[str]) -> None:
    secret = {"EVENT_BUS_KAFKA_API_KEY": "lms", "EVENT_BUS_KAFKA_API_SECRET": "sEcReT"}
    readings = readings_of(kafka_readers(kafka.servers, **secret))
    assert readings["kafka_up"].value == 0
    assert "sEcReT" not in f"{readings} {capfd.readouterr()}"


# --- the sensor


def test_nothing_is_watched_that_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASPECTS_HOME", str(tmp_path))
    assert readers(load_settings({})) == []
    result, _ = ticked(queue_health())
    assert "REDIS_HOST" in str(result.skip_reason)
    assert not result.asset_events


def test_a_tick_observes_every_signal_and_remembers_little(
    valkey: Valkey, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey.client().xadd("ticked", {"event": 1})
    kafka.create("ticked", 1)
    everything = redis(valkey) | {
        "ASPECTS_EVENT_BUS_TOPIC": "ticked",
        "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": "true",
        "EVENT_BUS_REDIS_CONNECTION_URL": "",
        "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS": "",
    }
    for name, value in everything.items():
        monkeypatch.setenv(name, value)
    result, shown = ticked(queue_health())
    watched = {event.asset_key.path[-1] for event in result.asset_events}
    assert watched == {
        name for name, one in SIGNALS.items() if one.group == "queues" and not name.startswith("kafka")
    }
    assert len(str(result.cursor)) < 5_000
    assert PASSWORD not in shown
    monkeypatch.setenv("EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS", kafka.servers)
    result, _ = ticked(queue_health(), result.cursor)
    assert "kafka_lag" in {event.asset_key.path[-1] for event in result.asset_events}


def test_a_tick_ends_in_time_though_all_of_it_hangs(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_valkey.hang()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = redis(own_valkey) | {
            "EVENT_BUS_REDIS_CONNECTION_URL": f"redis://:{'pw'}@127.0.0.1:{own_valkey.port}/0",
            "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent.getsockname()[1]}",
        }
        for name, value in hanging.items():
            monkeypatch.setenv(name, value)
        try:
            assert timed(lambda: ticked(queue_health())) < 10
            result, shown = ticked(queue_health())
        finally:
            own_valkey.go_on()
    assert "critical" in str(result.skip_reason)
    assert PASSWORD not in shown


def test_a_tick_does_not_fail_because_everything_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = str(free_port())
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", nowhere)
    monkeypatch.setenv("EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{nowhere}")
    result, _ = ticked(queue_health())
    assert "2 critical" in str(result.skip_reason)

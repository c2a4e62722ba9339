"""Acting by itself is bounded: loads pause and go on, a lag is replayed once, new logs are asked for without a storm."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from services.bad_http import hanging
from services.ports import free_port
from services.site import Site

from aspects_orchestration.assets.pipeline_health import health_key
from aspects_orchestration.definitions import defs
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.monitoring.acting import AGAIN, TRIES, Asked, Lag, Memory, decide
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.replay.result import LoadResult, utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.sensors import act_on_health, new_tracking_logs
from aspects_orchestration.warehouse.merges import Pause, wait_for_all_merges

RAW = "xapi.xapi_events_all"
INSERT = (
    "INSERT INTO xapi.xapi_events_all"
    " SELECT generateUUIDv4(), toDateTime64('2023-01-01 00:00:00', 6), '{}' FROM numbers(1)"
)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATE = Lag(State.CRITICAL, NOW - timedelta(hours=1), NOW - timedelta(hours=3), NOW - timedelta(minutes=5))


def crowd(site: Site, parts: int = 6) -> None:
    site.sql(f"SYSTEM STOP MERGES {RAW}", admin=True)
    for _ in range(parts):
        site.sql(INSERT, admin=True)


def test_loads_pause_while_any_partition_has_too_many_parts_and_go_on_by_themselves(site: Site) -> None:
    warehouse = site.warehouse()
    crowd(site)
    said: list[str] = []
    waits, waited = threading.Event(), []

    def say(text: str) -> None:
        said.append(text)
        waits.set()

    waiting = threading.Thread(
        target=lambda: waited.append(wait_for_all_merges(warehouse, Pause(5, 3, 60), say=say))
    )
    waiting.start()
    assert waits.wait(30)
    assert "ASPECTS_PAUSE_BACKFILLS" in said[0]
    assert "partition 202301 has 6 parts" in said[0]
    site.sql(f"SYSTEM START MERGES {RAW}", admin=True)
    site.sql(f"OPTIMIZE TABLE {RAW} FINAL", admin=True)
    waiting.join(timeout=60)
    assert not waiting.is_alive()
    assert waited[0] > 0
    assert "going on" in said[-1]


def test_a_pause_that_lasts_too_long_fails_with_what_to_do(site: Site) -> None:
    warehouse = site.warehouse()
    crowd(site)
    with pytest.raises(WarehouseError, match="ASPECTS_LONGEST_PAUSE_MINUTES"):
        wait_for_all_merges(warehouse, Pause(5, 3, 0.0), say=lambda _: None)
    assert wait_for_all_merges(warehouse, None, say=lambda _: None) == 0
    assert wait_for_all_merges(warehouse, Pause(7, 3, 0.0), say=lambda _: None) == 0, "below, nobody waits"


def test_a_lag_is_replayed_once_and_never_again_for_what_could_not_be_filled() -> None:
    first = decide(LATE, Memory(), "unknown", now=NOW, switched_on=True)
    assert first.replay is not None
    assert (first.since, first.until) == (
        NOW - timedelta(hours=3),
        NOW - timedelta(minutes=5) + timedelta(seconds=1),
    )
    memory = Memory.read(first.memory.written())
    assert memory == first.memory
    assert decide(LATE, memory, "under way", now=NOW, switched_on=True).replay is None
    later = NOW + timedelta(hours=2)
    done = decide(LATE, memory, "succeeded", now=later, switched_on=True)
    assert done.replay is None
    assert "has been given already" in done.why


def test_a_replay_that_fails_is_given_up_after_some_tries() -> None:
    memory, now, asked = Memory(), NOW, 0
    for _ in range(20):
        decision = decide(LATE, memory, "failed", now=now, switched_on=True)
        asked += decision.replay is not None
        memory, now = decision.memory, now + AGAIN
    assert asked == TRIES
    assert memory.asked is not None
    well = decide(Lag(State.OK, None, None, None), memory, "failed", now=now, switched_on=True)
    assert well.memory.asked is None, "the next outage begins anew"


def test_where_it_is_off_a_replay_is_offered_once() -> None:
    first = decide(LATE, Memory(), "unknown", now=NOW, switched_on=False)
    assert first.offer
    assert "jobs.recover window --since 2026-05-01T09:00:00Z" in first.command()
    assert not decide(LATE, first.memory, "unknown", now=NOW, switched_on=False).offer
    assert Asked(NOW, NOW, NOW).key != Asked(NOW, NOW, NOW, 2).key


def test_new_logs_are_read_then_loaded_without_a_storm(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is asked for is looked at here, and not how soon: on a busy machine a tick may take longer than it is given.
    monkeypatch.setattr(new_tracking_logs, "_DEADLINE_S", 120.0)
    site.environ["ASPECTS_LOAD_NEW_LOGS"] = "true"
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    old = site.write_samples(SampleSpec(lines=200), files=2)
    for file in old:
        os.utime(file, (1_700_000_000, 1_700_000_000))
    repository, cursor, said = defs().get_repository_def(), "", ""
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> list[dg.RunRequest]:
            nonlocal cursor, said
            context = dg.build_sensor_context(
                instance=instance,
                cursor=cursor,
                resources={
                    "clickhouse": ClickHouseResource(),
                    "log_storage": LogStorageResource(region=None, endpoint_url=None),
                },
            )
            result = repository.get_sensor_def("new_tracking_logs")(context)
            assert isinstance(result, dg.SensorResult)
            cursor, said = result.cursor or "", str(result.skip_reason)
            return list(result.run_requests or ())

        def observe() -> None:
            repository.get_job("observe_tracking_logs").execute_in_process(instance=instance)

        assert [one.job_name for one in tick()] == ["observe_tracking_logs"]
        assert tick() == [], "it was asked for just now"
        observe()
        assert tick() == [], "what was there before anybody watched is not loaded by itself"
        new = site.logs / "arrived.log"
        new.write_bytes(old[0].read_bytes())
        os.utime(new, (1_700_000_000, 1_700_000_000))
        assert [one.job_name for one in tick()] == ["observe_tracking_logs"]
        observe()
        asked = tick()
        assert [one.job_name for one in asked] == ["backfill_xapi_events_all"] * 2
        assert [one.partition_key for one in asked] == ["2024-05", "2024-04"], (
            "the newest first; not the old log's June"
        )
        assert tick() == [], "each was asked for just now"
        for month in ("2024-04", "2024-05"):
            site.load(month)
        assert tick() == []
        assert "3 logs listed: 0 are new or have grown" in said
        assert "not loaded now" not in said
        assert len(cursor) < 1_000


def test_a_whole_load_pauses_and_goes_on_and_nothing_is_lost_or_doubled(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rules = tmp_path_factory.mktemp("rules") / "alerts.yaml"
    rules.write_text("signals: {clickhouse_max_parts: {warn: 40, critical: 50}}\n")
    site.environ |= {"ASPECTS_PAUSE_BACKFILLS": "true", "ASPECTS_ALERTS_FILE": str(rules)}
    site.write_samples(SampleSpec(lines=600))
    site.warehouse()
    crowd(site, 45)
    of_may = (
        "SELECT count(), uniqExact(event_id) FROM xapi.xapi_events_all WHERE toYYYYMM(emission_time) = 202405"
    )
    said: list[str] = []
    loads: list[LoadResult] = []
    paused = threading.Event()

    class Told(list[str]):
        def append(self, text: str) -> None:
            said.append(text)
            if "ASPECTS_PAUSE_BACKFILLS" in text:
                paused.set()

    loading = threading.Thread(target=lambda: loads.append(site.load("2024-05", Told())))
    loading.start()
    assert paused.wait(60), said
    assert site.sql(of_may, admin=True) == b"0\t0\n"
    site.sql(f"SYSTEM START MERGES {RAW}", admin=True)
    site.sql(f"OPTIMIZE TABLE {RAW} FINAL", admin=True)
    loading.join(timeout=120)
    assert not loading.is_alive()
    assert any("going on" in text for text in said)
    (result,) = loads
    assert result.statements is not None
    assert site.sql(of_may, admin=True) == f"{result.ids}\t{result.ids}\n".encode()
    again = site.load("2024-05")
    assert again.statements is not None
    assert (again.statements.inserted, again.ids) == (0, result.ids)


def test_a_critical_lag_is_replayed_by_the_sensor_and_its_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.environ["ASPECTS_REPLAY_LAG"] = "true"
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    now = utc_now()
    site.write_samples(SampleSpec(lines=300, start=now - timedelta(days=2), end=now - timedelta(hours=1)))
    repository = defs().get_repository_def()
    sensor = repository.get_sensor_def("act_on_health")
    with dg.DagsterInstance.ephemeral() as instance:
        repository.get_job("observe_tracking_logs").execute_in_process(instance=instance)
        site.sql(
            "INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(), now64(6) - INTERVAL 3 DAY, '{}'",
            admin=True,
        )
        cursor = None

        def tick() -> dg.SensorResult:
            nonlocal cursor
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"clickhouse": ClickHouseResource()}
            )
            result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
            return result

        assert "switch on the sensor clickhouse_health" in str(tick().skip_reason)
        late = dg.AssetObservation(
            health_key("clickhouse_lag"), metadata={"state": "critical", "value": 9_000.0}
        )
        instance.report_runless_asset_event(late)
        monkeypatch.setattr(act_on_health, "utc_now", lambda: now + timedelta(minutes=19))
        result = tick()
        (asked,) = [one for one in result.run_requests or () if one.job_name == "replay_window"]
        assert result.asset_events, "and it is said"
        done = repository.get_job("replay_window").execute_in_process(
            run_config=asked.run_config, instance=instance, tags={"dagster/run_key": str(asked.run_key)}
        )
        assert done.success
        inside = f"emission_time >= '{now - timedelta(days=2):%Y-%m-%d %H:%M:%S}'"
        count = f"SELECT count() - uniqExact(event_id), count() > 0 FROM {RAW} WHERE {inside}"
        assert site.sql(count, admin=True) == b"0\t1\n"
        # The signal still stands: nobody has looked since. What a replay was given is not asked for again.
        again = tick()
        assert not [one for one in again.run_requests or () if one.job_name == "replay_window"]


@pytest.mark.parametrize("down", ["gone", "hanging"])
def test_a_tick_never_fails_because_clickhouse_is_down(
    site: Site, monkeypatch: pytest.MonkeyPatch, down: str
) -> None:
    site.write_samples(SampleSpec(lines=50))
    with hanging() as port:
        used = port if down == "hanging" else free_port()
        site.environ["ASPECTS_CLICKHOUSE_URL"] = f"http://operator:hidden-word@127.0.0.1:{used}"
        for name, value in site.variables.items():
            monkeypatch.setenv(name, value)
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(
                instance=instance,
                resources={
                    "clickhouse": ClickHouseResource(),
                    "log_storage": LogStorageResource(region=None, endpoint_url=None),
                },
            )
            started = time.monotonic()
            result = defs().get_repository_def().get_sensor_def("new_tracking_logs")(context)
            assert time.monotonic() - started < 10
    assert isinstance(result, dg.SensorResult)
    assert not result.run_requests
    assert "hidden-word" not in str(result)

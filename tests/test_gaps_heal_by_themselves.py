"""The sensor offers hours that fall short; where it is switched on it replays just these, and never for ever."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from services.gaps import FIRST, MAY, hour, hours, house, lines, lose, numbers, of_hours, seen, write
from services.site import Site

from aspects_orchestration.definitions import defs
from aspects_orchestration.gaps.compare import Hour
from aspects_orchestration.gaps.heal import AGAIN, TRIES, Memory, stretches
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.sensors import xapi_gaps

__all__ = ["hours", "house"]

NOW = FIRST + timedelta(days=10)
DAYS = dict.fromkeys(range(120), 10)


class Ticking:
    """The sensor as the daemon ticks it: it keeps the cursor, and asks for no run key twice."""

    def __init__(self, site: Site, instance: dg.DagsterInstance, patch: pytest.MonkeyPatch) -> None:
        self.site, self.instance, self.patch = site, instance, patch
        self.cursor: str | None = None
        self.keys: set[str] = set()
        self.observed: list[dg.AssetObservation] = []
        self.said = ""
        for name, value in site.variables.items():
            patch.setenv(name, value)

    def tick(self, at: datetime) -> list[dg.RunRequest]:
        self.patch.setattr(xapi_gaps, "utc_now", lambda: at)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={
                "clickhouse": ClickHouseResource(),
                "log_storage": LogStorageResource(region=None, endpoint_url=None),
            },
        )
        result = defs().get_repository_def().get_sensor_def("xapi_gaps")(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.observed += [one for one in result.asset_events if isinstance(one, dg.AssetObservation)]
        self.said = str(result.skip_reason)
        asked = [one for one in result.run_requests or () if one.run_key not in self.keys]
        self.keys |= {str(one.run_key) for one in asked}
        return asked

    def run(self, request: dg.RunRequest) -> bool:
        job = defs().resolve_job_def(str(request.job_name))
        done = job.execute_in_process(
            run_config=request.run_config,
            partition_key=request.partition_key,
            instance=self.instance,
            raise_on_error=False,
        )
        return done.success


@pytest.fixture
def ticking(hours: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    hours.environ["ASPECTS_REPLAY_GAPS"] = "true"
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticking(hours, instance, monkeypatch)


def config(request: dg.RunRequest) -> dict[str, str]:
    found: dict[str, str] = request.run_config["ops"]["xapi_events_all"]["config"]
    return found


def test_an_outage_heals_from_the_logs(hours: Site, ticking: Ticking) -> None:
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    whole = hours.rows()
    lose(hours, of_hours(20, 21, 22, 60))

    assert ticking.tick(NOW) == []
    assert "statements may still come in by themselves" in ticking.said
    (request,) = ticking.tick(NOW + timedelta(hours=1))
    assert request.partition_key == MAY
    assert config(request) == {"since": "2024-05-20T20:00:00Z", "until": "2024-05-20T23:00:00Z"}
    assert ticking.run(request)
    assert numbers(seen(hours)) == [60]
    (other,) = ticking.tick(NOW + timedelta(hours=1, minutes=30))
    assert config(other) == {"since": "2024-05-22T12:00:00Z", "until": "2024-05-22T13:00:00Z"}
    assert ticking.run(other)
    assert hours.rows() == whole
    assert ticking.tick(NOW + timedelta(hours=2)) == []
    assert "none falls short" in ticking.said
    assert json.loads(str(ticking.cursor)) == {"gaps": {}, "told": []}


def test_statements_that_still_come_in_are_waited_for(hours: Site, ticking: Ticking) -> None:
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    lose(hours, of_hours(20))
    hours.sql("CREATE TABLE IF NOT EXISTS xapi.late AS xapi.xapi_events_all", admin=True)
    late = f"SELECT generateUUIDv4(), fromUnixTimestamp64Micro({hour(20)} * 3600000000 + 5), '{{}}' FROM numbers(3)"
    assert ticking.tick(NOW) == []
    hours.sql(f"INSERT INTO xapi.xapi_events_all {late}", admin=True)
    assert ticking.tick(NOW + timedelta(hours=1)) == []
    assert ticking.tick(NOW + timedelta(hours=1, minutes=59)) == []
    assert len(ticking.tick(NOW + timedelta(hours=2))) == 1
    hours.sql("DROP TABLE xapi.late", admin=True)


def test_hours_that_a_replay_cannot_fill_are_not_asked_for_again(hours: Site, ticking: Ticking) -> None:
    write(hours, "a.log.1", lines({n: 10 for n in DAYS if n != 40}))
    write(hours, "b.log.1", lines({40: 10}, unknown=10))
    hours.load(MAY)
    hours.sql("TRUNCATE TABLE aspects_orchestration.loaded_hours", admin=True)
    ticking.tick(NOW)
    (request,) = ticking.tick(NOW + timedelta(hours=1))
    assert ticking.run(request)
    assert numbers(seen(hours)) == []
    for day in range(1, 4):
        assert ticking.tick(NOW + timedelta(days=day)) == []


def test_a_replay_that_fails_is_tried_again_a_few_times_and_given_up(hours: Site, ticking: Ticking) -> None:
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    lose(hours, of_hours(20))
    ticking.tick(NOW)
    at = NOW + timedelta(hours=1)
    for _ in range(TRIES):
        assert len(ticking.tick(at)) == 1
        assert ticking.tick(at + timedelta(hours=1)) == []
        assert "replayed less than 20 hours ago" in ticking.said
        at += AGAIN
    assert ticking.tick(at) == []
    assert "given up after 3 replays" in ticking.said
    # Other lines are another matter.
    write(hours, "late.log.1", lines({20: 5}, seed=500))
    (observe,) = ticking.tick(at + timedelta(hours=1))
    assert observe.job_name == "observe_tracking_logs"
    assert ticking.run(observe)
    assert ticking.tick(at + timedelta(hours=2)) == []
    (again,) = ticking.tick(at + timedelta(hours=3))
    assert ticking.run(again)
    assert numbers(seen(hours, until=at)) == []


def test_it_only_offers_unless_replays_are_switched_on(hours: Site, ticking: Ticking) -> None:
    ticking.patch.setenv("ASPECTS_REPLAY_GAPS", "false")
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    assert ticking.tick(NOW) == []
    assert ticking.observed == []
    lose(hours, of_hours(20))
    for later in range(1, 4):
        assert ticking.tick(NOW + timedelta(hours=later)) == []
        assert "1 fall short" in ticking.said
        assert "ASPECTS_REPLAY_GAPS is not on" in ticking.said
    (told,) = ticking.observed
    assert told.asset_key == dg.AssetKey("tracking_logs")
    assert "| 2024-05-20 20:00 | 10 | 10 | 0 | 10 |" in str(told.metadata["gaps"].value)
    assert '"since": "2024-05-20T20:00:00Z"' in str(told.metadata["replay"].value)
    lose(hours, of_hours(50))
    ticking.tick(NOW + timedelta(hours=4))
    assert len(ticking.observed) == 2
    hours.load(MAY)
    ticking.tick(NOW + timedelta(hours=5))
    assert ticking.observed[-1].metadata["hours_short"].value == 0, "that it is over is told too"


def test_a_month_that_is_being_loaded_is_left_alone_and_two_months_go_at_once(
    hours: Site, ticking: Ticking
) -> None:
    write(hours, "a.log.1", lines(dict.fromkeys(range(24 * 11, 24 * 13), 10)))
    for month in (MAY, "2024-06"):
        hours.load(month)
    lose(hours, of_hours(24 * 11 + 3, 24 * 12 + 3))
    at = FIRST + timedelta(days=15)
    assert ticking.tick(at) == []
    with_run = dg.DagsterInstance.ephemeral()
    job = defs().resolve_job_def("backfill_xapi_events_all")
    run = with_run.create_run_for_job(
        job, tags={"dagster/partition": "2024-06"}, status=dg.DagsterRunStatus.STARTED
    )
    assert with_run.get_run_by_id(run.run_id) is not None
    free, ticking.instance = ticking.instance, with_run
    (may,) = ticking.tick(at + timedelta(hours=1))
    assert may.partition_key == MAY
    with_run.dispose()
    ticking.instance = free
    (june,) = ticking.tick(at + timedelta(hours=1, minutes=30))
    assert june.partition_key == "2024-06"


def test_new_logs_are_read_by_the_job_and_once_an_hour_at_most(hours: Site, ticking: Ticking) -> None:
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    write(hours, "new.log.1", lines({30: 5}, seed=500))
    live = write(hours, "tracking.log", lines({31: 5}, seed=600))
    os.utime(live, (time.time(), time.time()))
    (request,) = ticking.tick(NOW)
    assert (request.job_name, request.partition_key) == ("observe_tracking_logs", None)
    assert ticking.tick(NOW + timedelta(minutes=30)) == []
    assert len(ticking.tick(NOW + timedelta(minutes=60))) == 1
    assert ticking.run(request)
    assert ticking.tick(NOW + timedelta(minutes=90)) == []


def test_clickhouse_that_is_down_is_said_and_nothing_is_forgotten(
    hours: Site, ticking: Ticking, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    lose(hours, of_hours(20))
    ticking.tick(NOW)
    before = ticking.cursor
    monkeypatch.setenv("ASPECTS_CLICKHOUSE_URL", "http://pipeline:secret@127.0.0.1:9")
    assert ticking.tick(NOW + timedelta(hours=1)) == []
    assert "ClickHouse at 127.0.0.1:9" in ticking.said
    assert "secret" not in ticking.said
    assert ticking.cursor == before
    monkeypatch.delenv("ASPECTS_CLICKHOUSE_URL")
    assert len(ticking.tick(NOW + timedelta(hours=2))) == 1


def test_logs_that_cannot_be_listed_are_said(hours: Site, ticking: Ticking) -> None:
    ticking.patch.setenv("ASPECTS_TRACKING_LOGS", str(hours.folder / "nowhere"))
    assert ticking.tick(NOW) == []
    assert "ASPECTS_TRACKING_LOGS" in ticking.said


# --- what is remembered ------------------------------------------------------------------------------------------


def gap(number: int, *, found: int = 0, lines_: int = 10, missing: int = 10) -> Hour:
    return Hour(number, lines_, found, found + missing, 1, known=True)


def test_the_cursor_is_bounded_and_survives_what_is_not_one() -> None:
    memory = Memory({}).after([gap(477_000 + number) for number in range(5_000)], NOW)
    written = memory.written()
    assert len(written) < 50_000
    assert set(Memory.read(written).hours) == set(range(477_000 + 4_000, 477_000 + 5_000))
    assert Memory.read(Memory({1: memory.hours[477_000]}, (1,)).written()) == Memory(
        {1: memory.hours[477_000]}, (1,)
    )
    for broken in (None, "", "{", "[]", '{"gaps": 3}', '{"gaps": {"a": [1]}, "told": []}'):
        assert Memory.read(broken) == Memory({})


def test_stretches_join_what_is_near_and_take_small_losses_beside_them_along() -> None:
    day = int(datetime(2024, 5, 3, tzinfo=UTC).timestamp()) // 3600
    made = [gap(day + 2, missing=1), gap(day + 3), gap(day + 6), gap(day + 10), gap(day + 11, missing=1)]
    first, second = stretches(made)
    assert (first.since.hour, first.until.hour, first.missing) == (2, 7, 21)
    assert [one.hour - day for one in first.hours] == [3, 6]
    assert (second.since.hour, second.until.hour, second.missing) == (10, 12, 11)

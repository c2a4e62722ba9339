"""Lines that wait for a user or a course are offered again when the LMS knows whom they name; nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest
from services.events import COURSE, enrolled, peopled_site, statements, who
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.definitions import defs
from aspects_orchestration.partitions import months
from aspects_orchestration.replay.arrivals import Position, Sweep, sweep
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.tracking.stores import S3Options

MAY, JUNE = "2024-05", "2024-06"
NEW_COURSE = "course-v1:New+C+1"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from peopled_site(tmp_path_factory)


@pytest.fixture
def site(house: Site, lms_sqlite: LmsTables, tmp_path: object) -> Site:
    """May waits for users 1 and 2, of whom one is asked for by name, June for a course; user 0 is known."""
    house.environ = {
        "ASPECTS_LMS_DATABASE_URL": lms_sqlite.url.get_secret_value(),
        "ASPECTS_IDENTITIES": "lms",
        "ASPECTS_COURSES": "lms",
        "ASPECTS_TRACKING_LOG_ARCHIVE": str(tmp_path),
        "ASPECTS_FIRST_MONTH": "2024-04",
    }
    house.warehouse()
    house.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    lms_sqlite.add_user(who(0).user_id, who(0).username, external_id=who(0).external_user_id)
    lms_sqlite.add_course(COURSE)
    by_name = enrolled(
        "2024-05-03T00:00:00Z", learner=who(2), context={"course_id": COURSE, "path": "/"}
    ).replace(f',"user_id":{who(2).user_id}'.encode(), b"")
    (house.logs / "all.log.1").write_bytes(
        enrolled("2024-05-01T00:00:00Z")
        + enrolled("2024-05-02T00:00:00Z", learner=who(1))
        + by_name
        + enrolled("2024-06-01T00:00:00Z", course=NEW_COURSE)
    )
    assert dict(house.load(MAY).account.missing) == {"users": 2}
    assert dict(house.load(JUNE).account.missing) == {"courses": 1}
    return house


def look(site: Site, **how: object) -> Sweep:
    keys = months("2024-04").get_partition_keys()
    return sweep(site.settings, site.warehouse(), keys, s3=S3Options(), **how)  # type: ignore[arg-type]


def found(one: Sweep) -> list[tuple[str, int, int]]:
    return [(arrival.month, arrival.users, arrival.courses) for arrival in one.arrivals]


def test_months_whose_users_or_courses_have_arrived_are_found(site: Site, lms_sqlite: LmsTables) -> None:
    assert look(site) == Sweep((), 3, None)
    # Without an external id a user is still missing.
    lms_sqlite.add_user(who(2).user_id, who(2).username, external_id=None)
    assert found(look(site)) == []
    lms_sqlite.add_external_id(who(2).user_id, who(2).external_user_id)
    assert found(look(site)) == [(MAY, 1, 0)]
    lms_sqlite.add_course(NEW_COURSE)
    assert found(look(site)) == [(MAY, 1, 0), (JUNE, 0, 1)]

    # Replayed: who is still missing is in a quarantine of its own, and nobody of it has arrived.
    site.load(MAY, sources=("quarantine",))
    assert [one["actor"]["account"]["name"] for one in statements(site, MAY)] == [
        who(0).external_user_id,
        who(2).external_user_id,
    ]
    assert found(look(site)) == [(JUNE, 0, 1)]
    lms_sqlite.add_user(who(1).user_id, who(1).username, external_id=who(1).external_user_id)
    assert found(look(site)) == [(MAY, 1, 0), (JUNE, 0, 1)]


def test_a_sweep_without_time_goes_on_where_it_ended(site: Site, lms_sqlite: LmsTables) -> None:
    lms_sqlite.add_course(NEW_COURSE)
    position: Position | None = None
    positions, arrivals = [], []
    while True:
        one = look(site, after=position, budget_s=0)
        arrivals += found(one)
        position = one.rest
        if position is None:
            break
        positions.append(position)
    assert len(positions) == len(set(positions)) >= 3
    assert Position(MAY, 2) in positions
    assert arrivals == [(JUNE, 0, 1)]


def tick(site: Site, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult | object:
    sensor = defs().get_repository_def().get_sensor_def("replay_quarantine_when_they_arrive")
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        resources={
            "clickhouse": ClickHouseResource(),
            "log_storage": LogStorageResource(region=None, endpoint_url=None),
        },
    )
    return sensor(context)


def test_the_sensor_asks_for_a_replay_of_each_such_month_once(
    site: Site, lms_sqlite: LmsTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        nobody = tick(site, instance)
        assert isinstance(nobody, dg.SensorResult)
        assert "looked up 3" in str(nobody.skip_reason)
        lms_sqlite.add_user(who(1).user_id, who(1).username, external_id=who(1).external_user_id)
        one, again = tick(site, instance), tick(site, instance)
        assert isinstance(one, dg.SensorResult)
        assert isinstance(again, dg.SensorResult)
        (request,) = one.run_requests or ()
        assert request.partition_key == MAY
        assert request.run_config == {"ops": {"xapi_events_all": {"config": {"source": "quarantine"}}}}
        assert [other.run_key for other in again.run_requests or ()] == [request.run_key]
        shown = json.dumps([request.run_key, str(one.cursor)])
        assert str(who(1).user_id) not in shown

        job = defs().get_repository_def().get_job("backfill_xapi_events_all")
        done = job.execute_in_process(
            run_config=request.run_config, partition_key=MAY, instance=instance, raise_on_error=False
        )
        assert done.success
        assert len(statements(site, MAY)) == 2
        after = tick(site, instance)
        assert isinstance(after, dg.SensorResult)
        assert not after.run_requests


def test_a_database_that_does_not_answer_is_said_and_the_place_is_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.environ["ASPECTS_LMS_DATABASE_URL"] = "mysql+pymysql://reader:secret@127.0.0.1:9/openedx"
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    cursor = json.dumps(vars(Position(MAY, 1)))
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(site, instance, cursor)
    assert isinstance(result, dg.SensorResult)
    assert "127.0.0.1" in str(result.skip_reason)
    assert "secret" not in str(result.skip_reason)
    assert result.cursor == cursor


def test_sources_that_are_files_are_looked_at_too(site: Site) -> None:
    people = site.folder / "identities.csv"
    site.environ |= {"ASPECTS_IDENTITIES": str(people)}
    assert replace(site.settings).identities_sources == (str(people),)
    assert found(look(site)) == [(MAY, 2, 0)]

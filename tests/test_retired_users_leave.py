"""Personal data leaves ClickHouse: that of retired users, and all of it when it is switched off. Statements stay."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest
from services.events import enrolled, peopled_site, statements, who
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.checks.personal_data import Asked, no_retired_users
from aspects_orchestration.definitions import defs
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.retirement import retired_among, retired_prefix, retired_users
from aspects_orchestration.warehouse import personal_data
from aspects_orchestration.warehouse.personal_data import (
    PiiPlan,
    delete_users,
    empty,
    plan_deletion,
    plan_emptying,
)

TABLES = ("external_id", "user_profile", "course_enrollment")
LIVING = set(range(1, 13))
RETIRED = {3, 7, 11}
UNDER_WAY = {5}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all of them."""
    yield from peopled_site(tmp_path_factory)


@pytest.fixture
def site(house: Site) -> Site:
    """The site without copies of LMS tables, and with nothing of its own in its environment."""
    house.environ.clear()
    house.warehouse()
    for table in TABLES:
        house.sql(f"SYSTEM START MERGES event_sink.{table}", admin=True)
        # Anew, so that there are no mutations of earlier tests.
        house.sql(f"DROP TABLE event_sink.{table} SYNC", admin=True)
    house.warehouse()
    return house


def fill(site: Site, users: set[int] = LIVING) -> None:
    """Two dumps of each user."""
    site.warehouse()
    ids = ", ".join(map(str, sorted(users)))
    for table, columns, values in (
        (
            "external_id",
            "external_user_id, external_id_type, username, user_id",
            "toUUID(concat('00000000-0000-0000-0000-', leftPad(toString(u), 12, '0'))), 'xapi', concat('user_', u), u",
        ),
        (
            "user_profile",
            "id, user_id, name, username, email",
            "u, u, concat('Name ', u), concat('user_', u), concat(u, '@example.com')",
        ),
        (
            "course_enrollment",
            "id, course_key, is_active, mode, username, user_id",
            "u, 'course-v1:A+B+C', true, 'audit', concat('user_', u), u",
        ),
    ):
        site.sql(
            f"INSERT INTO event_sink.{table} ({columns}, dump_id, time_last_dumped) SELECT {values}, generateUUIDv4(),"
            f" arrayJoin(['2024-05-01', '2024-05-02']) FROM (SELECT arrayJoin([{ids}]) AS n, n AS u)",
            admin=True,
        )


def users_of(site: Site, table: str) -> set[int]:
    return {
        int(one) for one in site.sql(f"SELECT DISTINCT user_id FROM event_sink.{table}", admin=True).split()
    }


def named(site: Site) -> set[int]:
    return {
        int(one)
        for one in site.sql(
            "SELECT DISTINCT user_id FROM event_sink.course_enrollment WHERE username != ''", admin=True
        ).split()
    }


def retire(lms: LmsTables) -> None:
    for number in sorted(LIVING):
        gone = number in RETIRED
        lms.add_user(number, f"retired__user_{number:08x}" if gone else None, profile=False)
    for number in RETIRED:
        lms.add_retirement(number)
    for number in UNDER_WAY:
        lms.add_retirement(number, "LOCKING_ACCOUNT")


def planned(site: Site, lms: LmsTables) -> PiiPlan:
    database = LmsDatabase(lms.reader_url)
    prefix = retired_prefix(database)
    assert prefix is not None
    return plan_deletion(site.warehouse(), "event_sink", retired_users(database), retired_prefix=prefix)


@pytest.fixture(params=["mariadb", "sqlite"])
def tables(request: pytest.FixtureRequest) -> LmsTables:
    found: LmsTables = request.getfixturevalue("lms" if request.param == "mariadb" else "lms_sqlite")
    return found


def test_users_whose_retirement_is_completed_are_deleted_and_no_others(site: Site, tables: LmsTables) -> None:
    fill(site)
    retire(tables)
    plan = planned(site, tables)
    assert plan.described()[:3] == [
        "event_sink.external_id: 6 rows of 3 users",
        "event_sink.user_profile: 6 rows of 3 users",
        "event_sink.course_enrollment: usernames of 6 rows of 3 users",
    ]
    assert "7" not in repr(plan)
    assert users_of(site, "external_id") == LIVING  # a plan only counts
    said: list[str] = []

    assert delete_users(site.warehouse(), plan, say=said.append) == 18

    assert users_of(site, "external_id") == users_of(site, "user_profile") == LIVING - RETIRED
    assert users_of(site, "course_enrollment") == LIVING
    assert named(site) == LIVING - RETIRED
    assert planned(site, tables).rows == 0
    said.clear()
    assert delete_users(site.warehouse(), planned(site, tables), say=said.append) == 0
    assert said == []


def test_the_name_that_the_lms_gives_to_retired_users_may_stand(site: Site, tables: LmsTables) -> None:
    fill(site)
    retire(tables)
    site.sql(
        "ALTER TABLE event_sink.course_enrollment UPDATE username = concat('retired__user_', leftPad(hex(user_id), 8, '0'))"
        " WHERE user_id IN (3, 7, 11) SETTINGS mutations_sync = 2",
        admin=True,
    )
    rows = {one.table: one.rows for one in planned(site, tables).tables}
    assert rows == {"external_id": 6, "user_profile": 6, "course_enrollment": 0}


def test_a_site_that_retired_nobody_has_nothing_to_delete(site: Site, tables: LmsTables) -> None:
    fill(site)
    tables.add_user(3)
    assert list(retired_users(LmsDatabase(tables.reader_url))) == []
    assert retired_prefix(LmsDatabase(tables.reader_url)) is None
    assert plan_deletion(site.warehouse(), "event_sink", []).rows == 0


def mutations(site: Site, table: str = "external_id") -> int:
    return int(
        site.sql(
            f"SELECT count() FROM system.mutations WHERE database = 'event_sink' AND table = '{table}'",
            admin=True,
        )
    )


def test_a_deletion_that_is_under_way_is_waited_for_and_not_sent_again(
    site: Site, lms_sqlite: LmsTables
) -> None:
    fill(site)
    retire(lms_sqlite)
    plan = planned(site, lms_sqlite)
    for table in TABLES:
        site.sql(f"SYSTEM STOP MERGES event_sink.{table}", admin=True)
    said: list[str] = []
    with pytest.raises(WarehouseError, match="KILL MUTATION") as late:
        delete_users(site.warehouse(), plan, say=said.append, wait_s=0.2)
    assert "not done after" in late.value.what
    assert mutations(site) == mutations(site, "course_enrollment") == 1
    # As platform-plugin-aspects sends it, for one of them.
    site.sql(
        "ALTER TABLE event_sink.user_profile DELETE WHERE user_id IN (3) SETTINGS mutations_sync = 0",
        admin=True,
    )
    said.clear()
    starter = threading.Timer(
        0.5, lambda: [site.sql(f"SYSTEM START MERGES event_sink.{table}", admin=True) for table in TABLES]
    )
    starter.start()

    delete_users(site.warehouse(), plan, say=said.append)

    starter.join()
    assert mutations(site) == mutations(site, "course_enrollment") == 1
    assert said[:3] == [
        "event_sink.external_id: 3 users are being deleted already",
        "event_sink.user_profile: 3 users are being deleted already",
        "event_sink.course_enrollment: 3 users are being deleted already",
    ]
    assert users_of(site, "external_id") == LIVING - RETIRED


def test_only_those_who_are_not_under_way_are_sent(site: Site, lms_sqlite: LmsTables) -> None:
    fill(site)
    retire(lms_sqlite)
    site.sql("SYSTEM STOP MERGES event_sink.external_id", admin=True)
    site.sql(
        "ALTER TABLE event_sink.external_id DELETE WHERE user_id IN (3, 11) SETTINGS mutations_sync = 0",
        admin=True,
    )
    with pytest.raises(WarehouseError):
        delete_users(site.warehouse(), planned(site, lms_sqlite), say=lambda _: None, wait_s=0.1)
    commands = site.sql(
        "SELECT command FROM system.mutations WHERE table = 'external_id' ORDER BY mutation_id FORMAT TSVRaw",
        admin=True,
    ).splitlines()
    assert [b"[7]" in one for one in commands] == [False, True]
    site.sql("SYSTEM START MERGES event_sink.external_id", admin=True)


def test_many_users_go_in_portions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(site)
    monkeypatch.setattr(personal_data, "USERS_AT_A_TIME", 4)
    warehouse = site.warehouse()
    plan = plan_deletion(warehouse, "event_sink", [list(range(1, 8)), list(range(8, 11))])
    assert plan.users == 10
    said: list[str] = []
    delete_users(warehouse, plan, say=said.append)
    assert said[:3] == [f"event_sink.external_id: deleting {count} users" for count in (4, 4, 2)]
    assert users_of(site, "external_id") == {11, 12}


def test_the_dictionary_that_keeps_personal_data_in_memory_forgets_it(
    site: Site, lms_sqlite: LmsTables
) -> None:
    fill(site)
    retire(lms_sqlite)
    site.sql(
        "CREATE DICTIONARY event_sink.user_pii (user_id Int32, username String) PRIMARY KEY user_id SOURCE(CLICKHOUSE("
        "QUERY 'SELECT user_id, max(username) FROM event_sink.external_id GROUP BY user_id')) LAYOUT(HASHED())"
        " LIFETIME(86400)",
        admin=True,
    )
    ask = "SELECT dictGet('event_sink.user_pii', 'username', arrayJoin([7, 8]::Array(UInt64)))"
    assert site.sql(ask, admin=True) == b"user_7\nuser_8\n"
    plan = planned(site, lms_sqlite)
    assert plan.described()[-1] == "event_sink.user_pii: loaded anew"
    delete_users(site.warehouse(), plan, say=lambda _: None)
    assert site.sql(ask, admin=True) == b"\nuser_8\n"
    site.sql("DROP DICTIONARY event_sink.user_pii", admin=True)


def test_all_of_it_goes_when_it_is_switched_off(site: Site) -> None:
    fill(site)
    warehouse = site.warehouse()
    plan = plan_emptying(warehouse, "event_sink")
    assert [one.rows for one in plan.tables] == [24, 24, 24]
    assert empty(warehouse, plan, say=lambda _: None) == 72
    assert users_of(site, "external_id") == users_of(site, "user_profile") == named(site) == set()
    assert users_of(site, "course_enrollment") == LIVING
    assert empty(warehouse, plan_emptying(warehouse, "event_sink"), say=lambda _: None) == 0


# --- as an operator does it ----------------------------------------------------------------------------------------


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    instance: dg.DagsterInstance,
    job: str,
    config: dict[str, object],
) -> dg.ExecuteInProcessResult:
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    found = defs().get_job_def(job)
    ops = {} if not config else {"ops": {next(iter(found.graph.node_dict)): {"config": config}}}
    return found.execute_in_process(run_config=ops, instance=instance, raise_on_error=False)


def observed(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    return {
        event.event_specific_data.asset_observation.asset_key.to_user_string(): {  # type: ignore[union-attr]
            name: value.value
            for name, value in event.event_specific_data.asset_observation.metadata.items()  # type: ignore[union-attr]
        }
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION
    }


def test_the_job_only_says_what_it_would_do_until_it_is_told_to(
    site: Site, lms: LmsTables, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    (site.logs / "may.log.1").write_bytes(enrolled("2024-05-01T00:00:00Z", learner=who(0)))
    site.load("2024-05")
    fill(site)
    retire(lms)
    before = statements(site, "2024-05")
    site.environ["ASPECTS_LMS_DATABASE_URL"] = lms.reader_url.get_secret_value()
    dry = run(site, monkeypatch, instance, "delete_retired_users", {})
    assert dry.success
    assert observed(dry)["external_id"] == {"rows_to_remove": 6, "users_concerned": 3}
    assert users_of(site, "external_id") == LIVING
    asked = Asked(site.warehouse(), site.settings, "external_id")
    assert not no_retired_users(asked).passed
    assert no_retired_users(asked).numbers == {"users": 3, "rows": 6}

    done = run(site, monkeypatch, instance, "delete_retired_users", {"dry_run": False})
    assert done.success
    assert observed(done)["external_id"] == {"rows_removed": 6, "users_concerned": 3}
    assert users_of(site, "external_id") == users_of(site, "user_profile") == LIVING - RETIRED
    assert all(no_retired_users(Asked(site.warehouse(), site.settings, table)).passed for table in TABLES)
    # Statements keep their anonymous id.
    assert statements(site, "2024-05") == before != []


def test_personal_data_is_emptied_only_where_it_is_off(
    site: Site, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    fill(site)
    site.environ["ASPECTS_ENABLE_PII"] = "true"
    refused = run(site, monkeypatch, instance, "empty_personal_data", {"dry_run": False})
    assert not refused.success
    assert users_of(site, "external_id") == LIVING
    site.environ["ASPECTS_ENABLE_PII"] = "false"
    dry = run(site, monkeypatch, instance, "empty_personal_data", {})
    assert dry.success
    assert observed(dry)["user_profile"] == {"rows_to_remove": 24}
    assert users_of(site, "user_profile") == LIVING
    assert run(site, monkeypatch, instance, "empty_personal_data", {"dry_run": False}).success
    assert users_of(site, "user_profile") == users_of(site, "external_id") == set()


def test_who_was_retired_is_found_through_the_external_id(lms: LmsTables) -> None:
    retire(lms)
    ids = [str(uuid.UUID(int=number)) for number in sorted(LIVING)]
    assert retired_among(LmsDatabase(lms.reader_url), ids) == len(RETIRED)

"""The checks that hold statements against `event_sink`: every actor and every course of them is known there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest
from services.events import COURSE, enrolled, peopled_site, who
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.checks.personal_data import QUESTIONS, Asked, personal_data_checks
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.warehouse.verify import Finding

MONTH = "2024-05"
NAMES = ("external_id", "user_profile", "course_overviews")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for made in peopled_site(tmp_path_factory):
        (made.logs / "may.log.1").write_bytes(
            b"".join(enrolled(f"2024-05-01T00:00:0{number}Z", learner=who(number)) for number in range(4))
            # Long before, of somebody whom nobody knows today: the last month alone is asked about.
            + enrolled("2024-02-01T00:00:00Z", learner=who(50))
        )
        made.load("2024-02")
        made.load(MONTH)
        yield made


@pytest.fixture
def site(house: Site) -> Site:
    house.environ = {"ASPECTS_ENABLE_PII": "true"}
    for table in NAMES:
        house.sql(f"TRUNCATE TABLE event_sink.{table}", admin=True)
    return house


def dump(site: Site, *numbers: int) -> None:
    for number in numbers:
        one = who(number)
        site.sql(
            "INSERT INTO event_sink.external_id VALUES"
            f" ('{one.external_user_id}', 'xapi', '{one.username}', {one.user_id}, generateUUIDv4(), '2024-05-01')",
            admin=True,
        )
        site.sql(
            "INSERT INTO event_sink.user_profile (id, user_id, email, dump_id) VALUES"
            f" ({one.user_id}, {one.user_id}, '{one.email}', generateUUIDv4())",
            admin=True,
        )


def ask(site: Site, table: str, name: str) -> Finding:
    return QUESTIONS[table][name](Asked(site.warehouse(), site.settings, table))


@pytest.mark.parametrize("actor_type", ["external_id", "mbox", "mbox_sha1sum"])
def test_actors_are_held_against_the_users_in_clickhouse(site: Site, actor_type: str) -> None:
    site.environ["XAPI_AGENT_IFI_TYPE"] = actor_type
    site.load(MONTH, mode=Mode.REBUILD, allow_loss=True)
    dump(site, 0, 1)
    some = ask(site, "external_id", "actors_are_known")
    assert not some.passed
    assert some.numbers == {"actors": 4, "unknown": 2, "retired": 0}
    assert not any(who(number).external_user_id in str(some) for number in range(4))
    dump(site, 2, 3)
    assert ask(site, "external_id", "actors_are_known").passed
    site.environ["ASPECTS_ENABLE_PII"] = "false"
    site.sql("TRUNCATE TABLE event_sink.external_id", admin=True)
    assert "not asked" in ask(site, "external_id", "actors_are_known").summary


def test_who_was_retired_need_not_be_known(site: Site, lms_sqlite: LmsTables) -> None:
    site.environ |= {"ASPECTS_LMS_DATABASE_URL": lms_sqlite.url.get_secret_value()}
    site.environ["XAPI_AGENT_IFI_TYPE"] = "external_id"
    site.load(MONTH, mode=Mode.REBUILD, allow_loss=True)
    dump(site, 0, 1, 2)
    assert ask(site, "external_id", "actors_are_known").numbers == {"actors": 4, "unknown": 1, "retired": 0}
    gone = who(3)
    lms_sqlite.add_user(gone.user_id, "retired__user_x", external_id=uuid.UUID(gone.external_user_id))
    lms_sqlite.add_retirement(gone.user_id, "RETIRING_LMS")
    assert not ask(site, "external_id", "actors_are_known").passed
    lms_sqlite.execute(
        "UPDATE user_api_userretirementstatus SET current_state_id = (SELECT id FROM user_api_retirementstate WHERE"
        " state_name = 'COMPLETED')"
    )
    assert ask(site, "external_id", "actors_are_known").numbers == {"actors": 4, "unknown": 0, "retired": 1}


def test_courses_are_held_against_course_overviews(site: Site) -> None:
    unknown = ask(site, "course_overviews", "courses_are_known")
    assert unknown.numbers == {"courses": 1, "unknown": 1}
    assert unknown.lines == (COURSE,)
    site.sql(
        f"INSERT INTO event_sink.course_overviews (course_key, dump_id) VALUES ('{COURSE}', generateUUIDv4())",
        admin=True,
    )
    assert ask(site, "course_overviews", "courses_are_known").passed


def test_tables_with_personal_data_are_empty_where_it_is_off(site: Site) -> None:
    dump(site, 0)
    assert ask(site, "external_id", "empty_without_pii").passed
    site.environ["ASPECTS_ENABLE_PII"] = "false"
    for table in ("external_id", "user_profile"):
        full = ask(site, table, "empty_without_pii")
        assert not full.passed
        assert "empty_personal_data" in full.summary
        site.sql(f"TRUNCATE TABLE event_sink.{table}", admin=True)
        assert ask(site, table, "empty_without_pii").passed


def test_where_there_are_no_statements_nothing_is_unknown(site: Site) -> None:
    bare = replace(site.settings, raw_xapi_table="nothing_yet")
    site.sql("CREATE TABLE IF NOT EXISTS xapi.nothing_yet AS xapi.xapi_events_all", admin=True)
    for table, name in (("external_id", "actors_are_known"), ("course_overviews", "courses_are_known")):
        assert (
            QUESTIONS[table][name](Asked(site.warehouse(), bare, table)).summary
            == "there are no statements yet"
        )


def test_a_failed_check_of_what_must_hold_fails_the_run_and_a_warning_does_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    job = dg.define_asset_job("ask", selection=dg.AssetSelection.all_asset_checks())
    alone = dg.Definitions(
        asset_checks=[personal_data_checks()], jobs=[job], resources={"clickhouse": ClickHouseResource()}
    )

    def evaluated() -> tuple[bool, dict[str, bool]]:
        result = alone.resolve_job_def("ask").execute_in_process(raise_on_error=False)
        return result.success, {
            f"{one.asset_key.to_user_string()} {one.check_name}": one.passed
            for one in result.get_asset_check_evaluations()
        }

    success, found = evaluated()
    assert success
    assert set(found) == {f"{table} {name}" for table, names in QUESTIONS.items() for name in names}
    assert {name for name, passed in found.items() if not passed} == {
        "external_id actors_are_known",
        "course_overviews courses_are_known",
    }
    dump(site, 0)
    monkeypatch.setenv("ASPECTS_ENABLE_PII", "false")
    success, found = evaluated()
    assert not success
    assert not found["external_id empty_without_pii"]

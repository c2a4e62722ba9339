"""Checks of the copied LMS tables find what is missing, gone, late or doubled, and name no person."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.lms.compare import QUESTIONS, Asked
from aspects_orchestration.lms.copy import CopyRequest, copy_table
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import COURSE_BLOCKS, SINK_TABLES
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.warehouse.verify import Finding


@pytest.fixture
def site(shared_site: Site) -> Site:
    """On a server that these tests share."""
    return shared_site


@pytest.fixture(params=["lms", "lms_sqlite"])
def either(request: pytest.FixtureRequest) -> LmsTables:
    """The LMS database on MariaDB, then in SQLite."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def asked(site: Site, lms: LmsTables | None, table: str) -> Asked:
    """What the checks of a table ask."""
    names = schema_names(site.settings)
    return Asked(
        site.warehouse(),
        names.event_sink_database,
        names.orchestration_database,
        SINK_TABLES.get(table, COURSE_BLOCKS),
        LmsDatabase(lms.reader_url) if lms else None,
    )


def copy(site: Site, lms: LmsTables, table: str) -> None:
    """Copy a table."""
    copy_table(
        LmsDatabase(lms.reader_url),
        site.warehouse(),
        schema_names(site.settings),
        SINK_TABLES[table],
        CopyRequest(mode="compare"),
        enable_pii=True,
    )


def test_what_is_missing_and_what_is_gone_is_counted_and_named_by_number(
    site: Site, either: LmsTables
) -> None:
    lms = either
    for user in (1, 2, 99_999, 100_000, 250_000):
        lms.add_user(user)
    lms.add_external_id(2, uuid.uuid4(), kind="lti")
    lms.add_course("course-v1:A+B+C")
    lms.add_course("course-v1:A+Gone+C")
    for table in ("external_id", "user_profile", "course_overviews"):
        copy(site, lms, table)
        for name in ("row_counts_match_lms", "rows_gone_from_lms"):
            found = QUESTIONS[name](asked(site, lms, table))
            assert found.passed, (table, found)
    # A new user, a second id of an old one, one who is retired, and rows that go.
    lms.add_user(250_001)
    lms.add_external_id(1, uuid.uuid4(), kind="caliper")
    lms.add_retirement(99_999)
    lms.execute("DELETE FROM auth_userprofile WHERE user_id = 100000")
    lms.execute("DELETE FROM external_user_ids_externalid WHERE user_id = 100000")
    lms.execute("DELETE FROM course_overviews_courseoverview WHERE id LIKE '%Gone%'")
    lms.add_course("course-v1:A+New+C")

    def answer(name: str, table: str) -> Finding:
        return QUESTIONS[name](asked(site, lms, table))

    missing = answer("row_counts_match_lms", "external_id")
    assert (missing.passed, missing.numbers["missing"], missing.lines) == (False, 2, ("1", "250001"))
    assert answer("row_counts_match_lms", "user_profile").lines == ("251001",)
    assert answer("row_counts_match_lms", "course_overviews").lines == ("course-v1:A+New+C",)
    gone = answer("rows_gone_from_lms", "external_id")
    assert (gone.passed, gone.numbers["gone"], gone.lines) == (False, 2, ("99999", "100000"))
    assert answer("rows_gone_from_lms", "user_profile").lines == ("100999", "101000")
    assert answer("rows_gone_from_lms", "course_overviews").lines == ("course-v1:A+Gone+C",)


def test_a_copy_that_is_late_is_told(site: Site, lms_sqlite: LmsTables) -> None:
    question = QUESTIONS["copied_lately"]
    never = question(asked(site, lms_sqlite, "taxonomy"))
    assert (never.passed, "never copied" in never.summary) == (False, True)
    lms_sqlite.add_taxonomy(1, "T")
    copy(site, lms_sqlite, "taxonomy")
    now = asked(site, lms_sqlite, "taxonomy")
    assert question(now).passed
    later = question(replace(now, now=datetime.now(UTC) + timedelta(hours=30, minutes=5)))
    assert (later.passed, later.numbers["last_copy_age_h"], later.numbers["newest_row_age_h"]) == (
        False,
        30,
        30,
    )


def test_keys_that_stand_twice_among_the_newest_are_told(site: Site, lms_sqlite: LmsTables) -> None:
    lms_sqlite.add_course("course-v1:A+B+C")
    lms_sqlite.add_course("course-v1:A+B+D")
    copy(site, lms_sqlite, "course_overviews")
    question = QUESTIONS["no_repeated_newest_rows"]
    assert question(asked(site, lms_sqlite, "course_overviews")).passed
    site.sql(
        "INSERT INTO event_sink.course_overviews SELECT * FROM event_sink.course_overviews WHERE course_key LIKE '%D'",
        admin=True,
    )
    found = question(asked(site, lms_sqlite, "course_overviews"))
    assert (found.passed, found.lines) == (False, ("course-v1:A+B+D: 2 rows",))
    lms_sqlite.execute("UPDATE course_overviews_courseoverview SET display_name = 'New'")
    copy(site, lms_sqlite, "course_overviews")
    assert question(asked(site, lms_sqlite, "course_overviews")).passed


def test_without_a_database_nothing_is_asked_of_it(site: Site) -> None:
    for table in ("taxonomy", "course_blocks"):
        found = QUESTIONS["row_counts_match_lms"](asked(site, None, table))
        assert (found.passed, found.summary.startswith("not asked")) == (True, True)

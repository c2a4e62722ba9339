"""The tables of the LMS that are read: names and columns as edx-platform and openedx-learning create them on MySQL 8.

Declared, not reflected: what a release of Open edX does not have is found out by `LmsDatabase.missing_columns`. Only
columns that somebody reads are here. Times are naive UTC, UUIDs 32 hexadecimal digits (or the uuid type of MariaDB).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Numeric, SmallInteger, String, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

lms_tables = MetaData()

_MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")


class LmsTime(TypeDecorator[datetime]):
    """A time as the LMS keeps it, naive UTC; what is no time, such as 0000-00-00, is None, as Django has it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """As text that MySQL and SQLite compare as times."""
        return None if value is None else f"{value:%Y-%m-%d %H:%M:%S.%f}"

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """PyMySQL gives times, and text where it can make none of it; SQLite gives text."""
        if value is None or isinstance(value, datetime):
            return value
        found = _MOMENT.fullmatch(value if isinstance(value, str) else "")
        if found is None:
            return None
        *parts, fraction = found.groups()
        try:
            return datetime(*map(int, parts), int((fraction or "0").ljust(6, "0")))  # type: ignore[arg-type, call-arg]  # noqa: DTZ001
        except ValueError:
            return None


class LmsUuid(TypeDecorator[str]):
    """A UUID as text: 32 hexadecimal digits, or with dashes where the column is of MariaDB's uuid type."""

    impl = String
    cache_ok = True


class LmsFlag(TypeDecorator[int]):
    """A boolean, read as the 0 and 1 that it is in MySQL and SQLite."""

    impl = SmallInteger
    cache_ok = True


auth_user = Table(
    "auth_user",
    lms_tables,
    Column("id", Integer, primary_key=True),
    Column("username", String(150), nullable=False, unique=True),
    Column("email", String(254), nullable=False),
    Column("is_active", LmsFlag, nullable=False),
    Column("date_joined", LmsTime, nullable=False),
)

auth_userprofile = Table(
    "auth_userprofile",
    lms_tables,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("meta", Text, nullable=False),
    Column("courseware", String(255), nullable=False),
    Column("language", String(255), nullable=False),
    Column("location", String(255), nullable=False),
    Column("year_of_birth", Integer),
    Column("gender", String(6)),
    Column("level_of_education", String(6)),
    Column("mailing_address", Text),
    Column("city", Text),
    Column("country", String(2)),
    Column("state", String(2)),
    Column("goals", Text),
    Column("bio", String(3000)),
    Column("profile_image_uploaded_at", LmsTime),
    Column("phone_number", String(50)),
)

externalidtype = Table(
    "external_user_ids_externalidtype",
    lms_tables,
    Column("id", Integer, primary_key=True),
    Column("created", LmsTime, nullable=False),
    Column("modified", LmsTime, nullable=False),
    Column("name", String(32), nullable=False, unique=True),
    Column("description", Text, nullable=False),
)

externalid = Table(
    "external_user_ids_externalid",
    lms_tables,
    Column("id", Integer, primary_key=True),
    Column("created", LmsTime, nullable=False),
    Column("modified", LmsTime, nullable=False),
    Column("external_user_id", LmsUuid, nullable=False, unique=True),
    Column("external_id_type_id", Integer, nullable=False),
    Column("user_id", Integer, nullable=False),
)

courseoverview = Table(
    "course_overviews_courseoverview",
    lms_tables,
    Column("id", String(255), primary_key=True),
    Column("created", LmsTime, nullable=False),
    Column("modified", LmsTime, nullable=False),
    Column("org", Text, nullable=False),
    Column("display_name", Text),
    Column("start", LmsTime),
    Column("end", LmsTime),
    Column("enrollment_start", LmsTime),
    Column("enrollment_end", LmsTime),
    Column("self_paced", LmsFlag, nullable=False),
    Column("advertised_start", Text),
    Column("announcement", LmsTime),
    Column("lowest_passing_grade", Numeric(5, 2)),
    Column("invitation_only", LmsFlag, nullable=False),
    Column("max_student_enrollments_allowed", Integer),
    Column("effort", Text),
    Column("enable_proctored_exams", LmsFlag),
    Column("entrance_exam_enabled", LmsFlag),
    Column("external_id", String(128)),
    Column("language", Text),
)

courseenrollment = Table(
    "student_courseenrollment",
    lms_tables,
    Column("id", Integer, primary_key=True),
    Column("course_id", String(255), nullable=False),
    Column("created", LmsTime),
    Column("is_active", LmsFlag, nullable=False),
    Column("mode", String(100), nullable=False),
    Column("user_id", Integer, nullable=False),
)

taxonomy = Table(
    "oel_tagging_taxonomy",
    lms_tables,
    Column("id", BigInteger, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("allow_free_text", LmsFlag, nullable=False),
)

tag = Table(
    "oel_tagging_tag",
    lms_tables,
    Column("id", BigInteger, primary_key=True),
    Column("taxonomy_id", BigInteger),
    Column("parent_id", BigInteger),
    Column("value", String(500), nullable=False),
    Column("external_id", String(255)),
)

objecttag = Table(
    "oel_tagging_objecttag",
    lms_tables,
    Column("id", BigInteger, primary_key=True),
    Column("object_id", String(255), nullable=False),
    Column("taxonomy_id", BigInteger),
    Column("tag_id", BigInteger),
    Column("_value", String(500), nullable=False),
    Column("_export_id", String(255), nullable=False),
)

retirementstate = Table(
    "user_api_retirementstate",
    lms_tables,
    Column("id", Integer, primary_key=True),
    Column("state_name", String(30), nullable=False, unique=True),
    Column("state_execution_order", SmallInteger, nullable=False),
    Column("is_dead_end_state", LmsFlag, nullable=False),
    Column("required", LmsFlag, nullable=False),
)

userretirementstatus = Table(
    "user_api_userretirementstatus",
    lms_tables,
    Column("id", Integer, primary_key=True),
    Column("created", LmsTime, nullable=False),
    Column("modified", LmsTime, nullable=False),
    Column("user_id", Integer, nullable=False, unique=True),
    Column("original_username", String(150), nullable=False),
    Column("retired_username", String(150), nullable=False),
    Column("retired_email", String(254), nullable=False),
    Column("current_state_id", Integer, nullable=False),
)

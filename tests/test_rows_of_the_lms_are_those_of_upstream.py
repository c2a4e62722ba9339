"""Rows of event_sink are those that platform-plugin-aspects would have written, field by field."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.lms.copy import CopyRequest, copy_table
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import SINK_TABLES
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.warehouse import server

UPSTREAM = Path(__file__).parent / "services" / "upstream_pattern.py"
#: Columns that upstream cannot write for these rows, because its CSV has nothing for null where a number is asked for.
COURSE = "course-v1:OrgX+ÜberKurs+2024_T1"


@pytest.fixture
def site(shared_site: Site) -> Site:
    """On a server that these tests share."""
    return shared_site


def fill(lms: LmsTables) -> None:
    """Rows that hurt, of every table."""
    lms.add_user(
        1, "anna", email="anna@example.com", external_id=uuid.UUID("0e1b5aa9-1f93-4a35-9ef3-7f3a8f7d2a10")
    )
    lms.add_user(
        2, "bø🦉", external_id=uuid.UUID(int=2), profile={"bio": "🦉" * 20, "name": "a,\"b\"\n'c'\\n\t"}
    )
    lms.add_user(3, "nobody", external_id=None, profile=False)
    lms.add_external_id(1, uuid.UUID(int=2**127 + 5), kind="lti")
    lms.add_external_id(3, uuid.UUID(int=77), kind="mb_coaching")
    lms.execute(
        "UPDATE auth_userprofile SET year_of_birth = 1990, gender = 'f', level_of_education = 'm', country = 'DE',"
        " city = 'Köln', goals = '', mailing_address = :address, profile_image_uploaded_at = '2024-02-29 23:59:59.000001',"
        " phone_number = '+49 1', state = NULL WHERE user_id = 1",
        {"address": "Weg 1\r\n50667 Köln"},
    )
    lms.execute(
        "UPDATE auth_userprofile SET profile_image_uploaded_at = '2024-02-29 23:59:59' WHERE user_id = 2"
    )
    lms.add_course(
        COURSE,
        "Ein „Kurs“ 🦉",
        start="2024-01-01 00:00:00.000000",
        end="2024-06-30 23:59:59.123000",
        enrollment_start="2023-12-01 08:00:00.000000",
        enrollment_end=None,
        advertised_start="Spring",
        announcement="2023-11-01 00:00:00.500000",
        lowest_passing_grade="0.65",
        invitation_only=1,
        self_paced=1,
        max_student_enrollments_allowed=200,
        effort="3 hours",
        enable_proctored_exams=1,
        external_id="X-1",
        language="de",
        modified="2024-05-03 04:05:06.000007",
    )
    lms.add_course("course-v1:OrgX+Empty+1", None, lowest_passing_grade=0)
    lms.add_course("OrgX/Old/2013", "", lowest_passing_grade="1.00")
    lms.add_enrollment(5, 1, COURSE, created="2024-05-01 10:20:30.123456")
    lms.add_enrollment(6, 2, COURSE, is_active=0, mode="verified", created="2024-05-01 10:20:30")
    lms.add_enrollment(9, 2, "course-v1:Deleted+Course+1", mode="honor", created=None)
    lms.add_taxonomy(1, "Fächer")
    lms.add_taxonomy(2, "Free", allow_free_text=1)
    lms.add_tag(11, "Root", taxonomy=1, parent=None, external_id="r")
    lms.add_tag(12, "Mid", taxonomy=1, parent=11)
    lms.add_tag(13, "Leaf ✓", taxonomy=1, parent=12)
    lms.add_tag(14, "Too deep", taxonomy=1, parent=13)
    lms.add_object_tag(21, COURSE, taxonomy=1, tag=14, value="Too deep")
    lms.add_object_tag(
        22, "block-v1:OrgX+ÜberKurs+2024_T1+type@html+block@a", taxonomy=1, tag=12, value="Mid"
    )
    lms.add_object_tag(23, COURSE, taxonomy=None, tag=13, value="Leaf ✓")


def by_upstream(site: Site, lms: LmsTables, tables: list[str]) -> None:
    """Dump with upstream's own means, into the database `upstream`."""
    address = server.ensure_running(site.home)
    site.warehouse()
    site.sql("CREATE DATABASE upstream", admin=True)
    for table in tables:
        site.sql(f"CREATE TABLE upstream.{table} AS event_sink.{table}", admin=True)
    url = lms.engine.url
    socket = url.query.get("unix_socket")
    database: dict[str, Any] = (
        {
            "ENGINE": "django.db.backends.mysql",
            "NAME": url.database,
            "USER": "root",
            "HOST": socket,
            "OPTIONS": {"charset": "utf8mb4"},
        }
        if socket
        else {"ENGINE": "django.db.backends.sqlite3", "NAME": url.database}
    )
    given = {
        "lms": database,
        "clickhouse": {
            "url": f"http://{address.host}:{address.http_port}",
            "user": address.admin_user,
            "password": address.admin_password,
            "database": "upstream",
        },
        "tables": tables,
    }
    subprocess.run([sys.executable, str(UPSTREAM)], input=json.dumps(given).encode(), check=True)


def copy(site: Site, lms: LmsTables, table: str, *, enable_pii: bool = True, **request: Any) -> Any:
    """Copy a table as the assets do."""
    return copy_table(
        LmsDatabase(lms.reader_url),
        site.warehouse(),
        schema_names(site.settings),
        SINK_TABLES[table],
        CopyRequest(**request),
        enable_pii=enable_pii,
    )


@pytest.mark.parametrize("kind", ["lms", "lms_sqlite"])
def test_every_field_of_every_table_is_upstreams(
    site: Site, kind: str, request: pytest.FixtureRequest
) -> None:
    lms: LmsTables = request.getfixturevalue(kind)
    fill(lms)
    # In CSV, upstream has no number for null; what it can write is compared here, the rest below.
    by_upstream(site, lms, list(SINK_TABLES))
    for table, sink in SINK_TABLES.items():
        copy(site, lms, table)
        columns = "* EXCEPT (dump_id, time_last_dumped)"
        ours = site.sql(f"SELECT {columns} FROM event_sink.{table} ORDER BY ALL FORMAT Vertical", admin=True)
        theirs = site.sql(f"SELECT {columns} FROM upstream.{table} ORDER BY ALL FORMAT Vertical", admin=True)
        assert ours.decode() == theirs.decode(), table
        assert ours.count(b"Row ") >= 2
        form = r"^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{6}\\+00:00$"
        forms = site.sql(
            f"SELECT DISTINCT match(time_last_dumped, '{form}') FROM event_sink.{table}", admin=True
        )
        assert forms == b"1\n", table
        assert sink.columns.keys() | {"dump_id", "time_last_dumped"} == set(
            site.sql(
                f"SELECT name FROM system.columns WHERE database = 'event_sink' AND table = '{table}'",
                admin=True,
            )
            .decode()
            .split()
        )

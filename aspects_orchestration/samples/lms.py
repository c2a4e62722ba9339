"""The sample site's LMS database in SQLite, with edx-platform's tables as far as they are copied, and its course blocks."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import create_engine
from sqlalchemy.schema import CreateTable

from aspects_orchestration.lms import tables as lms
from aspects_orchestration.samples import site
from aspects_orchestration.samples.spec import SampleSpec

_UNITS_A_COURSE: Final = 12
_RETIREMENT_STATES: Final = ("PENDING", "LOCKING_ACCOUNT", "RETIRING_LMS", "COMPLETED", "ERRORED", "ABORTED")
_SUBJECT_TAGS: Final = ("Science", "Mathematics", "Statistics", "Languages", "Programming")


def write_lms_database(spec: SampleSpec, path: Path) -> None:
    """Write the site's LMS database; the same spec gives the same rows.

    Args:
        spec: the site.
        path: of the file, which must not be there yet.
    """
    created = f"{spec.start - timedelta(days=365):%Y-%m-%d %H:%M:%S.%f}"
    courses = list(site.courses(spec))
    rows: dict[str, list[dict[str, Any]]] = {
        "external_user_ids_externalidtype": [
            {"id": 1, "created": created, "modified": created, "name": "xapi", "description": "xAPI"}
        ],
        "user_api_retirementstate": [
            {
                "id": number,
                "state_name": name,
                "state_execution_order": number,
                "is_dead_end_state": int(number > 3),
                "required": 1,
            }
            for number, name in enumerate(_RETIREMENT_STATES, 1)
        ],
        "course_overviews_courseoverview": [
            {
                "id": course.key,
                "created": created,
                "modified": created,
                "org": course.org,
                "display_name": course.display_name,
                "start": f"{spec.start:%Y-%m-%d %H:%M:%S.%f}",
                "end": f"{spec.end:%Y-%m-%d %H:%M:%S.%f}",
                "self_paced": number % 2,
                "lowest_passing_grade": 0.5,
                "invitation_only": 0,
                "enable_proctored_exams": 0,
                "entrance_exam_enabled": 0,
                "language": "en",
            }
            for number, course in enumerate(courses)
        ],
        "oel_tagging_taxonomy": [{"id": 1, "name": "Subjects", "allow_free_text": 0}],
        "oel_tagging_tag": [
            {"id": number, "taxonomy_id": 1, "parent_id": 1 if number > 1 else None, "value": value}
            for number, value in enumerate(_SUBJECT_TAGS, 1)
        ],
        "oel_tagging_objecttag": [
            {
                "id": number + 1,
                "object_id": course.key,
                "taxonomy_id": 1,
                "tag_id": number % len(_SUBJECT_TAGS) + 1,
                "_value": _SUBJECT_TAGS[number % len(_SUBJECT_TAGS)],
                "_export_id": "subjects",
            }
            for number, course in enumerate(courses)
        ],
    }
    with closing(sqlite3.connect(path)) as database, database:
        engine = create_engine("sqlite://")
        for table in lms.lms_tables.sorted_tables:
            database.execute(str(CreateTable(table).compile(engine)))
        for name, found in rows.items():
            for row in found:
                _insert(database, name, row)
        for number, who in enumerate(site.learners(spec)):
            _add_learner(database, who, created, courses[number % len(courses)].key)


def _add_learner(database: sqlite3.Connection, who: site.Learner, created: str, course_key: str) -> None:
    _insert(
        database,
        "auth_user",
        {
            "id": who.user_id,
            "username": who.username,
            "email": who.email,
            "is_active": 1,
            "date_joined": created,
        },
    )
    _insert(
        database,
        "external_user_ids_externalid",
        {
            "id": who.user_id,
            "created": created,
            "modified": created,
            "external_user_id": UUID(who.external_user_id).hex,
            "external_id_type_id": 1,
            "user_id": who.user_id,
        },
    )
    _insert(
        database,
        "auth_userprofile",
        {
            "id": who.user_id,
            "user_id": who.user_id,
            "name": who.username.title(),
            "meta": "",
            "courseware": "course.xml",
            "language": "",
            "location": "",
        },
    )
    _insert(
        database,
        "student_courseenrollment",
        {
            "id": who.user_id,
            "course_id": course_key,
            "created": created,
            "is_active": 1,
            "mode": "audit",
            "user_id": who.user_id,
        },
    )


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    found = lms.lms_tables.tables[table].insert().values(row)
    compiled = found.compile(dialect=_SQLITE)
    database.execute(str(compiled), [compiled.params[name] for name in compiled.positiontup or ()])


_SQLITE: Final = create_engine("sqlite://").dialect


def write_course_blocks(spec: SampleSpec, path: Path) -> None:
    """Write the export of the site's course blocks as NDJSON, in the form of docs/lms-tables.md."""
    with path.open("w", encoding="utf-8") as stream:
        for number, course in enumerate(site.courses(spec)):
            order = 0
            course_name, run = course.block_prefix.removeprefix("block-v1:").split("+")[1:3]
            seen: set[str] = set()
            for place in range(_UNITS_A_COURSE):
                unit = site.unit(number, place)
                for kind in ("chapter", "sequential", "vertical", "html", "video", "problem"):
                    block_id = getattr(unit, kind)
                    if block_id in seen:
                        continue
                    seen.add(block_id)
                    order += 1
                    data: dict[str, object] = {
                        "course": course_name,
                        "run": run,
                        "block_type": kind,
                        "detached": 0,
                        "graded": int(kind == "problem"),
                        "completion_mode": "completable"
                        if kind in {"html", "video", "problem"}
                        else "aggregator",
                        "section": place // 8 + 1,
                        "subsection": place // 4 % 2 + 1,
                        "unit": place % 4 + 1,
                        "tags": [],
                    }
                    row = {
                        "org": course.org,
                        "course_key": course.key,
                        "location": f"{course.block_prefix}+type@{kind}+block@{block_id}",
                        "display_name": unit.title,
                        "xblock_data_json": json.dumps(data),
                        "order": order,
                        "edited_on": f"{spec.start}",
                    }
                    stream.write(json.dumps(row, ensure_ascii=False) + "\n")

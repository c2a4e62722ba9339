"""The tables of `event_sink` that are copied from the LMS: where each comes from, its key, and the form of its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from aspects_orchestration.lms import tables as lms
from aspects_orchestration.lms.database import LmsAbsentError, LmsDatabase, Page, Row, keyset
from aspects_orchestration.lms.packed import Packed, converter, is_text, packed_texts
from aspects_orchestration.lms.retirement import COMPLETED, retired_users
from aspects_orchestration.lms.values import field_time, flag, plain_time, text, whole

#: Most values of a tag's lineage (openedx-learning, tagging, TAXONOMY_MAX_DEPTH).
_LINEAGE = 3

#: So many retired users are kept in memory; two joins a row are spared that way.
_FEW = 50_000

#: From a row of the LMS, key first, to the row of event_sink without dump_id and time_last_dumped. None: it cannot be one.
Form = Callable[[Row], tuple[Any, ...] | None]


@dataclass(frozen=True)
class Chosen:
    """Which rows of the LMS to take.

    Attributes:
        ids: only these primary keys of the LMS's table; empty for all.
        ids_to_skip: not these.
        modified_since: only rows that were modified then or later (naive UTC), where the LMS says when.
        personal: whether usernames may be shown in tables that are not personal as a whole (ASPECTS_ENABLE_PII).
    """

    ids: tuple[int | str, ...] = ()
    ids_to_skip: tuple[int | str, ...] = ()
    modified_since: datetime | None = None
    personal: bool = True


@dataclass(frozen=True)
class Reading:
    """How to read one table now: the statement of a page, and the form of its rows.

    `retired` tells of a row that its user is retired; such rows are left out. `packed` is a faster way to the same rows,
    where there is one.
    """

    page: Page
    form: Form
    retired: Callable[[Row], bool] = lambda _: False
    packed: Packed | None = None


@dataclass(frozen=True)
class SinkTable:
    """One table of event_sink.

    Attributes:
        name: in event_sink.
        columns: names and ClickHouse types, in order, without dump_id and time_last_dumped.
        key: the column by which readers take the newest row.
        position: the column that rises with the LMS's key, or `key` where none does.
        source: the LMS's table whose rows become rows; None where they do not come from the LMS's database.
        personal: whether it holds personal data, and is filled only with ASPECTS_ENABLE_PII.
        reading: from the database and what is chosen to how to read.
        modified: the LMS's column that says when a row was last changed, if there is one that can be relied upon.
    """

    name: str
    columns: Mapping[str, str]
    key: str
    position: str
    source: sa.Table | None = None
    reading: Callable[[LmsDatabase, Chosen], Reading] | None = field(default=None, repr=False)
    personal: bool = False
    modified: sa.Column[Any] | None = None

    @property
    def structure(self) -> tuple[str, ...]:
        """The name and type of each column, as `Warehouse.insert_from` takes them."""
        return tuple(f"`{name}` {kind}" for name, kind in self.columns.items())

    @property
    def takes_numbers(self) -> bool:
        """Whether the primary key of the LMS's table is a number."""
        return self.source is not None and not isinstance(self.source.c.id.type, sa.String)


def _where(source: sa.Table, chosen: Chosen) -> list[sa.ColumnElement[bool]]:
    where: list[sa.ColumnElement[bool]] = []
    if chosen.ids:
        where.append(source.c.id.in_(chosen.ids))
    if chosen.ids_to_skip:
        where.append(source.c.id.not_in(chosen.ids_to_skip))
    if chosen.modified_since is not None:
        where.append(source.c.modified >= chosen.modified_since)
    return where


def _columns(database: LmsDatabase, source: sa.Table) -> list[sa.Column[Any]]:
    missing = database.missing_columns(source)
    return [column for column in source.c if column.name not in missing]


def _of_page(page: sa.Subquery, source: sa.Table) -> list[sa.ColumnElement[Any]]:
    """The page's columns in the order of the declared table; null for what this release does not have."""
    return [page.c[one.name] if one.name in page.c else sa.null().label(one.name) for one in source.c]


def _plain(source: sa.Table, form: Form) -> Callable[[LmsDatabase, Chosen], Reading]:
    def reading(database: LmsDatabase, chosen: Chosen) -> Reading:
        pages = keyset(source.c.id, _columns(database, source), *_where(source, chosen))

        def page(after: Any, size: int) -> sa.Select[Any]:
            found = pages(after, size)
            return sa.select(*_of_page(found, source)).order_by(found.c.id)

        return Reading(page, form)

    return reading


def _of_user(
    source: sa.Table,
    layout: Mapping[str, sa.Column[Any]],
    *,
    personal: bool,
    also: tuple[sa.Table, str] | None = None,
) -> Callable[[LmsDatabase, Chosen], Reading]:
    """Rows joined to their users, and where they are personal to the users' retirements. Nothing is lost in joining:
    a row whose user is missing (a replica of some tables only, a dump in which a delete is half done) stays a row.

    Args:
        source: the LMS's table whose rows become rows.
        layout: for each column of event_sink the LMS's column that fills it.
        personal: whether to ask for retirements.
        also: another table to join, and the column of `source` that holds its id.
    """

    def reading(database: LmsDatabase, chosen: Chosen) -> Reading:
        pages = keyset(source.c.id, _columns(database, source), *_where(source, chosen))

        gone = _few_retired(database) if personal else frozenset()
        ask_each = gone is None

        def joined(found: sa.Subquery) -> sa.FromClause:
            made: sa.FromClause = found.outerjoin(lms.auth_user, lms.auth_user.c.id == found.c.user_id)
            if also is not None:
                table, by = also
                made = made.outerjoin(table, table.c.id == found.c[by])
            if ask_each:
                status, state = lms.userretirementstatus, lms.retirementstate
                made = made.outerjoin(status, status.c.user_id == found.c.user_id)
                made = made.outerjoin(state, state.c.id == status.c.current_state_id)
            return made

        def value(found: sa.Subquery, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
            if column is lms.auth_user.c.username and not (personal or chosen.personal):
                return sa.literal("").label(column.name)
            if column.table is not source:
                return column
            return found.c[column.name] if column.name in found.c else sa.null().label(column.name)

        def whose(found: sa.Subquery) -> sa.ColumnElement[Any]:
            """By which a row is known to be of a retired user: the state of the retirement, or the user."""
            return lms.retirementstate.c.state_name if ask_each else found.c.user_id

        def page(after: Any, size: int) -> sa.Select[Any]:
            found = pages(after, size)
            columns = [found.c.id, whose(found), *(value(found, one) for one in layout.values())]
            return sa.select(*columns).select_from(joined(found)).order_by(found.c.id)

        def packed_page(after: Any, size: int) -> sa.Select[Any]:
            found = pages(after, size)
            plain = [value(found, one) for one in layout.values() if not is_text(one)]
            texts = [
                (value(found, one), (one.table.name, one.name) in utf8)
                for one in layout.values()
                if is_text(one)
            ]
            columns = [found.c.id, whose(found), *plain, packed_texts(texts)]
            return sa.select(*columns).select_from(joined(found)).order_by(found.c.id)

        utf8 = database.utf8_columns()
        converters = [converter(one) for one in layout.values()]

        def form(row: Row) -> tuple[Any, ...] | None:
            made = tuple([convert(one) for convert, one in zip(converters, row[2:], strict=True)])
            return None if None in made else made

        return Reading(
            page,
            form,
            (lambda row: bool(row[1] == COMPLETED)) if gone is None else (lambda row: row[1] in gone),
            None if database.is_sqlite else Packed(packed_page, layout),
        )

    return reading


def _few_retired(database: LmsDatabase) -> frozenset[int] | None:
    """The users whose retirement is done; None if they are so many that each row had better be asked."""
    found: set[int] = set()
    for users in retired_users(database):
        found.update(users)
        if len(found) > _FEW:
            return None
    return frozenset(found)


def _taxonomy(row: Row) -> tuple[Any, ...]:
    return row[0], text(row[1])


def _parents(database: LmsDatabase) -> dict[int, tuple[int | None, str]]:
    """Parent and value of every tag; there are thousands of them, not millions."""
    found = database.rows(sa.select(lms.tag.c.id, lms.tag.c.parent_id, lms.tag.c.value))
    return {key: (parent, text(value)) for key, parent, value in found}


def _lineage(tag: int | None, parents: Mapping[int, tuple[int | None, str]]) -> list[str]:
    found: list[str] = []
    while tag is not None and tag in parents and len(found) < _LINEAGE:
        tag, value = parents[tag]
        found.insert(0, value)
    return found


def _tag_reading(database: LmsDatabase, chosen: Chosen) -> Reading:
    parents = _parents(database)

    def form(row: Row) -> tuple[Any, ...]:
        key, taxonomy, parent, value, external_id = row
        lineage = json.dumps(_lineage(key, parents) or [text(value)])
        return key, whole(taxonomy), whole(parent), text(value), text(external_id), lineage

    return _plain(lms.tag, form)(database, chosen)


def _object_tag_reading(database: LmsDatabase, chosen: Chosen) -> Reading:
    parents = _parents(database)

    def form(row: Row) -> tuple[Any, ...]:
        key, object_id, taxonomy, tag, value, export_id = row
        lineage = json.dumps(_lineage(tag, parents) or [text(value)])
        return key, text(object_id), whole(taxonomy), whole(tag), text(value), text(export_id), lineage

    return _plain(lms.objecttag, form)(database, chosen)


def _tags_by_course(database: LmsDatabase) -> dict[str, list[int]]:
    """Ids of the tags of each course and of their parents, as openedx-learning's `get_object_tags` finds them."""
    tags, objects = lms.tag, lms.objecttag
    of_courses = objects.c.object_id.like("course-v1:%") | objects.c.object_id.like("ccx-v1:%")
    try:
        parents: dict[Any, Any] = dict(database.rows(sa.select(tags.c.id, tags.c.parent_id)))
        found = database.rows(
            sa.select(objects.c.object_id, objects.c.tag_id)
            .where(of_courses, objects.c.taxonomy_id.is_not(None), objects.c.tag_id.is_not(None))
            .order_by(objects.c.id)
        )
    except LmsAbsentError:
        return {}  # releases before Redwood have no tags
    by_course: dict[str, set[int]] = {}
    for course, tag in found:
        ids = by_course.setdefault(text(course), set())
        while tag is not None and tag not in ids:
            ids.add(tag)
            tag = parents.get(tag)  # noqa: PLW2901
    return {course: list(ids) for course, ids in by_course.items()}


def _course_reading(database: LmsDatabase, chosen: Chosen) -> Reading:
    tags = _tags_by_course(database)
    there = {column.name for column in _columns(database, lms.courseoverview)}

    def form(row: Row) -> tuple[Any, ...]:
        course = dict(zip(lms.courseoverview.c.keys(), row, strict=True))

        def value(name: str, absent: Any = "") -> Any:
            found = course[name] if name in there else absent
            return text(found) if isinstance(found, bytes) else found

        def truth(name: str) -> Any:
            return value(name) if name not in there or course[name] is None else bool(course[name])

        announced = value("announcement")
        data = {
            "advertised_start": value("advertised_start"),
            "announcement": announced.isoformat() + "+00:00"
            if isinstance(announced, datetime)
            else announced,
            "lowest_passing_grade": float(value("lowest_passing_grade", 0.0) or 0.0),
            "invitation_only": truth("invitation_only"),
            "max_student_enrollments_allowed": value("max_student_enrollments_allowed", None),
            "effort": value("effort"),
            "enable_proctored_exams": truth("enable_proctored_exams"),
            "entrance_exam_enabled": truth("entrance_exam_enabled"),
            "external_id": value("external_id"),
            "language": value("language"),
            "tags": tags.get(course["id"], []),
        }
        return (
            text(course["org"]),
            text(course["id"]),
            text(course["display_name"]),
            plain_time(course["start"]),
            plain_time(course["end"]),
            field_time(course["enrollment_start"]),
            field_time(course["enrollment_end"]),
            flag(course["self_paced"]),
            json.dumps(data),
            field_time(course["created"]),
            field_time(course["modified"]),
        )

    return _plain(lms.courseoverview, form)(database, chosen)


def _text_columns(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "String")


COURSE_OVERVIEWS = SinkTable(
    "course_overviews",
    _text_columns("org course_key display_name course_start course_end enrollment_start enrollment_end")
    | {"self_paced": "Bool"}
    | _text_columns("course_data_json created modified"),
    key="course_key",
    position="course_key",
    source=lms.courseoverview,
    reading=_course_reading,
)
EXTERNAL_ID = SinkTable(
    "external_id",
    {"external_user_id": "UUID", "external_id_type": "String", "username": "String", "user_id": "Int32"},
    key="external_user_id",
    position="user_id",
    source=lms.externalid,
    reading=_of_user(
        lms.externalid,
        {
            "external_user_id": lms.externalid.c.external_user_id,
            "external_id_type": lms.externalidtype.c.name,
            "username": lms.auth_user.c.username,
            "user_id": lms.externalid.c.user_id,
        },
        personal=True,
        also=(lms.externalidtype, "external_id_type_id"),
    ),
    personal=True,
    modified=lms.externalid.c.modified,
)
_PROFILE_COLUMNS = {"id": "Int32", "user_id": "Int32"} | _text_columns(
    "name username email meta courseware language location year_of_birth gender level_of_education mailing_address"
    " city country state goals bio profile_image_uploaded_at phone_number"
)
USER_PROFILE = SinkTable(
    "user_profile",
    _PROFILE_COLUMNS,
    key="id",
    position="id",
    source=lms.auth_userprofile,
    reading=_of_user(
        lms.auth_userprofile,
        {
            name: lms.auth_user.c[name] if name in {"username", "email"} else lms.auth_userprofile.c[name]
            for name in _PROFILE_COLUMNS
        },
        personal=True,
    ),
    personal=True,
)
COURSE_ENROLLMENT = SinkTable(
    "course_enrollment",
    {
        "id": "Int32",
        "course_key": "String",
        "created": "String",
        "is_active": "Bool",
        "mode": "LowCardinality(String)",
        "username": "String",
        "user_id": "Int32",
    },
    key="id",
    position="id",
    source=lms.courseenrollment,
    reading=_of_user(
        lms.courseenrollment,
        {
            "id": lms.courseenrollment.c.id,
            "course_key": lms.courseenrollment.c.course_id,
            "created": lms.courseenrollment.c.created,
            "is_active": lms.courseenrollment.c.is_active,
            "mode": lms.courseenrollment.c.mode,
            "username": lms.auth_user.c.username,
            "user_id": lms.courseenrollment.c.user_id,
        },
        personal=False,
    ),
)
TAG = SinkTable(
    "tag",
    {"id": "Int32", "taxonomy": "Int32", "parent": "Int32"} | _text_columns("value external_id lineage"),
    key="id",
    position="id",
    source=lms.tag,
    reading=_tag_reading,
)
TAXONOMY = SinkTable(
    "taxonomy",
    {"id": "Int32", "name": "String"},
    key="id",
    position="id",
    source=lms.taxonomy,
    reading=_plain(lms.taxonomy, _taxonomy),
)
OBJECT_TAG = SinkTable(
    "object_tag",
    {"id": "Int32", "object_id": "String", "taxonomy": "Int32", "tag": "Int32"}
    | _text_columns("_value _export_id lineage"),
    key="id",
    position="id",
    source=lms.objecttag,
    reading=_object_tag_reading,
)

COURSE_BLOCKS = SinkTable(
    "course_blocks",
    _text_columns("org course_key location display_name xblock_data_json")
    | {"order": "Int32", "edited_on": "String"},
    key="location",
    position="location",
)

#: The tables whose rows come from the LMS's database.
SINK_TABLES: Mapping[str, SinkTable] = {
    one.name: one
    for one in (COURSE_OVERVIEWS, EXTERNAL_ID, USER_PROFILE, COURSE_ENROLLMENT, TAG, TAXONOMY, OBJECT_TAG)
}

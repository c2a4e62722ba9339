"""Filling an LMS database for a test: users, external ids, profiles, courses, enrolments, tags, retirements.

`LmsTables.execute` takes the statements of either database; values are given by name (`:name`).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

NOON = "2024-05-01 12:00:00.000000"
RETIREMENT_STATES = ("PENDING", "LOCKING_ACCOUNT", "RETIRING_LMS", "COMPLETED", "ERRORED", "ABORTED")


@dataclass
class LmsTables:
    """An LMS database with edx-platform's tables, and ways to put rows into them.

    Attributes:
        url: to write; an administrator's.
        reader_url: with the least rights: SELECT on this database alone (the same as `url` for SQLite).
    """

    url: SecretStr
    reader_url: SecretStr
    engine: sa.Engine

    def execute(
        self, statement: str, parameters: dict[str, Any] | list[dict[str, Any]] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for one set of named values or for many, and commit."""
        with self.engine.begin() as connection:
            done = connection.execute(sa.text(statement), parameters or {})
            return [tuple(row) for row in done] if done.returns_rows else []

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        """Insert rows; all of them have the columns of the first."""
        if rows:
            names = list(rows[0])
            columns = ", ".join(self._quoted(name) for name in names)
            values = ", ".join(f":{name}" for name in names)
            self.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})", list(rows))

    def _quoted(self, name: str) -> str:
        return self.engine.dialect.identifier_preparer.quote(name)

    def add_user(
        self,
        user_id: int,
        username: str | None = None,
        *,
        email: str | None = None,
        external_id: str | uuid.UUID | None = "",
        profile: dict[str, Any] | bool = True,
    ) -> None:
        """A user. `external_id` '' makes one of type xapi from the id, None leaves it out; `profile` False too."""
        name = username or f"user_{user_id}"
        self.insert(
            "auth_user",
            {
                "id": user_id,
                "password": "!",
                "is_superuser": 0,
                "username": name,
                "first_name": "",
                "last_name": "",
                "email": email or f"{user_id}@example.com",
                "is_staff": 0,
                "is_active": 1,
                "date_joined": NOON,
            },
        )
        if external_id is not None:
            self.add_external_id(user_id, external_id or uuid.UUID(int=user_id))
        if profile is not False:
            self.add_profile(user_id, **(profile if isinstance(profile, dict) else {}))

    def add_external_id(
        self, user_id: int, external_id: str | uuid.UUID, *, kind: str = "xapi", modified: str = NOON
    ) -> None:
        """An external id of a type that is made if need be."""
        found = self.execute(
            "SELECT id FROM external_user_ids_externalidtype WHERE name = :name", {"name": kind}
        )
        if not found:
            self.insert(
                "external_user_ids_externalidtype",
                {"created": NOON, "modified": NOON, "name": kind, "description": ""},
            )
            return self.add_external_id(user_id, external_id, kind=kind, modified=modified)
        return self.insert(
            "external_user_ids_externalid",
            {
                "external_user_id": uuid.UUID(str(external_id)).hex,
                "created": NOON,
                "modified": modified,
                "external_id_type_id": found[0][0],
                "user_id": user_id,
            },
        )

    def add_profile(self, user_id: int, **values: Any) -> None:
        """A profile; its id is the user's plus 1000 unless given."""
        row = {
            "id": user_id + 1000,
            "user_id": user_id,
            "name": f"Name {user_id}",
            "meta": "",
            "courseware": "course.xml",
            "language": "",
            "location": "",
        }
        self.insert("auth_userprofile", row | values)

    def add_course(self, course_key: str, display_name: str | None = "A course", **values: Any) -> None:
        """A course overview."""
        row = {
            "id": course_key,
            "created": NOON,
            "modified": NOON,
            "version": 1,
            "_location": "",
            "org": course_key.removeprefix("course-v1:").split("+")[0],
            "display_name": display_name,
            "display_number_with_default": "",
            "display_org_with_default": "",
            "self_paced": 0,
            "invitation_only": 0,
        }
        self.insert("course_overviews_courseoverview", row | values)

    def add_enrollment(self, enrollment_id: int, user_id: int, course_key: str, **values: Any) -> None:
        """An enrolment."""
        row = {
            "id": enrollment_id,
            "course_id": course_key,
            "created": NOON,
            "is_active": 1,
            "mode": "audit",
            "user_id": user_id,
        }
        self.insert("student_courseenrollment", row | values)

    def add_taxonomy(self, taxonomy_id: int, name: str, **values: Any) -> None:
        """A taxonomy."""
        self.insert("oel_tagging_taxonomy", {"id": taxonomy_id, "name": name} | values)

    def add_tag(
        self, tag_id: int, value: str, *, taxonomy: int | None, parent: int | None = None, **values: Any
    ) -> None:
        """A tag."""
        row = {"id": tag_id, "value": value, "taxonomy_id": taxonomy, "parent_id": parent}
        self.insert("oel_tagging_tag", row | values)

    def add_object_tag(
        self,
        object_tag_id: int,
        object_id: str,
        *,
        taxonomy: int | None,
        tag: int | None,
        value: str = "",
        **values: Any,
    ) -> None:
        """A tag of an object."""
        row = {
            "id": object_tag_id,
            "object_id": object_id,
            "taxonomy_id": taxonomy,
            "tag_id": tag,
            "_value": value,
            "_export_id": "",
        }
        self.insert("oel_tagging_objecttag", row | values)

    def add_retirement(
        self, user_id: int, state: str = "COMPLETED", *, retired_username: str | None = None
    ) -> None:
        """A user's retirement in some state; the user itself is left as it is."""
        for order, name in enumerate(RETIREMENT_STATES, 1):
            if not self.execute(
                "SELECT id FROM user_api_retirementstate WHERE state_name = :name", {"name": name}
            ):
                self.insert(
                    "user_api_retirementstate",
                    {
                        "id": order,
                        "state_name": name,
                        "state_execution_order": order,
                        "is_dead_end_state": int(name in {"COMPLETED", "ERRORED", "ABORTED"}),
                        "required": 1,
                    },
                )
        self.insert(
            "user_api_userretirementstatus",
            {
                "created": NOON,
                "modified": NOON,
                "user_id": user_id,
                "original_username": f"user_{user_id}",
                "original_email": f"{user_id}@example.com",
                "original_name": f"Name {user_id}",
                "retired_username": retired_username or f"retired__user_{user_id:08x}",
                "retired_email": f"retired__user_{user_id:08x}@retired.invalid",
                "responses": "",
                "current_state_id": RETIREMENT_STATES.index(state) + 1,
            },
        )

"""Users and courses looked up in the LMS database: by LMS id, by username, and by the username before a retirement.

Who a name means is for the LMS's own database to say: MySQL compares usernames by the collation of their column, most
often without regard to case, and so does the LMS when it sends an event.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from aspects_orchestration.lms.database import LmsDatabase, LmsUnreachableError, Row
from aspects_orchestration.lms.tables import (
    auth_user,
    courseoverview,
    externalid,
    externalidtype,
    userretirementstatus,
)
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.xapi.erb import Identity
from aspects_orchestration.xapi.identities_lookups import PATIENCE_S, Found

Key = TypeVar("Key", int, str)

#: The actor of a statement is named by the external id of this type (ExternalIdType.XAPI of edx-platform).
XAPI: Final = "xapi"
#: RETIRED_EMAIL_DOMAIN of edx-platform, by default: no such address is anybody's.
_NOBODYS_ADDRESS: Final = "@retired.invalid"
_AT_A_TIME: Final = 1_000


class LmsUsers:
    """Users of the LMS with their xAPI external ids; see `UserLookup`.

    Args:
        database: the LMS database.
        with_email: also say their e-mail addresses. That of a retired user is none: it was replaced, and statements
            under the replacement would double those under the address that it took the place of.
        patience_s: how long to wait for a database that does not answer, in seconds.
    """

    def __init__(self, database: LmsDatabase, *, with_email: bool, patience_s: float = PATIENCE_S) -> None:
        self._database = database
        self._patience_s = patience_s
        self._columns, self._joined = _selected(with_email)

    def find(self, user_ids: Sequence[int], usernames: Sequence[str]) -> Found:
        """See `UserLookup`.

        Raises:
            LmsError: the database refused, or went away and stayed away.
        """
        by_id = {
            user_id: identity
            for some in _portions(user_ids)
            for user_id, identity in self._ask(auth_user.c.id, auth_user.c.id.in_(some))
        }
        by_username: dict[str, Identity] = {}
        for names in _portions(usernames):
            by_username |= self._named(names)
        return Found(by_id, by_username)

    def _named(self, usernames: Sequence[str]) -> dict[str, Identity]:
        """Users by the name that they were asked for by, first among those who have it, then among those who had it."""
        answered = list(self._ask(auth_user.c.username, auth_user.c.username.in_(usernames)))
        wanted = set(usernames)
        found = {name: identity for name, identity in answered if name in wanted}
        left = [name for name in usernames if name not in found]
        unclaimed = len(answered) > len(found)
        alike = {_plain(name) for name, _ in answered}
        for name in left:
            # A name may be equal to another by the column's collation and not letter by letter. Asked for one name, the
            # database says whose it is; asked for many, it does not say for which of them.
            if unclaimed or _plain(name) in alike:
                equal = list(self._ask(auth_user.c.username, auth_user.c.username == name))
                if equal:
                    found[name] = min((identity for _, identity in equal), key=lambda one: one.user_id)
        left = [name for name in left if name not in found]
        return found | self._retired(left)

    def _retired(self, usernames: Sequence[str]) -> dict[str, Identity]:
        if not usernames:
            return {}
        status = userretirementstatus
        statement = (
            sa.select(status.c.original_username, *self._columns)
            .select_from(self._joined.join(status, status.c.user_id == auth_user.c.id))
            .where(status.c.original_username.in_(usernames))
            .order_by(status.c.modified, status.c.id)
        )
        found: dict[str, Identity] = {}
        for name, *values in _rows(self._database, statement, self._patience_s):
            identity = _identity(values)
            # Compared as the LMS compares what it hashes: without regard to case.
            for wanted in usernames:
                if wanted == name or wanted.lower() == name.lower():
                    found[wanted] = identity
        return found

    def _ask(
        self, asked: sa.Column[Any], condition: sa.ColumnElement[bool]
    ) -> Iterator[tuple[Any, Identity]]:
        statement = sa.select(asked, *self._columns).select_from(self._joined).where(condition)
        for key, *values in _rows(self._database, statement, self._patience_s):
            yield key, _identity(values)


class LmsCourses:
    """Course names of the LMS (its course overviews).

    Args:
        database: the LMS database.
        patience_s: how long to wait for a database that does not answer, in seconds.
    """

    def __init__(self, database: LmsDatabase, *, patience_s: float = PATIENCE_S) -> None:
        self._database = database
        self._patience_s = patience_s

    def display_name(self, course_key: str) -> str | None:
        """The course's display name, empty where it has none, or None for an unknown course.

        Raises:
            LmsError: the database refused, or went away and stayed away.
        """
        statement = sa.select(courseoverview.c.id, courseoverview.c.display_name).where(
            courseoverview.c.id == course_key
        )
        found = _rows(self._database, statement, self._patience_s)
        return None if not found else (found[0][1] or "")


def _rows(database: LmsDatabase, statement: sa.Select[Any], patience_s: float) -> list[Row]:
    return with_retries(lambda: database.rows(statement), for_s=patience_s, passing=LmsUnreachableError)


def _selected(with_email: bool) -> tuple[tuple[sa.ColumnElement[Any], ...], sa.FromClause]:
    """The columns of an identity, and what they are selected from."""
    ids = externalid.join(
        externalidtype,
        sa.and_(externalidtype.c.id == externalid.c.external_id_type_id, externalidtype.c.name == XAPI),
    )
    joined = auth_user.outerjoin(ids, externalid.c.user_id == auth_user.c.id)
    who = (auth_user.c.id, auth_user.c.username, externalid.c.external_user_id)
    if not with_email:
        return (*who, sa.null(), sa.null()), joined
    replaced = userretirementstatus.alias()
    joined = joined.outerjoin(replaced, replaced.c.user_id == auth_user.c.id)
    return (*who, auth_user.c.email, replaced.c.retired_email), joined


def _identity(values: Sequence[Any]) -> Identity:
    user_id, username, external_id, email, retired_email = values
    return Identity(user_id, username, _as_uuid(external_id), _address(email, retired_email))


def _plain(name: str) -> str:
    """A name without case, accents and trailing spaces: what collations most often pass over."""
    letters = unicodedata.normalize("NFKD", name.rstrip())
    return "".join(one for one in letters if not unicodedata.combining(one)).casefold()


def _as_uuid(text: Any) -> str | None:
    if not text:
        return None
    try:
        return str(uuid.UUID(str(text)))
    except ValueError:
        return None  # no id that a statement could carry


def _address(email: str | None, retired_email: str | None) -> str | None:
    if not email or email == retired_email or email.lower().endswith(_NOBODYS_ADDRESS):
        return None
    return email


def _portions(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    return (keys[first : first + _AT_A_TIME] for first in range(0, len(keys), _AT_A_TIME))

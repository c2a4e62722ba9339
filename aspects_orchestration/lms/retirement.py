"""Who has been retired: the LMS's own record of retirements that ran to their end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from aspects_orchestration.lms.database import LmsDatabase, keyset
from aspects_orchestration.lms.tables import externalid, retirementstate, userretirementstatus

#: The state of a retirement that ran to its end (RETIREMENT_STATES of edx-platform).
COMPLETED: Final = "COMPLETED"
_PAGE: Final = 10_000
#: Less could be how a living user's name begins.
_SHORTEST_PREFIX: Final = 6


def retired_users(database: LmsDatabase) -> Iterator[list[int]]:
    """LMS ids of the users whose retirement is completed, page by page.

    Args:
        database: the LMS database.

    Raises:
        LmsError: it cannot be read; a table or grant that is missing is named.
    """
    status = userretirementstatus
    found = database.rows(sa.select(retirementstate.c.id).where(retirementstate.c.state_name == COMPLETED))
    if not found:
        return  # a site that has never retired anybody
    page_of = keyset(status.c.id, [status.c.user_id], status.c.current_state_id == found[0][0])

    def page(after: Any, size: int) -> sa.Select[Any]:
        one = page_of(after, size)
        return sa.select(one.c.id, one.c.user_id).order_by(one.c.id)

    for rows in database.pages(page, size=_PAGE):
        yield [row[1] for row in rows]


def retired_prefix(database: LmsDatabase) -> str | None:
    """How the usernames that the LMS gives to retired users begin (RETIRED_USERNAME_PREFIX); None if none is to be seen.

    Args:
        database: the LMS database.

    Raises:
        LmsError: it cannot be read.
    """
    status = userretirementstatus
    names = database.row(
        sa.select(sa.func.min(status.c.retired_username), sa.func.max(status.c.retired_username))
    )
    # What the first and the last in order have in common, all between them have.
    common = os.path.commonprefix([name or "" for name in names])  # noqa: RUF071  names, not paths
    return common if len(common) >= _SHORTEST_PREFIX else None


def retired_among(database: LmsDatabase, external_ids: list[str]) -> int:
    """How many of some external ids are of users whose retirement is completed.

    Args:
        database: the LMS database.
        external_ids: UUIDs as text; a few thousand at most.

    Raises:
        LmsError: it cannot be read.
    """
    status = userretirementstatus
    statement = (
        sa.select(sa.func.count(sa.distinct(externalid.c.external_user_id)))
        .join(status, status.c.user_id == externalid.c.user_id)
        .join(retirementstate, retirementstate.c.id == status.c.current_state_id)
        .where(
            retirementstate.c.state_name == COMPLETED,
            externalid.c.external_user_id.in_(
                [form for one in external_ids for form in (one, one.replace("-", ""))]
            ),
        )
    )
    return int(database.row(statement)[0])

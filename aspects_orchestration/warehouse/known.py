"""Does `event_sink` know whom and what the statements name? Asked of the last month of statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import SchemaNames
from aspects_orchestration.window import Window

#: The last month, back from the newest statement.
MONTH = timedelta(days=31)
#: Statements parsed; where there are more, a share of them is, by the hash of the id.
_PARSED_STATEMENTS = 5_000_000
#: So many of the unknown are named, to be looked up elsewhere.
SHOWN = 10_000


@dataclass(frozen=True)
class Unknown:
    """What statements name and `event_sink` does not know.

    Attributes:
        named: different actors or courses that the statements name.
        unknown: how many of them are not known.
        some: at most SHOWN of these; empty for actors who are named by address.
        modulus: one statement in so many was looked at.
    """

    named: int
    unknown: int
    some: tuple[str, ...]
    modulus: int

    def __repr__(self) -> str:
        return f"Unknown({self.unknown} of {self.named})"


def newest_month(warehouse: Warehouse, names: SchemaNames) -> Window | None:
    """The last 31 days of statements, back from the newest; None where there are none."""
    micros, statements = warehouse.row(
        "newest_statement", database=names.xapi_database, table=names.xapi_table
    )
    if not statements:
        return None
    end = datetime.fromtimestamp(micros // 1_000_000, UTC) + timedelta(seconds=1)
    return Window(end - MONTH, end)


def unknown_actors(warehouse: Warehouse, names: SchemaNames, window: Window, *, actor_type: str) -> Unknown:
    """Actors whom `external_id` (or `user_profile`, where they are named by address) does not know.

    Args:
        warehouse: a connection.
        names: the site's names.
        window: which statements.
        actor_type: XAPI_AGENT_IFI_TYPE.
    """
    modulus = _modulus(warehouse, names, window)
    if actor_type == "external_id":
        row = warehouse.row(
            "actors_unknown",
            event_sink=names.event_sink_database,
            shown=SHOWN,
            modulus=modulus,
            **_bounds(names, window),
        )
    else:
        row = warehouse.row(
            "actors_unknown_by_email",
            event_sink=names.event_sink_database,
            digest=actor_type == "mbox_sha1sum",
            modulus=modulus,
            **_bounds(names, window),
        )
    return Unknown(int(row[0]), int(row[1]), tuple(row[2]), modulus)


def unknown_courses(warehouse: Warehouse, names: SchemaNames, window: Window) -> Unknown:
    """Courses that `course_overviews` does not know; see `unknown_actors`."""
    modulus = _modulus(warehouse, names, window)
    row = warehouse.row(
        "courses_unknown",
        event_sink=names.event_sink_database,
        shown=SHOWN,
        modulus=modulus,
        **_bounds(names, window),
    )
    return Unknown(int(row[0]), int(row[1]), tuple(row[2]), modulus)


def _modulus(warehouse: Warehouse, names: SchemaNames, window: Window) -> int:
    statements = int(warehouse.row("statements_between", **_bounds(names, window))[0])
    return max(1, -(-statements // _PARSED_STATEMENTS))


def _bounds(names: SchemaNames, window: Window) -> dict[str, Any]:
    return {
        "database": names.xapi_database,
        "table": names.xapi_table,
        "start": window.start_micros,
        "end": window.end_micros,
    }

"""Dictionaries that dashboards take names from, and views that are refreshed by the clock: neither follows an insert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.statements import ddl

_LOADED = {"LOADED", "LOADED_AND_RELOADING"}
_FAILED = {"FAILED", "FAILED_AND_RELOADING"}
#: Grace beyond a dictionary's own lifetime: it reloads at some moment within it, and a large one takes its time.
_GRACE = timedelta(minutes=10)


@dataclass(frozen=True)
class Dictionary:
    """A dictionary as the server has it.

    Attributes:
        database, name: of it.
        status: ClickHouse's, such as LOADED.
        elements: that it holds.
        source_rows: of the tables that it is made of, every copy of a row counted; None where they are not ClickHouse's.
        updated: when it was last loaded well (UTC); None if never.
        age: since then.
        lifetime: longest time between two loads; zero if it is loaded once.
        error: name and number of what its last load failed of; empty if it did not. Texts may hold rows, and stay there.
        asks_its_source: whether it holds nothing itself (Direct), or what was asked of late (Cache), and is never loaded.
        lacks_a_source: whether a table that it is made of is empty; what joins it may be empty itself.
        node: on a cluster, whose dictionary it is: each node loads its own.
        cluster: of which it is a node.
    """

    database: str
    name: str
    status: str
    elements: int
    source_rows: int | None
    updated: datetime | None
    age: timedelta | None
    lifetime: timedelta
    error: str
    asks_its_source: bool = False
    lacks_a_source: bool = False
    node: str = ""
    cluster: str = ""

    @property
    def known_as(self) -> str:
        """`database.name`, and on which node of a cluster."""
        return f"{self.database}.{self.name}" + (f" on {self.node}" if self.cluster else "")

    @property
    def is_unused(self) -> bool:
        """Whether nothing has asked it since the server started: it is loaded by the first question."""
        return self.status == "NOT_LOADED"

    @property
    def trouble(self) -> str:
        """What is wrong with it, in words; empty if nothing is."""
        if self.status in _FAILED or (self.status not in _LOADED and self.error):
            return f"cannot be loaded ({self.error})"
        if self.error:
            old = f"; what it holds is of {self.updated:%Y-%m-%d %H:%M:%S} UTC" if self.updated else ""
            return f"cannot be loaded again ({self.error}){old}"
        if self.status not in _LOADED or self.asks_its_source:
            return ""
        if self.lifetime and self.age and self.age > self.lifetime * 2 + _GRACE:
            return (
                f"was loaded {shown_age(self.age)} ago, and is to be loaded every {shown_age(self.lifetime)}"
            )
        if self.elements == 0 and self.source_rows and not self.lacks_a_source:
            return f"is empty, and its source holds {self.source_rows:,} rows"
        return ""

    @property
    def mend(self) -> str:
        """The statement that loads it again."""
        return ddl(
            "dictionary_reload", cluster=self.cluster, database=self.database, dictionary=self.name
        ).shown()


@dataclass(frozen=True)
class Refresh:
    """A view that is refreshed by the clock.

    Attributes:
        known_as: `database.view`, and on which node of a cluster.
        status: ClickHouse's, such as Scheduled.
        success: when it was last refreshed well (UTC); None if never.
        overdue: since when the next refresh is due, if it is.
        error: name and number of what the last one failed of.
    """

    known_as: str
    status: str
    success: datetime | None
    overdue: timedelta | None
    error: str

    @property
    def trouble(self) -> str:
        """What is wrong with it, in words; empty if nothing is."""
        last = (
            f"the last good one was {self.success:%Y-%m-%d %H:%M:%S} UTC"
            if self.success
            else "there was no good one"
        )
        if self.error:
            return f"its refresh fails ({self.error}); {last}"
        if self.status == "Disabled":
            return (
                f"its refreshes are stopped (SYSTEM START VIEW {self.known_as.partition(' on ')[0]}); {last}"
            )
        if self.overdue and self.overdue > _GRACE and self.status != "Running":
            return f"its refresh is due since {shown_age(self.overdue)}; {last}"
        return ""


def dictionaries_of(warehouse: Warehouse, databases: Sequence[str]) -> list[Dictionary]:
    """The dictionaries of some databases, on each node that answers.

    Raises:
        WarehouseError: this user may not see them; says which grant is missing.
    """
    defined = warehouse.row("dashboards/dictionaries_defined", databases=list(databases))[0]
    rows = warehouse.rows("dashboards/dictionaries", databases=list(databases))
    seen = len({(row[0], row[1]) for row in rows})
    if defined > seen:
        raise WarehouseError(
            f"user {warehouse.address.user} sees {seen} of {defined} dictionaries",
            do=f"GRANT SHOW DICTIONARIES ON {', '.join(f'{one}.*' for one in databases)} TO {warehouse.address.user}"
            " (sql/grants.sql), then look again.",
        )
    sources = {(str(database), str(table)) for row in rows for database, table in row[10]}
    held = _rows_of(warehouse, sources)
    return [_dictionary(row, held, warehouse.cluster) for row in rows]


def refreshes_of(warehouse: Warehouse, databases: Sequence[str]) -> list[Refresh]:
    """The views of some databases that are refreshed by the clock.

    Raises:
        WarehouseError: a grant is missing.
    """
    found = []
    for database, view, status, success, due, code, name, now, node in warehouse.rows(
        "dashboards/refreshes", databases=list(databases)
    ):
        overdue = timedelta(seconds=int(now) - int(due)) if due and now > due else None
        known_as = f"{database}.{view}" + (f" on {node}" if warehouse.cluster else "")
        found.append(Refresh(known_as, status, _at(success), overdue, _error(code, name)))
    return found


def shown_age(age: timedelta) -> str:
    """A stretch of time as people say it: 45 s, 12 min, 5 h, 3 days."""
    seconds = int(age.total_seconds())
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _dictionary(row: tuple[object, ...], held: dict[tuple[str, str], int], cluster: str) -> Dictionary:
    database, name, status, elements, updated, lifetime, errors, code, error, now, tables, *rest = row
    asks_its_source, node = rest
    sources = [(str(of), str(table)) for of, table in tables]  # type: ignore[attr-defined]
    rows = [held.get(one, 0) for one in sources]
    at = _at(updated)
    return Dictionary(
        str(database),
        str(name),
        str(status),
        int(str(elements)),
        sum(rows) if sources else None,
        at,
        timedelta(seconds=int(str(now)) - int(str(updated))) if at else None,
        timedelta(seconds=int(str(lifetime))),
        _error(code, error) or ("an error without a number" if errors else ""),
        bool(asks_its_source),
        not all(rows),
        str(node),
        cluster,
    )


def _rows_of(warehouse: Warehouse, tables: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    if not tables:
        return {}
    databases, names = ([*{one[part] for one in tables}] for part in (0, 1))
    found = warehouse.rows("dashboards/rows_of_tables", databases=databases, tables=names)
    return {(str(database), str(table)): int(rows) for database, table, rows in found}


def _error(code: object, name: object) -> str:
    return f"{name or 'error'}, code {code}" if code else ""


def _at(seconds: object) -> datetime | None:
    number = int(str(seconds))
    return datetime.fromtimestamp(number, UTC) if number else None

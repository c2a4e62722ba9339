"""The tables of `event_sink` that hold personal data: emptied when it is switched off, and rid of retired users.

First a plan that only counts, then the same plan acted upon. Running it again is harmless: a deletion that is under way
already is waited for, not sent a second time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Warehouse

#: Tables that Aspects fills only where ASPECTS_ENABLE_PII is true (EVENT_SINK_PII_MODELS of platform-plugin-aspects).
PII_TABLES = ("external_id", "user_profile")
#: One query parameter of ten digits an id stays below ClickHouse's `http_max_field_value_size` of 128 KiB.
USERS_AT_A_TIME = 10_000
_LONGEST_PAUSE_S = 5.0
#: Whatever the server's default: a query that waits may be cut off, and then nobody knows.
_GOES_ON_BY_ITSELF = {"mutations_sync": 0, "alter_sync": 0}
_DELETION = re.compile(
    r"DELETE\s+WHERE\s+user_id\s+IN\b[^\[(]*(?:_CAST\s*\()?\s*[\[(]([\d,\s]+)[\])]", re.IGNORECASE
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class PiiTable:
    """A table and what of it is concerned: rows, and the users they belong to (none where all rows go)."""

    database: str
    table: str
    rows: int
    user_ids: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """`database.table`."""
        return f"{self.database}.{self.table}"

    def __repr__(self) -> str:
        return f"PiiTable({self.name!r}, {self.rows} rows, {len(self.user_ids)} users)"


@dataclass(frozen=True)
class PiiPlan:
    """What goes, table by table, and the dictionaries that are to forget it.

    Attributes:
        tables: every table that holds personal data, also those of which nothing goes.
        dictionaries: database and name of dictionaries that keep a copy in memory.
    """

    tables: tuple[PiiTable, ...]
    dictionaries: tuple[tuple[str, str], ...]

    @property
    def rows(self) -> int:
        """Rows that go, of all tables."""
        return sum(one.rows for one in self.tables)

    @property
    def users(self) -> int:
        """Different users who are deleted."""
        return len({user_id for one in self.tables for user_id in one.user_ids})

    def described(self) -> list[str]:
        """The plan, a line a table and dictionary, without anybody's id."""
        lines = [
            f"{one.name}: {one.rows} rows" + (f" of {len(one.user_ids)} users" if one.user_ids else "")
            for one in self.tables
        ]
        return [*lines, *(f"{database}.{name}: loaded anew" for database, name in self.dictionaries)]


def plan_emptying(warehouse: Warehouse, event_sink: str, *, tables: Sequence[str] = PII_TABLES) -> PiiPlan:
    """Count what the tables with personal data hold.

    Args:
        warehouse: a connection.
        event_sink: the database's name.
        tables: those to look at.

    Raises:
        WarehouseError: they cannot be read.
    """
    return PiiPlan(
        tuple(PiiTable(event_sink, table, _rows(warehouse, event_sink, table)) for table in tables),
        _dictionaries(warehouse),
    )


def empty(warehouse: Warehouse, plan: PiiPlan, *, say: Say) -> int:
    """Empty the tables of a plan by `plan_emptying`; returns the rows that went.

    Raises:
        WarehouseError: a grant is missing, or rows are there afterwards: somebody else is writing them.
    """
    for one in plan.tables:
        warehouse.run("pii_empty", database=one.database, table=one.table)
        say(f"emptied {one.name}: {one.rows} rows")
    reload_dictionaries(warehouse, plan, say=say)
    left = plan_emptying(warehouse, plan.tables[0].database)
    if left.rows:
        raise WarehouseError(
            f"{left.rows} rows were written into {', '.join(one.name for one in left.tables if one.rows)} meanwhile",
            do="Switch ASPECTS_ENABLE_PII off in Aspects too (tutor config save --set ASPECTS_ENABLE_PII=false, then restart"
            " the LMS), and run this job again.",
        )
    return plan.rows


def plan_deletion(
    warehouse: Warehouse,
    event_sink: str,
    user_ids: Iterable[Sequence[int]],
    *,
    tables: Sequence[str] = PII_TABLES,
) -> PiiPlan:
    """Find what the tables with personal data hold of some users.

    Args:
        warehouse: a connection.
        event_sink: the database's name.
        user_ids: LMS ids, in portions; only those of whom something is there are kept in memory.
        tables: those to look at.

    Raises:
        WarehouseError: the tables cannot be read.
    """
    rows = dict.fromkeys(tables, 0)
    users: dict[str, list[int]] = {table: [] for table in tables}
    for portion in user_ids:
        for some in _portions(portion):
            for table in tables:
                for user_id, count in warehouse.rows(
                    "pii_rows_of_users", database=event_sink, table=table, user_ids=list(some)
                ):
                    rows[table] += int(count)
                    users[table].append(int(user_id))
    return PiiPlan(
        tuple(PiiTable(event_sink, table, rows[table], tuple(sorted(users[table]))) for table in tables),
        _dictionaries(warehouse),
    )


def delete_users(warehouse: Warehouse, plan: PiiPlan, *, say: Say, wait_s: float = 3600.0) -> int:
    """Delete the users of a plan by `plan_deletion`, and wait until they are gone.

    Args:
        warehouse: a connection.
        plan: what goes.
        say: told what is sent and waited for, without anybody's id.
        wait_s: how long to wait for ClickHouse to have rewritten a table, in seconds.

    Returns:
        The rows that went.

    Raises:
        WarehouseError: a grant is missing, a mutation fails or is not done in time, or somebody writes the users again.
    """
    for one in plan.tables:
        under_way = _under_deletion(warehouse, one)
        to_send = sorted(set(one.user_ids) - under_way)
        if len(to_send) < len(one.user_ids):
            say(f"{one.name}: {len(one.user_ids) - len(to_send)} users are being deleted already")
        for some in _portions(to_send):
            warehouse.run(
                "pii_delete_users",
                database=one.database,
                table=one.table,
                user_ids=list(some),
                settings=_GOES_ON_BY_ITSELF,
            )
            say(f"{one.name}: deleting {len(some)} users")
    for one in plan.tables:
        if one.user_ids:
            _wait_for(warehouse, one, say=say, wait_s=wait_s)
    reload_dictionaries(warehouse, plan, say=say)
    left = [
        plan_deletion(warehouse, one.database, [one.user_ids], tables=(one.table,))
        for one in plan.tables
        if one.user_ids
    ]
    if any(one.rows for one in left):
        raise WarehouseError(
            f"{max(one.users for one in left)} users who were deleted are there again: somebody is writing them",
            do="Run this job again when no dump of the LMS tables is running.",
        )
    return plan.rows


def reload_dictionaries(warehouse: Warehouse, plan: PiiPlan, *, say: Say) -> None:
    """Let the dictionaries of a plan forget what went; where that is not allowed, say when they will by themselves."""
    for database, name in plan.dictionaries:
        try:
            warehouse.run("dictionary_reload", database=database, dictionary=name)
        except WarehouseError as error:
            say(
                f"{database}.{name} keeps its copy in memory until its lifetime (ASPECTS_PII_CACHE_LIFETIME) is over:"
                f" {error}"
            )
        else:
            say(f"{database}.{name} was loaded anew")


def _rows(warehouse: Warehouse, database: str, table: str) -> int:
    return int(warehouse.row("table_rows", database=database, table=table)[0])


def _dictionaries(warehouse: Warehouse) -> tuple[tuple[str, str], ...]:
    return tuple((database, name) for database, name in warehouse.rows("pii_dictionaries"))


def _under_deletion(warehouse: Warehouse, one: PiiTable) -> set[int]:
    """Users whom mutations of the table that are not done yet delete: by ours, or by the LMS's own."""
    commands = [row[1] for row in _unfinished(warehouse, one)]
    return {
        int(number)
        for command in commands
        if (found := _DELETION.search(command)) is not None
        for number in found[1].split(",")
        if number.strip()
    }


def _unfinished(warehouse: Warehouse, one: PiiTable) -> list[tuple[str, str, int, str]]:
    return [
        (mutation, command, int(parts), reason)
        for mutation, command, parts, reason in warehouse.rows(
            "mutations_unfinished", database=one.database, table=one.table
        )
    ]


def _wait_for(warehouse: Warehouse, one: PiiTable, *, say: Say, wait_s: float) -> None:
    started = time.monotonic()
    pause, said = 0.05, started
    while unfinished := _unfinished(warehouse, one):
        failed = next(((mutation, why) for mutation, _, _, why in unfinished if why), None)
        parts = sum(parts for _, _, parts, _ in unfinished)
        if failed is not None or time.monotonic() - started > wait_s:
            mutation, why = failed or (unfinished[0][0], f"not done after {wait_s:.0f} s")
            raise WarehouseError(
                f"{one.name}: mutation {mutation} has {parts} parts left: {_without_values(why)}",
                do="Look at system.mutations. When its cause is mended it goes on by itself; to give it up: KILL MUTATION"
                f" WHERE database = '{one.database}' AND table = '{one.table}' AND mutation_id = '{mutation}'. Then run this"
                " job again: users who are being deleted already are waited for.",
            )
        if time.monotonic() - said > _LONGEST_PAUSE_S:
            say(f"{one.name}: waiting for {parts} parts to be rewritten")
            said = time.monotonic()
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def _without_values(reason: str) -> str:
    """The head of an error of ClickHouse, which names it and comes before any value."""
    return reason.splitlines()[0].split(": While")[0][:200] if reason else ""


def _portions(user_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (user_ids[first : first + USERS_AT_A_TIME] for first in range(0, len(user_ids), USERS_AT_A_TIME))

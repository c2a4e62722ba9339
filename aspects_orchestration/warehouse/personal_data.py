"""Personal data in `event_sink`: taken out when it is switched off, and that of retired users.

First a plan that only counts, then the same plan acted upon. Running it again is harmless: a deletion that is under way
already is waited for, not sent a second time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import require_everywhere

#: Tables that Aspects fills only where ASPECTS_ENABLE_PII is true (EVENT_SINK_PII_MODELS of platform-plugin-aspects).
PII_TABLES = ("external_id", "user_profile")
#: Tables that Aspects fills in any case, with usernames in them: the rows stay, the names go.
NAMED_TABLES = ("course_enrollment",)
ALL_TABLES = (*PII_TABLES, *NAMED_TABLES)
#: RETIRED_USERNAME_PREFIX of edx-platform, by default.
RETIRED_PREFIX = "retired__user_"
#: One query parameter of ten digits an id stays below ClickHouse's `http_max_field_value_size` of 128 KiB.
USERS_AT_A_TIME = 10_000
_LONGEST_PAUSE_S = 5.0
#: Whatever the server's default: a query that waits may be cut off, and then nobody knows.
_GOES_ON_BY_ITSELF = {"mutations_sync": 0, "alter_sync": 0}
#: A mutation of users by their ids, as ClickHouse writes it down: `DELETE WHERE user_id IN (1, 2)`, `… IN _CAST([1], …)`.
_OF_USERS = re.compile(
    r"(?:DELETE|UPDATE username = '')\s+WHERE\s+\(*user_id\s+IN\b\s*(?:_CAST\s*\()?\s*[\[(]([\d,\s]+)[\])]",
    re.IGNORECASE,
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

    @property
    def only_names(self) -> bool:
        """Whether the rows stay and lose their username."""
        return self.table in NAMED_TABLES

    def __repr__(self) -> str:
        return f"PiiTable({self.name!r}, {self.rows} rows, {len(self.user_ids)} users)"


@dataclass(frozen=True)
class PiiPlan:
    """What goes, table by table, and the dictionaries that are to forget it.

    Attributes:
        tables: every table that holds personal data, also those of which nothing goes.
        dictionaries: database and name of dictionaries that keep a copy in memory.
        retired_prefix: usernames that begin so are nobody's name.
    """

    tables: tuple[PiiTable, ...]
    dictionaries: tuple[tuple[str, str], ...]
    retired_prefix: str = RETIRED_PREFIX

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
            f"{one.name}: {'usernames of ' if one.only_names else ''}{one.rows} rows"
            + (f" of {len(one.user_ids)} users" if one.user_ids else "")
            for one in self.tables
        ]
        return [*lines, *(f"{database}.{name}: loaded anew" for database, name in self.dictionaries)]


def plan_emptying(warehouse: Warehouse, event_sink: str, *, tables: Sequence[str] = ALL_TABLES) -> PiiPlan:
    """Count what the tables with personal data hold.

    Args:
        warehouse: a connection.
        event_sink: the database's name.
        tables: those to look at.

    Raises:
        WarehouseError: they cannot be read.
        ClusterError: each shard has rows of its own.
    """
    for table in tables:
        require_everywhere(warehouse, event_sink, table)
    return PiiPlan(
        tuple(
            PiiTable(
                event_sink,
                table,
                int(
                    warehouse.row(
                        "pii_names" if table in NAMED_TABLES else "table_rows",
                        database=event_sink,
                        table=table,
                    )[0]
                ),
            )
            for table in tables
        ),
        _dictionaries(warehouse),
    )


def empty(warehouse: Warehouse, plan: PiiPlan, *, say: Say, wait_s: float = 3600.0) -> int:
    """Do what a plan by `plan_emptying` says; returns the rows that went or lost their username.

    Args:
        warehouse: a connection.
        plan: what goes.
        say: told what is done.
        wait_s: how long to wait for ClickHouse to have rewritten a table, in seconds.

    Raises:
        WarehouseError: a grant is missing, or rows are there afterwards: somebody else is writing them.
    """
    for one in plan.tables:
        if one.only_names:
            if one.rows and not any("username = ''" in row[1] for row in _unfinished(warehouse, one)):
                warehouse.run(
                    "pii_blank_names", database=one.database, table=one.table, settings=_GOES_ON_BY_ITSELF
                )
            _wait_for(warehouse, one, say=say, wait_s=wait_s)
            say(f"took the usernames out of {one.name}: {one.rows} rows")
        else:
            warehouse.run("pii_empty", database=one.database, table=one.table)
            say(f"emptied {one.name}: {one.rows} rows")
    reload_dictionaries(warehouse, plan, say=say)
    left = plan_emptying(warehouse, plan.tables[0].database, tables=[one.table for one in plan.tables])
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
    retired_prefix: str = RETIRED_PREFIX,
    tables: Sequence[str] = ALL_TABLES,
) -> PiiPlan:
    """Find what the tables with personal data hold of some users.

    Args:
        warehouse: a connection.
        event_sink: the database's name.
        user_ids: LMS ids, in portions; only those of whom something is there are kept in memory.
        retired_prefix: usernames that begin so are what the LMS calls retired users, and nobody's name.
        tables: those to look at.

    Raises:
        WarehouseError: the tables cannot be read.
        ClusterError: each shard has rows of its own.
    """
    for table in tables:
        require_everywhere(warehouse, event_sink, table)
    rows = dict.fromkeys(tables, 0)
    users: dict[str, list[int]] = {table: [] for table in tables}
    for portion in user_ids:
        for some in _portions(portion):
            for table in tables:
                bound: dict[str, Any] = {"database": event_sink, "table": table, "user_ids": list(some)}
                found = (
                    warehouse.rows("pii_names_of_users", retired_prefix=retired_prefix, **bound)
                    if table in NAMED_TABLES
                    else warehouse.rows("pii_rows_of_users", **bound)
                )
                rows[table] += sum(int(count) for _, count in found)
                users[table] += [int(user_id) for user_id, _ in found]
    return PiiPlan(
        tuple(PiiTable(event_sink, table, rows[table], tuple(sorted(users[table]))) for table in tables),
        _dictionaries(warehouse),
        retired_prefix,
    )


def delete_users(warehouse: Warehouse, plan: PiiPlan, *, say: Say, wait_s: float = 3600.0) -> int:
    """Delete the users of a plan by `plan_deletion`, and wait until they are gone.

    Args:
        warehouse: a connection.
        plan: what goes.
        say: told what is sent and waited for, without anybody's id.
        wait_s: how long to wait for ClickHouse to have rewritten a table, in seconds.

    Returns:
        The rows that went or lost their username.

    Raises:
        WarehouseError: a grant is missing, a mutation fails or is not done in time, or somebody writes the users again.
    """
    for one in plan.tables:
        if not one.user_ids:
            continue
        to_send = sorted(set(one.user_ids) - _under_way(warehouse, one))
        if len(to_send) < len(one.user_ids):
            say(f"{one.name}: {len(one.user_ids) - len(to_send)} users are being deleted already")
        for some in _portions(to_send):
            bound: dict[str, Any] = {"database": one.database, "table": one.table, "user_ids": list(some)}
            if one.only_names:
                bound["retired_prefix"] = plan.retired_prefix
            name = "pii_blank_names_of_users" if one.only_names else "pii_delete_users"
            warehouse.run(name, settings=_GOES_ON_BY_ITSELF, **bound)
            say(
                f"{one.name}: {'taking out the usernames of' if one.only_names else 'deleting'} {len(some)} users"
            )
    for one in plan.tables:
        if one.user_ids:
            _wait_for(warehouse, one, say=say, wait_s=wait_s)
    reload_dictionaries(warehouse, plan, say=say)
    left = [
        plan_deletion(
            warehouse,
            one.database,
            [one.user_ids],
            retired_prefix=plan.retired_prefix,
            tables=(one.table,),
        )
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


def _dictionaries(warehouse: Warehouse) -> tuple[tuple[str, str], ...]:
    return tuple((database, name) for database, name in warehouse.rows("pii_dictionaries"))


def _under_way(warehouse: Warehouse, one: PiiTable) -> set[int]:
    """Users whom mutations of the table that are not done yet delete: by ours, or by the LMS's own."""
    commands = [row[1] for row in _unfinished(warehouse, one)]
    return {
        int(number)
        for command in commands
        if (found := _OF_USERS.search(command)) is not None
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

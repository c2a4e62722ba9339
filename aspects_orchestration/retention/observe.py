"""What stands: tables with their TTLs, and their partitions with rows, bytes, times and marks. Reads system tables alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from aspects_orchestration.retention.policy import Policy
from aspects_orchestration.retention.rules import Rule, rules_of, settings_of
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.rebuild import chained_tables

Role = Literal["raw", "chained", "event sink", "by name", "system log", "leftover log"]

_MONTHLY = re.compile(r"\(?toYYYYMM\(\s*(?:toDate(?:Time)?\()?\s*`?(\w+)`?\s*\)?\s*\)\)?\Z")
_LEFTOVER = re.compile(r"_log_\d+\Z")
_MONTH_ID = re.compile(r"(\d{4})(0[1-9]|1[0-2])\Z")


@dataclass(frozen=True)
class Partition:
    """One partition of a table.

    Attributes:
        id: ClickHouse's, such as 202405.
        rows, bytes, parts: of its active parts.
        first, last: time of its first and last row, to the second; None where the table keeps no time by partition.
        unmarked_parts: parts that no TTL was computed for: ClickHouse itself will not drop them until they are merged.
        first_mark: when ClickHouse drops the first of the others, by the TTL that held when that was computed.
        state: changes whenever rows come or are changed, and not by merges.
    """

    id: str
    rows: int
    bytes: int
    parts: int
    first: datetime | None
    last: datetime | None
    unmarked_parts: int
    first_mark: datetime | None
    state: str

    @property
    def month(self) -> str | None:
        """The month's key, where the partition is a month."""
        found = _MONTH_ID.match(self.id)
        return f"{found[1]}-{found[2]}" if found else None


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        database, name: of the table that holds the rows; of a view with storage of its own, that storage.
        known_as: its name, or that of the view whose storage it is.
        role: why it is looked at.
        partition_key: expression; empty for none.
        column: the time column that it is partitioned by month on; None where it is not partitioned by month.
        rules: of its TTL.
        settings: of the table that are not the server's own.
        partitions: those with rows, by id.
    """

    database: str
    name: str
    known_as: str
    role: Role
    partition_key: str
    column: str | None
    rules: tuple[Rule, ...]
    settings: dict[str, str]
    partitions: tuple[Partition, ...]

    @property
    def full_name(self) -> str:
        """`database.table`, by which people and policies know it."""
        return f"{self.database}.{self.known_as}"

    @property
    def bytes(self) -> int:
        """On disk."""
        return sum(one.bytes for one in self.partitions)

    @property
    def ttl(self) -> str:
        """The TTL as ClickHouse has it; empty for none."""
        return ", ".join(rule.text for rule in self.rules)

    @property
    def drops_whole_parts(self) -> bool:
        """Whether TTL merges drop whole parts only."""
        return self.settings.get("ttl_only_drop_parts") in {"1", "true"}


@dataclass(frozen=True)
class Staging:
    """A table of a load in the project's own database, and seconds since anything happened to it."""

    database: str
    name: str
    rows: int
    bytes: int
    quiet_s: int


@dataclass(frozen=True)
class Observed:
    """All that retention looks at.

    Attributes:
        tables: the raw table first, then those behind it, nearest first, then the others.
        staging: tables of loads.
        stopped: tables (`database.table`) whose TTL merges a load stopped, and for what.
        disk_bytes: space of all of the server's disks.
        time_zone: of the server; by UTC alone are its partitions the months that a policy counts.
        is_utc: whether that is UTC.
        now: when this was looked at (UTC).
    """

    tables: tuple[Table, ...]
    staging: tuple[Staging, ...]
    stopped: dict[str, str]
    disk_bytes: int
    time_zone: str
    is_utc: bool
    now: datetime

    @property
    def raw(self) -> Table | None:
        """The raw table."""
        return next((one for one in self.tables if one.role == "raw"), None)


def observe(settings: Settings, policy: Policy, warehouse: Warehouse, *, now: datetime) -> Observed:
    """Look at every table that the policy is about; changes nothing.

    Args:
        settings: names of databases and tables.
        policy: names further tables.
        warehouse: a user who may read `system.parts` and `system.disks`.
        now: the time, with zone.

    Raises:
        WarehouseError: a grant is missing, or ClickHouse cannot be reached.
    """
    tables = _with_partitions(warehouse, _tables(settings, policy, warehouse))
    database = settings.orchestration_database
    staging = tuple(
        Staging(database, str(name), int(rows or 0), int(size or 0), int(quiet_s))
        for name, rows, size, quiet_s in warehouse.rows(
            "staging_ages", database=database, pattern="^(staging|progress)_"
        )
    )
    stopped = {
        str(name): str(why) for name, why in warehouse.rows("retention_log_stopped", database=database)
    }
    zone, is_utc = warehouse.time_zone()
    total = warehouse.row("retention_disks")[0]
    return Observed(tuple(tables), staging, stopped, int(total), zone, is_utc, now.astimezone(UTC))


def _tables(settings: Settings, policy: Policy, warehouse: Warehouse) -> list[Table]:
    chain = chained_tables(warehouse, settings.xapi_database, settings.raw_xapi_table)
    found: dict[tuple[str, str], Table] = {}
    for database, name, known, partition_key, engine_full in warehouse.rows("retention_tables"):
        # Of a table over several shards, which policies name, it is the one on each shard that has the rows.
        known_as = settings.raw_xapi_table if (database, name) == chain[0] else known
        role = _role(settings, policy, chain, str(database), str(name), str(known_as))
        if role is not None:
            monthly = _MONTHLY.match(partition_key)
            column = monthly[1] if monthly else None
            rules, own = rules_of(engine_full), settings_of(engine_full)
            found[database, name] = Table(
                database, name, known_as, role, partition_key, column, rules, own, ()
            )
    order = {one: number for number, one in enumerate(chain)}
    return sorted(
        found.values(), key=lambda one: (order.get((one.database, one.name), len(order)), one.full_name)
    )


def _role(
    settings: Settings,
    policy: Policy,
    chain: list[tuple[str, str]],
    database: str,
    name: str,
    known_as: str,
) -> Role | None:
    if (database, name) == chain[0]:
        return "raw"
    if (database, name) in chain:
        return "chained"
    if database == "system":
        return "leftover log" if _LEFTOVER.search(name) else "system log"
    if database == settings.orchestration_database:
        return None
    if policy.exception_for(f"{database}.{known_as}") is not None:
        return "by name"
    return "event sink" if database == settings.event_sink_database else None


def _with_partitions(warehouse: Warehouse, tables: list[Table]) -> Iterable[Table]:
    partitions: dict[tuple[str, str], list[Partition]] = {}
    for database in dict.fromkeys(one.database for one in tables):
        names = [one.name for one in tables if one.database == database]
        for table, *row in warehouse.rows("retention_partitions", database=database, tables=names):
            partitions.setdefault((database, str(table)), []).append(_partition(row))
    for one in tables:
        own = tuple(partitions.get((one.database, one.name), ()))
        yield replace(one, partitions=own)


def _partition(row: list[object]) -> Partition:
    name, *numbers = row
    rows, size, parts, first, last, unmarked, mark, block = (int(str(one)) for one in numbers)
    return Partition(
        str(name), rows, size, parts, _at(first), _at(last), unmarked, _at(mark), f"{rows}/{block}"
    )


def _at(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None

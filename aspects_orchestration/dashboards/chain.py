"""What hangs behind the raw table, as ClickHouse has it: views with what they select, and tables with what they hold.

Nothing here is known by name: the chain is followed from `system.tables`, so that whatever a site's dbt project makes of
it is what is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from aspects_orchestration.retention.rules import Rule, rules_of
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.rebuild import target_of

_MONTHLY = re.compile(r"\(?toYYYYMM\(\s*(?:toDateTime\()?\s*`?(\w+)`?\s*\)?\s*\)\)?\Z")
_MONTH_ID = re.compile(r"\d{4}(?:0[1-9]|1[0-2])\Z")
_OF_ENGINE = re.compile(r"\w+\(((?:[^()']|'(?:[^'\\]|\\.)*'|\([^()]*\))*)\)")
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")

#: A database and a name in it.
Name = tuple[str, str]


@dataclass(frozen=True)
class Table:
    """A table of the chain, and what it holds.

    Attributes:
        database, name: of the table that holds the rows; of a view with storage of its own, that storage.
        known_as: `database.name`, by which people know it.
        engine: such as ReplacingMergeTree.
        engine_columns: columns that its engine was given, such as those that it adds up.
        month_column: the time whose months its partitions are; empty where they are no months.
        sorting_key: names of the columns that it is sorted by; empty where it is sorted by something else than columns.
        sorts_events: whether the event id is one of what it is sorted by.
        rules: of its TTL.
        columns: types by name.
        months: rows by month (`2024-05`), repeated ones that wait for a merge among them.
        rows: of all partitions.
        newest: time of its newest row to the second, where it is known by partition (UTC).
    """

    database: str
    name: str
    known_as: str
    engine: str
    engine_columns: tuple[str, ...]
    month_column: str
    sorting_key: tuple[str, ...]
    sorts_events: bool
    rules: tuple[Rule, ...]
    columns: dict[str, str]
    months: dict[str, int]
    rows: int
    newest: datetime | None

    @property
    def is_monthly(self) -> bool:
        """Whether its partitions are months."""
        return bool(self.month_column)

    @property
    def keeps_all(self) -> bool:
        """Whether merges keep every row."""
        return self.engine.removeprefix("Replicated").removeprefix("Shared") == "MergeTree"

    @property
    def replaces(self) -> bool:
        """Whether merges keep one row of those with the same sorting key."""
        return "Replacing" in self.engine

    @property
    def sums(self) -> bool:
        """Whether merges add up rows with the same sorting key."""
        return "Summing" in self.engine

    def rows_of(self, month: str) -> int:
        """Rows of a month."""
        return self.months.get(month, 0)


@dataclass(frozen=True)
class View:
    """A materialized view of the chain.

    Attributes:
        name: database and name.
        source: the table, or the view with storage of its own, that it follows.
        target: the table that it writes to, which need not be there.
        select: what it selects, as ClickHouse writes it.
        columns: what that gives, types by name.
    """

    name: Name
    source: Name
    target: Name
    select: str
    columns: dict[str, str]

    @property
    def known_as(self) -> str:
        """`database.view`."""
        return ".".join(self.name)


@dataclass(frozen=True)
class Chain:
    """The raw table and all that hangs behind it.

    Attributes:
        raw: the raw table.
        views: nearest first.
        tables: those that are there, under their own name and under that of the view whose storage they are.
    """

    raw: Name
    views: tuple[View, ...]
    tables: dict[Name, Table] = field(default_factory=dict)

    @property
    def in_order(self) -> list[Table]:
        """Every table once: the raw one, then those behind it, nearest first."""
        names = [self.raw, *(view.target for view in self.views)]
        return [self.tables[one] for one in dict.fromkeys(names) if one in self.tables]

    @property
    def databases(self) -> list[str]:
        """Databases that have something in it."""
        names = [self.raw[0], *(view.target[0] for view in self.views)]
        return sorted({*names, *(view.name[0] for view in self.views)})

    @property
    def months(self) -> list[str]:
        """Months of which any table has rows, in order."""
        return sorted({month for table in self.in_order for month in table.months})


def follow(warehouse: Warehouse, database: str, table: str) -> Chain:
    """Follow the materialized views from the raw table.

    Raises:
        WarehouseError: a grant is missing, or ClickHouse cannot be reached.
    """
    by_source: dict[Name, list[Any]] = {}
    for source_database, source, *view in warehouse.rows("dashboards/views"):
        by_source.setdefault((str(source_database), str(source)), []).append(view)
    raw, views, storages = (database, table), list[View](), dict[Name, Name]()
    sources = [raw]
    for source in sources:
        for view_database, name, query, select, uuid in by_source.get(source, ()):
            target = target_of(view_database, name, query, uuid)
            own = (str(view_database), str(name))
            if target[1].startswith((".inner.", ".inner_id.")):
                storages[target] = own
            views.append(View(own, source, target, str(select), {}))
            # What hangs behind a view with storage of its own hangs on the view's name, else on its target.
            sources += [one for one in (own, target) if one not in sources]
    return _filled(warehouse, raw, views, storages)


def _filled(warehouse: Warehouse, raw: Name, views: list[View], storages: dict[Name, Name]) -> Chain:
    wanted = [raw, *(view.target for view in views)]
    columns = _columns(warehouse, [*wanted, *(view.name for view in views)])
    views = [replace(view, columns=columns.get(view.name, {})) for view in views]
    partitions = _partitions(warehouse, wanted)
    tables: dict[Name, Table] = {}
    for found_database, found, engine, partition_key, sorting_key, engine_full in warehouse.rows(
        "dashboards/tables", **_lists(wanted)
    ):
        name = (str(found_database), str(found))
        if name not in wanted:
            continue
        own = partitions.get(name, [])
        known_as = storages.get(name, name)
        newest = max((last for _, _, last in own), default=0)
        monthly = _MONTHLY.match(partition_key)
        keys = tuple(one.strip().strip("`") for one in sorting_key.split(",")) if sorting_key else ()
        made = Table(
            database=name[0],
            name=name[1],
            known_as=f"{known_as[0]}.{known_as[1]}",
            engine=str(engine),
            engine_columns=_engine_columns(engine_full, columns.get(name, {})),
            month_column=monthly[1] if monthly else "",
            sorting_key=keys if set(keys) <= columns.get(name, {}).keys() else (),
            sorts_events=bool(re.search(r"\bevent_id\b", sorting_key)),
            rules=rules_of(engine_full),
            columns=columns.get(name, {}),
            months={f"{of[:4]}-{of[4:]}": rows for of, rows, _ in own if monthly and _MONTH_ID.match(of)},
            rows=sum(rows for _, rows, _ in own),
            newest=datetime.fromtimestamp(newest, UTC) if newest else None,
        )
        tables[name] = tables[known_as] = made
    return Chain(raw, tuple(views), tables)


def _engine_columns(engine_full: str, columns: dict[str, str]) -> tuple[str, ...]:
    """Columns among the parameters of an engine (`SummingMergeTree((a, b)) PARTITION BY …`)."""
    given = _OF_ENGINE.match(engine_full)
    return (
        tuple(one for one in re.findall(r"\w+", _TEXT.sub("", given[1])) if one in columns) if given else ()
    )


def _columns(warehouse: Warehouse, names: Iterable[Name]) -> dict[Name, dict[str, str]]:
    columns: dict[Name, dict[str, str]] = {}
    for database, table, name, of in warehouse.rows("dashboards/columns", **_lists(names)):
        columns.setdefault((str(database), str(table)), {})[str(name)] = str(of)
    return columns


def _partitions(warehouse: Warehouse, names: list[Name]) -> dict[Name, list[tuple[str, int, int]]]:
    """Id, rows and newest second of each partition, by table."""
    found: dict[Name, list[tuple[str, int, int]]] = {}
    for database in dict.fromkeys(one[0] for one in names):
        tables = [name for of, name in names if of == database]
        for table, partition_id, rows, _, _, _, last, *_ in warehouse.rows(
            "retention_partitions", database=database, tables=tables
        ):
            found.setdefault((database, str(table)), []).append((str(partition_id), int(rows), int(last)))
    return found


def _lists(names: Iterable[Name]) -> dict[str, Any]:
    databases, tables = zip(*dict.fromkeys(names), strict=True)
    return {"databases": sorted(set(databases)), "tables": sorted(set(tables))}

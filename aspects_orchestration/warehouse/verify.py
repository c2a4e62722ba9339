"""What must hold of a month of statements: each question is one function, each answer a `Finding`.

Answers come from ClickHouse and from the record of the last load; nothing is repaired here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.account import LineAccount, StatementAccount
from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import names_where_stored, stored
from aspects_orchestration.warehouse.records import LoadRecord, latest_load
from aspects_orchestration.warehouse.schema import SchemaNames, differences
from aspects_orchestration.window import Window, month_window, partition_id

#: Ids compared at a time: 16 bytes each, and the hash table around them.
_IDS_AT_A_TIME = 4_000_000
#: Statements parsed in full; a larger month is sampled by the hash of the id.
_PARSED_STATEMENTS = 5_000_000


@dataclass(frozen=True)
class Month:
    """One month of the raw table."""

    names: SchemaNames
    key: str

    @property
    def window(self) -> Window:
        """The month's first and last moment."""
        return month_window(self.key)

    @property
    def target(self) -> str:
        """The raw table as `database.table`."""
        return f"{self.names.xapi_database}.{self.names.xapi_table}"

    def bounds(self, window: Window | None = None) -> dict[str, Any]:
        """Parameters that name the table and the month, or a part of it."""
        window = window or self.window
        return {
            "database": self.names.xapi_database,
            "table": self.names.xapi_table,
            "start": window.start_micros,
            "end": window.end_micros,
        }


@dataclass(frozen=True)
class Finding:
    """An answer: whether all is well, a sentence, and the numbers behind it."""

    passed: bool
    summary: str
    numbers: dict[str, int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


Question = Callable[[Warehouse, Month], Finding]


def account_adds_up(warehouse: Warehouse, month: Month) -> Finding:
    """Every line and every statement of the last load is accounted for."""
    record = _last_load(warehouse, month)
    if record is None:
        return _never_loaded(month)
    try:
        lines = LineAccount.from_json(record.account["lines"])
        lines.check(f"run {record.run_id}")
        statements = StatementAccount(**record.account["statements"])
        statements.check(f"run {record.run_id}")
    except AspectsError as error:
        return Finding(False, str(error))
    except (KeyError, TypeError):
        return Finding(False, f"the record of run {record.run_id} is not whole: load the month again")
    return Finding(
        True,
        f"{lines.lines} lines: {lines.with_statements} gave statements, {lines.skipped_lines} skipped,"
        f" {lines.quarantined_lines} quarantined; {statements.statements} statements: {statements.inserted} inserted,"
        f" {statements.already_there} already there, {statements.duplicates} duplicates, {statements.collisions}"
        f" collisions, {statements.outside_window} outside the window"
        + (f", {statements.refused} refused by Ralph" if statements.refused else ""),
        {
            "lines": lines.lines,
            "with_statements": lines.with_statements,
            "skipped": lines.skipped_lines,
            "quarantined": lines.quarantined_lines,
            "statements": statements.statements,
            "inserted": statements.inserted,
            "already_there": statements.already_there,
        },
    )


def logs_readable(warehouse: Warehouse, month: Month) -> Finding:
    """No log of the last load had a part that could not be decompressed."""
    record = _last_load(warehouse, month)
    if record is None:
        return _never_loaded(month)
    damages = record.account.get("damages", [])
    if not damages:
        return Finding(True, "every log could be read to its end")
    lines = tuple(
        f"{one['file']}: {one['kind']} at byte {one['at_byte']}"
        + (
            ", the rest is unread"
            if one["resumed_at"] is None
            else f", read on from byte {one['resumed_at']}"
        )
        for one in damages
    )
    return Finding(
        False,
        f"{len(damages)} parts of logs could not be decompressed; all around them was loaded. Put back whole copies of"
        " these files and load the month again",
        {"damages": len(damages)},
        lines,
    )


def no_duplicate_ids(warehouse: Warehouse, month: Month) -> Finding:
    """No event id stands twice in the month."""
    rows, ids, _ = _ids(warehouse, month, month.window)
    if rows == ids:
        return Finding(True, f"{ids} rows, each with an event id of its own", {"rows": rows, "ids": ids})
    return Finding(
        False,
        f"{rows - ids} of {rows} rows repeat an event id. Vector and other writers do not deduplicate: merges remove"
        f" repeats with equal time (OPTIMIZE TABLE {month.target} PARTITION ID '{partition_id(month.key)}' FINAL), and"
        " mode rebuild loads the month anew",
        {"rows": rows, "ids": ids, "repeated": rows - ids},
    )


def rows_in_their_month(warehouse: Warehouse, month: Month) -> Finding:
    """The month's partition holds rows of that month in UTC only, and the server partitions by UTC."""
    zone, is_utc = warehouse.time_zone()
    strangers = warehouse.row(
        "check_rows_outside_month", partition_id=partition_id(month.key), **month.bounds()
    )[0]
    if not is_utc:
        return Finding(
            False,
            f"the server keeps {zone}, so its partitions are not the months of UTC: set <timezone>UTC</timezone>",
            {"strangers": strangers},
        )
    if strangers:
        return Finding(
            False,
            f"{strangers} rows of other months stand in this partition: the table is not partitioned by"
            " toYYYYMM(emission_time)",
            {"strangers": strangers},
        )
    return Finding(True, "every row of the partition is of its month", {"strangers": 0})


def statements_are_whole(warehouse: Warehouse, month: Month) -> Finding:
    """Statements parse, carry actor, verb and object, and agree with their row in id and time."""
    rows = (
        warehouse.row(
            "partition_rows",
            partition_id=partition_id(month.key),
            **stored(warehouse, month.names.xapi_database, month.names.xapi_table).names(),
        )[0]
        or 0
    )
    modulus = max(1, -(-rows // _PARSED_STATEMENTS))
    looked_at, *found = warehouse.row("check_statements", modulus=modulus, **month.bounds())
    names = ("not_json", "no_actor", "no_verb", "no_object", "other_id", "other_time")
    numbers = {"looked_at": looked_at, **dict(zip(names, found, strict=True))}
    bad = sum(found)
    sampled = "" if modulus == 1 else f" (one in {modulus}, by the hash of the id)"
    if not bad:
        return Finding(True, f"{looked_at} statements looked at{sampled}, all whole", numbers)
    worst = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in numbers.items() if count and name in names
    )
    return Finding(False, f"of {looked_at} statements looked at{sampled}: {worst}", numbers)


def expected_ids_present(warehouse: Warehouse, month: Month) -> Finding:
    """Every id that the last load left in the table is still there."""
    record = _last_load(warehouse, month)
    if record is None:
        return _never_loaded(month)
    window = Window(record.since, record.until)
    _, ids, ids_hash = _ids(warehouse, month, window)
    numbers = {"expected": record.expected_ids, "present": ids}
    if ids == record.expected_ids and ids_hash == record.expected_hash:
        return Finding(True, f"exactly the {ids} ids of the last load are there", numbers)
    remembered, present = warehouse.row(
        "check_expected_ids",
        orchestration=month.names.orchestration_database,
        month=month.key,
        run_id=record.run_id,
        modulus=record.sample_modulus,
        **month.bounds(window),
    )
    numbers |= {"remembered": remembered, "remembered_present": present}
    share = "all" if record.sample_modulus == 1 else f"one in {record.sample_modulus}"
    if present < remembered or ids < record.expected_ids:
        missing = max(record.expected_ids - ids, remembered - present)
        return Finding(
            False,
            f"at least {missing} ids of the last load (run {record.run_id}) are gone: a TTL, a mutation or a dropped"
            " partition took them. Load the month again",
            numbers,
        )
    return Finding(
        True,
        f"the {record.expected_ids} ids of the last load are there ({share} of them compared one by one), and"
        f" {ids - record.expected_ids} more from other writers",
        numbers,
    )


def views_have_followed(warehouse: Warehouse, month: Month) -> Finding:
    """No insert into the month was cut off before the materialized views behind the raw table had it."""
    record = _last_load(warehouse, month)
    if record is None:
        return _never_loaded(month)
    behind = record.account.get("views_behind", [])
    if not behind:
        return Finding(True, "every insert of the loads on record came to its end", {"cut_off": 0})
    lines = tuple(
        f"{at(one['start']):%Y-%m-%d %H:%M} to {at(one['end']):%Y-%m-%d %H:%M} UTC" for one in behind
    )
    return Finding(
        False,
        f"{len(behind)} inserts were cut off when the server died or a view refused: views behind {month.target} may lack"
        " statements that stand in it. Load the month with mode rebuild, which empties and fills the whole chain",
        {"cut_off": len(behind)},
        lines,
    )


def schema_is_upstreams(warehouse: Warehouse, month: Month) -> Finding:
    """Tables, columns, engines and keys are as Aspects creates them."""
    found = differences(warehouse.client(), names_where_stored(warehouse, month.names))
    if not found:
        return Finding(True, "all tables and functions are as Aspects creates them", {"differences": 0})
    return Finding(
        False,
        f"{len(found)} differences from what Aspects creates; nothing is altered here",
        {"differences": len(found)},
        tuple(str(one) for one in found),
    )


#: Every question about a month, by the name of its check.
QUESTIONS: dict[str, Question] = {
    "account_adds_up": account_adds_up,
    "logs_readable": logs_readable,
    "no_duplicate_ids": no_duplicate_ids,
    "rows_in_their_month": rows_in_their_month,
    "statements_are_whole": statements_are_whole,
    "expected_ids_present": expected_ids_present,
    "views_have_followed": views_have_followed,
    "schema_is_upstreams": schema_is_upstreams,
}


def _last_load(warehouse: Warehouse, month: Month) -> LoadRecord | None:
    return latest_load(warehouse, month.names.orchestration_database, month.target, month.key)


def _never_loaded(month: Month) -> Finding:
    return Finding(False, f"no load of {month.key} is on record: materialize the partition first")


def _ids(warehouse: Warehouse, month: Month, window: Window) -> tuple[int, int, int]:
    """Rows, different ids, and the ids' combined hash, of a part of a month."""
    in_partition: Any = warehouse.row(
        "partition_rows",
        partition_id=partition_id(month.key),
        **stored(warehouse, month.names.xapi_database, month.names.xapi_table).names(),
    )[0]
    modulus = max(1, -(-(in_partition or 0) // _IDS_AT_A_TIME))
    rows = ids = ids_hash = 0
    for remainder in range(modulus):
        found = warehouse.row("check_event_ids", modulus=modulus, remainder=remainder, **month.bounds(window))
        rows, ids, ids_hash = rows + found[0], ids + found[1], ids_hash ^ found[2]
    return rows, ids, ids_hash


def answers(warehouse: Warehouse, month: Month) -> Iterator[tuple[str, Finding]]:
    """Ask about a month: each question's name and answer, one that could not be asked answered with why.

    Args:
        warehouse: a connection.
        month: of the raw table.
    """
    for name, ask in QUESTIONS.items():
        try:
            yield name, ask(warehouse, month)
        except AspectsError as error:
            yield name, Finding(False, str(error))

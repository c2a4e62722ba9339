"""What must hold of a copied LMS table: each question is one function, each answer a `Finding`. Nothing is repaired.

Keys are compared by their count and sum in buckets, on both sides; only buckets that differ are looked at key by key,
so that a hundred million rows are compared in bounded memory and with one scan of the LMS's key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from aspects_orchestration.lms import tables as lms
from aspects_orchestration.lms.copies import last_copied
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import SinkTable
from aspects_orchestration.lms.retirement import COMPLETED
from aspects_orchestration.lms.values import text, uuid_text
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.verify import Finding

_WIDTH = 100_000
_NAMED = 20
#: A daily copy that has been missed once is late.
_LATE = timedelta(hours=26)


@dataclass(frozen=True)
class Asked:
    """What a question is asked of.

    Attributes:
        warehouse: ClickHouse.
        event_sink, own: names of the databases.
        table: which.
        database: the LMS's, or None where there is none.
        now: UTC.
    """

    warehouse: Warehouse
    event_sink: str
    own: str
    table: SinkTable
    database: LmsDatabase | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def target(self) -> dict[str, str]:
        """The parameters that name the table."""
        return {"database": self.event_sink, "table": self.table.name}


@dataclass
class KeyDifference:
    """How the keys of a copy differ from the LMS's: counts, and some of them (numbers or course keys, never names)."""

    in_lms: int = 0
    in_copy: int = 0
    missing: int = 0
    gone: int = 0
    missing_keys: list[Any] = field(default_factory=list)
    gone_keys: list[Any] = field(default_factory=list)

    def note(self, lms_keys: set[Any], copied: set[Any]) -> None:
        """Take in the keys of a part."""
        missing, gone = lms_keys - copied, copied - lms_keys
        self.missing += len(missing)
        self.gone += len(gone)
        self.missing_keys += [_shown(one) for one in sorted(missing)[: _NAMED - len(self.missing_keys)]]
        self.gone_keys += [_shown(one) for one in sorted(gone)[: _NAMED - len(self.gone_keys)]]


def _shown(key: Any) -> Any:
    # Of a user's external id the user's number alone.
    return key[0] if isinstance(key, tuple) else key


def compare_keys(asked: Asked) -> KeyDifference:
    """Compare the keys of a copy with those of the LMS; users whose retirement is done are not expected in the copy.

    Raises:
        LmsError: the LMS database cannot be read.
        WarehouseError: ClickHouse cannot.
    """
    table, database = asked.table, asked.database
    if table.source is None or database is None:
        raise ValueError("a table of the LMS and its database are needed")
    found = KeyDifference()
    if not table.takes_numbers:
        there = {str(one) for (one,) in database.rows(sa.select(table.source.c.id))}
        copied = {one for (one,) in asked.warehouse.rows("lms_keys_of_text", **asked.target, key=table.key)}
        found.in_lms, found.in_copy = len(there), len(copied)
        found.note(there, copied)
        return found
    theirs = {bucket: (count, total) for bucket, count, total in _buckets(database, table)}
    names = {**asked.target, "key": table.key, "position": table.position}
    ours = {
        int(bucket): (int(count), int(total))
        for bucket, count, total in asked.warehouse.rows("lms_keys_by_bucket", **names, width=_WIDTH)
    }
    found.in_lms = sum(count for count, _ in theirs.values())
    found.in_copy = sum(count for count, _ in ours.values())
    key, position = table.source.c[table.key], table.source.c[table.position]
    for bucket in sorted(theirs.keys() | ours.keys()):
        if theirs.get(bucket) != ours.get(bucket):
            first, end = bucket * _WIDTH, (bucket + 1) * _WIDTH
            inside = (
                sa.select(key, position)
                .select_from(_joined(table))
                .where(position >= first, position < end, *_unretired(table))
            )
            copied_here = asked.warehouse.rows("lms_keys_between", **names, first=first, end=end)
            found.note(
                {(int(place), _plain(table, one)) for one, place in database.rows(inside)},
                {(int(place), str(one)) for one, place in copied_here},
            )
    return found


def _plain(table: SinkTable, key: Any) -> str:
    """A key of the LMS as ClickHouse shows it."""
    return (uuid_text(key) or text(key)) if table.columns[table.key] == "UUID" else text(key)


def _joined(table: SinkTable) -> sa.FromClause:
    source = table.source
    assert source is not None  # noqa: S101 - asked before
    if not table.personal:
        return source
    status, state = lms.userretirementstatus, lms.retirementstate
    joined = source.outerjoin(status, status.c.user_id == source.c.user_id)
    return joined.outerjoin(state, state.c.id == status.c.current_state_id)


def _unretired(table: SinkTable) -> list[sa.ColumnElement[bool]]:
    state = lms.retirementstate.c.state_name
    return [state.is_(None) | (state != COMPLETED)] if table.personal else []


def _buckets(database: LmsDatabase, table: SinkTable) -> Iterator[tuple[int, int, int]]:
    assert table.source is not None  # noqa: S101 - asked before
    place = table.source.c[table.position]
    # Floor, not rounding: MySQL's / gives a fraction.
    bucket = (place - place % _WIDTH).label("bucket")
    summed = sa.select(bucket, sa.func.count(), sa.func.sum(place)).select_from(_joined(table))
    for first, count, total in database.rows(summed.where(*_unretired(table)).group_by(bucket)):
        yield int(first) // _WIDTH, int(count), int(total)


def row_counts_match_lms(asked: Asked) -> Finding:
    """Every row of the LMS stands in the copy."""
    if asked.table.source is None or asked.database is None:
        return _not_asked(asked)
    found = compare_keys(asked)
    numbers = {"in_lms": found.in_lms, "in_copy": found.in_copy, "missing": found.missing}
    if not found.missing:
        return Finding(True, f"{found.in_lms} in the LMS, {found.in_copy} in the copy", numbers)
    return Finding(
        False,
        f"{found.missing} of {found.in_lms} in the LMS are not in the copy: materialize {asked.table.name},"
        " with `mode: compare` if it stays so",
        numbers,
        tuple(map(str, found.missing_keys)),
    )


def rows_gone_from_lms(asked: Asked) -> Finding:
    """No row stands in the copy that the LMS has no more. Such rows are reported and never deleted, save by retirement."""
    if asked.table.source is None or asked.database is None:
        return _not_asked(asked)
    found = compare_keys(asked)
    numbers = {"in_copy": found.in_copy, "gone": found.gone}
    if not found.gone:
        return Finding(True, f"all of {found.in_copy} in the copy are in the LMS", numbers)
    return Finding(
        False,
        f"{found.gone} of {found.in_copy} in the copy are gone from the LMS, which is normal where courses or tags are"
        " deleted; they stay, as in Aspects",
        numbers,
        tuple(map(str, found.gone_keys)),
    )


def copied_lately(asked: Asked) -> Finding:
    """The whole table was compared with the LMS within a day and two hours; says also how old the newest row is."""
    _, newest, rows = asked.warehouse.row("lms_keys_count", **asked.target, key=asked.table.key)
    age = _hours(asked.now - datetime.fromisoformat(newest)) if newest else None
    said = f"the newest of {rows} rows is {age} h old" if age is not None else "there is no row yet"
    record = last_copied(asked.warehouse, asked.own, f"{asked.event_sink}.{asked.table.name}")
    numbers = {"rows": int(rows)} | ({} if age is None else {"newest_row_age_h": age})
    if record is None:
        return Finding(
            False, f"{said}; it was never copied from here: materialize {asked.table.name}", numbers
        )
    since = asked.now - record.updated_at
    numbers["last_copy_age_h"] = _hours(since)
    if since > _LATE:
        return Finding(
            False,
            f"{said}; the last copy is {_hours(since)} h old: switch on the schedule copy_lms_tables_daily, or look why"
            " its runs fail",
            numbers,
        )
    return Finding(True, f"{said}; the last copy is {_hours(since)} h old", numbers)


def no_repeated_newest_rows(asked: Asked) -> Finding:
    """No key stands twice among the newest rows: whoever takes the newest row of a key gets one."""
    found = asked.warehouse.rows("lms_repeated_keys", **asked.target, key=asked.table.key, most=_NAMED)
    if not found:
        return Finding(True, "the newest row of every key is one", {"repeated": 0})
    return Finding(
        False,
        f"{len(found)}{' or more' if len(found) == _NAMED else ''} keys have several newest rows: two writers dumped them"
        f" at once. OPTIMIZE TABLE {asked.event_sink}.{asked.table.name} FINAL merges them in a ReplacingMergeTree;"
        " elsewhere a copy with `mode: refresh` puts one above them",
        {"repeated": len(found)},
        () if asked.table.personal else tuple(f"{key}: {repeats} rows" for key, repeats in found),
    )


def _hours(span: timedelta) -> int:
    return int(span.total_seconds() // 3600)


def _not_asked(asked: Asked) -> Finding:
    why = "ASPECTS_LMS_DATABASE_URL is not set"
    return Finding(
        True, f"not asked: {why if asked.table.source is not None else 'the LMS has it not in tables'}"
    )


Question = Callable[[Asked], Finding]

#: Every question about a copied table.
QUESTIONS: dict[str, Question] = {
    one.__name__: one
    for one in (row_counts_match_lms, rows_gone_from_lms, copied_lately, no_repeated_newest_rows)
}

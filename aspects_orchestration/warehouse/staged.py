"""Staged statements, read back in batches of bounded size, each id once; and what became of those that were sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.publish import Slice, Target

#: Ids, times and lengths that are looked up at a time.
_PAGE = 20_000
#: A batch holds no more than this, unless one statement alone does.
BATCH_BYTES = 8 * 1024 * 1024
_FIRST_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Statement:
    """A staged statement: its id, its time (microseconds since 1970-01-01 UTC), and the whole of it as JSON."""

    id: str
    micros: int
    body: str

    def __repr__(self) -> str:
        return f"Statement({self.id!r})"  # never the statement


@dataclass(frozen=True)
class Sent:
    """What a load remembers of statements that it sends.

    Attributes:
        table: in the project's own database.
        sent_to: where to; what was sent elsewhere does not count.
        all: statements count as to be sent though they stand in the raw table.
    """

    table: str
    sent_to: str
    all: bool


def batches(
    warehouse: Warehouse,
    target: Target,
    one: Slice,
    *,
    most: int,
    sent: Sent | None = None,
    most_bytes: int = BATCH_BYTES,
    page: int = _PAGE,
) -> Iterator[list[Statement]]:
    """The statements of a slice by time and id, each id once: the first by file and offset.

    Args:
        warehouse, target: where.
        one: the slice.
        most: the most statements of a batch.
        sent: leave out what was sent already, and what stands in the raw table; None: all that is staged.
        most_bytes: the most bytes of a batch of more than one statement.
        page: ids looked up at a time.
    """
    last: tuple[int, str] = (one.start - 1, _FIRST_ID)
    while True:
        found = _page(warehouse, target, one, last, sent, page)
        if not found:
            return
        for batch in _cut(found, most, most_bytes):
            yield _statements(warehouse, target, batch)
        last = (found[-1][1], found[-1][0])


def _page(
    warehouse: Warehouse, target: Target, one: Slice, last: tuple[int, str], sent: Sent | None, most: int
) -> list[tuple[str, int, int]]:
    # Equal ids have equal times, so what comes before the last one read needs no other look.
    bounds: dict[str, Any] = one.bounds() | {"start": max(one.start, last[0])}
    bounds |= {"last_micros": last[0], "last_id": last[1], "most": most}
    if sent is None:
        return _again(warehouse, "staged_page", **target.staging_names(), **bounds)
    return _again(
        warehouse,
        "staged_page_to_send",
        **target.names(),
        **bounds,
        sent_table=sent.table,
        sent_to=sent.sent_to,
        all=sent.all,
    )


def _cut(
    found: Sequence[tuple[str, int, int]], most: int, most_bytes: int
) -> Iterator[list[tuple[str, int, int]]]:
    batch: list[tuple[str, int, int]] = []
    held = 0
    for row in found:
        if batch and (len(batch) >= most or held + row[2] > most_bytes):
            yield batch
            batch, held = [], 0
        batch.append(row)
        held += row[2]
    if batch:
        yield batch


def _statements(
    warehouse: Warehouse, target: Target, batch: Sequence[tuple[str, int, int]]
) -> list[Statement]:
    rows = _again(
        warehouse,
        "staged_statements",
        listed=[row[0] for row in batch],
        start=batch[0][1],
        end=batch[-1][1] + 1,
        **target.staging_names(),
    )
    return [Statement(*row) for row in rows]


def bodies(warehouse: Warehouse, target: Target, one: Slice) -> tuple[int, int]:
    """Of a slice's staged statements, each id once: how many, and a hash of ids and bodies."""
    ids, bodies_hash = with_retries(
        lambda: warehouse.row("staged_bodies", **target.staging_names(), **one.bounds())
    )
    return int(ids), int(bodies_hash)


def present(warehouse: Warehouse, target: Target, one: Slice) -> tuple[int, int, int]:
    """Of a slice's staged ids, those that stand in the raw table: how many, their hash, and the rows that they have."""
    ids, ids_hash, rows = with_retries(
        lambda: warehouse.row("staged_ids_present", **target.names(), **one.bounds())
    )
    return int(ids), int(ids_hash), int(rows)


def listed_present(warehouse: Warehouse, target: Target, statements: Sequence[Statement]) -> int:
    """How many of some statements' ids stand in the raw table."""
    times = [one.micros for one in statements]
    rows = _again(
        warehouse,
        "listed_ids_present",
        listed=[one.id for one in statements],
        database=target.database,
        table=target.table,
        start=min(times),
        end=max(times) + 1,
    )
    return int(rows[0][0])


def remember_sent(
    warehouse: Warehouse, target: Target, sent: Sent, outcomes: Iterable[tuple[int, str, str, str]]
) -> None:
    """Write what became of statements: time (microseconds), id, outcome and detail of each."""
    lines = b"\n".join(
        orjson.dumps(
            {
                "sent_to": sent.sent_to,
                "emission_time": at(micros),
                "event_id": identity,
                "outcome": outcome,
                "detail": detail,
            },
            option=orjson.OPT_UTC_Z,
        )
        for micros, identity, outcome, detail in outcomes
    )
    if lines:
        # Whoever reads them asks for each id once: sending twice does no harm.
        with_retries(lambda: warehouse.insert_json(target.staging_database, sent.table, lines))


def sent_outcomes(warehouse: Warehouse, target: Target, sent: Sent) -> dict[str, int]:
    """Statements of this load that were sent, also by earlier attempts at it, by what became of them."""
    rows = _again(
        warehouse, "sent_outcomes", database=target.staging_database, table=sent.table, sent_to=sent.sent_to
    )
    return {str(outcome): int(count) for outcome, count in rows}


def refused(warehouse: Warehouse, target: Target, sent: Sent) -> list[tuple[str, int, str, str]]:
    """File, place, reason and detail of the lines whose statements were refused, by file and place."""
    rows = _again(
        warehouse,
        "sent_refused",
        database=target.staging_database,
        table=sent.table,
        sent_to=sent.sent_to,
        **target.staging_names(),
    )
    return [(str(file), int(place), str(reason), str(detail)) for file, place, reason, detail in rows]


def _again(warehouse: Warehouse, name: str, **given: Any) -> list[tuple[Any, ...]]:
    return with_retries(lambda: warehouse.rows(name, **given))

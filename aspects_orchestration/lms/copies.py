"""The record of copies of LMS tables, in the project's own database: how far each came, and what became of its rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, cast

import orjson

from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse

_TABLE = "lms_copies"
_REMEMBERED = 200


@dataclass(frozen=True)
class CopyAccount:
    """What became of the rows that were read: read = offered + retired + unusable.

    `offered` rows were compared with what stands: they were inserted, or stood there already with the same content, or
    came after a limit was reached.
    """

    read: int = 0
    offered: int = 0
    retired: int = 0
    unusable: int = 0

    def plus(self, other: CopyAccount) -> CopyAccount:
        """Both together."""
        return CopyAccount(
            self.read + other.read,
            self.offered + other.offered,
            self.retired + other.retired,
            self.unusable + other.unusable,
        )


@dataclass(frozen=True)
class CopyRecord:
    """One copy as remembered.

    Attributes:
        target: `database.table`.
        request: fingerprint of what was asked for.
        state: `copying`, which is also what a killed one leaves behind, or `copied`.
        time_last_dumped: that its rows bear.
        after: the LMS's primary key up to which rows are copied, or None.
        slices: how many words of this copy there are; the newest counts.
        account: of the rows so far.
        started_at, updated_at: UTC.
        since: rows modified before (naive UTC) are not read; None where all are.
        whole: whether nothing of the table was left out.
        keys: different rows of the LMS in the table when it was done.
    """

    dump_id: str
    target: str
    request: str
    state: Literal["copying", "copied"]
    time_last_dumped: str
    after: int | str | None
    slices: int
    account: CopyAccount
    started_at: datetime
    updated_at: datetime
    since: datetime | None
    whole: bool
    keys: int


def remember_copy(warehouse: Warehouse, database: str, record: CopyRecord) -> None:
    """Write the newest word of a copy."""
    more = {
        "account": asdict(record.account),
        "since": record.since,
        "whole": record.whole,
        "keys": record.keys,
    }
    line = orjson.dumps(
        {
            "dump_id": record.dump_id,
            "target": record.target,
            "request": record.request,
            "state": record.state,
            "time_last_dumped": record.time_last_dumped,
            "after": orjson.dumps(record.after).decode(),
            "slices": record.slices,
            "account": orjson.dumps(more).decode(),
            "started_at": record.started_at,
            "updated_at": record.updated_at,
        },
        option=orjson.OPT_UTC_Z,
    )
    # The newest word of a copy counts, so that sending one twice does no harm.
    with_retries(lambda: warehouse.insert_json(database, _TABLE, line))


def read_copies(warehouse: Warehouse, database: str, target: str) -> list[CopyRecord]:
    """What is remembered of the newest copies of a table (`database.table`), the one started last first."""
    found = []
    for row in warehouse.rows("lms_copies_read", database=database, target=target, most=_REMEMBERED):
        dump_id, request, state, dumped, after, slices, more, started_at, updated_at = row
        known = orjson.loads(more)
        since = known["since"]
        found.append(
            CopyRecord(
                dump_id=str(dump_id),
                target=target,
                request=request,
                state=cast(Literal["copying", "copied"], state),
                time_last_dumped=dumped,
                after=orjson.loads(after),
                slices=int(slices),
                account=CopyAccount(**known["account"]),
                started_at=at(started_at),
                updated_at=at(updated_at),
                since=None if since is None else datetime.fromisoformat(since),
                whole=bool(known["whole"]),
                keys=int(known["keys"]),
            )
        )
    return found


def last_copied(warehouse: Warehouse, database: str, target: str) -> CopyRecord | None:
    """The newest copy of a table that came to its end and left nothing out, or None."""
    found = read_copies(warehouse, database, target)
    return next((one for one in found if one.state == "copied" and one.whole), None)

"""Copying a table of the LMS into event_sink: what is new or has changed, once, however often it is interrupted.

A copy reads the LMS page by page along the primary key, turns rows into event_sink's form, and has ClickHouse insert
those whose content is not the newest there. It compares with what stands, not with what some record says, so a copy
that was killed anywhere and runs again doubles nothing; the record of copies only spares it reading from the start.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from aspects_orchestration.errors import LmsError, WarehouseError
from aspects_orchestration.lms.ahead import read_ahead
from aspects_orchestration.lms.blocks import Block, Portion, Slice, formed, formed_from_packed
from aspects_orchestration.lms.copies import CopyAccount, CopyRecord, read_copies, remember_copy
from aspects_orchestration.lms.database import LmsDatabase, Row
from aspects_orchestration.lms.event_sink import Chosen, SinkTable
from aspects_orchestration.lms.throttle import Throttle
from aspects_orchestration.warehouse.answers import UnreachableError, with_retries
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import catch_up, require_everywhere, require_one_node
from aspects_orchestration.warehouse.lock import Lock, locked
from aspects_orchestration.warehouse.schema import SchemaNames, differences

Mode = Literal["changed", "compare", "refresh"]

#: Rows that are compared and inserted together, and the size of their texts, in bytes: what a copy holds in memory.
SLICE_ROWS = 100_000
SLICE_BYTES = 32_000_000
_EVERY_ROW = 2**62
_ATTEMPTS = 5
#: An insert whose connection broke is waited for so long, in seconds.
_SETTLES_S = 600
#: A row may be seen only so long after the time that it bears as modified: its transaction was still open.
_LATE = timedelta(hours=1)
#: A copy that was cut off longer ago is begun anew.
_RESUMED_WITHIN = timedelta(days=3)
_UNUSABLE_NAMED = 20


@dataclass(frozen=True)
class CopyRequest:
    """What to copy of one table, and how gently.

    Attributes:
        mode: `changed`: what is new or has changed; of tables whose rows say when they were modified, only rows modified
            since the last copy are read. `compare`: the same, but every row is read. `refresh`: every row is inserted
            again, as a new dump.
        ids: only rows with these primary keys of the LMS; empty for all.
        ids_to_skip: not these.
        limit: at most so many rows are inserted; None for all.
        start_after: only rows whose primary key is greater.
        batch_size: rows a query to the LMS.
        sleep_between_batches: seconds to rest between two queries.
        rows_per_second: cap on the rows that are read, 0 for none.
        dry_run: read, compare and count; insert nothing.
        version: of what is read, where a copy of another version must not be gone on with.
    """

    mode: Mode = "changed"
    ids: tuple[int | str, ...] = ()
    ids_to_skip: tuple[int | str, ...] = ()
    limit: int | None = None
    start_after: int | str | None = None
    batch_size: int = 10_000
    sleep_between_batches: float = 0.0
    rows_per_second: float = 0.0
    dry_run: bool = False
    version: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the table is left out."""
        return not (self.ids or self.ids_to_skip or self.start_after is not None or self.limit is not None)

    def fingerprint(self) -> str:
        """The same for requests that a killed copy of one may be gone on with by another."""
        what = [self.mode, list(self.ids), list(self.ids_to_skip), self.start_after, self.limit, self.version]
        return hashlib.sha256(orjson.dumps(what)).hexdigest()[:24]


@dataclass(frozen=True)
class CopyResult:
    """What a copy did.

    Attributes:
        table: of event_sink.
        account: of the rows that were read, earlier attempts at the same copy included.
        inserted: rows that this dump has put into the table (in a dry run: would put).
        keys: different rows of the LMS that now stand in the table.
        rows: rows of the table, all dumps together.
        dump_id, time_last_dumped: that the inserted rows bear.
        modified_since: rows modified before were not read; None where all were.
        resumed_after: the key behind which an earlier attempt was gone on with, or None.
        unusable_ids: primary keys of some rows that cannot be rows of event_sink.
        seconds: of this attempt.
    """

    table: str
    account: CopyAccount
    inserted: int
    keys: int
    rows: int
    dump_id: str
    time_last_dumped: str
    modified_since: datetime | None
    resumed_after: int | str | None
    unusable_ids: tuple[int | str, ...]
    seconds: float
    dry_run: bool

    @property
    def unchanged(self) -> int:
        """Rows that stood there already, with the same content."""
        return self.account.offered - self.inserted


#: Gives the rows behind a key, of those that were modified since a time, and pays the throttle for what it reads.
Portions = Callable[[Any, datetime | None, Throttle], Iterator[Portion]]


def copy_table(
    database: LmsDatabase,
    warehouse: Warehouse,
    names: SchemaNames,
    table: SinkTable,
    request: CopyRequest,
    *,
    enable_pii: bool,
    say: Callable[[str], None] = lambda _: None,
) -> CopyResult:
    """Copy one table of the LMS into event_sink.

    Args:
        database: the LMS's.
        warehouse: ClickHouse, as a user with the grants of `sql/grants.sql`.
        names: of the databases in ClickHouse.
        table: which, of `SINK_TABLES`.
        request: what of it.
        enable_pii: ASPECTS_ENABLE_PII. Without it nothing personal is read or written.
        say: told what happens, in words; never personal data.

    Returns:
        What was done.

    Raises:
        LmsError: the LMS database refuses or stays away, or the table holds personal data and `enable_pii` is false.
        WarehouseError: ClickHouse refuses, or another copy of this table goes on.
    """
    if table.personal and not enable_pii:
        raise LmsError(
            f"{table.name} holds personal data, and ASPECTS_ENABLE_PII is false",
            do="Set ASPECTS_ENABLE_PII=true to copy it; read docs/personal-data.md before.",
        )

    def portions(after: Any, since: datetime | None, throttle: Throttle) -> Iterator[Portion]:
        chosen = Chosen(request.ids, request.ids_to_skip, since, personal=enable_pii)
        if table.reading is None:
            raise LmsError(
                f"{table.name} does not come from the LMS database", do="Take another table of SINK_TABLES."
            )
        reading = table.reading(database, chosen)
        found = read_ahead(
            database.pages(
                reading.packed.page if reading.packed else reading.page,
                after=after,
                size=throttle.page(request.batch_size),
                read=throttle.pay,
                between=lambda: time.sleep(request.sleep_between_batches),
                say=say,
            )
        )
        if reading.packed is None:
            return (formed(rows, table, reading) for rows in found)

        def plainly(keys: list[Any]) -> list[Row]:
            return _read_plainly(plain, table, replace(chosen, ids=tuple(keys)))

        return (formed_from_packed(rows, table, reading, plainly) for rows in found)

    # Of its own: the session of the pages is in the middle of an answer.
    plain = database.another()
    try:
        return copy_rows(portions, warehouse, names, table, request, say=say)
    finally:
        plain.close()


def _read_plainly(database: LmsDatabase, table: SinkTable, chosen: Chosen) -> list[Row]:
    """Some rows as `Reading.page` selects them; they are few, or a page at most."""
    if table.reading is None:
        return []
    page = table.reading(database, chosen).page
    return [row for rows in database.pages(page, size=len(chosen.ids) + 1) for row in rows]


def copy_rows(
    portions: Portions,
    warehouse: Warehouse,
    names: SchemaNames,
    table: SinkTable,
    request: CopyRequest,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> CopyResult:
    """Copy rows that come in portions, in the order of a key; see `copy_table`.

    Args:
        portions: where they come from.
    """
    require_one_node(warehouse)
    require_everywhere(warehouse, names.event_sink_database, table.name)
    _check_form(warehouse, names, table)
    with locked(warehouse, names.orchestration_database, f"lock_lms_{table.name}", say=say) as lock:
        return _Copy(warehouse, names, table, request, lock, say).run(portions)


@dataclass
class _Copy:
    """One copy at work; its lock is held."""

    warehouse: Warehouse
    names: SchemaNames
    table: SinkTable
    request: CopyRequest
    lock: Lock
    say: Callable[[str], None]
    written: int = 0
    unusable: list[int | str] = field(default_factory=list)

    def run(self, portions: Portions) -> CopyResult:
        """Read, compare, insert, remember."""
        started = time.monotonic()
        record = self._begin()
        resumed_after = record.after if record.slices else None
        if record.slices:
            self.say(f"{self.table.name}: going on behind {record.after}, where an earlier run stopped")
        after = record.after if record.slices else self.request.start_after
        with self._tables_of_this_copy():
            self._note_newest(record)
            throttle = Throttle(self.request.rows_per_second)
            for done in self._insert_all(record, self._slices(portions(after, record.since, throttle))):
                record = done
                self.say(f"{self.table.name}: {done.account.read:,} rows read, up to {done.after}")
        keys, rows = self._standing()
        inserted = self.written if self.request.dry_run else self._inserted(record)
        self._remember(
            replace(record, state="copied", slices=record.slices + 1, keys=keys, updated_at=_now())
        )
        return CopyResult(
            table=self.table.name,
            account=record.account,
            inserted=inserted,
            keys=keys,
            rows=rows,
            dump_id=record.dump_id,
            time_last_dumped=record.time_last_dumped,
            modified_since=record.since,
            resumed_after=resumed_after,
            unusable_ids=tuple(self.unusable),
            seconds=time.monotonic() - started,
            dry_run=self.request.dry_run,
        )

    def _begin(self) -> CopyRecord:
        """The record of a copy of the same request that was cut off, or a new one."""
        target = f"{self.names.event_sink_database}.{self.table.name}"
        catch_up(self.warehouse, (self.names.orchestration_database, "lms_copies"))
        earlier = read_copies(self.warehouse, self.names.orchestration_database, target)
        since = self._since(earlier)
        request = self.request.fingerprint()
        now = _now()
        if earlier and not self.request.dry_run:
            last = earlier[0]
            recent = now - last.updated_at < _RESUMED_WITHIN
            if last.state == "copying" and (last.request, last.since) == (request, since) and recent:
                return last
        return CopyRecord(
            dump_id=str(uuid.uuid4()),
            target=target,
            request=request,
            state="copying",
            # Upstream reads it with a format that demands a fraction.
            time_last_dumped=str(now.replace(microsecond=now.microsecond or 1)),
            after=None,
            slices=0,
            account=CopyAccount(),
            started_at=now,
            updated_at=now,
            since=since,
            whole=self.request.is_whole,
            keys=0,
        )

    def _since(self, earlier: list[CopyRecord]) -> datetime | None:
        """From when on rows must have been modified to be read; None to read all."""
        whole = next((one for one in earlier if one.state == "copied" and one.whole), None)
        if self.table.modified is None or self.request.mode != "changed" or self.request.ids or whole is None:
            return None
        if self._standing()[0] < whole.keys:
            self.say(
                f"{self.table.name}: rows have gone from it since the last copy, so that every row is read"
            )
            return None
        return (whole.started_at - _LATE).replace(tzinfo=None)

    def _slices(self, portions: Iterator[Portion]) -> Iterator[Slice]:
        """Portions summed up, so that memory stays bounded and queries are few."""
        block = Block(self.table)
        held: Portion | None = None
        for portion in portions:
            block.take(portion)
            held = portion if held is None else held.then(portion)
            if block.rows >= SLICE_ROWS or block.bytes >= SLICE_BYTES or self.request.limit is not None:
                yield block.cut(held)
                held = None
        if held is not None:
            yield block.cut(held)

    def _insert_all(self, record: CopyRecord, slices: Iterator[Slice]) -> Iterator[CopyRecord]:
        """Insert slice after slice, one while the next is being read; gives the record after each."""
        with ThreadPoolExecutor(1, thread_name_prefix="insert") as inserter:
            going: Future[CopyRecord] | None = None
            for one in slices:
                if going is not None:
                    yield (record := going.result())
                going = inserter.submit(self._insert, record, one)
                if self.request.limit is not None:
                    yield (record := going.result())
                    going = None
                    if self._remaining(record) == 0:
                        return
            if going is not None:
                yield going.result()

    def _insert(self, record: CopyRecord, found: Slice) -> CopyRecord:
        """Insert what of a slice is not there, and remember that it is done."""
        read = found.account
        self.unusable += read.unusable[: max(0, _UNUSABLE_NAMED - len(self.unusable))]
        if found.rows:
            self._send(record, found)
        account = record.account.plus(CopyAccount(read.read, found.rows, read.retired, len(read.unusable)))
        done = replace(record, after=read.last, slices=record.slices + 1, account=account, updated_at=_now())
        self._remember(done)
        return done

    def _send(self, record: CopyRecord, found: Slice) -> None:
        for attempt in range(_ATTEMPTS):
            self.lock.check()
            try:
                self.written += self.warehouse.insert_from(
                    "lms_rows_insert",
                    found.data,
                    self.table.structure,
                    **self._target(),
                    **self.lock.names(),
                    dump_id=record.dump_id,
                    time_last_dumped=record.time_last_dumped,
                    key=self.table.key,
                    position=self.table.position,
                    own_database=self.names.orchestration_database,
                    newest=self._newest,
                    first=found.first,
                    last=found.last,
                    most=self._remaining(record),
                )
                return
            except UnreachableError as error:
                if attempt + 1 == _ATTEMPTS:
                    raise
                self.say(f"{error} Trying again.")
                # It may have been inserted all the same: what stands is looked at anew.
                with_retries(self._wait_for_own_inserts)
                self._note_newest(record)

    def _wait_for_own_inserts(self) -> None:
        deadline = time.monotonic() + _SETTLES_S
        while self.warehouse.row("inserts_of_run", run_id=self.warehouse.run_id)[0]:
            if time.monotonic() > deadline:
                raise WarehouseError(
                    f"ClickHouse still works on an insert into {self.table.name} whose connection broke",
                    do="Look at it in system.processes, then run again: it goes on where it was.",
                )
            time.sleep(0.5)

    @contextmanager
    def _tables_of_this_copy(self) -> Iterator[None]:
        """The tables that a copy needs for its time; those of copies that were killed are dropped."""
        own = self.names.orchestration_database
        self._drop()
        self.warehouse.run("lms_newest_create", database=own, table=self._newest)
        if self.request.dry_run:
            self.warehouse.run(
                "lms_nowhere",
                own_database=own,
                twin=self._twin,
                database=self.names.event_sink_database,
                table=self.table.name,
            )
        try:
            yield
        finally:
            self._drop()

    def _drop(self) -> None:
        for table in (self._newest, self._twin):
            self.warehouse.run("table_drop", database=self.names.orchestration_database, table=table)

    def _note_newest(self, record: CopyRecord) -> None:
        own = self.names.orchestration_database
        catch_up(self.warehouse, (self.names.event_sink_database, self.table.name))
        self.warehouse.run("table_truncate", database=own, table=self._newest)
        self.warehouse.run(
            "lms_newest_insert",
            own_database=own,
            newest=self._newest,
            database=self.names.event_sink_database,
            table=self.table.name,
            key=self.table.key,
            position=self.table.position,
            only_dump_of=record.time_last_dumped if self.request.mode == "refresh" else "",
        )

    @property
    def _newest(self) -> str:
        return f"lms_newest_{self.table.name}"

    @property
    def _twin(self) -> str:
        return f"lms_nowhere_{self.table.name}"

    def _target(self) -> dict[str, str]:
        if self.request.dry_run:
            return {"database": self.names.orchestration_database, "table": self._twin}
        return {"database": self.names.event_sink_database, "table": self.table.name}

    def _remaining(self, record: CopyRecord) -> int:
        """How many rows more may be inserted."""
        if self.request.limit is None:
            return _EVERY_ROW
        return max(0, self.request.limit - (self.written if self.request.dry_run else self._inserted(record)))

    def _inserted(self, record: CopyRecord) -> int:
        """Rows of this dump, counted in the table itself."""
        found = self.warehouse.row(
            "lms_rows_of_dump",
            database=self.names.event_sink_database,
            table=self.table.name,
            dump_id=record.dump_id,
            time_last_dumped=record.time_last_dumped,
        )
        return int(found[0])

    def _standing(self) -> tuple[int, int]:
        """Different rows of the LMS in the table, and rows."""
        keys, _, rows = self.warehouse.row(
            "lms_keys_count",
            database=self.names.event_sink_database,
            table=self.table.name,
            key=self.table.key,
        )
        return int(keys), int(rows)

    def _remember(self, record: CopyRecord) -> None:
        if not self.request.dry_run:
            remember_copy(self.warehouse, self.names.orchestration_database, record)


def _check_form(warehouse: Warehouse, names: SchemaNames, table: SinkTable) -> None:
    """Make sure that the table has upstream's columns in upstream's order: rows go in by position."""
    full_name = f"{names.event_sink_database}.{table.name}"
    wrong = [
        one
        for one in differences(warehouse.client(), names)
        if one.table == full_name
        and one.column not in {"(engine)", "(partition key)", "(sorting key)", "(primary key)"}
    ]
    if wrong:
        raise WarehouseError(
            f"{full_name} has not the columns of Aspects: {', '.join(sorted({one.column for one in wrong}))}",
            do="Bring Aspects' own migrations up to date (tutor … do init -l aspects), then run again.",
        )


def _now() -> datetime:
    return datetime.now(UTC)

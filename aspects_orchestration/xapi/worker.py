"""Log lines in, statements in staging: the part of a load that runs in worker processes.

A worker is sent work, a chunk of lines or a part of a file to read by itself, and says what became of each chunk once
its statements are staged. Statements of several chunks go into one insert, and an insert is under way while the next
chunks are transformed.

This module and all it imports stay free of dagster and pandas, so that a worker is up in a second.
"""

from __future__ import annotations

import gc
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.chunks import Chunk, line_ends, read_log
from aspects_orchestration.tracking.names import KnownNames
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.load import stage
from aspects_orchestration.window import Window
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.engine import Engine, StockEngine
from aspects_orchestration.xapi.identities import SiteSource
from aspects_orchestration.xapi.transform import ChunkTransformer, WorkChunk

if TYPE_CHECKING:
    from aspects_orchestration.settings import ClickHouseAddress

_CHUNKS_A_COLLECTION = 64
#: Statements are inserted when so many bytes of them are there, or those of so many bytes of lines, or the first has
#: waited so long, or nothing more has come for a second: ClickHouse makes a part of each insert, and few large ones
#: cost it less.
_INSERT_BYTES = 16 * 1024 * 1024
_INSERT_LINE_BYTES = 64 * 1024 * 1024
_INSERT_AFTER_S = 5.0


@dataclass(frozen=True)
class WorkerSetup:
    """All that a worker needs to know; picklable, without open connections.

    Attributes:
        run_id: for `log_comment` and deduplication tokens.
        address, cluster: ClickHouse.
        staging_database, staging_table: where statements go; an empty table name stages nothing (dry run).
        quarantine_folder: URI for this load's quarantine objects; '' writes none (dry run).
        window: events of this stretch of time are loaded.
        lms_root_url, actor_type: as event-routing-backends' LMS_ROOT_URL and XAPI_AGENT_IFI_TYPE.
        site: where users and courses come from.
        s3: how to reach S3.
        max_line_bytes: longer lines stay in quarantine.
        engine: ASPECTS_TRANSFORM_ENGINE: fast or stock.
        verify: this share of the events goes through both engines, which must agree.
    """

    run_id: str
    address: ClickHouseAddress
    cluster: str
    staging_database: str
    staging_table: str
    quarantine_folder: str
    window: Window
    lms_root_url: str
    actor_type: str
    site: SiteSource
    s3: S3Options
    max_line_bytes: int
    engine: str
    verify: float


@dataclass(frozen=True)
class WorkPart:
    """A part of a file for a worker to read by itself.

    Attributes:
        file: as listed.
        start, end: where, for a part of a plain file; 0 and None for a whole file of any kind.
        live: the file may be appended to.
        passed: offset and length of the chunks that are staged already.
        from_quarantine: the file holds quarantine records, not log lines.
    """

    file: LogFile
    start: int = 0
    end: int | None = None
    live: bool = False
    passed: frozenset[tuple[int, int]] = frozenset()
    from_quarantine: bool = False


Work = WorkChunk | WorkPart


@dataclass(frozen=True)
class Loaded:
    """A worker has staged a chunk.

    Attributes:
        file, etag, byte_offset, bytes: which.
        account: of its lines.
        counted_lines: its line ends, if the worker read it by itself; None if whoever sent it has counted.
        stored_bytes: how much of the file, as stored, was read for it.
        engine_off: what of the fast engine stays off in this process, and why.
    """

    file: str
    etag: str
    byte_offset: int
    bytes: int
    account: LineAccount
    counted_lines: int | None
    stored_bytes: int
    engine_off: tuple[str, ...]


class Passed(NamedTuple):
    """A chunk that was staged before: its place, its line ends, and how much of the file as stored it took to read."""

    byte_offset: int
    bytes: int
    counted_lines: int
    stored_bytes: int


@dataclass(frozen=True)
class Taken:
    """A worker has transformed what it was sent, and may be sent more; some of its chunks may not be staged yet.

    Attributes:
        work: what it was sent; a chunk without its data.
        chunks: offset and length of those that it transformed.
        passed: chunks that were staged already.
        met: the reader met something that is no chunk of lines (a line too long to hold, a damage, a half-written
            end); what was not transformed is left to whoever sent it.
    """

    work: Work
    chunks: tuple[tuple[int, int], ...]
    passed: tuple[Passed, ...]
    met: bool


@dataclass(frozen=True)
class Failed:
    """A worker cannot go on."""

    error: AspectsError


@dataclass(frozen=True)
class Ended:
    """A worker has staged everything and ends."""


Said = Loaded | Taken | Failed | Ended


@dataclass(frozen=True)
class Booted:
    """What takes a worker most of a second to start, and may be forked: nothing of it is open or running."""

    transformer: erb.Transformer
    engine: Engine

    @classmethod
    def of(cls, setup: WorkerSetup) -> Booted:
        """Start it."""
        transformer = erb.boot(lms_root_url=setup.lms_root_url, actor_type=setup.actor_type)
        if setup.engine == "stock":
            return cls(transformer, StockEngine(transformer))
        from aspects_orchestration.xapi.fast.engine import FastEngine

        return cls(transformer, FastEngine(transformer, lms_root_url=setup.lms_root_url))


class Worker:
    """One process's transformer, connections and caches.

    Args:
        setup: what it needs to know.
        booted: in this process, or in the one that it was forked from.
        say: takes what is to be said; called from two threads, one at a time.
    """

    def __init__(self, setup: WorkerSetup, booted: Booted, say: Callable[[Said], None]) -> None:
        self._setup = setup
        self._say = say
        self._engine = booted.engine
        self._warehouse = Warehouse(setup.address, run_id=setup.run_id, cluster=setup.cluster)
        identities, courses = setup.site.open(self._warehouse)
        self._transform = ChunkTransformer(
            setup,
            transformer=booted.transformer,
            engine=booted.engine,
            identities=identities,
            courses=courses,
            known=KnownNames(booted.transformer.registered) if setup.engine == "fast" else None,
        ).transform
        self._staging = _Staging(setup, self._warehouse, say)
        self._stores: dict[str, LogStore] = {}
        self._chunks = 0

    def take(self, work: Work) -> None:
        """Transform what was sent, and say so; what it gives is staged now or later."""
        if isinstance(work, WorkChunk):
            self._load(work, counted_lines=None)
            done = ((work.byte_offset, len(work.data)),)
            named = WorkChunk(work.file, work.etag, work.byte_offset, b"", work.from_quarantine)
            self._say(Taken(named, done, (), met=False))
        else:
            self._say(self._read(work))

    def finish(self) -> None:
        """Stage everything that is not staged yet, and say so."""
        self._staging.finish()

    def rest(self) -> None:
        """Nothing has come for a while: what is there may be staged."""
        self._staging.send()

    def _read(self, part: WorkPart) -> Taken:
        file, root = part.file, "/".join(part.file.uri.split("/", 3)[:3])
        if root not in self._stores:
            self._stores[root] = open_store(file.uri, s3=self._setup.s3)
        at = before = part.start

        def reached(stored: int) -> None:
            nonlocal at
            at = stored

        chunks: list[tuple[int, int]] = []
        passed: list[Passed] = []
        for item in read_log(
            self._stores[root],
            file,
            live=part.live,
            start=part.start,
            end=part.end,
            max_line_bytes=self._setup.max_line_bytes,
            reached=reached,
        ):
            if not isinstance(item, Chunk):
                return Taken(part, tuple(chunks), tuple(passed), met=True)
            read, before = at - before, at
            place = (item.offset, len(item.data))
            if not item.data:
                continue
            # Counted here as well: the account of the lines must come to the same.
            ends = line_ends(item.data)
            if place in part.passed:
                passed.append(Passed(*place, ends, read))
                continue
            chunk = WorkChunk(file.uri, file.etag, item.offset, item.data, part.from_quarantine, read)
            self._load(chunk, counted_lines=ends)
            chunks.append(place)
        return Taken(part, tuple(chunks), tuple(passed), met=False)

    def _load(self, chunk: WorkChunk, *, counted_lines: int | None) -> None:
        try:
            self._chunks += 1
            if self._chunks % _CHUNKS_A_COLLECTION == 0:
                gc.collect()
            # Rows of a chunk that fails are never staged: the load ends with it.
            account = self._transform(chunk, self._staging.rows).account
        except AspectsError:
            raise
        except Exception as error:
            # Told by its kind alone: its text may hold personal data.
            trace = traceback.extract_tb(error.__traceback__)[-1]
            raise AspectsError(
                f"a worker failed on {chunk.file} near byte {chunk.byte_offset}: {type(error).__name__} in"
                f" {trace.name}, {PurePath(trace.filename).name} line {trace.lineno}",
                do="Nothing was published. Run again; if it stays so, this is a fault of the project: report it.",
            ) from None
        loaded = Loaded(
            chunk.file,
            chunk.etag,
            chunk.byte_offset,
            len(chunk.data),
            account,
            counted_lines,
            chunk.stored_bytes,
            self._engine.off,
        )
        self._staging.add(loaded)


class _Staging:
    """Gathers the rows of chunks, and inserts them in a thread of its own, one insert at a time.

    Attributes:
        rows: to which those of the next chunk are to be added.
    """

    def __init__(self, setup: WorkerSetup, warehouse: Warehouse, say: Callable[[Said], None]) -> None:
        self._setup = setup
        self._warehouse = warehouse
        self._say = say
        self.rows = bytearray()
        self._waiting: list[Loaded] = []
        self._line_bytes = 0
        self._since = 0.0
        self._inserts = 0
        # The run's id alone would not do: a token of an earlier attempt makes ClickHouse drop rows without a word.
        self._token = f"{setup.run_id} {uuid.uuid4().hex}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="insert")
        self._under_way: Future[None] | None = None

    def add(self, loaded: Loaded) -> None:
        """A chunk's rows are there."""
        if not self._waiting:
            self._since, self._line_bytes = time.monotonic(), 0
        self._waiting.append(loaded)
        self._line_bytes += loaded.bytes
        if (
            len(self.rows) >= _INSERT_BYTES
            or self._line_bytes >= _INSERT_LINE_BYTES
            or time.monotonic() - self._since > _INSERT_AFTER_S
        ):
            self.send()

    def send(self) -> None:
        """Begin to insert what is there, as soon as the insert before is through."""
        self._wait()
        if self._waiting:
            self._inserts += 1
            token = f"{self._token} {self._inserts}"
            self._under_way = self._thread.submit(self._insert, self.rows, self._waiting, token)
            self.rows, self._waiting = bytearray(), []

    def finish(self) -> None:
        self.send()
        self._wait()
        self._thread.shutdown()

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _insert(self, rows: bytearray, waiting: list[Loaded], token: str) -> None:
        if self._setup.staging_table:
            database, table = self._setup.staging_database, self._setup.staging_table
            stage(self._warehouse, database, table, rows, token=token)
        for one in waiting:
            self._say(one)

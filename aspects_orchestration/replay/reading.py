"""Reading logs through worker processes: chunks out, accounts in, progress and catalog remembered on the way.

A `Reading` is what loading a month and cataloging logs have in common. It settles whatever the reader meets that is no
chunk of lines (lines too long to hold, damaged archives, half-written ends), and holds the workers' counts against
its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.replay.pool import WorkerPool
from aspects_orchestration.replay.progress import Progress
from aspects_orchestration.replay.result import FileDamage, LoadAccount, utc_now
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.catalog import READER, FileSummary
from aspects_orchestration.tracking.chunks import Chunk, HalfLine, Item, OversizePart, is_live, read_log
from aspects_orchestration.tracking.compression import Damage
from aspects_orchestration.tracking.quarantine import QuarantinedLine, encode, object_name
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store
from aspects_orchestration.warehouse.client import UnreachableError, Warehouse
from aspects_orchestration.warehouse.records import StagedChunk, remember_files, remember_progress
from aspects_orchestration.window import Window
from aspects_orchestration.xapi.identities import SiteSource
from aspects_orchestration.xapi.worker import Loaded, WorkChunk, WorkerSetup

Say = Callable[[str], None]

_FLUSH_S = 5.0
_OVERSIZE = "oversize"


@cache
def transformer_reader() -> str:
    """A version for the catalog: another reader or other transformers may find other events in the same bytes."""
    return f"{READER}/{version('edx-event-routing-backends')}"


@dataclass(frozen=True)
class Staging:
    """Where a load stages its statements and remembers how far it has come."""

    database: str
    table: str

    @property
    def progress_table(self) -> str:
        """The table of chunks that are staged."""
        return "progress_" + self.table.removeprefix("staging_")


@dataclass
class Reading:
    """One reading of some files.

    Attributes:
        settings, warehouse, s3, say: its surroundings.
        files: what to read, by URI.
        window: events of this stretch of time are transformed.
        site: where users and courses come from.
        reader: version of reader and transformers, for the catalog.
        staging: where statements go; None transforms and counts only.
        quarantine: URI of the folder for this reading's quarantine objects; '' keeps none.
        from_quarantine: the files are quarantine objects, not logs.
        catalogs: remember what whole files hold.
        verify: share of the events that goes through both engines.
        staged_before: accounts of chunks that are staged already, by (URI, etag, offset).
        account: the account so far.
        resumed_chunks: how many chunks were found staged.
    """

    settings: Settings
    warehouse: Warehouse
    s3: S3Options
    say: Say
    files: tuple[LogFile, ...]
    window: Window
    site: SiteSource
    reader: str
    staging: Staging | None = None
    quarantine: str = ""
    from_quarantine: bool = False
    catalogs: bool = True
    verify: float = 0.0
    staged_before: dict[tuple[str, str, int], LineAccount] = field(default_factory=dict)
    account: LoadAccount = field(default_factory=LoadAccount)
    resumed_chunks: int = 0
    _said_off: bool = False
    _unsaved: list[StagedChunk] = field(default_factory=list)
    _unsaved_files: list[FileSummary] = field(default_factory=list)
    _read_files: dict[str, LogFile] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)
    _stores: dict[str, LogStore] = field(default_factory=dict)

    def read(self) -> float:
        """Read all files.

        Returns:
            Seconds that it took.

        Raises:
            AspectsError: what could not be read or written; what is staged by then is remembered.
        """
        if not self.files:
            return 0.0
        started = time.monotonic()
        stored_bytes = sum(file.size for file in self.files)
        progress = Progress(stored_bytes, self.say)
        # Compressed logs grow about tenfold; a worker takes a second to start, and is worth it from some chunks on.
        workers = max(1, min(self.settings.transform_workers, 1 + (stored_bytes >> 20)))
        saved = time.monotonic()
        try:
            with WorkerPool(self._worker_setup(), workers) as pool:
                for loaded in pool.load(self._chunks(progress)):
                    if loaded is not None:
                        self._take(*loaded)
                        progress.took(loaded[1].account)
                    progress.tell()
                    if time.monotonic() - saved > _FLUSH_S:
                        self._save()
                        saved = time.monotonic()
        except UnreachableError:
            raise  # there is nowhere to save it
        except BaseException:  # terminated from outside too: the next attempt shall go on from here
            with suppress(WarehouseError):
                self._save()
            raise
        self._save()
        progress.tell(finally_=True)
        self.account.check()
        return time.monotonic() - started

    def _worker_setup(self) -> WorkerSetup:
        return WorkerSetup(
            run_id=self.warehouse.run_id,
            address=self.warehouse.address,
            cluster=self.warehouse.cluster,
            staging_database=self.staging.database if self.staging else "",
            staging_table=self.staging.table if self.staging else "",
            quarantine_folder=self.quarantine,
            window=self.window,
            lms_root_url=self.settings.lms_root_url,
            actor_type=self.settings.agent_ifi_type,
            site=self.site,
            s3=self.s3,
            max_line_bytes=self.settings.max_line_bytes,
            engine=self.settings.transform_engine,
            verify=self.verify,
        )

    def _chunks(self, progress: Progress) -> Iterator[WorkChunk]:
        """All chunks of all files that are not staged yet; whatever else the reader meets is settled here."""
        now = utc_now()
        for file in self.files:
            self.account.files.setdefault(file.uri, LineAccount())
            self._open[file.uri] = 1  # the reading itself; a file is whole when nothing of it is open
            items = read_log(
                self._store(file.uri),
                file,
                live=not self.from_quarantine and is_live(file, now=now),
                max_line_bytes=self.settings.max_line_bytes,
                reached=progress.reached,
            )
            for item in items:
                progress.tell()  # also while chunks are passed over that an earlier attempt has staged
                if isinstance(item, Chunk):
                    if item.data:
                        yield from self._chunk(file, item)
                elif isinstance(item, OversizePart):
                    self._keep_oversize(file, item, items)
                elif isinstance(item, HalfLine):
                    self.account.half_lines.append(file.uri)
                else:
                    self._note_damage(file, item)
            progress.read(file.size)
            self._read_files[file.uri] = file
            self._close(file.uri)

    def _store(self, uri: str) -> LogStore:
        """The store of a file; one for all files of a bucket, as a client of S3 takes long to make."""
        root = "/".join(uri.split("/", 3)[:3])
        if root not in self._stores:
            self._stores[root] = open_store(uri, s3=self.s3)
        return self._stores[root]

    def _chunk(self, file: LogFile, item: Chunk) -> Iterator[WorkChunk]:
        # Counted here as well: the workers' accounts must come to the same.
        self.account.counted_lines[file.uri] += item.data.count(b"\n") + (not item.data.endswith(b"\n"))
        staged = self.staged_before.get((file.uri, file.etag, item.offset))
        if staged is not None and staged.bytes == len(item.data):
            self.account.add(file.uri, staged)
            self.resumed_chunks += 1
            return
        self._open[file.uri] += 1
        yield WorkChunk(file.uri, file.etag, item.offset, item.data, self.from_quarantine)

    def _take(self, chunk: WorkChunk, loaded: Loaded) -> None:
        account = loaded.account
        if loaded.engine_off and not self._said_off:
            self._said_off = True
            self.say(
                "parts of the fast engine stay off, because functions of event-routing-backends or tincan are not the ones"
                f" that they were written against; their own code runs instead: {'; '.join(loaded.engine_off)}"
            )
        self.account.add(chunk.file, account)
        self._unsaved.append(StagedChunk(chunk.file, chunk.etag, chunk.byte_offset, account))
        self._close(chunk.file)

    def _close(self, uri: str) -> None:
        self._open[uri] -= 1
        if self._open[uri] == 0:
            file = self._read_files.pop(uri)
            # A last line that is not read yet may be the only one of its month: such a file stays unknown.
            etag = f"{file.etag} half-written" if uri in self.account.half_lines else file.etag
            self._unsaved_files.append(FileSummary(uri, etag, file.size, self.account.files[uri]))

    def _save(self) -> None:
        """Remember which chunks are staged, and what whole files hold."""
        database = self.settings.orchestration_database
        if self.staging is not None:
            remember_progress(
                self.warehouse, self.staging.database, self.staging.progress_table, self._unsaved
            )
        if self.catalogs and not self.from_quarantine:
            remember_files(self.warehouse, database, self._unsaved_files, self.reader, utc_now())
        self._unsaved.clear()
        self._unsaved_files.clear()

    def _keep_oversize(self, file: LogFile, first: OversizePart, items: Iterator[Item]) -> None:
        """Let a line that is too long to be held flow into a quarantine object of its own."""
        lines = length = 0

        def parts() -> Iterator[bytes]:
            nonlocal lines, length
            part: Item = first
            while isinstance(part, OversizePart):
                lines += part.source_lines
                length += len(part.data)
                yield part.data
                if part.last:
                    return
                part = next(items)

        if self.quarantine:
            uri = f"{self.quarantine}/{object_name(file.uri, file.etag, first.offset)}"
            raw = uri.replace(".ndjson.gz", ".line")
            store = open_store(self.quarantine, s3=self.s3, setting="ASPECTS_QUARANTINE")
            store.write(raw, parts())
            detail = f"{length} bytes; the limit is ASPECTS_MAX_LINE_BYTES"
            store.put(uri, encode([QuarantinedLine(_OVERSIZE, detail, file.uri, first.offset, b"", raw)]))
        else:
            for _ in parts():
                pass
        account = LineAccount(lines=lines, bytes=length, undated=1)
        account.quarantined[_OVERSIZE] += lines
        self.account.counted_lines[file.uri] += lines
        self.account.add(file.uri, account)

    def _note_damage(self, file: LogFile, damage: Damage) -> None:
        self.account.damages.append(FileDamage(file.uri, damage.kind, damage.at_byte, damage.resumed_at))
        self.account.add(file.uri, LineAccount(undated=1))
        resumed = damage.resumed_at
        rest = "the rest is unread" if resumed is None else f"reading goes on at byte {resumed}"
        self.say(f"{file.uri} is {damage.kind} at byte {damage.at_byte} ({damage.compression}): {rest}")

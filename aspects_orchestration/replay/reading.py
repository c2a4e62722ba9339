"""Reading logs through worker processes: chunks out, accounts in, progress and catalog remembered on the way.

A `Reading` is what loading a month and cataloging logs have in common. It settles whatever the reader meets that is no
chunk of lines (lines too long to hold, damaged archives, half-written ends), and holds the workers' counts against
its own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version

from aspects_orchestration.errors import WarehouseError, one_line
from aspects_orchestration.native import NOT_COMPILED, native
from aspects_orchestration.replay.pool import WorkerPool
from aspects_orchestration.replay.progress import Progress
from aspects_orchestration.replay.result import FileDamage, LoadAccount, utc_now
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.catalog import READER, FileSummary
from aspects_orchestration.tracking.chunks import (
    Chunk,
    HalfLine,
    Item,
    OversizePart,
    is_live,
    is_plain,
    line_ends,
    part_ends,
    read_log,
)
from aspects_orchestration.tracking.compression import Damage
from aspects_orchestration.tracking.quarantine import QuarantinedLine, encode, object_name
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store
from aspects_orchestration.warehouse.answers import UnreachableError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.records import StagedChunk, look_up, remember_files, remember_progress
from aspects_orchestration.window import Window
from aspects_orchestration.xapi.identities import SiteSource
from aspects_orchestration.xapi.transform import WorkChunk
from aspects_orchestration.xapi.worker import Loaded, Taken, Work, WorkerSetup, WorkPart

Say = Callable[[str], None]
#: Told from time to time how many bytes of the files have been read, as stored.
Reached = Callable[[int], None]

_FLUSH_S = 5.0
#: A part of a plain file for one worker: many times what one insert takes, and soon done.
_PART_BYTES = 16 * 1024 * 1024
#: The largest compressed file that one worker reads alone, if there are others for the others.
_ALONE_BYTES = 256 * 1024 * 1024
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
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

    @property
    def sent_table(self) -> str:
        """The table of statements whose fate at Ralph is known."""
        return "progress_sent_" + self.table.removeprefix("staging_")


@dataclass
class _Open:
    """A file that is not wholly read and staged.

    Attributes:
        file: as listed.
        parts: of it that are still to be read; the reading itself is one.
        chunks: of it that are not staged yet. Less than none while a worker has said that a chunk of a part is staged,
            and not yet how many the part has.
    """

    file: LogFile
    parts: int = 1
    chunks: int = 0


@dataclass
class Reading:
    """One reading of some files, in worker processes.

    Workers read by themselves what they can: parts of plain files, and whole files of which there are enough for all.
    What is left (one large compressed file, and files in which a worker met anything but lines) is read here, and
    sent to them chunk by chunk.

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
        uncataloged: URIs of files that the catalog is not told of: the archive's manifests say what those hold.
        reached: told with the progress how many bytes have been read, as stored.
        staged_before: accounts of chunks that are staged already, by (URI, etag) and offset.
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
    uncataloged: Collection[str] = ()
    reached: Reached | None = None
    staged_before: dict[tuple[str, str], dict[int, LineAccount]] = field(default_factory=dict)
    account: LoadAccount = field(default_factory=LoadAccount)
    resumed_chunks: int = 0
    _said_off: bool = False
    _unsaved: list[StagedChunk] = field(default_factory=list)
    _unsaved_files: list[FileSummary] = field(default_factory=list)
    _open: dict[str, _Open] = field(default_factory=dict)
    _coming: deque[Iterator[Work]] = field(default_factory=deque)
    _progress: Progress = field(default_factory=lambda: Progress(0, lambda _: None))
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
        self._progress = Progress(stored_bytes, self.say, reached=self.reached)
        # Compressed logs grow about tenfold; a worker takes a second to start, and is worth it from some chunks on.
        workers = max(1, min(self.settings.transform_workers, 1 + (stored_bytes >> 20)))
        self._coming.append(self._work(workers, stored_bytes))
        saved = time.monotonic()
        if native is None:
            self.say(f"{NOT_COMPILED}: this load is slower, and its result is the same")
        try:
            with WorkerPool(self._worker_setup(), workers) as pool:
                for said in pool.work(self._next_work):
                    if isinstance(said, Loaded):
                        self._take(said)
                    elif isinstance(said, Taken):
                        self._settle(said)
                    self._progress.tell()
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
        self._progress.tell(finally_=True)
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

    # --- what is to be done ----------------------------------------------------------------------------------

    def _next_work(self) -> Work | None:
        while self._coming:
            work = next(self._coming[0], None)
            if work is not None:
                return work
            self._coming.popleft()
        return None

    def _work(self, workers: int, stored_bytes: int) -> Iterator[Work]:
        """All work there is: large compressed files first, so that no worker is left alone with one at the end."""
        now = utc_now()
        fair_share = min(stored_bytes // (2 * workers), _ALONE_BYTES)
        for file in sorted(self.files, key=lambda file: (not file.uri.endswith(_COMPRESSED), -file.size)):
            self.account.files.setdefault(file.uri, LineAccount())
            self._open[file.uri] = _Open(file)
            live = not self.from_quarantine and is_live(file, now=now)
            ends = None
            if file.size > _PART_BYTES and is_plain(self._store(file.uri), file):
                ends = part_ends(self._store(file.uri), file, _PART_BYTES)
            if ends is not None:
                start = 0
                for end in ends:
                    yield self._part(WorkPart(file, start, end, live=live))
                    start = end
            elif file.size <= max(fair_share, _PART_BYTES):
                yield self._part(WorkPart(file, live=live))
            else:
                yield from self._read_here(WorkPart(file, live=live), {})
            self._close(file.uri, parts=1)

    def _part(self, part: WorkPart) -> WorkPart:
        """A part of a file, as a worker needs to know it."""
        self._open[part.file.uri].parts += 1
        file = part.file
        return WorkPart(
            file,
            part.start,
            part.end,
            live=part.live,
            passed=frozenset((offset, account.bytes) for offset, account in self._staged_of(file).items()),
            from_quarantine=self.from_quarantine,
        )

    def _staged_of(self, file: LogFile) -> Mapping[int, LineAccount]:
        """Chunks of a file that were staged before, by offset."""
        return self.staged_before.get((file.uri, file.etag), {})

    def _read_here(self, part: WorkPart, taken: Mapping[int, int]) -> Iterator[WorkChunk]:
        """The chunks of a part that are not staged yet; whatever else the reader meets is settled here.

        Args:
            part: of a file, or a whole one.
            taken: chunks that a worker has transformed already: their lengths by offset.
        """
        file, stored = part.file, part.start
        before = stored

        def reached(at: int) -> None:
            nonlocal stored
            stored = at

        items = read_log(
            self._store(file.uri),
            file,
            live=part.live,
            start=part.start,
            end=part.end,
            max_line_bytes=self.settings.max_line_bytes,
            reached=reached,
        )
        for item in items:
            self._progress.tell()  # also while chunks are passed over that an earlier attempt has staged
            read, before = stored - before, stored
            if isinstance(item, Chunk):
                length = len(item.data)
                if not length or taken.get(item.offset) == length:
                    continue
                # Counted here as well: the workers' accounts must come to the same.
                self.account.counted_lines[file.uri] += line_ends(item.data)
                if not self._pass(file, item.offset, length, read):
                    self._open[file.uri].chunks += 1
                    yield WorkChunk(file.uri, file.etag, item.offset, item.data, self.from_quarantine, read)
            elif isinstance(item, OversizePart):
                self._keep_oversize(file, item, items)
            elif isinstance(item, HalfLine):
                self.account.half_lines.append(file.uri)
            else:
                self._note_damage(file, item)

    def _pass(self, file: LogFile, offset: int, length: int, stored_bytes: int) -> bool:
        """Pass over a chunk that an earlier attempt has staged."""
        staged = self._staged_of(file).get(offset)
        if staged is None or staged.bytes != length:
            return False
        self.account.add(file.uri, staged)
        self._progress.took(staged, stored_bytes)
        self.resumed_chunks += 1
        return True

    def _store(self, uri: str) -> LogStore:
        """The store of a file; one for all files of a bucket, as a client of S3 takes long to make."""
        root = "/".join(uri.split("/", 3)[:3])
        if root not in self._stores:
            self._stores[root] = open_store(uri, s3=self.s3)
        return self._stores[root]

    # --- what workers say ------------------------------------------------------------------------------------

    def _take(self, loaded: Loaded) -> None:
        """A chunk is staged."""
        account = loaded.account
        if loaded.engine_off and not self._said_off:
            self._said_off = True
            self.say(
                "parts of the fast engine stay off, because functions of event-routing-backends or tincan are not the ones"
                f" that they were written against; their own code runs instead: {'; '.join(loaded.engine_off)}"
            )
        if loaded.counted_lines is not None:
            self.account.counted_lines[loaded.file] += loaded.counted_lines
        self.account.add(loaded.file, account)
        self._progress.took(account, loaded.stored_bytes)
        self._unsaved.append(StagedChunk(loaded.file, loaded.etag, loaded.byte_offset, account))
        self._close(loaded.file, chunks=1)

    def _settle(self, taken: Taken) -> None:
        """A worker has transformed what it was sent, or met what is to be settled here."""
        part = taken.work
        if isinstance(part, WorkChunk):
            return
        uri = part.file.uri
        self._open[uri].chunks += len(taken.chunks)
        for one in taken.passed:
            self.account.counted_lines[uri] += one.counted_lines
            self._pass(part.file, one.byte_offset, one.bytes, one.stored_bytes)
        if taken.met:
            done = {offset: length for offset, length, *_ in (*taken.chunks, *taken.passed)}
            self._coming.append(self._settled_here(part, done))
        else:
            self._close(uri, parts=1)

    def _settled_here(self, part: WorkPart, done: Mapping[int, int]) -> Iterator[Work]:
        yield from self._read_here(part, done)
        self._close(part.file.uri, parts=1)

    def _close(self, uri: str, *, parts: int = 0, chunks: int = 0) -> None:
        one = self._open[uri]
        one.parts -= parts
        one.chunks -= chunks
        if one.parts == 0 and one.chunks == 0:
            file = self._open.pop(uri).file
            # A last line that is not read yet may be the only one of its month: such a file stays unknown.
            etag = f"{file.etag} half-written" if uri in self.account.half_lines else file.etag
            if uri not in self.uncataloged:
                self._unsaved_files.append(FileSummary(uri, etag, file.size, self.account.files[uri]))

    def _save(self) -> None:
        """Remember which chunks are staged, and what whole files hold."""
        database = self.settings.orchestration_database
        if self.staging is not None:
            remember_progress(
                self.warehouse, self.staging.database, self.staging.progress_table, self._unsaved
            )
        if self.catalogs and not self.from_quarantine:
            # What is known already keeps the time at which it became known: by that, new logs are told from old ones.
            uris = [one.uri for one in self._unsaved_files]
            known = look_up(self.warehouse, database, uris, self.window, self.reader) if uris else {}
            fresh = [
                one for one in self._unsaved_files if one.uri not in known or known[one.uri].etag != one.etag
            ]
            remember_files(self.warehouse, database, fresh, self.reader, utc_now())
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
        self.say(
            f"{one_line(file.uri)} is {damage.kind} at byte {damage.at_byte} ({damage.compression}): {rest}"
        )

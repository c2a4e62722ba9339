"""Chunks of lines in, statements in staging: the part of a load that runs in worker processes.

This module and all it imports stay free of dagster and pandas, so that a worker is up in a second.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.catalog import hour_of
from aspects_orchestration.tracking.events import Event, UnreadableEventError, event_time, parse_event
from aspects_orchestration.tracking.lines import SKIP_REASONS, unwrap, why_unreadable
from aspects_orchestration.tracking.names import KnownNames
from aspects_orchestration.tracking.quarantine import (
    QuarantinedLine,
    decode,
    encode,
    encode_missing,
    missing_name,
    object_name,
)
from aspects_orchestration.tracking.stores import LogStore, S3Options, open_store
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.load import StagedStatement, stage
from aspects_orchestration.window import Window
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.engine import Engine, StockEngine
from aspects_orchestration.xapi.erb import Missing, UntransformableError
from aspects_orchestration.xapi.identities import SiteSource, wanted
from aspects_orchestration.xapi.verify import EnginesDifferError, Verifier

if TYPE_CHECKING:
    from aspects_orchestration.settings import ClickHouseAddress

_PR_SET_PDEATHSIG = 1
_CHUNKS_A_COLLECTION = 16


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
class WorkChunk:
    """A chunk on its way to a worker.

    Attributes:
        file, etag: URI and version of the file.
        byte_offset: of the chunk in the decompressed file.
        data: whole lines.
        from_quarantine: the lines are quarantine records, not log lines.
    """

    file: str
    etag: str
    byte_offset: int
    data: bytes
    from_quarantine: bool = False


class _Source(NamedTuple):
    """Where a line came from, and how it stood there (or the object that holds it)."""

    uri: str
    byte_offset: int
    raw: bytes
    object: str | None = None


_Line = tuple[_Source, bytes | None, str | None, int]


@dataclass(frozen=True)
class Loaded:
    """What a worker says of a chunk: its account, and what of the fast engine stays off in this process."""

    account: LineAccount
    engine_off: tuple[str, ...]


class Worker:
    """One process's transformer, connections and caches."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._transformer = erb.boot(lms_root_url=setup.lms_root_url, actor_type=setup.actor_type)
        self._warehouse = Warehouse(setup.address, run_id=setup.run_id, cluster=setup.cluster)
        self._identities, self._courses = setup.site.open(self._warehouse)
        self._engine = _engine(self._transformer, setup)
        self._verifier = Verifier(self._engine, setup.verify)
        self._known = KnownNames(self._transformer.registered) if setup.engine == "fast" else None
        self._first = setup.window.start_micros
        self._end = setup.window.end_micros

    @property
    def engine_off(self) -> tuple[str, ...]:
        """What of the fast engine stays off, and why."""
        return self._engine.off

    def load(self, chunk: WorkChunk) -> LineAccount:
        """Transform a chunk, stage its statements, keep its bad lines, and account for every line of it."""
        account = LineAccount(bytes=len(chunk.data))
        bad: list[QuarantinedLine] = []
        events = list(self._events(chunk, account, bad))
        if self._identities.asks_for_many:
            # All of the chunk's users at once; the transformers then ask one by one.
            self._identities.prefetch(*wanted([erb.user_key(event) for event, _, _, _ in events]))
        rows: list[StagedStatement] = []
        with erb.site(self._identities, self._courses):
            for event, moment, source, place in events:
                chosen = self._verifier.chooses(source.raw)
                if chosen:
                    self._verifier.note(event, moment)
                try:
                    rows += self._rows(event, moment, chunk.file, place, account)
                except UntransformableError as failure:
                    _quarantine(account, bad, failure.reason, source, failure.detail, missing=failure.missing)
            differing = self._verifier.differences()
        if differing:
            first = chunk.byte_offset
            bad += [
                QuarantinedLine("engines_differ", "", chunk.file, first, one.encode()) for one in differing
            ]
        self._keep(chunk, bad)
        if differing:
            raise EnginesDifferError(
                f"{len(differing)} events of {chunk.file} near byte {first} give other statements with the fast engine than"
                " with event-routing-backends itself",
                do="Nothing was published. Both statements are in quarantine: report them, and load with"
                " ASPECTS_TRANSFORM_ENGINE=stock.",
            )
        if self._setup.staging_table:
            # The run's own: a token of an earlier attempt would make ClickHouse drop what was deleted since.
            token = f"{self._setup.run_id} {chunk.file} {chunk.byte_offset}"
            stage(self._warehouse, self._setup.staging_database, self._setup.staging_table, rows, token=token)
        account.check(f"{chunk.file} at byte {chunk.byte_offset}")
        return account

    def _events(
        self, chunk: WorkChunk, account: LineAccount, bad: list[QuarantinedLine]
    ) -> Iterator[tuple[Event, int, _Source, int]]:
        """The chunk's events of the window that have a transformer; all other lines are accounted for here."""
        for source, body, reason, lines in self._lines(chunk):
            account.lines += lines
            if reason is not None and reason in SKIP_REASONS:
                account.skipped[reason] += lines
                continue
            if body is not None and self._known is not None and not self._known.may_be_in(body):
                account.skipped["no_transformer"] += 1
                if lines > 1:
                    account.skipped["continued"] += lines - 1
                continue
            try:
                if body is None:
                    raise UnreadableEventError(reason or "unreadable")
                event = parse_event(body)
            except UnreadableEventError as failure:
                if failure.reason == "not_an_event":
                    account.skipped[failure.reason] += lines
                    continue
                finer = why_unreadable(body) if body is not None else None
                account.undated += lines
                _quarantine(account, bad, finer or failure.reason, source, "", lines)
                continue
            # A line in pieces (Docker, CRI) is one event: the further pieces have no event of their own.
            if lines > 1:
                account.skipped["continued"] += lines - 1
            if event["name"] not in self._transformer.names:
                known = event["name"] in self._transformer.registered
                account.skipped["not_whitelisted" if known else "no_transformer"] += 1
                continue
            try:
                moment, assumed = event_time(event)
            except UnreadableEventError as failure:
                account.undated += 1
                _quarantine(account, bad, failure.reason, source, "")
                continue
            account.hours[hour_of(moment)] += 1
            account.saw(moment)
            if not self._first <= moment < self._end:
                account.skipped["outside_window"] += 1
                continue
            account.assumed_utc += assumed
            # In quarantine records several lines may come from one place; here it orders and counts, so use ours.
            place = source.byte_offset if not chunk.from_quarantine else chunk.byte_offset + account.lines
            yield event, moment, source, place

    def _lines(self, chunk: WorkChunk) -> Iterator[_Line]:
        """Each line of a chunk: where it is from, its event's JSON or why there is none, and its count of lines."""
        if not chunk.from_quarantine:
            for line in unwrap(chunk.data, max_line_bytes=self._setup.max_line_bytes):
                source = _Source(chunk.file, chunk.byte_offset + line.offset, line.raw)
                yield source, line.body, line.reason, line.source_lines
            return
        for stored in chunk.data.splitlines():
            try:
                record = decode(stored)
            except ValueError:
                yield _Source(chunk.file, chunk.byte_offset, stored), None, "unreadable_record", 1
                continue
            source = _Source(record.file, record.byte_offset, record.raw, record.object)
            raw = record.raw if record.object is None else self._long_line(record.object)
            if raw is None:
                yield source, None, record.reason, 1
                continue
            found = list(unwrap(raw, max_line_bytes=self._setup.max_line_bytes))
            # One record is one line of the account, whatever pieces it once came in.
            whole = next((line for line in found if line.body is not None), found[0] if found else None)
            if whole is None:
                yield source, None, "blank", 1
            else:
                yield source, whole.body, whole.reason, 1

    def _long_line(self, uri: str) -> bytes | None:
        """A line that was too long to be held, if by now it is not."""
        store = open_store(uri, s3=self._setup.s3, setting="ASPECTS_QUARANTINE")
        size = next((file.size for file in store.list()), 0)
        return store.get(uri) if size <= self._setup.max_line_bytes else None

    def _rows(
        self, event: Event, moment: int, file: str, place: int, account: LineAccount
    ) -> list[StagedStatement]:
        statements = self._engine.statements(event, moment)
        if not statements:
            account.skipped["no_statement"] += 1
            return []
        account.with_statements += 1
        rows = []
        for number, one in enumerate(statements):
            if self._first <= one.emission_micros < self._end:
                account.verbs[one.verb] += 1
                rows.append(
                    StagedStatement(one.event_id, one.emission_micros, one.event, file, place, number)
                )
        account.statements += len(rows)
        account.outside_window += len(statements) - len(rows)
        return rows

    def _keep(self, chunk: WorkChunk, bad: list[QuarantinedLine]) -> None:
        if bad and self._setup.quarantine_folder:
            uri = f"{self._setup.quarantine_folder}/{object_name(chunk.file, chunk.etag, chunk.byte_offset)}"
            self._quarantine.put(uri, encode(bad))
            if (missing := encode_missing(bad)) is not None:
                self._quarantine.put(missing_name(uri), missing)

    @cached_property
    def _quarantine(self) -> LogStore:
        # Kept: a client of S3 takes longer to make than a chunk to transform.
        return open_store(self._setup.quarantine_folder, s3=self._setup.s3, setting="ASPECTS_QUARANTINE")


def _engine(transformer: erb.Transformer, setup: WorkerSetup) -> Engine:
    if setup.engine == "stock":
        return StockEngine(transformer)
    from aspects_orchestration.xapi.fast.engine import FastEngine

    return FastEngine(transformer, lms_root_url=setup.lms_root_url)


def _quarantine(
    account: LineAccount,
    bad: list[QuarantinedLine],
    reason: str,
    source: _Source,
    detail: str,
    lines: int = 1,
    missing: Missing | None = None,
) -> None:
    account.quarantined[reason] += lines
    lacks = (missing.kind, missing.key) if missing else None
    bad.append(
        QuarantinedLine(reason, detail, source.uri, source.byte_offset, source.raw, source.object, lacks)
    )


_worker: Worker | None = None
_loads = count(1)
_failure: Exception | None = None


def start(setup: WorkerSetup) -> None:
    """Make this process a worker; the initializer of the pool."""
    global _worker, _failure  # noqa: PLW0603  one worker a process is what a pool gives
    # Ctrl-C goes to the whole process group: the parent decides. If the parent is killed, so is the worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Killed before the line above, or on a system without it: waiting for work would never end.
        threading.Thread(target=_end_with, args=(parent,), name="end with parent", daemon=True).start()
    try:
        _worker = Worker(setup)
    except Exception as error:
        # Raised in here it would only break the pool, as if somebody had killed the process.
        _failure = error
    # A chunk makes some hundred thousand objects and hardly a cycle among them: looking for cycles all the time costs
    # a quarter of the work. They are looked for between chunks.
    gc.collect()
    gc.freeze()
    gc.disable()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def load(chunk: WorkChunk) -> Loaded:
    """Load one chunk in this process's worker.

    Raises:
        AspectsError: what went wrong; whatever else is raised is told by its kind alone (its text may hold personal
            data, and not every exception finds its way back to the parent).
    """
    try:
        if _failure is not None:
            raise _failure
        if _worker is None:
            raise RuntimeError("start() first")
        if next(_loads) % _CHUNKS_A_COLLECTION == 0:
            gc.collect()
        return Loaded(_worker.load(chunk), _worker.engine_off)
    except AspectsError:
        raise
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)[-1]
        raise AspectsError(
            f"a worker failed on {chunk.file} near byte {chunk.byte_offset}: {type(error).__name__} in {trace.name},"
            f" {PurePath(trace.filename).name} line {trace.lineno}",
            do="Nothing was published. Run again; if it stays so, this is a fault of the project: report it.",
        ) from None

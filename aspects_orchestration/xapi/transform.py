"""A chunk of log lines in; its statements as rows, and the account of its lines, out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import NamedTuple, Protocol

import orjson

from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.catalog import hour_of
from aspects_orchestration.tracking.events import (
    Event,
    UnreadableEventError,
    event_time,
    parse_event,
    usual_event,
)
from aspects_orchestration.tracking.lines import Line, unwrap
from aspects_orchestration.tracking.names import KnownNames, PassedOver
from aspects_orchestration.tracking.quarantine import (
    QuarantinedLine,
    decode,
    encode,
    encode_missing,
    missing_name,
    object_name,
)
from aspects_orchestration.tracking.stores import LogStore, S3Options, open_store
from aspects_orchestration.tracking.wrapped import SKIP_REASONS, why_unreadable
from aspects_orchestration.warehouse.client import encoded_text
from aspects_orchestration.warehouse.load import add_statements
from aspects_orchestration.window import Window
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.engine import Engine
from aspects_orchestration.xapi.erb import Courses, Identities, Missing, UntransformableError
from aspects_orchestration.xapi.identities import wanted
from aspects_orchestration.xapi.verify import EnginesDifferError, Verifier

#: Events whose users are asked for in one query, where a query for many is cheaper than many for one.
_ASKED_AT_ONCE = 2_000


@dataclass(frozen=True)
class WorkChunk:
    """A chunk of lines to transform.

    Attributes:
        file, etag: URI and version of the file.
        byte_offset: of the chunk in the decompressed file.
        data: whole lines.
        from_quarantine: the lines are quarantine records, not log lines.
        stored_bytes: how much of the file, as stored, was read for it.
    """

    file: str
    etag: str
    byte_offset: int
    data: bytes
    from_quarantine: bool = False
    stored_bytes: int = 0


@dataclass
class Transformed:
    """What became of a chunk: the account of every line of it, rows for staging, and lines for quarantine."""

    account: LineAccount
    rows: bytearray
    bad: list[QuarantinedLine] = field(default_factory=list)


class TransformSetup(Protocol):
    """What a `ChunkTransformer` needs to know; see `aspects_orchestration.xapi.worker.WorkerSetup`."""

    @property
    def window(self) -> Window: ...
    @property
    def quarantine_folder(self) -> str: ...
    @property
    def s3(self) -> S3Options: ...
    @property
    def max_line_bytes(self) -> int: ...
    @property
    def verify(self) -> float: ...


class _StoredLine(NamedTuple):
    """A line out of a quarantine record: as `Line`, and where it first came from, or the object that holds it."""

    offset: int
    raw: bytes
    body: bytes | None
    reason: str | None
    source_lines: int
    uri: str
    object: str | None


_AnyLine = Line | _StoredLine
_Dated = tuple[Event, int, _AnyLine, int]


class ChunkTransformer:
    """Transforms chunks, keeps their bad lines, accounts for all.

    Args:
        setup: the window, where bad lines go, how long a line may be, and what share is verified.
        transformer, engine: booted.
        identities, courses: of the site.
        known: tells cheaply which lines have no transformer; None parses every line.
    """

    def __init__(
        self,
        setup: TransformSetup,
        *,
        transformer: erb.Transformer,
        engine: Engine,
        identities: Identities,
        courses: Courses,
        known: KnownNames | None,
    ) -> None:
        self._setup = setup
        self._transformer = transformer
        self._engine = engine
        self._identities = identities
        self._courses = courses
        self._known = known
        self._verifier = Verifier(engine, setup.verify)
        self._first = setup.window.start_micros
        self._end = setup.window.end_micros

    def transform(self, chunk: WorkChunk, rows: bytearray) -> Transformed:
        """Transform a chunk; its bad lines are in quarantine when this returns.

        Args:
            chunk: whole lines.
            rows: its statements are added to them; whatever this raises, some may have been.

        Raises:
            EnginesDifferError: of the events that are verified, some give other statements with the other engine.
            AccountError: the account does not add up.
        """
        found = Transformed(LineAccount(bytes=len(chunk.data)), rows)
        events = self._events(chunk, found)
        with erb.site(self._identities, self._courses):
            if self._identities.asks_for_many:
                while together := list(islice(events, _ASKED_AT_ONCE)):
                    # The transformers then ask one by one.
                    self._identities.prefetch(*wanted([erb.user_key(event) for event, _, _, _ in together]))
                    self._statements(together, chunk, found)
            else:
                # One after the other: what an event is made of is gone from the processor's caches a few hundred later.
                self._statements(events, chunk, found)
            differing = self._verifier.differences()
        first = chunk.byte_offset
        found.bad += [
            QuarantinedLine("engines_differ", "", chunk.file, first, one.encode()) for one in differing
        ]
        self._keep(chunk, found.bad)
        if differing:
            raise EnginesDifferError(
                f"{len(differing)} events of {chunk.file} near byte {first} give other statements with the fast engine than"
                " with event-routing-backends itself",
                do="Nothing was published. Both statements are in quarantine: report them, and load with"
                " ASPECTS_TRANSFORM_ENGINE=stock.",
            )
        found.account.check(f"{chunk.file} at byte {first}")
        return found

    def _statements(self, events: Iterable[_Dated], chunk: WorkChunk, found: Transformed) -> None:
        """Rows of the statements of events."""
        engine, verifier, rows = self._engine, self._verifier, found.rows
        verifies = self._setup.verify > 0
        first, end = self._first, self._end
        file = encoded_text(chunk.file)
        with_statements = outside = 0
        verbs: list[str] = []
        quick = engine.quick
        for event, moment, line, place in events:
            if verifies and line.body is not None and verifier.chooses(line.raw):
                verifier.note(line.body)
            try:
                statements = engine.statements_of_quick(event, moment) if quick else None
                if statements is None:
                    statements = engine.statements(_exactly(line.body) if quick else event, moment)
            except UntransformableError as failure:
                _quarantine(found, chunk, failure.reason, line, failure.detail, missing=failure.missing)
                continue
            if not statements:
                found.account.skipped["no_statement"] += 1
                continue
            with_statements += 1
            outside += add_statements(rows, statements, first, end, file, place, verbs)
        account = found.account
        account.with_statements += with_statements
        account.statements += len(verbs)
        account.outside_window += outside
        account.verbs.update(verbs)

    def _events(self, chunk: WorkChunk, found: Transformed) -> Iterator[_Dated]:
        """The chunk's events of the window that have a transformer; all other lines are accounted for here."""
        account, skipped = found.account, found.account.skipped
        names, known, first, end = self._transformer.names, self._known, self._first, self._end
        lines_read, moments = 0, list[int]()
        passed = None if known is None else known.passing()
        start, from_quarantine, quick = chunk.byte_offset, chunk.from_quarantine, self._engine.quick
        for line in self._lines(chunk, passed):
            body, lines = line.body, line.source_lines
            lines_read += lines
            if body is None and line.reason in SKIP_REASONS:
                skipped[line.reason] += lines
                continue
            if body is not None and known is not None and not known.may_be_in(body):
                skipped["no_transformer"] += 1
                if lines > 1:
                    skipped["continued"] += lines - 1
                continue
            assumed = False
            usual = usual_event(body, names, orjson.loads) if quick and body is not None else None
            if usual is None:
                dated = self._dated(line, chunk, found)
                if dated is None:
                    continue
                event, moment, assumed = dated
            else:
                if lines > 1:
                    skipped["continued"] += lines - 1
                if isinstance(usual, str):
                    skipped[self._why_not(usual)] += 1
                    continue
                event, moment = usual
            moments.append(moment)
            if not first <= moment < end:
                skipped["outside_window"] += 1
                continue
            if assumed:
                account.assumed_utc += 1
            # In quarantine records several lines may come from one place; here it orders and counts, so use ours.
            yield event, moment, line, start + (lines_read if from_quarantine else line.offset)
        account.lines += lines_read + _passed_over(account, passed)
        account.hours.update(map(hour_of, moments))
        for moment in (min(moments), max(moments)) if moments else ():
            account.saw(moment)

    def _dated(self, line: _AnyLine, chunk: WorkChunk, found: Transformed) -> tuple[Event, int, bool] | None:
        """An event that has a transformer, its moment, and whether UTC was assumed; any other line is accounted for."""
        account, body = found.account, line.body
        try:
            if body is None:
                raise UnreadableEventError(line.reason or "unreadable")
            event = parse_event(body, exactly=not self._engine.quick)
        except UnreadableEventError as failure:
            _unreadable(found, chunk, failure.reason, line)
            return None
        # A line in pieces (Docker, CRI) is one event: the further pieces have no event of their own.
        if line.source_lines > 1:
            account.skipped["continued"] += line.source_lines - 1
        if event["name"] not in self._transformer.names:
            account.skipped[self._why_not(event["name"])] += 1
            return None
        try:
            return event, *event_time(event)
        except UnreadableEventError as failure:
            account.undated += 1
            _quarantine(found, chunk, failure.reason, line, "")
            return None

    def _why_not(self, name: str) -> str:
        return "not_whitelisted" if name in self._transformer.registered else "no_transformer"

    def _lines(self, chunk: WorkChunk, passed: PassedOver | None) -> Iterator[_AnyLine]:
        """Each line of a chunk that is not passed over."""
        if chunk.from_quarantine:
            return self._stored_lines(chunk)
        limit = self._setup.max_line_bytes
        if passed is None:
            return unwrap(chunk.data, max_line_bytes=limit)
        return unwrap(chunk.data, max_line_bytes=limit, passes_over=passed)

    def _stored_lines(self, chunk: WorkChunk) -> Iterator[_StoredLine]:
        for stored in chunk.data.splitlines():
            try:
                record = decode(stored)
            except ValueError:
                yield _StoredLine(chunk.byte_offset, stored, None, "unreadable_record", 1, chunk.file, None)
                continue
            source = (record.file, record.object)
            raw = record.raw if record.object is None else self._long_line(record.object)
            if raw is None:
                yield _StoredLine(record.byte_offset, record.raw, None, record.reason, 1, *source)
                continue
            found = list(unwrap(raw, max_line_bytes=self._setup.max_line_bytes))
            # One record is one line of the account, whatever pieces it once came in.
            whole = next((line for line in found if line.body is not None), found[0] if found else None)
            body, reason = (None, "blank") if whole is None else (whole.body, whole.reason)
            yield _StoredLine(record.byte_offset, record.raw, body, reason, 1, *source)

    def _long_line(self, uri: str) -> bytes | None:
        """A line that was too long to be held, if by now it is not."""
        store = open_store(uri, s3=self._setup.s3, setting="ASPECTS_QUARANTINE")
        size = next((file.size for file in store.list()), 0)
        return store.get(uri) if size <= self._setup.max_line_bytes else None

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


def _passed_over(account: LineAccount, passed: PassedOver | None) -> int:
    """Account for the lines that were passed over; how many they were."""
    if passed is None or not passed.lines:
        return 0
    account.skipped["no_transformer"] += passed.lines
    return passed.lines


def _exactly(body: bytes | None) -> Event:
    """An event that was parsed quickly before, and whose time is known to be readable."""
    try:
        event = parse_event(body or b"")
        event_time(event)
    except (
        UnreadableEventError
    ) as failure:  # one line that two parsers see differently is no reason to stop a load
        raise UntransformableError(failure.reason, "") from None
    return event


def _unreadable(found: Transformed, chunk: WorkChunk, reason: str, line: _AnyLine) -> None:
    if reason == "not_an_event":
        found.account.skipped[reason] += line.source_lines
        return
    finer = why_unreadable(line.body) if line.body is not None and reason == "not_json" else None
    found.account.undated += line.source_lines
    _quarantine(found, chunk, finer or reason, line, "", line.source_lines)


def _quarantine(
    found: Transformed,
    chunk: WorkChunk,
    reason: str,
    line: _AnyLine,
    detail: str,
    lines: int = 1,
    *,
    missing: Missing | None = None,
) -> None:
    found.account.quarantined[reason] += lines
    if isinstance(line, _StoredLine):
        where: tuple[str, int, str | None] = (line.uri, line.offset, line.object)
    else:
        where = (chunk.file, chunk.byte_offset + line.offset, None)
    lacks = (missing.kind, missing.key) if missing else None
    found.bad.append(QuarantinedLine(reason, detail, where[0], where[1], line.raw, where[2], lacks))

"""What the lines of a log say of themselves: how many there are, and of which months.

Told of every line just as the reader of logs would: which lines hold an event, and when it happened.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Final

import msgspec

from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.tracking.chunks import Chunk, OversizePart, line_ends, read_chunks
from aspects_orchestration.tracking.compression import Damage
from aspects_orchestration.tracking.events import Event, UnreadableEventError, event_time, parse_event
from aspects_orchestration.tracking.lines import Line, unwrap, usual_start
from aspects_orchestration.tracking.pieces import container_piece, open_line_start
from aspects_orchestration.tracking.wrapped import SKIP_REASONS
from aspects_orchestration.window import micros

_CHUNK_BYTES: Final = 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class LineFacts:
    """Counts of a stretch of log.

    Attributes:
        lines: lines of the file; the last one counts with or without its newline.
        months: events by their own month in UTC, such as `{"2024-05": 1200}`, whether or not they have a transformer.
        undated: lines that are, or were, an event of which no time can be read; each damage of an archive is one more.
        first_micros, last_micros: the earliest and the latest event (microseconds since 1970-01-01 UTC).
        whole_to: where the last whole line ends (bytes from the beginning of the stretch); a line that a container
            runtime wrote in pieces is whole when its last piece is there.
    """

    lines: int = 0
    months: Counter[str] = field(default_factory=Counter)
    undated: int = 0
    first_micros: int | None = None
    last_micros: int | None = None
    whole_to: int = 0

    def saw(self, moment: int, events: int = 1) -> None:
        """Count so many events at a moment (microseconds since 1970-01-01 UTC)."""
        if events:
            self.months[f"{at(moment):%Y-%m}"] += events
        if self.first_micros is None or moment < self.first_micros:
            self.first_micros = moment
        if self.last_micros is None or moment > self.last_micros:
            self.last_micros = moment

    def __iadd__(self, behind: LineFacts) -> LineFacts:
        """Add what was counted in the stretch that follows."""
        self.lines += behind.lines
        self.months.update(behind.months)
        self.undated += behind.undated
        for moment in (behind.first_micros, behind.last_micros):
            if moment is not None:
                self.saw(moment, 0)
        self.whole_to += behind.whole_to
        return self


def facts_of(blocks: Iterable[bytes | Damage]) -> LineFacts:
    """Count the lines of a stretch of log, in bounded memory.

    Args:
        blocks: its decompressed bytes, and damages in their places.
    """
    facts = LineFacts()
    at_byte, held, coming = 0, b"", iter(blocks)
    for block in coming:
        quick = None if isinstance(block, Damage) else _quickly(held, block)
        if quick is None:
            # From here on, pieces of lines may have to be put together.
            _count(facts, chain((held, block), coming), offset=at_byte)
            return facts
        found, rest = quick
        facts += found
        at_byte += found.whole_to
        held = rest
    if held:
        _count(facts, (held,), offset=at_byte)
    return facts


def _quickly(held: bytes, block: bytes) -> tuple[LineFacts, bytes] | None:
    """Count the whole lines of a block, if each stands for itself.

    Args:
        held: the beginning of its first line.
        block: what follows.

    Returns:
        What was counted, and the beginning of the next line; None if a container runtime's line is among them, or there
        is no whole line at all.
    """
    end = block.rfind(b"\n") + 1
    if not end:
        return None
    first_end = block.find(b"\n") + 1
    facts = LineFacts(whole_to=len(held) + end)
    rest = block[end:]
    times: list[str] = []
    is_ascii = held.isascii() and block.isascii()
    lines = io.BytesIO(block)
    lines.seek(first_end)
    for raw in chain((held + block[:first_end],), lines):
        start = usual_start(raw)
        # The decoder does not look at the bytes of texts that are not asked for.
        if start >= 0 and (is_ascii or raw.isascii() or _is_utf8(raw)):
            try:
                times.append(_decode(raw[start:] if start else raw).time)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
            else:
                continue
        if not raw.endswith(b"\n"):
            break
        if container_piece(raw) is not None:
            return None
        _count_lines(facts, unwrap(raw))
        facts.lines += 1
    else:
        if rest:  # the last one is no line yet
            times.pop()
    facts.lines += len(times)
    _saw_all(facts, times)
    return facts, rest


class _UsualEvent(msgspec.Struct, gc=False):
    """What is asked of an event of which nothing but its time matters; an event of any other form does not decode."""

    time: str
    event_type: str
    event_source: str
    event: msgspec.Raw
    name: str = ""
    timestamp: None = None


_decode = msgspec.json.Decoder(_UsualEvent).decode


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _saw_all(facts: LineFacts, times: list[str]) -> None:
    """Count events at what their `time` says."""
    if not times:
        return
    try:
        moments = [
            one if one.tzinfo is UTC else one.astimezone(UTC) if one.tzinfo else one.replace(tzinfo=UTC)
            for one in map(datetime.fromisoformat, times)
        ]
    except (ValueError, OverflowError):
        moments = []
    first, last = min(moments, default=_EPOCH), max(moments, default=_EPOCH)
    if first.year < 1971 or last.year > 2105:
        for time in times:
            _saw(facts, {"time": time})
        return
    facts.saw(micros(first), 0)
    facts.saw(micros(last), 0)
    if (first.year, first.month) == (last.year, last.month):
        facts.months[f"{first:%Y-%m}"] += len(times)
    else:
        facts.months.update(f"{moment:%Y-%m}" for moment in moments)


def _count(facts: LineFacts, blocks: Iterable[bytes | Damage], *, offset: int) -> None:
    """Count with the reader of logs itself."""
    for item in read_chunks(blocks, offset=offset, chunk_bytes=_CHUNK_BYTES):
        if isinstance(item, Chunk):
            if item.data:
                facts.lines += line_ends(item.data)
                _count_lines(facts, unwrap(item.data))
            if item.last:
                facts.whole_to = item.offset + open_line_start(item.data, item.data.rfind(b"\n") + 1)
        elif isinstance(item, OversizePart):
            facts.lines += item.source_lines
            facts.undated += item.last
        elif isinstance(item, Damage):
            facts.undated += 1


def _count_lines(facts: LineFacts, lines: Iterator[Line]) -> None:
    for line in lines:
        if line.body is None and line.reason in SKIP_REASONS:
            continue
        try:
            if line.body is None:
                raise UnreadableEventError(line.reason or "unreadable")
            event = parse_event(line.body, exactly=False)
        except UnreadableEventError as failure:
            if failure.reason != "not_an_event":
                facts.undated += line.source_lines
            continue
        _saw(facts, event)


def _saw(facts: LineFacts, event: Event) -> None:
    try:
        facts.saw(event_time(event)[0])
    except UnreadableEventError:
        facts.undated += 1

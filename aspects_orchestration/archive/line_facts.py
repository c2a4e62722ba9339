"""What the lines of a log say of themselves: how many there are, and of which months.

Told of every line just as the reader of logs would: which lines hold an event, and when it happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.tracking.chunks import Chunk, OversizePart, line_ends, read_chunks
from aspects_orchestration.tracking.compression import Damage
from aspects_orchestration.tracking.events import UnreadableEventError, event_time, parse_event
from aspects_orchestration.tracking.lines import SKIP_REASONS, Line, open_line_start, unwrap

_CHUNK_BYTES: Final = 1024 * 1024


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

    def saw(self, moment: int) -> None:
        """Count an event at a moment (microseconds since 1970-01-01 UTC)."""
        self.months[f"{at(moment):%Y-%m}"] += 1
        if self.first_micros is None or moment < self.first_micros:
            self.first_micros = moment
        if self.last_micros is None or moment > self.last_micros:
            self.last_micros = moment


def facts_of(blocks: Iterable[bytes | Damage]) -> LineFacts:
    """Count the lines of a stretch of log, in bounded memory.

    Args:
        blocks: its decompressed bytes, and damages in their places.
    """
    facts = LineFacts()
    _count(facts, blocks, offset=0)
    return facts


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
        try:
            facts.saw(event_time(event)[0])
        except UnreadableEventError:
            facts.undated += 1

"""When things happen on the sample site: busy evenings, quiet nights, no two events at one microsecond."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from aspects_orchestration.samples.spec import SampleError, SampleSpec

_BY_HOUR: Final = (3, 2, 1, 1, 1, 2, 4, 7, 10, 12, 13, 12, 11, 12, 13, 13, 12, 12, 14, 17, 19, 18, 13, 7)
_BY_WEEKDAY: Final = (11, 12, 12, 11, 9, 6, 8)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_HOUR: Final = 3_600_000_000


def _hours(start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Cut a span of epoch microseconds at full hours, into (from, to, busyness)."""
    at = start
    while at < end:
        until = min(end, at - at % _HOUR + _HOUR)
        hours = at // _HOUR
        weekday = (hours // 24 + 3) % 7  # the epoch was a Thursday
        yield at, until, (until - at) * _BY_HOUR[hours % 24] * _BY_WEEKDAY[weekday]
        at = until


def event_times(spec: SampleSpec, rng: random.Random) -> Iterator[bytes]:
    """The time of every record: all different, in order but for neighbours that changed places now and then.

    Args:
        spec: how many, and between when.
        rng: decides on microseconds and on the neighbours.

    Yields:
        ISO 8601 with microseconds, in UTC: ``2024-05-01T12:00:00.000001+00:00``.

    Raises:
        SampleError: the span has too few microseconds for as many lines.
    """
    start, end = (at - _EPOCH for at in (spec.start, spec.end))
    span = (start // _MICROSECOND, end // _MICROSECOND)
    total = sum(weight for _, _, weight in _hours(*span))
    before = 0
    held: bytes | None = None
    for since, until, weight in _hours(*span):
        first, before = before * spec.lines // total, before + weight
        count = before * spec.lines // total - first
        if not count:
            continue
        step = (until - since) // count
        if not step:
            raise SampleError(
                "The span of the sample has no room for as many lines", do="Ask for fewer, or a longer span."
            )
        hour = (_EPOCH + timedelta(microseconds=since - since % _HOUR)).strftime("%Y-%m-%dT%H:").encode()
        for at in range(since % _HOUR, since % _HOUR + count * step, step):
            seconds, microseconds = divmod(at + int(rng.random() * step), 1_000_000)
            time = b"%b%02d:%02d.%06d+00:00" % (hour, *divmod(seconds, 60), microseconds)
            if held is not None:
                yield time
                yield held
                held = None
            elif rng.random() < 0.04:
                held = time
            else:
                yield time
    if held is not None:
        yield held

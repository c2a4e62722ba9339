"""A half-open stretch of time in UTC, and the month that a partition key names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from aspects_orchestration.errors import AspectsError

_MONTH_KEY = re.compile(r"(\d{4})-(0[1-9]|1[0-2])\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WindowError(AspectsError):
    """A partition key, or a since or until, that names no usable time."""


@dataclass(frozen=True)
class Window:
    """Events with ``start <= time < end``; both ends are aware datetimes in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise WindowError(
                f"the window {self.start} to {self.end} has no time zone", do="Give both ends in UTC."
            )
        if self.start >= self.end:
            raise WindowError(
                f"the window {self.start:%Y-%m-%dT%H:%M:%SZ} to {self.end:%Y-%m-%dT%H:%M:%SZ} is empty",
                do="Let `since` come before `until`.",
            )

    @property
    def start_micros(self) -> int:
        """Microseconds from 1970-01-01 UTC to the start."""
        return micros(self.start)

    @property
    def end_micros(self) -> int:
        """Microseconds from 1970-01-01 UTC to the end (exclusive)."""
        return micros(self.end)


def month_window(key: str) -> Window:
    """The whole month that a partition key such as ``2024-05`` names.

    Raises:
        WindowError: the key is not of the form YYYY-MM.
    """
    found = _MONTH_KEY.match(key)
    if found is None or found[1] == "0000":
        raise WindowError(
            f"the partition key {key!r} names no month", do="Use the form YYYY-MM, such as 2024-05."
        )
    year, month = int(found[1]), int(found[2])
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return Window(start, end)


def narrowed(month: Window, since: datetime | None, until: datetime | None) -> Window:
    """The part of a month between ``since`` and ``until`` (naive values are UTC; None leaves that end).

    Raises:
        WindowError: an end lies outside the month, or nothing is left.
    """
    start = _as_utc(since) if since else month.start
    end = _as_utc(until) if until else month.end
    if start < month.start or end > month.end:
        raise WindowError(
            f"since {start:%Y-%m-%dT%H:%M:%SZ} to until {end:%Y-%m-%dT%H:%M:%SZ} leaves the month that begins "
            f"{month.start:%Y-%m-%d}",
            do="Keep both inside the partition's month, and launch one partition a month.",
        )
    return Window(start, end)


def micros(moment: datetime) -> int:
    """Microseconds from 1970-01-01 UTC to an aware datetime, exactly."""
    gap = moment - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def partition_id(key: str) -> str:
    """ClickHouse's partition id of a month key: ``2024-05`` is ``202405``."""
    window = month_window(key)
    return f"{window.start:%Y%m}"


def _as_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

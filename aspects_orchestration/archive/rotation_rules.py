"""When a live log is to be rotated: daily, hourly, by size, or several of these, whichever comes first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from aspects_orchestration.errors import SettingsError

_SIZE = re.compile(r"(\d{1,12})\s*(KB|MB|GB|TB|KIB|MIB|GIB|TIB)\Z", re.IGNORECASE)
_UNITS: Final = {
    **{unit: 1000**power for power, unit in enumerate(("KB", "MB", "GB", "TB"), 1)},
    **{unit: 1024**power for power, unit in enumerate(("KIB", "MIB", "GIB", "TIB"), 1)},
}
_SMALLEST: Final = 1000
_PERIODS: Final = {"daily": timedelta(days=1), "hourly": timedelta(hours=1)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RotationRules:
    """When a log is due; whichever comes first.

    Attributes:
        period: a day or an hour, counted in UTC, so that daylight saving is nobody's business; None: not by time.
        size: bytes; None: not by size.
    """

    period: timedelta | None
    size: int | None

    def why_due(self, size: int, begun: datetime | None, now: datetime) -> str | None:
        """Say why a log is due; None if it is not.

        Args:
            size: of the log, in bytes. An empty one is never due.
            begun: when its first line was written (with zone); None if that cannot be told, which makes it due by time.
            now: the time, with zone.
        """
        if not size:
            return None
        if self.size is not None and size >= self.size:
            return f"it holds {size:,} bytes, and {self.size:,} are its limit"
        if self.period is None:
            return None
        if begun is None:
            return "nothing in it tells since when it is written"
        if (begun - _EPOCH) // self.period < (now - _EPOCH) // self.period:
            unit = "a day" if self.period == _PERIODS["daily"] else "an hour"
            return f"it was begun at {begun.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}, in {unit} that is over"
        return None


def parse_rotation(text: str) -> RotationRules:
    """Read ASPECTS_ROTATE.

    Args:
        text: `daily`, `hourly`, a size such as `512MB` (of 1,000 times 1,000 bytes) or `512MiB` (of 1,024 times 1,024), or
            two of them by comma.

    Raises:
        SettingsError: it says something else, or a thing twice.

    Example:
        >>> parse_rotation("daily, 2GB").size
        2000000000
    """
    period: timedelta | None = None
    size: int | None = None
    for part in (one.strip() for one in text.split(",")):
        found = _SIZE.match(part)
        bytes_ = int(found[1]) * _UNITS[found[2].upper()] if found else None
        if part.lower() in _PERIODS and period is None:
            period = _PERIODS[part.lower()]
        elif bytes_ is not None and bytes_ >= _SMALLEST and size is None:
            size = bytes_
        else:
            raise SettingsError(
                f"ASPECTS_ROTATE: {part[:40]!r} is not understood, or one too many",
                do="Set daily or hourly, or a size such as 512MB, or both by comma.",
            )
    return RotationRules(period, size)

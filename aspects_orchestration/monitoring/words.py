"""Values, times and lengths of time in words."""

from __future__ import annotations

from datetime import datetime, timedelta


def shown(value: float, unit: str) -> str:
    """A value with its unit, in words.

    Example:
        >>> shown(5400, "s"), shown(0.25, "share of the usual"), shown(12345, "rows")
        ('1.5 h', '25%', '12,345 rows')
    """
    if unit == "s":
        return duration(timedelta(seconds=value))
    if unit.startswith("share"):
        return f"{value:.0%}"
    if unit == "1 or 0":
        return "yes" if value else "no"
    number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
    return f"{number} {unit}"


def duration(length: timedelta) -> str:
    """A length of time in words, roughly."""
    seconds = length.total_seconds()
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {name}"
    return f"{seconds:.0f} s"


def moment(at: datetime) -> str:
    """A time, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"

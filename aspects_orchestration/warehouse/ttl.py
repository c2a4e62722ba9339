"""How long rows are kept: reading ASPECTS_DATA_TTL_EXPRESSION.

Only the forms that Aspects itself documents are understood: the emission time plus an interval of days, weeks,
months, quarters or years, as `INTERVAL 1 YEAR` or as `toIntervalYear(1)`.
"""

import calendar
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from aspects_orchestration.errors import SettingsError

TtlUnit = Literal["day", "week", "month", "quarter", "year"]

_DAYS_IN: dict[TtlUnit, int] = {"day": 1, "week": 7}
_MONTHS_IN: dict[TtlUnit, int] = {"month": 1, "quarter": 3, "year": 12}

_DAYS_OF_A_MONTH = 365.25 / 12

_INTERVAL = r"""
    (?:
        INTERVAL \s+ (?: (?P<count>\d+) | '(?P<quoted>\d+)' ) \s+ (?P<unit>DAY|WEEK|MONTH|QUARTER|YEAR) S?
      | INTERVAL \s+ '(?P<text_count>\d+) \s+ (?P<text_unit>DAY|WEEK|MONTH|QUARTER|YEAR) S? '
      | toInterval (?P<function_unit>Day|Week|Month|Quarter|Year) \s* \( \s* (?P<function_count>\d+) \s* \)
    )
    """
_MOMENT = r"""
    (?:
        (?P<function>toDateTime|toDate|toStartOfMonth) \s* \( \s* `?(?P<wrapped>\w+)`? \s* (?: , \s* 'UTC' \s* )? \)
      | `?(?P<bare>[A-Za-z_]\w*)`?
    )
    """
_FLAGS = re.VERBOSE | re.IGNORECASE
_EXPRESSION = re.compile(rf"{_MOMENT} \s* \+ \s* {_INTERVAL} (?: \s+ DELETE )?", _FLAGS)
_ANY_INTERVAL = re.compile(_INTERVAL, _FLAGS)

# ClickHouse's DateTime ends in 2106; a longer interval would wrap around there and drop everything at once.
_LONGEST_DAYS = 80 * 366


@dataclass(frozen=True)
class DataTtl:
    """How long a row is kept after its emission time: `count` times `unit`."""

    count: int
    unit: TtlUnit

    @property
    def months(self) -> int | None:
        """The interval in whole calendar months, or None where it is counted in days or weeks.

        A TTL in whole months lets ClickHouse drop monthly partitions as a whole; any other makes it rewrite them.
        """
        return self.count * _MONTHS_IN[self.unit] if self.unit in _MONTHS_IN else None

    def cutoff(self, now: datetime) -> datetime:
        """The emission time whose rows expire at `now`; rows before it have expired.

        Args:
            now: a time with a zone.

        Returns:
            `now` less the interval, in UTC. Where a calendar month has no such day, its last day. ClickHouse shortens
            days the same way when it adds the interval, so that for an interval in months up to three days at the end of a
            month may expire a little before or after this; `expires` is exact for one row.

        Raises:
            ValueError: `now` has no zone.
        """
        return self._shifted(now, -1)

    def expires(self, emission_time: datetime) -> datetime:
        """When a row of this emission time expires, in UTC, as ClickHouse computes it (to the second).

        Args:
            emission_time: a time with a zone.

        Raises:
            ValueError: `emission_time` has no zone.
        """
        return self._shifted(emission_time, 1).replace(microsecond=0)

    @property
    def whole_months(self) -> int:
        """The interval in calendar months; days and weeks become the nearest number of months that keeps no less.

        Three days are passed over, so that 90 days are three months and 365 days are twelve.
        """
        if self.months is not None:
            return self.months
        return max(1, math.ceil((self.count * _DAYS_IN[self.unit] - 3) / _DAYS_OF_A_MONTH))

    def _shifted(self, time: datetime, sign: int) -> datetime:
        if time.tzinfo is None:
            raise ValueError("a time without a zone cannot be compared with a TTL; give it in UTC")
        time = time.astimezone(UTC)
        months = self.months
        if months is None:
            return time + sign * timedelta(days=self.count * _DAYS_IN[self.unit])
        year, month = divmod(time.year * 12 + time.month - 1 + sign * months, 12)
        day = min(time.day, calendar.monthrange(year, month + 1)[1])
        return time.replace(year=year, month=month + 1, day=day)


@dataclass(frozen=True)
class Expiry:
    """One TTL rule, read: rows go so long after the time in a column.

    Attributes:
        column: which.
        function: what is made of it first, in lower case: `todatetime`, `todate`, `tostartofmonth`, or nothing.
        ttl: how long rows are kept.
    """

    column: str
    function: str
    ttl: DataTtl


def read_expiry(expression: str) -> Expiry | None:
    """Read a rule of the form column + interval; None if it has another form.

    Args:
        expression: as an operator writes it, or as ClickHouse shows it in `system.tables`.

    Example:
        >>> read_expiry("event_date + toIntervalDay(30)").ttl
        DataTtl(count=30, unit='day')
    """
    found = _EXPRESSION.fullmatch(expression.strip())
    if found is None:
        return None
    column = found["wrapped"] or found["bare"]
    return Expiry(column, (found["function"] or "").lower(), _interval(found))


def parse_ttl(expression: str, *, setting: str = "ASPECTS_DATA_TTL_EXPRESSION") -> DataTtl | None:
    """Read a TTL expression.

    Args:
        expression: for instance `toDateTime(emission_time) + INTERVAL 1 YEAR`; blank means that rows are kept for ever.
        setting: the name of the setting it came from, for the error.

    Returns:
        The interval, or None for a blank expression.

    Raises:
        SettingsError: the expression has another form, or its interval is zero or longer than 80 years. The text names
            the nearest expression that would do.

    Example:
        >>> parse_ttl("toDateTime(emission_time) + INTERVAL 18 MONTH").months
        18
    """
    if not expression.strip():
        return None
    found = read_expiry(expression)
    if found is None or found.column != "emission_time" or found.function not in {"", "todatetime"}:
        why, nearest = _objection(expression, found)
        raise SettingsError(
            f"{setting}: {why}",
            do=f"Write `{nearest}`, with DAY, WEEK, MONTH, QUARTER or YEAR (whole months let ClickHouse drop whole"
            " partitions), or leave it empty to keep rows for ever.",
        )
    ttl = found.ttl
    days = ttl.count * (_DAYS_IN[ttl.unit] if ttl.unit in _DAYS_IN else 31 * _MONTHS_IN[ttl.unit])
    if not 0 < days <= _LONGEST_DAYS:
        raise SettingsError(
            f"{setting}: its interval must be longer than nothing and at most 80 years",
            do="Give another number, or leave it empty to keep rows for ever.",
        )
    return ttl


def month_ttl(months: int) -> str:
    """The TTL expression that keeps rows so many months, as Aspects writes it."""
    return f"toDateTime(emission_time) + INTERVAL {months} MONTH"


def _interval(found: re.Match[str]) -> DataTtl:
    groups = found.groupdict()
    count = int(groups["count"] or groups["quoted"] or groups["text_count"] or groups["function_count"])
    unit = cast(TtlUnit, (groups["unit"] or groups["text_unit"] or groups["function_unit"]).lower())
    return DataTtl(count, unit)


#: What an expression holds beside a time and an interval, and why it does no good here; the first that is found counts.
_OBJECTIONS = (
    (
        r"\bWHERE\b",
        "it deletes some rows of a partition and keeps others, so that ClickHouse rewrites partitions",
    ),
    (r"\bTO\s+(?:VOLUME|DISK)\b", "it moves rows to other storage and deletes none"),
    (r"\b(?:GROUP\s+BY|RECOMPRESS)\b", "it rewrites rows and deletes none"),
    (r";", "this is not a TTL that can be read: it holds a second statement"),
    (r",\s*(?!')", "it holds several rules, and ClickHouse allows one that deletes whole rows"),
)


def _objection(expression: str, found: Expiry | None) -> tuple[str, str]:
    """What is wrong with an expression, and the nearest that would do."""
    interval = _ANY_INTERVAL.search(expression)
    months = _interval(interval).whole_months if interval else 12
    nearest = month_ttl(months if 0 < months * 31 <= _LONGEST_DAYS else 12)
    if found is not None and found.function == "tostartofmonth":
        return "counted from the first of the month, a month's last days go up to a month too early", nearest
    if found is not None and found.function == "todate":
        return "cut to whole days, a row goes up to a day too early", nearest
    if found is not None:
        return f"the raw table has no column {found.column} to count from, only emission_time", nearest
    for pattern, why in _OBJECTIONS:
        if re.search(pattern, expression, re.IGNORECASE):
            return why, nearest
    if "emission_time" not in expression:
        return (
            "this is not a TTL that can be read: it depends on no column, and ClickHouse refuses that",
            nearest,
        )
    return "this is not a TTL that can be read", nearest

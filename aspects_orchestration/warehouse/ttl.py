"""How long rows are kept: reading ASPECTS_DATA_TTL_EXPRESSION.

Only the forms that Aspects itself documents are understood: the emission time plus an interval of days, weeks,
months, quarters or years, as `INTERVAL 1 YEAR` or as `toIntervalYear(1)`.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from aspects_orchestration.errors import SettingsError

TtlUnit = Literal["day", "week", "month", "quarter", "year"]

_DAYS_IN: dict[TtlUnit, int] = {"day": 1, "week": 7}
_MONTHS_IN: dict[TtlUnit, int] = {"month": 1, "quarter": 3, "year": 12}

_EXPRESSION = re.compile(
    r"""
    (?: toDateTime \s* \( \s* `?emission_time`? \s* (?: , \s* 'UTC' \s* )? \) | `?emission_time`? )
    \s* \+ \s*
    (?:
        INTERVAL \s+ (?: (?P<count>\d+) | '(?P<quoted>\d+)' ) \s+ (?P<unit>DAY|WEEK|MONTH|QUARTER|YEAR) S?
      | INTERVAL \s+ '(?P<text_count>\d+) \s+ (?P<text_unit>DAY|WEEK|MONTH|QUARTER|YEAR) S? '
      | toInterval (?P<function_unit>Day|Week|Month|Quarter|Year) \s* \( \s* (?P<function_count>\d+) \s* \)
    )
    (?: \s+ DELETE )?
    """,
    re.VERBOSE | re.IGNORECASE,
)

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


def parse_ttl(expression: str, *, setting: str = "ASPECTS_DATA_TTL_EXPRESSION") -> DataTtl | None:
    """Read a TTL expression.

    Args:
        expression: for instance `toDateTime(emission_time) + INTERVAL 1 YEAR`; blank means that rows are kept for ever.
        setting: the name of the setting it came from, for the error.

    Returns:
        The interval, or None for a blank expression.

    Raises:
        SettingsError: the expression has another form, or its interval is zero or longer than 80 years.

    Example:
        >>> parse_ttl("toDateTime(emission_time) + INTERVAL 18 MONTH").months
        18
    """
    if not expression.strip():
        return None
    found = _EXPRESSION.fullmatch(expression.strip())
    if found is None:
        raise SettingsError(
            f"{setting}: this is not a TTL that can be read",
            do="Write `toDateTime(emission_time) + INTERVAL n DAY`, WEEK, MONTH, QUARTER or YEAR, or leave it empty to keep "
            "rows for ever.",
        )
    groups = found.groupdict()
    count = int(groups["count"] or groups["quoted"] or groups["text_count"] or groups["function_count"])
    unit = cast(TtlUnit, (groups["unit"] or groups["text_unit"] or groups["function_unit"]).lower())
    days = count * (_DAYS_IN[unit] if unit in _DAYS_IN else 31 * _MONTHS_IN[unit])
    if not 0 < days <= _LONGEST_DAYS:
        raise SettingsError(
            f"{setting}: its interval must be longer than nothing and at most 80 years",
            do="Give another number, or leave it empty to keep rows for ever.",
        )
    return DataTtl(count, unit)

"""The policy of a site: ASPECTS_DATA_TTL_EXPRESSION and `retention.yaml`, read into one model.

Everything is counted in whole calendar months, because the tables are partitioned by month and only a whole partition
can be dropped without rewriting anything.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings import Settings
from aspects_orchestration.settings.plain_yaml import read_yaml
from aspects_orchestration.warehouse.ttl import DataTtl, TtlUnit, month_ttl, parse_ttl
from aspects_orchestration.window import WindowError, month_window

#: ClickHouse's DateTime ends in 2106: a longer interval would wrap around there and drop everything at once.
LONGEST_MONTHS = 80 * 12
FOR_EVER = None
_WRITTEN_INTERVAL = re.compile(r"(\d{1,6})\s*(day|week|month|quarter|year)s?", re.IGNORECASE)


@dataclass(frozen=True)
class Hold:
    """Months that must stay, whatever the policy says.

    Attributes:
        months: keys such as 2023-05.
        tables: patterns of `database.table`; `*` is every table, and the quarantine of these months.
        reason: why; shown in plans and reports.
        until: the last day of the hold (UTC).
    """

    months: tuple[str, ...]
    tables: tuple[str, ...]
    reason: str
    until: date

    def holds(self, table: str, month: str, now: datetime) -> bool:
        """Whether a month of a table is held at a time."""
        return (
            month in self.months
            and now.date() <= self.until
            and any(fnmatchcase(table, t) for t in self.tables)
        )


@dataclass(frozen=True)
class TablePolicy:
    """Months to keep in the tables that a pattern of `database.table` names; None: for ever."""

    pattern: str
    months: int | None


@dataclass(frozen=True)
class SystemLogs:
    """ClickHouse's own `system.*_log` tables.

    Attributes:
        months: to keep; None: for ever.
        leftover_months: a leftover (`query_log_0`) is dropped so many months after its last row; None: never.
        share: of the disks' space, from 0 to 1, that all of them together may take.
    """

    months: int | None = FOR_EVER
    leftover_months: int | None = FOR_EVER
    share: float = 0.1


@dataclass(frozen=True)
class Policy:
    """How long everything is kept.

    Attributes:
        months: of the raw table and of all that materialized views chain behind it; None: for ever.
        tables: exceptions by name; the first pattern that fits counts.
        event_sink_months: of the event_sink tables; None where the policy says nothing of them.
        manages_event_sink: whether it says anything of them.
        system_logs: None: they are only looked at.
        staging_days: tables of loads in which nothing happened for so long are dropped; None: never.
        quarantine_months: quarantined lines go with their month after so many; None: never.
        require_archive: no month of raw statements goes unless its logs are sealed in the archive and verified.
        holds: what must stay.
        warnings: what was read otherwise than it was written, or does harm as it is written.
        source: where the policy came from, for reports.
    """

    months: int | None
    tables: tuple[TablePolicy, ...] = ()
    event_sink_months: int | None = FOR_EVER
    manages_event_sink: bool = False
    system_logs: SystemLogs | None = None
    staging_days: int | None = 7
    quarantine_months: int | None = FOR_EVER
    require_archive: bool = True
    holds: tuple[Hold, ...] = ()
    warnings: tuple[str, ...] = ()
    source: str = "ASPECTS_DATA_TTL_EXPRESSION"

    def exception_for(self, table: str) -> TablePolicy | None:
        """The exception that names a table (`database.table`), if there is one."""
        return next((one for one in self.tables if fnmatchcase(table, one.pattern)), None)

    def months_of_raw(self, raw: str) -> int | None:
        """Months to keep in the raw table (`database.table`), be it by its own name; None: for ever."""
        exception = self.exception_for(raw)
        return self.months if exception is None else exception.months

    def hold_of(self, table: str, month: str, now: datetime) -> Hold | None:
        """The hold on a month of a table at a time, if there is one."""
        return next((hold for hold in self.holds if hold.holds(table, month, now)), None)


def goes_at(month: str, months: int) -> datetime:
    """When a month is due to go: the first moment at which every row that it can hold has expired.

    Args:
        month: its key, such as 2024-05.
        months: how many are kept.

    Example:
        >>> goes_at("2024-05", 12)
        datetime.datetime(2025, 6, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    end = month_window(month).end
    year, index = divmod(end.year * 12 + end.month - 1 + months, 12)
    return datetime(year, index + 1, 1, tzinfo=UTC) if year <= 9999 else datetime.max.replace(tzinfo=UTC)


def site_policy(settings: Settings) -> Policy:
    """The policy that a site's settings name.

    Raises:
        SettingsError: the file or the expression cannot be used; every mistake is named with what would do.
    """
    return read_policy(settings.data_ttl_expression, settings.retention_file)


def read_policy(expression: str, file: Path | None) -> Policy:
    """Read the policy from a TTL expression and a `retention.yaml`; what the file says of the raw table wins.

    Args:
        expression: ASPECTS_DATA_TTL_EXPRESSION; blank: for ever.
        file: None where there is none.

    Raises:
        SettingsError: see `site_policy`.
    """
    if file is None:
        months, warnings = _from_expression(expression)
        return Policy(months, warnings=warnings)
    given = _read_file(file)
    if given.raw is None:
        months, warnings = _from_expression(expression)
    else:
        months, warnings = _months(given.raw.keep_months), ()
        of_setting, _ = _from_expression(expression)
        if of_setting is not None and of_setting != months:
            clash = (
                f"{file.name} keeps the raw table and all behind it {shown_months(months)}, but"
                f" ASPECTS_DATA_TTL_EXPRESSION says {shown_months(of_setting)}: the file counts here, but Aspects creates"
                " its reporting tables by the setting. Make them agree"
            )
            warnings = (clash,)
    system = given.system_logs
    return Policy(
        months=months,
        tables=tuple(TablePolicy(one.name, _months(one.keep_months)) for one in given.tables),
        event_sink_months=_months(given.event_sink.keep_months) if given.event_sink else FOR_EVER,
        manages_event_sink=given.event_sink is not None,
        system_logs=None
        if system is None
        else SystemLogs(
            _months(system.keep_months), _months(system.drop_leftovers_after_months), system.share_of_disk
        ),
        staging_days=_months(given.staging.keep_days),
        quarantine_months=_months(given.quarantine.keep_months),
        require_archive=given.require_archive,
        holds=tuple(
            Hold(tuple(one.partitions), tuple(one.tables), one.reason, one.until) for one in given.holds
        ),
        warnings=warnings,
        source=str(file),
    )


def shown_months(months: int | None) -> str:
    """`18 months`, or `for ever`."""
    return "for ever" if months is None else f"{months} month{'' if months == 1 else 's'}"


def _from_expression(expression: str) -> tuple[int | None, tuple[str, ...]]:
    ttl = parse_ttl(expression)
    if ttl is None:
        return FOR_EVER, ()
    if ttl.months is not None:
        return ttl.months, ()
    warning = (
        f"ASPECTS_DATA_TTL_EXPRESSION counts in {ttl.unit}s ({ttl.count}), but the tables are partitioned by month:"
        f" ClickHouse would rewrite partitions again and again. It is read as {shown_months(ttl.whole_months)}; write"
        f" `{month_ttl(ttl.whole_months)}`"
    )
    return ttl.whole_months, (warning,)


# --- retention.yaml ----------------------------------------------------------------------------------------------

_FOR_EVER_WORDS = {"forever", "for ever", "never"}


def _count(value: object, unit: str, longest: int) -> int | str:
    if isinstance(value, str) and value.strip().lower() in _FOR_EVER_WORDS:
        return "forever"
    if isinstance(value, str) and (found := _WRITTEN_INTERVAL.fullmatch(value.strip())):
        interval = DataTtl(int(found[1]), _unit(found[2]))
        near = interval.whole_months if unit == "month" else interval.count
        raise ValueError(f"is counted in {unit}s: write {near}, or forever")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"is no whole number of {unit}s: write one, such as 12, or forever")
    if not 1 <= value <= longest:
        raise ValueError(
            f"can be from 1 to {longest} {unit}s: write {min(max(value, 1), longest)}, or forever"
        )
    return value


def _unit(word: str) -> TtlUnit:
    units: dict[str, TtlUnit] = {
        "day": "day",
        "week": "week",
        "month": "month",
        "quarter": "quarter",
        "year": "year",
    }
    return units[word.lower()]


def _months(value: int | str) -> int | None:
    return value if isinstance(value, int) else FOR_EVER


def _month_keys(value: object) -> list[str]:
    keys: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        first, dots, last = str(one).strip().partition("...")
        try:
            at, end = month_window(first).start, month_window(last if dots else first).end
        except WindowError:
            near = re.sub(r"^(\d{4})\D?(\d{2})(\D.*)?$", r"\1-\2", first)
            raise ValueError(
                f"{one!r} is no month: write {near if near != first else '2023-05'}, or 2023-05...2023-08 for several"
            ) from None
        if at >= end:
            raise ValueError(f"{one!r} ends before it begins: write {last}...{first}")
        while at < end:
            keys.append(f"{at:%Y-%m}")
            at = month_window(keys[-1]).end
    if not keys:
        raise ValueError("names no month: write a list such as [2023-05, 2023-06]")
    return keys


def _pattern(value: object) -> str:
    text = str(value).strip()
    if text != "*" and not re.fullmatch(r"[^.\s]+\.\S+", text):
        raise ValueError(f"{text!r} names no table: write database.table, such as reporting.fact_*")
    return text


_KeepMonths = Annotated[int | str, BeforeValidator(lambda value: _count(value, "month", LONGEST_MONTHS))]
_KeepDays = Annotated[int | str, BeforeValidator(lambda value: _count(value, "day", 3650))]
_Pattern = Annotated[str, BeforeValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Keep(_Part):
    keep_months: _KeepMonths


class _Table(_Part):
    name: _Pattern
    keep_months: _KeepMonths


class _SystemLogs(_Part):
    keep_months: _KeepMonths = "forever"
    drop_leftovers_after_months: _KeepMonths = "forever"
    share_of_disk: float = Field(0.1, gt=0, le=1)


class _Staging(_Part):
    keep_days: _KeepDays = 7


class _Quarantine(_Part):
    keep_months: _KeepMonths = "forever"


class _Hold(_Part):
    partitions: Annotated[list[str], BeforeValidator(_month_keys)]
    tables: list[_Pattern] = Field(default=["*"], min_length=1)
    reason: str = Field(min_length=1)
    until: date


class _File(_Part):
    raw: _Keep | None = None
    tables: list[_Table] = []
    event_sink: _Keep | None = None
    system_logs: _SystemLogs | None = None
    staging: _Staging = _Staging()
    quarantine: _Quarantine = _Quarantine()
    require_archive: bool = True
    holds: list[_Hold] = []


def _read_file(file: Path) -> _File:
    try:
        given = read_yaml(file)
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be read ({type(error).__name__})",
            do="Mend ASPECTS_RETENTION_FILE, or its rights.",
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise SettingsError(
            f"{file} is no YAML{where}", do="Mend it; docs/retention.md has an example."
        ) from None
    try:
        return _File.model_validate({} if given is None else given)
    except ValidationError as invalid:
        mistakes = [_mistake(error) for error in invalid.errors(include_url=False, include_input=False)]
        lines = "; ".join(dict.fromkeys(mistakes))
        raise SettingsError(f"{file}: {lines}", do="Mend it; docs/retention.md has an example.") from None


def _mistake(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "value_error":
        return f"{where} {error['ctx']['error']}"
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        near = difflib.get_close_matches(name, _KNOWN_KEYS, n=1)
        return f"{where} is not known" + (
            f": write {near[0]}" if near else f" (known: {', '.join(_KNOWN_KEYS)})"
        )
    if error["type"] == "missing":
        return f"{where} is missing"
    return f"{where or 'the file'} cannot be so ({error['msg'][0].lower()}{error['msg'][1:]})"


_KNOWN_KEYS = sorted(
    {
        name
        for part in (_File, _Table, _SystemLogs, _Staging, _Quarantine, _Hold)
        for name in part.model_fields
    }
)

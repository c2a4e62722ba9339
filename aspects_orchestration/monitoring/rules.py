"""The rules in force: those of the catalogue, unless alerts.yaml says otherwise; and when to tell of what they find.

signals:
  clickhouse_lag: {warn: 1800, critical: 7200, for_ticks: 3}
  clickhouse_rows_per_insert: off
reminders: {first_minutes: 60, factor: 2, longest_minutes: 1440}
group_from: 4
maintenance:
  - {from: 2024-05-01T22:00:00Z, until: 2024-05-02T02:00:00Z, signals: [clickhouse_*], why: upgrade}
  - {every: sunday, at: "02:00", minutes: 90}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.monitoring.model import Rule, Signal
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.settings.plain_yaml import read_yaml

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Reminders:
    """When an incident that goes on is told of again.

    Attributes:
        first: so long after it was told of first.
        factor: each pause is so many times as long as the one before.
        longest: no pause is longer.
    """

    first: timedelta = timedelta(hours=1)
    factor: float = 2.0
    longest: timedelta = timedelta(days=1)

    def pause(self, told: int) -> timedelta:
        """The pause after an incident was told of so many times, at least once."""
        # A power of a large count is no float any more; by then the longest pause has long been reached.
        grown = self.first.total_seconds() * self.factor ** min(told - 1, 64)
        return timedelta(seconds=min(grown, self.longest.total_seconds()))


@dataclass(frozen=True)
class Maintenance:
    """A time in which nothing is told of; what still holds at its end is told of then.

    Attributes:
        signals: patterns of names, such as `clickhouse_*`.
        start, end: of a single window (UTC).
        day: of a weekly window, 0 for Monday; None for every day.
        at: when a recurring window begins, minutes after midnight UTC; None for a single one.
        length: of a recurring window.
        why: for people.
    """

    signals: tuple[str, ...] = ("*",)
    start: datetime | None = None
    end: datetime | None = None
    day: int | None = None
    at: int | None = None
    length: timedelta = timedelta(0)
    why: str = ""

    def holds(self, signal: str, now: datetime) -> bool:
        """Whether a signal is in maintenance."""
        if not any(fnmatchcase(signal, pattern) for pattern in self.signals):
            return False
        if self.start is not None and self.end is not None:
            return self.start <= now < self.end
        now = now.astimezone(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        # A window of yesterday may reach into today, and one of a week into the next.
        for back in range(8):
            begins = midnight - timedelta(days=back) + timedelta(minutes=self.at or 0)
            if self.day in {None, begins.weekday()} and begins <= now < begins + self.length:
                return True
        return False


@dataclass(frozen=True)
class Rules:
    """What the site has set of its signals.

    Attributes:
        changed: the rules of signals that have others than the catalogue's, by signal.
        off: signals that are not watched.
        reminders: when what goes on is told of again.
        group_from: so many incidents that begin, or end, at once are one message.
        maintenance: times in which nothing is told of.
    """

    changed: Mapping[str, Rule] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    reminders: Reminders = Reminders()
    group_from: int = 4
    maintenance: tuple[Maintenance, ...] = ()

    def of(self, signal: Signal) -> Rule:
        """The rule of a signal."""
        return self.changed.get(signal.name, signal.rule)

    def in_maintenance(self, signal: str, now: datetime) -> bool:
        """Whether a signal is not told of now."""
        return any(one.holds(signal, now) for one in self.maintenance)


def load_rules(path: Path | None) -> Rules:
    """Read alerts.yaml.

    Args:
        path: of the file; None: there is none, and the catalogue's rules hold.

    Raises:
        SettingsError: it cannot be read, names a signal or a key that there is not, or gives an impossible value.
    """
    if path is None:
        return Rules()
    try:
        loaded = read_yaml(path)
    except OSError as error:
        raise _refused(
            path, f"cannot be read ({error.strerror})", "Give its path in ASPECTS_ALERTS_FILE."
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise _refused(path, f"is not YAML{where}", "docs/alerts.md has an example.") from None
    try:
        given = _File.model_validate(_without_off(loaded or {}, path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _refused(
            path, f"{place}: {first['msg'].removeprefix('Value error, ')}", _advice(place, first)
        ) from None
    return _rules(given, path)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Signal(_Strict):
    off: bool = False
    warn: float | None = None
    critical: float | None = None
    for_ticks: int | None = Field(None, ge=1, le=1000)
    clear_ticks: int | None = Field(None, ge=1, le=1000)
    margin: float | None = Field(None, ge=0, lt=1)


class _Reminders(_Strict):
    first_minutes: float = Field(60, ge=1)
    factor: float = Field(2, ge=1)
    longest_minutes: float = Field(1440, ge=1)


class _Maintenance(_Strict):
    signals: tuple[str, ...] = ("*",)
    start: AwareDatetime | None = Field(None, alias="from")
    until: AwareDatetime | None = None
    every: (
        Literal["day", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] | None
    ) = None
    at: str | None = None
    minutes: int | None = Field(None, ge=1, le=7 * 24 * 60)
    why: str = ""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        single = self.start is not None and self.until is not None
        recurring = self.every is not None and self.at is not None and self.minutes is not None
        if single == recurring:
            raise ValueError("give `from` and `until` (with a zone), or `every`, `at` and `minutes`")
        if self.start is not None and self.until is not None and self.start >= self.until:
            raise ValueError("`until` is not after `from`")
        if self.at is not None and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.at):
            raise ValueError('`at` is no time of day: write it as "02:30" (UTC), in quotes')
        return self


class _File(_Strict):
    signals: dict[str, _Signal] = Field(default_factory=dict)
    reminders: _Reminders = _Reminders()
    group_from: int = Field(4, ge=2)
    maintenance: tuple[_Maintenance, ...] = ()


def _without_off(loaded: Any, path: Path) -> Any:
    """`signal: off` (which YAML reads as false) means `signal: {off: true}`."""
    if not isinstance(loaded, dict):
        raise _refused(path, "holds no settings", "docs/alerts.md has an example.")
    signals = loaded.get("signals")
    if not isinstance(signals, dict):
        return loaded
    return {
        **loaded,
        "signals": {
            name: {"off": True} if value is False or value == "off" else value
            for name, value in signals.items()
        },
    }


def _rules(given: _File, path: Path) -> Rules:
    changed, off = {}, set()
    for name, one in given.signals.items():
        if name not in SIGNALS:
            near = get_close_matches(name, SIGNALS, n=1, cutoff=0.0)
            raise _refused(
                path,
                f"signals.{name}: there is no such signal",
                f"Did you mean {near[0]}? docs/monitoring.md lists them all.",
            )
        if one.off:
            off.add(name)
        changed[name] = _changed(name, SIGNALS[name].rule, one, path)
    if given.reminders.longest_minutes < given.reminders.first_minutes:
        raise _refused(
            path,
            "reminders.longest_minutes is less than first_minutes",
            "Give it at least the same value.",
        )
    return Rules(
        changed,
        frozenset(off),
        Reminders(
            timedelta(minutes=given.reminders.first_minutes),
            given.reminders.factor,
            timedelta(minutes=given.reminders.longest_minutes),
        ),
        given.group_from,
        tuple(_window(one, path) for one in given.maintenance),
    )


def _changed(name: str, rule: Rule, given: _Signal, path: Path) -> Rule:
    values = {key: getattr(given, key) for key in given.model_fields_set - {"off"}}
    found = Rule(**{**vars(rule), **values})
    if found.warn is not None and found.critical is not None:
        ordered = found.warn <= found.critical if found.worse == "above" else found.warn >= found.critical
        if not ordered:
            side = "above" if found.worse == "above" else "below"
            raise _refused(
                path,
                f"signals.{name}: critical ({found.critical:g}) is reached before warn ({found.warn:g})",
                f"Of this signal values {side} a threshold are bad; give both thresholds in that order.",
            )
    return found


def _window(given: _Maintenance, path: Path) -> Maintenance:
    for pattern in given.signals:
        if not any(fnmatchcase(name, pattern) for name in SIGNALS):
            raise _refused(
                path,
                f"maintenance: no signal is named {pattern!r}",
                "docs/monitoring.md lists them; * stands for any characters.",
            )
    if given.at is None or given.minutes is None:
        return Maintenance(given.signals, given.start, given.until, why=given.why)
    hours, minutes = given.at.split(":")
    return Maintenance(
        given.signals,
        day=None if given.every == "day" else _DAYS.index(str(given.every)),
        at=int(hours) * 60 + int(minutes),
        length=timedelta(minutes=given.minutes),
        why=given.why,
    )


def _advice(place: str, error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        key = place.rpartition(".")[2]
        known = {name for model in (_File, _Signal, _Reminders, _Maintenance) for name in model.model_fields}
        near = get_close_matches(key, sorted({*known, "from"} - {"start"}), n=1, cutoff=0.0)
        return f"There is no such key; did you mean {near[0]}? docs/alerts.md has an example."
    return "docs/alerts.md has an example."


def _refused(path: Path, what: str, do: str) -> SettingsError:
    return SettingsError(f"ASPECTS_ALERTS_FILE: {path}: {what}", do=do)

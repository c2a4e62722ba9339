"""Signals, their readings, and the states that follow: the one model behind sensors, checks, alerts, report and metrics.

A signal is something that can be measured, such as the lag of the raw table. Measuring it gives readings: one, or one
for each thing that it is measured of (a node, a queue, a partition), told apart by labels. A rule makes a state of a
reading and of what stood before, so that nothing flaps: a state is entered after it was seen some ticks in a row, and left
when the value is better than the threshold by a margin, some ticks in a row. What cannot be read is `unknown`, with its
reason; it is never ok.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal


class State(StrEnum):
    """How a signal stands, from best to worst."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARN = "warn"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for ok, up to 3 for critical."""
        return list(State).index(self)


Labels = tuple[tuple[str, str], ...]


def labels_of(values: Mapping[str, str]) -> Labels:
    """Labels in their order."""
    return tuple(sorted(values.items()))


@dataclass(frozen=True)
class Reading:
    """What a signal measured, once.

    Attributes:
        signal: its name.
        value: in the signal's unit; None if it could not be read.
        taken_at: when (UTC).
        took_ms: how long reading took, in milliseconds.
        labels: what it was measured of, where there are several.
        why: why it could not be read, and what to do; or what is worth knowing of the value. Safe to show.
        usual: what is usual here at such a time, in the signal's unit: thresholds count from it.
    """

    signal: str
    value: float | None
    taken_at: datetime
    took_ms: float
    labels: Labels = ()
    why: str = ""
    usual: float = 0.0

    @property
    def key(self) -> str:
        """The signal and its labels, such as `disk_free{disk=default,node=ch-1}`."""
        if not self.labels:
            return self.signal
        return f"{self.signal}{{{','.join(f'{name}={value}' for name, value in self.labels)}}}"


@dataclass(frozen=True)
class Rule:
    """When a reading is a reason to worry.

    Attributes:
        worse: whether high or low values are worse.
        warn, critical: the thresholds, in the signal's unit; a value on one counts as beyond it. None: never.
        of: what is held against them: the `value`; its `increase` since the reading before, for counters that only grow
            (one that became less was reset: what it shows is its increase since); or, `growing`, the value itself, but only
            while it has grown, and nowhere become less, over `for_ticks` readings.
        for_ticks: readings in a row, at least 1, that must be that bad before the state is entered.
        clear_ticks: readings in a row that must be better before a state is left.
        margin: share of a threshold by which a value must be better than it before its state is left.
    """

    worse: Literal["above", "below"] = "above"
    warn: float | None = None
    critical: float | None = None
    of: Literal["value", "increase", "growing"] = "value"
    for_ticks: int = 1
    clear_ticks: int = 2
    margin: float = 0.0

    def state_of(self, value: float, *, at_least: State = State.OK) -> State:
        """The state of a value by itself.

        Args:
            value: in the signal's unit.
            at_least: the state that stands: its threshold, and those below, are moved by the margin in its favour.
        """
        for state, threshold in ((State.CRITICAL, self.critical), (State.WARN, self.warn)):
            if threshold is None:
                continue
            slack = abs(threshold) * self.margin if at_least.rank >= state.rank else 0.0
            beyond = value >= threshold - slack if self.worse == "above" else value <= threshold + slack
            if beyond:
                return state
        return State.OK


@dataclass(frozen=True)
class Standing:
    """How one signal (of certain labels) stands, and all that must be remembered of it until the next reading.

    Attributes:
        state: in force.
        since: when it was entered (UTC).
        value: of the newest reading; for a counter its increase; None if it could not be read.
        at: when that was (UTC).
        why: as of the reading.
        good_value, good_at: the last value that was ok, and when.
        raw: the newest value as it was read, for increases and growth.
        coming: a state that was seen, and is not in force yet.
        ticks: readings in a row on which it was seen.
        grown: readings in a row over which the value has grown.
    """

    state: State
    since: datetime
    value: float | None
    at: datetime
    why: str = ""
    good_value: float | None = None
    good_at: datetime | None = None
    raw: float | None = None
    coming: State | None = None
    ticks: int = 0
    grown: int = 0

    def as_json(self) -> dict[str, Any]:
        """As JSON-ready values, without what is empty."""
        counters = {"ticks", "grown"}
        kept = {
            name: value
            for name, value in vars(self).items()
            if value is not None and value != "" and (value or name not in counters)
        }
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in kept.items()
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Standing:
        """The inverse of `as_json`.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        values = dict(stored)
        for name in ("since", "at", "good_at"):
            if name in values:
                values[name] = datetime.fromisoformat(values[name])
        values["state"] = State(values["state"])
        values["coming"] = State(values["coming"]) if "coming" in values else None
        values.setdefault("value", None)
        return Standing(**values)


@dataclass(frozen=True)
class Signal:
    """Something that is watched.

    Attributes:
        name: in snake case, as it stands in settings, metadata and metrics.
        title: what it is, in words.
        unit: of its values: s, bytes, rows, parts, share, …
        rule: when to worry, unless alerts.yaml says otherwise.
        meaning: why it matters.
        do: what to do when it is bad.
        group: which sensor reads it.
    """

    name: str
    title: str
    unit: str
    rule: Rule
    meaning: str
    do: str
    group: Literal["clickhouse", "queues", "services", "pipeline"]
    labels: tuple[str, ...] = field(default=())


def judge(rule: Rule, reading: Reading, before: Standing | None) -> Standing:
    """How a signal stands after a reading.

    Args:
        rule: of the signal.
        reading: the newest.
        before: how it stood; None if it was never read.
    """
    value, grown = _judged_value(rule, reading, before)
    stood = before.state if before else State.OK
    seen = _seen(rule, None if value is None else value - reading.usual, grown, stood)
    now = replace(
        before or Standing(State.OK, reading.taken_at, None, reading.taken_at),
        value=value,
        at=reading.taken_at,
        why=reading.why,
        raw=reading.value if reading.value is not None else (before.raw if before else None),
        grown=grown,
    )
    if seen is State.OK and value is not None:
        now = replace(now, good_value=value, good_at=reading.taken_at)
    if seen is stood:
        return replace(now, coming=None, ticks=0)
    if before is None and seen is State.UNKNOWN:
        return replace(now, state=seen)  # what was never read is not ok
    # Going between two bad states, or to a better one, counts readings of that direction, whichever state each was.
    same_way = before is not None and before.coming is not None
    ticks = before.ticks + 1 if before and same_way and _same_way(stood, before.coming, seen) else 1
    needed = rule.for_ticks if seen.rank > stood.rank else rule.clear_ticks
    if rule.of == "growing" and seen.rank > stood.rank:
        needed = 1  # growth has been counted already
    if ticks >= needed:
        return replace(now, state=seen, since=reading.taken_at, coming=None, ticks=0)
    return replace(now, coming=seen, ticks=ticks)


def _judged_value(rule: Rule, reading: Reading, before: Standing | None) -> tuple[float | None, int]:
    """What is held against the thresholds, and over how many readings the value has grown."""
    value = reading.value
    if value is None:
        return None, before.grown if before else 0
    last = before.raw if before else None
    if rule.of == "increase":
        if last is None:
            return 0.0, 0
        return value - last if value >= last else value, 0
    if rule.of == "growing" and before is not None and last is not None:
        if value > last:
            return value, before.grown + 1
        return value, before.grown if value == last else 0
    return value, 0


def _seen(rule: Rule, value: float | None, grown: int, stood: State) -> State:
    if value is None:
        return State.UNKNOWN
    found = rule.state_of(value, at_least=stood)
    if rule.of == "growing" and stood.rank < State.WARN.rank and grown < rule.for_ticks:
        return State.OK
    if rule.of == "growing" and stood.rank >= State.WARN.rank and grown == 0:
        return State.OK
    return found


def _same_way(stood: State, coming: State | None, seen: State) -> bool:
    return coming is not None and (coming.rank > stood.rank) == (seen.rank > stood.rank)

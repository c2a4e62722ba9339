"""A message, and how an incident reads: on a phone, in the middle of the night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote

from aspects_orchestration.monitoring.model import Reading, Rule, Signal, Standing, State
from aspects_orchestration.monitoring.signals.tables import worry
from aspects_orchestration.monitoring.words import duration, moment, shown

Kind = Literal["info", "success", "warning", "failure"]

_KINDS: Final[Mapping[State, Kind]] = {
    State.OK: "success",
    State.UNKNOWN: "warning",
    State.WARN: "warning",
    State.CRITICAL: "failure",
}
#: Of a message that tells of many; the UI has the rest.
_NAMED: Final = 20
_TEXT: Final = 4000


@dataclass(frozen=True)
class Message:
    """Something to be told.

    Attributes:
        kind: as Apprise has it: info, success, warning or failure.
        title: one line.
        text: plain text. No secrets, no personal data.
        left: names of the targets that have not got it yet; None: none of them was tried yet.
        tried: how often it was.
    """

    kind: Kind
    title: str
    text: str
    left: tuple[str, ...] | None = None
    tried: int = 0

    def as_json(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {name: value for name, value in vars(self).items() if value is not None and value != 0}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Message:
        """The inverse of `as_json`.

        Raises:
            KeyError, TypeError: it is none.
        """
        found = Message(**stored)
        return found if found.left is None else replace(found, left=tuple(found.left))


@dataclass(frozen=True)
class Told:
    """What a message says of one reading: all that it takes to write it.

    Attributes:
        signal: what is watched.
        rule: in force.
        reading: the newest.
        standing: how it stands.
    """

    signal: Signal
    rule: Rule
    reading: Reading
    standing: Standing

    @property
    def named(self) -> str:
        """The signal's title, and of what it was measured."""
        of = ", ".join(f"{name} {value}" for name, value in self.reading.labels)
        return f"{self.signal.title} ({of})" if of else self.signal.title

    @property
    def value(self) -> str:
        """The value in words."""
        if self.standing.value is None:
            return "cannot be read"
        return shown(self.standing.value, self.signal.unit)


@dataclass(frozen=True)
class Where:
    """Where an operator looks.

    Attributes:
        site: its name, for titles.
        ui: address of Dagster's web UI, without a slash at its end.
    """

    site: str
    ui: str

    def asset(self, *path: str) -> str:
        """The address of an asset's page."""
        return f"{self.ui}/assets/{'/'.join(quote(part, safe='') for part in path)}"

    def signal(self, name: str) -> str:
        """The address of the page on which a signal is plotted."""
        return self.asset("pipeline_health", name)

    def run(self, run_id: str) -> str:
        """The address of a run's page."""
        return f"{self.ui}/runs/{quote(run_id, safe='')}"


def opened(told: Told, where: Where) -> Message:
    """Something has become bad, or bad in another way."""
    return _message(told, where, f"{told.standing.state.upper()}: {told.named}: {told.value}")


def reminder(told: Told, where: Where) -> Message:
    """Something is still bad."""
    lasted = duration(told.reading.taken_at - told.standing.since)
    return _message(
        told, where, f"STILL {told.standing.state.upper()} after {lasted}: {told.named}: {told.value}"
    )


def recovered(told: Told, began: datetime, where: Where) -> Message:
    """Something is good again."""
    # Not the reading's time: after maintenance what became good in it is told late.
    at = max(told.standing.since, began)
    return Message(
        "success",
        _title(where, f"OK again: {told.named}: {told.value}"),
        f"{_lasted(began, at)}\n{where.signal(told.signal.name)}",
    )


def readable(signal: Signal, began: datetime, now: datetime, where: Where) -> Message:
    """Of a signal that is measured by label nothing could be read, and now it can."""
    return Message(
        "success",
        _title(where, f"Can be read again: {signal.title}"),
        f"{_lasted(began, now)}\n{where.signal(signal.name)}",
    )


def ended(key: str, began: datetime, now: datetime, where: Where) -> Message:
    """What was bad is not there any more, or is not watched any more."""
    return Message(
        "success",
        _title(where, f"Over: {key}"),
        f"It is not there any more, or not watched any more. It was bad from {moment(began)} to {moment(now)}.",
    )


def together(what: str, kind: Kind, messages: Sequence[Message], where: Where) -> Message:
    """Several messages as one."""
    prefix = f"{where.site}: "
    lines = [f"- {one.title.removeprefix(prefix)}" for one in messages[:_NAMED]]
    if len(messages) > _NAMED:
        lines.append(f"- and {len(messages) - _NAMED} more")
    address = f"{where.ui}/asset-groups"
    # What the first of them says is where to begin: the worst come first.
    first = messages[0].text
    text = "\n".join([*lines, "", f"The first of them: {first}", address])
    return Message(kind, _title(where, f"{len(messages)} {what} at once"), text[:_TEXT])


def kind_of(state: State) -> Kind:
    """How loud a state is."""
    return _KINDS[state]


def _message(told: Told, where: Where, title: str) -> Message:
    standing = told.standing
    lines = [f"Since {moment(standing.since)}. Worry: {worry(told.signal, told.rule)}."]
    if standing.good_value is not None and standing.good_at is not None:
        lines.append(
            f"Last good: {shown(standing.good_value, told.signal.unit)} at {moment(standing.good_at)}."
        )
    if standing.why:
        lines.append(standing.why)
    if standing.state is not State.UNKNOWN:
        lines.append(f"What to do: {told.signal.do}")
    lines.append(where.signal(told.signal.name))
    return Message(kind_of(standing.state), _title(where, title), "\n".join(lines)[:_TEXT])


def _lasted(began: datetime, ended: datetime) -> str:
    return f"It lasted {duration(ended - began)}, from {moment(began)} to {moment(ended)}."


def _title(where: Where, text: str) -> str:
    return f"{where.site}: {text}"

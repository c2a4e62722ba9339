"""From looks to messages: one when something becomes bad, fewer and fewer while it stays so, and one when it is over.

Everything that must be remembered is in `Kept`, which lives in a sensor's cursor. A message that could not be delivered
stays in it and is tried again; a tick that is killed between sending and saving sends once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from aspects_orchestration.alerts.message import (
    Kind,
    Message,
    Told,
    Where,
    ended,
    kind_of,
    opened,
    readable,
    recovered,
    reminder,
    together,
)
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.signals.pipeline import ALERT_DELIVERY
from aspects_orchestration.monitoring.watch import Look

#: What cannot be read is told of when it could not for so long: mostly something else is down then, and that is told of at
#: once. Whatever else could not be read for nearly as long comes in the same message.
UNKNOWN_AFTER: Final = timedelta(minutes=5)
_NEARLY: Final = timedelta(minutes=3)
#: So many undelivered messages are kept. Beyond, the oldest are one line in the newest.
_WAITING: Final = 30


@dataclass(frozen=True)
class Incident:
    """Something that is bad, and was told of.

    Attributes:
        state: as it was told of last.
        since: when it became bad (UTC).
        told_at: when it was told of last (UTC).
        told: how often in this state.
    """

    state: State
    since: datetime
    told_at: datetime
    told: int = 1

    def as_json(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "state": self.state.value,
            "since": self.since.isoformat(),
            "told_at": self.told_at.isoformat(),
            "told": self.told,
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Incident:
        """The inverse of `as_json`.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return Incident(
            State(stored["state"]),
            datetime.fromisoformat(stored["since"]),
            datetime.fromisoformat(stored["told_at"]),
            int(stored["told"]),
        )


@dataclass(frozen=True)
class Kept:
    """What is remembered from one look to the next.

    Attributes:
        incidents: that are open, by the key of the reading.
        waiting: messages that were not delivered to everybody yet, the oldest first.
    """

    incidents: Mapping[str, Incident] = field(default_factory=dict)
    waiting: tuple[Message, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "incidents": {key: one.as_json() for key, one in self.incidents.items()},
            "waiting": [one.as_json() for one in self.waiting],
        }

    @staticmethod
    def from_json(stored: object) -> Kept:
        """The inverse of `as_json`; what is none (of another version, say) is as if nothing had been told yet."""
        if not isinstance(stored, Mapping):
            return Kept()
        try:
            return Kept(
                {key: Incident.from_json(one) for key, one in stored["incidents"].items()},
                tuple(Message.from_json(one) for one in stored["waiting"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return Kept()


def follow(seen: Look, kept: Kept, rules: Rules, where: Where) -> Kept:
    """What a look means to those who are told.

    Args:
        seen: the look.
        kept: as the look before left it.
        rules: in force; a signal in maintenance is left as it was told of, until that is over.
        where: the site.

    Returns:
        The open incidents, and the messages that wait: those of before, and the new ones behind them.
    """
    now = seen.at
    told = _told(seen, rules)
    incidents = dict(kept.incidents)
    begun: list[Message] = []
    over: list[Message] = []
    again: list[Message] = []
    unknown_due = any(_is_due(one, UNKNOWN_AFTER) for key, one in told.items() if key not in incidents)
    for key, one in sorted(told.items(), key=lambda item: -item[1].standing.state.rank):
        state, incident = one.standing.state, incidents.get(key)
        if incident is None:
            if state is State.OK or (state is State.UNKNOWN and not (unknown_due and _is_due(one, _NEARLY))):
                continue
            incidents[key] = Incident(state, one.standing.since, now)
            begun.append(opened(one, where))
        elif state is State.OK:
            del incidents[key]
            over.append(recovered(one, incident.since, where))
        elif state is not incident.state and state is not State.UNKNOWN:
            incidents[key] = replace(incident, state=state, told_at=now, told=1)
            begun.append(opened(one, where))
        elif now - incident.told_at >= rules.reminders.pause(incident.told):
            incidents[key] = replace(incident, told_at=now, told=incident.told + 1)
            again.append(reminder(one, where))
    for key in [one for one in incidents if one not in seen.readings]:
        signal = _signal_of(key)
        if rules.in_maintenance(signal, now) or seen.hides(key):
            continue
        began = incidents.pop(key).since
        if any(one.signal == signal for one in seen.readings.values()) and key == signal:
            over.append(readable(SIGNALS[signal], began, now, where))
        else:
            over.append(ended(key, began, now, where))
    worst = max((one.standing.state for one in told.values()), key=lambda one: one.rank, default=State.OK)
    new = [
        *_grouped("incidents", kind_of(worst), begun, rules, where),
        *_grouped("reminders", kind_of(worst), again, rules, where),
        *_grouped("recoveries", "success", over, rules, where),
    ]
    return with_messages(Kept(incidents, kept.waiting), new, where)


def with_messages(kept: Kept, new: Sequence[Message], where: Where) -> Kept:
    """Let messages wait behind those that do."""
    return replace(kept, waiting=_bounded([*kept.waiting, *new], where))


def after_delivery(kept: Kept, left: Sequence[tuple[str, ...]]) -> Kept:
    """What still waits once delivery was tried.

    Args:
        kept: as it was before.
        left: for each waiting message, the names of the targets that have not got it.
    """
    return replace(
        kept,
        waiting=tuple(
            replace(one, left=names, tried=one.tried + 1)
            for one, names in zip(kept.waiting, left, strict=True)
            if names
        ),
    )


def _told(seen: Look, rules: Rules) -> dict[str, Told]:
    return {
        key: Told(SIGNALS[reading.signal], rules.of(SIGNALS[reading.signal]), reading, seen.standings[key])
        for key, reading in seen.readings.items()
        if reading.signal != ALERT_DELIVERY and not rules.in_maintenance(reading.signal, seen.at)
    }


def _is_due(one: Told, after: timedelta) -> bool:
    return one.standing.state is State.UNKNOWN and one.reading.taken_at - one.standing.since >= after


def _signal_of(key: str) -> str:
    return key.partition("{")[0]


def _grouped(what: str, kind: Kind, found: list[Message], rules: Rules, where: Where) -> list[Message]:
    return found if len(found) < rules.group_from else [together(what, kind, found, where)]


def _bounded(waiting: list[Message], where: Where) -> tuple[Message, ...]:
    if len(waiting) <= _WAITING:
        return tuple(waiting)
    lost = waiting[: len(waiting) - _WAITING + 1]
    summary = together("older messages that could not be delivered,", "warning", lost, where)
    return (summary, *waiting[len(lost) :])

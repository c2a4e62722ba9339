"""What is done by itself about a state: loads pause when there are too many parts, and what ClickHouse lacks is replayed.

Only decisions are here; sensors and loads carry them out. Each is off until its setting is on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.merges import MAX_PARTS, Pause

MAX_PARTS_SIGNAL: Final = "clickhouse_max_parts"
LAG_SIGNAL: Final = "clickhouse_lag"
#: A pause ends at this share of the parts at which it began, so that loads do not stop and go with every merge.
_ENDS_AT: Final = 0.8
#: A replay is started only when ClickHouse has been late for so long: whatever comes by itself is in no need of it.
SETTLED: Final = timedelta(minutes=15)
#: Between two replays that were asked for.
BETWEEN: Final = timedelta(minutes=30)
#: A replay that failed is tried again after so long, and so often in all.
AGAIN: Final = timedelta(hours=2)
TRIES: Final = 3
#: No more than so much is replayed by itself; longer outages are left to a person.
LONGEST: Final = timedelta(days=31)

Ended = Literal["under way", "succeeded", "failed", "unknown"]


def pause_of(settings: Settings, rules: Rules) -> Pause | None:
    """When loads pause; None where ASPECTS_PAUSE_BACKFILLS is off.

    Args:
        settings: of the site.
        rules: those in force; the signal's threshold for `warn`, or else for `critical`, is where a pause begins.
    """
    if not settings.pause_backfills or MAX_PARTS_SIGNAL in rules.off:
        return None
    rule = rules.of(SIGNALS[MAX_PARTS_SIGNAL])
    threshold = rule.warn or rule.critical
    at = max(1, int(threshold)) if threshold else MAX_PARTS + 1
    return Pause(at=at, until=int(at * _ENDS_AT), longest_s=settings.longest_pause_minutes * 60.0)


@dataclass(frozen=True)
class Lag:
    """What is known of a pipeline that is late.

    Attributes:
        state: of the signal, by its newest reading.
        since: since when it has been so (UTC); None if that is not known.
        newest_statement: in ClickHouse (UTC); None if it has none.
        newest_line: the newest transformable line of the logs, as the catalog knows them (UTC); None if it knows none.
    """

    state: State
    since: datetime | None
    newest_statement: datetime | None
    newest_line: datetime | None


@dataclass(frozen=True)
class Asked:
    """A replay that was asked for.

    Attributes:
        since, until: the window (UTC).
        at: when (UTC).
        tries: how often in all.
    """

    since: datetime
    until: datetime
    at: datetime
    tries: int = 1

    @property
    def key(self) -> str:
        """The run's key: the same window is asked for under another key only when a try has failed."""
        return f"lag {self.since:%Y-%m-%dT%H:%M:%S}/{self.until:%Y-%m-%dT%H:%M:%S} {self.tries}"


@dataclass(frozen=True)
class Memory:
    """What is remembered from tick to tick.

    Attributes:
        done_to: lines up to this moment have been replayed; what is still not there, a replay cannot fill.
        asked: the newest replay that was asked for, and whose end is not known yet.
        offered: of the window that was told of last: its end.
    """

    done_to: datetime | None = None
    asked: Asked | None = None
    offered: datetime | None = None

    @classmethod
    def read(cls, cursor: str | None) -> Memory:
        """The inverse of `written`; an empty one for what it did not write."""
        try:
            stored = json.loads(cursor or "{}")
            asked = stored.get("asked")
            return cls(
                _moment(stored.get("done_to")),
                None
                if asked is None
                else Asked(
                    datetime.fromisoformat(asked["since"]),
                    datetime.fromisoformat(asked["until"]),
                    datetime.fromisoformat(asked["at"]),
                    int(asked["tries"]),
                ),
                _moment(stored.get("offered")),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def written(self) -> str:
        """As text for a cursor."""
        values: dict[str, Any] = {
            "done_to": self.done_to and self.done_to.isoformat(),
            "asked": self.asked
            and {
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in vars(self.asked).items()
            },
            "offered": self.offered and self.offered.isoformat(),
        }
        return json.dumps({name: value for name, value in values.items() if value}, separators=(",", ":"))


@dataclass(frozen=True)
class Decision:
    """What is to be done about a lag.

    Attributes:
        replay: the replay to start; None for none.
        offer: whether to tell people of a window that they may replay, once.
        why: in words, for the log.
        memory: to be remembered.
        since, until: the window with lines that ClickHouse lacks; None if there is none.
    """

    replay: Asked | None
    offer: bool
    why: str
    memory: Memory
    since: datetime | None = None
    until: datetime | None = None

    def config(self) -> Mapping[str, Any]:
        """The run config of the job replay_window for the window."""
        values = {"since": _iso(self.since), "until": _iso(self.until)}
        return {"ops": {"load_the_months_of_a_window": {"config": values}}}

    def command(self) -> str:
        """The command that replays the window."""
        return (
            "python -m aspects_orchestration.jobs.recover window"
            f" --since {_iso(self.since)} --until {_iso(self.until)}"
        )


def decide(lag: Lag, memory: Memory, ended: Ended, *, now: datetime, switched_on: bool) -> Decision:
    """What to do about a pipeline that is late.

    Args:
        lag: what is known of it.
        memory: of the decision before.
        ended: how the replay that was asked for last stands; `unknown` where nobody knows of it.
        now: the time, with zone.
        switched_on: whether replays may be started (ASPECTS_REPLAY_LAG).
    """
    memory = _after(memory, ended)
    if lag.state is not State.CRITICAL:
        # The next outage begins anew, but for what is known to be of no use.
        kept = memory if ended == "under way" else replace(memory, asked=None)
        return Decision(None, False, "ClickHouse is not critically late", kept)
    window = _window(lag, memory, now)
    if isinstance(window, str):
        return Decision(None, False, window, memory)
    since, until = window

    def wait(why: str, *, offer: bool = False, told: datetime | None = None) -> Decision:
        kept = replace(memory, offered=told) if offer else memory
        return Decision(None, offer, why, kept, since, until)

    if not switched_on:
        is_new = memory.offered is None or until - memory.offered >= timedelta(hours=1)
        return wait("the logs hold newer lines: replay_window would load them", offer=is_new, told=until)
    why_not = _why_not_now(lag, memory, ended, now)
    if why_not:
        # Told once that a person has to look: then nothing is on offer any more.
        failed = memory.asked
        given_up = ended != "under way" and failed is not None and failed.tries >= TRIES
        return wait(why_not, offer=failed is not None and given_up and memory.offered == failed.until)
    tries = memory.asked.tries + 1 if memory.asked else 1
    asked = Asked(since, until, now, tries)
    return Decision(
        asked,
        False,
        "the logs hold newer lines: they are loaded by replay_window",
        replace(memory, asked=asked, offered=until),
        since,
        until,
    )


def _why_not_now(lag: Lag, memory: Memory, ended: Ended, now: datetime) -> str:
    """Why no replay is started now; empty if one may be."""
    if ended == "under way":
        return "a replay is under way"
    if lag.since is None or now - lag.since < SETTLED:
        return "it has been so for a short time only, and may come in by itself"
    asked = memory.asked  # one that is still remembered has failed
    if asked is not None and asked.tries >= TRIES:
        return f"given up after {TRIES} replays that failed: look at those runs"
    if asked is not None and now - asked.at < AGAIN:
        return "the last replay failed less than two hours ago"
    return ""


def _after(memory: Memory, ended: Ended) -> Memory:
    """The memory once the end of a replay is known."""
    if memory.asked is None or ended != "succeeded":
        return memory
    done = max(memory.done_to or memory.asked.until, memory.asked.until)
    return replace(memory, done_to=done, asked=None)


def _window(lag: Lag, memory: Memory, now: datetime) -> tuple[datetime, datetime] | str:
    """The stretch that logs hold and ClickHouse lacks; or why there is none."""
    if lag.newest_line is None:
        return "the catalog knows of no line: switch on the sensor new_tracking_logs, or run observe_tracking_logs"
    newest = min(lag.newest_line, now)  # a browser's clock may be years ahead
    have = max(
        (one for one in (lag.newest_statement, memory.done_to) if one is not None), default=now - LONGEST
    )
    if newest <= have:
        known = "the logs, as the catalog knows them, hold no newer line"
        if memory.done_to is not None and have == memory.done_to:
            return f"{known} than those that a replay has been given already"
        return f"{known} than ClickHouse: nothing has happened, or the logs are late too"
    if memory.done_to is not None and newest - memory.done_to < BETWEEN:
        return "a replay ended just before the newest line"
    since = have.astimezone(UTC).replace(microsecond=0)
    if now - since > LONGEST:
        return (
            f"ClickHouse has had nothing since {_iso(since)}: so long an outage is not replayed by itself, launch"
            " replay_window for it"
        )
    return since, newest.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

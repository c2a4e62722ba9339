"""One look at many signals at once: every reader in a thread of its own, all under one deadline.

A reader that does not answer holds up nobody: what it would have read is unknown, and why is said. Nothing here raises
because a service is down.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.model import Reading, Signal, Standing, State, judge
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.signals import SIGNALS

#: A tick with a service that hangs takes no longer than 10 s; what is left of them is for judging and telling.
DEADLINE_S = 8.0


@dataclass(frozen=True)
class Reader:
    """Reads some signals, with one connection or request.

    Attributes:
        name: what is asked, in words, such as `Ralph at http://ralph:8100`.
        signals: names of all that it reads.
        read: gives their readings, taken at the time it is told. It has timeouts of its own, below the deadline, and gives a
            reading without value, and why, for what it could not read.
    """

    name: str
    signals: tuple[str, ...]
    read: Callable[[datetime], Sequence[Reading]]


@dataclass(frozen=True)
class Change:
    """A signal went from one state to another.

    Attributes:
        key: of the reading: the signal and its labels.
        signal: what is watched.
        before: how it stood; None if it was never read.
        after: how it stands.
        reading: the newest.
    """

    key: str
    signal: Signal
    before: Standing | None
    after: Standing
    reading: Reading


@dataclass(frozen=True)
class Look:
    """What one look gave.

    Attributes:
        at: when (UTC).
        readings: all of them, by key.
        standings: how each stands after it, by the same keys.
        changes: those whose state is another than before, worst first.
        took_ms: how long the look took, in milliseconds.
    """

    at: datetime
    readings: Mapping[str, Reading]
    standings: Mapping[str, Standing]
    changes: tuple[Change, ...]
    took_ms: float

    def hides(self, key: str) -> bool:
        """Whether a key is missing only because nothing of its signal could be read, so that it is not known what is there.

        Args:
            key: of a reading, with labels.
        """
        of_all = self.readings.get(key.partition("{")[0])
        return key not in self.readings and of_all is not None and of_all.value is None

    def worst(self, signal: str) -> Standing | None:
        """How a signal stands where it stands worst; None if it was not read."""
        of_it = [self.standings[key] for key, reading in self.readings.items() if reading.signal == signal]
        return max(of_it, key=lambda one: one.state.rank, default=None)


def look(
    readers: Iterable[Reader],
    *,
    rules: Rules,
    before: Mapping[str, Standing],
    now: datetime,
    deadline_s: float = DEADLINE_S,
) -> Look:
    """Read all, and judge.

    Args:
        readers: whom to ask.
        rules: those in force; signals that are off are neither shown nor judged.
        before: how signals stood, by key, as the look before left them.
        now: the time of the readings (UTC).
        deadline_s: in seconds; what was not read until then is unknown.
    """
    started = time.monotonic()
    found = [
        reading
        for reading in read_all(readers, now=now, deadline_s=deadline_s)
        if reading.signal not in rules.off
    ]
    readings = {reading.key: reading for reading in found}
    standings = {
        key: judge(rules.of(SIGNALS[reading.signal]), reading, before.get(key))
        for key, reading in readings.items()
    }
    changes = [
        Change(key, SIGNALS[readings[key].signal], before.get(key), after, readings[key])
        for key, after in standings.items()
        if after.state is not (before[key].state if key in before else State.OK)
    ]
    changes.sort(key=lambda one: -one.after.state.rank)
    return Look(now, readings, standings, tuple(changes), (time.monotonic() - started) * 1000)


def read_all(readers: Iterable[Reader], *, now: datetime, deadline_s: float = DEADLINE_S) -> list[Reading]:
    """All readings, in the order of the readers; unknown where a reader was late or failed."""
    asked = list(readers)
    answers: queue.SimpleQueue[tuple[int, list[Reading]]] = queue.SimpleQueue()

    def ask(number: int, reader: Reader) -> None:
        answers.put((number, _answer(reader, now)))

    for number, reader in enumerate(asked):
        # A daemon: one that hangs must not keep the process from ending.
        threading.Thread(target=ask, args=(number, reader), name=reader.name, daemon=True).start()
    ends = time.monotonic() + deadline_s
    found: dict[int, list[Reading]] = {}
    while len(found) < len(asked):
        try:
            number, readings = answers.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            break
        found[number] = readings
    late = f"did not answer within {deadline_s:g} s: look whether it is overloaded or hangs"
    return [
        reading
        for number, reader in enumerate(asked)
        for reading in found.get(number) or unknown(reader, now, deadline_s * 1000, f"{reader.name} {late}")
    ]


def unknown(reader: Reader, now: datetime, took_ms: float, why: str) -> list[Reading]:
    """A reading without value for each signal of a reader."""
    return [Reading(signal, None, now, took_ms, why=why) for signal in reader.signals]


def _answer(reader: Reader, now: datetime) -> list[Reading]:
    started = time.monotonic()
    try:
        return list(reader.read(now))
    except AspectsError as error:
        why = str(error)
    except Exception as error:  # a reader's mistake must not blind the others
        # Only its kind: the text of another library's error may hold an address with a password.
        why = f"{reader.name} could not be read ({type(error).__name__}): this is a mistake in the project, please report it"
    return unknown(reader, now, (time.monotonic() - started) * 1000, why)

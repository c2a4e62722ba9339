"""How long an event takes from its dict to the bytes of its rows, by kind of event, on one core.

    python benchmarks/transform.py                     a table by kind: stock, substrate, fast (builders too)
    python benchmarks/transform.py --json result.json  the same as JSON too
    python benchmarks/transform.py --without           what each patch of the substrate is worth

All engines run in one process, in turn, on the same generated events; a figure is the median of all rounds, in CPU time,
so that other work on the machine counts as little as it can.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aspects_orchestration.samples import SampleSpec, generate, site
from aspects_orchestration.tracking.events import Event, event_time, parse_event
from aspects_orchestration.warehouse.client import encoded_text
from aspects_orchestration.warehouse.load import add_statements
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.built import BuiltStatement, built
from aspects_orchestration.xapi.fast import substrate
from aspects_orchestration.xapi.fast.engine import FastEngine

Engine = Callable[[Event], list[BuiltStatement]]

#: So many events are parsed at once: few enough to be in the processor's cache still, many enough for the clock.
_JUST_PARSED = 10
_FILE = encoded_text("file:///tracking.log")


@dataclass(frozen=True)
class Installed:
    """An engine and what to call before and after each of its rounds."""

    run: Engine
    enter: Callable[[], object] = lambda: None
    leave: Callable[[], object] = lambda: None


class Site:
    """The samples' own users and courses, in memory."""

    def __init__(self, spec: SampleSpec) -> None:
        self._users: dict[int | str, erb.Identity] = {}
        for who in site.learners(spec):
            known = erb.Identity(who.user_id, who.username, who.external_user_id, who.email)
            self._users[who.user_id] = self._users[who.username] = known
        self._courses = {course.key: course.display_name for course in site.courses(spec)}

    def by_id(self, user_id: int) -> erb.Identity | None:
        """The user with this LMS id, or None."""
        return self._users.get(user_id)

    def by_username(self, username: str) -> erb.Identity | None:
        """The user with this username, or None."""
        return self._users.get(username)

    def prefetch(self, user_ids: set[int], usernames: set[str]) -> None:
        """Nothing to do."""

    def display_name(self, course_key: str) -> str | None:
        """The course's display name, or None for an unknown course."""
        return self._courses.get(course_key)


def events_by_kind(spec: SampleSpec, most: int) -> dict[str, list[bytes]]:
    """JSON texts of transformable events, at most so many a kind; `problem_check` by its source and its questions."""
    texts: dict[str, list[bytes]] = defaultdict(list)
    for sample in generate(spec):
        if sample.transformable:
            kind = kind_of(parsed(sample.raw))
            if len(texts[kind]) < most:
                texts[kind].append(sample.raw)
    return dict(sorted(texts.items()))


def kind_of(event: Event) -> str:
    """The event's name, and for problem_check where it comes from and how many questions it has."""
    if event["name"] != "problem_check":
        return str(event["name"])
    if event["event_source"] == "browser":
        return "problem_check (browser)"
    several = len(event["data"].get("submission", {})) > 1
    return f"problem_check ({'several questions' if several else 'one question'})"


def parsed(raw: bytes) -> Event:
    """The event of a plain line, as the reader leaves it."""
    event = parse_event(raw[raw.index(b"{") :])
    event_time(event)
    return event


def stock_engine(transformer: erb.Transformer) -> Installed:
    """event-routing-backends' own processor, and the standard library's JSON."""

    def run(event: Event) -> list[BuiltStatement]:
        return [built(statement) for statement in transformer.statements(event)]

    return Installed(run)


def substrate_engine(transformer: erb.Transformer, without: frozenset[str] = frozenset()) -> Installed:
    """The substrate, in place only during its own rounds."""
    current: list[substrate.Substrate] = []

    def enter() -> None:
        current[:] = [substrate.install(transformer, without=without)]
        if current[0].off:
            sys.exit(f"Patches stayed off, so this would measure something else: {'; '.join(current[0].off)}")

    def leave() -> None:
        current[0].uninstall()

    def run(event: Event) -> list[BuiltStatement]:
        return current[0].statements(event)

    return Installed(run, enter, leave)


def fast_engine(transformer: erb.Transformer, spec: SampleSpec) -> Installed:
    """Builders and the substrate, as loads use them; in place only during its own rounds."""
    current: list[FastEngine] = []
    left = ExitStack()

    def enter() -> None:
        left.close()
        if not current:
            current.append(FastEngine(transformer, lms_root_url=spec.lms_root_url))
            if current[0].off:
                sys.exit(f"Some of it stayed off: {'; '.join(current[0].off)}")

    def leave() -> None:
        left.enter_context(current[0].stock())

    def run(event: Event) -> list[BuiltStatement]:
        return current[0].statements(event, event_time(event)[0])

    return Installed(run, enter, leave)


def row_bytes(statements: list[BuiltStatement]) -> bytes:
    """What is sent to ClickHouse for an event."""
    rows = bytearray()
    add_statements(rows, statements, 0, sys.maxsize, _FILE, 0, [])
    return bytes(rows)


def measure(
    engines: dict[str, Installed], texts: dict[str, list[bytes]], rounds: int
) -> dict[str, dict[str, float]]:
    """Microseconds of CPU time an event, by kind and engine: medians of interleaved rounds."""
    taken: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in engines} for kind in texts}
    for number in range(rounds + 1):
        for name, engine in engines.items():
            engine.enter()
            for kind, raws in texts.items():
                spent = 0.0
                run = engine.run
                # The first round warms up.
                for first in range(0, len(raws) if number else _JUST_PARSED, _JUST_PARSED):
                    # As in a load: parsed anew, since a transformer may leave traces in an event, and just before.
                    events = [parsed(raw) for raw in raws[first : first + _JUST_PARSED]]
                    start = time.process_time()
                    for event in events:
                        row_bytes(run(event))
                    spent += time.process_time() - start
                if number:
                    taken[kind][name].append(spent / len(raws) * 1e6)
            engine.leave()
            gc.collect()
    return {
        kind: {name: statistics.median(times) for name, times in by_engine.items()}
        for kind, by_engine in taken.items()
    }


def weights() -> dict[str, int]:
    """How often each kind occurs in the samples' realistic mix."""
    found: dict[str, int] = defaultdict(int)
    spec = SampleSpec(lines=20_000, transformable=1.0, style="plain")
    for sample in generate(spec):
        found[kind_of(parsed(sample.raw))] += 1
    return found


def mixed(figures: dict[str, dict[str, float]], by_kind: dict[str, int], engine: str) -> float:
    """Microseconds an event of the realistic mix."""
    total = sum(by_kind[kind] for kind in figures)
    return sum(figures[kind][engine] * by_kind[kind] for kind in figures) / total


def table(figures: dict[str, dict[str, float]], by_kind: dict[str, int]) -> Iterable[str]:
    """The lines of a table: microseconds by engine, and how many times faster than the first."""
    engines = list(next(iter(figures.values())))
    first, others = engines[0], engines[1:]
    head = "".join(f"{name + ' µs':>16}" for name in engines) + "".join(f"{name:>16}" for name in others)
    yield f"{'kind':<46}{head}"
    rows = {**figures, "realistic mix": {name: mixed(figures, by_kind, name) for name in engines}}
    for kind, row in rows.items():
        times = "".join(f"{row[name]:>16.1f}" for name in engines)
        ratios = "".join(f"{row[first] / row[name]:>15.1f}x" for name in others)
        yield f"{kind:<46}{times}{ratios}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=200, help="events of each kind (default 200)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each engine (default 7)")
    parser.add_argument("--kinds", default="", help="only kinds whose name contains this")
    parser.add_argument(
        "--actor-type", default="external_id", choices=("external_id", "mbox", "mbox_sha1sum")
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument(
        "--without", action="store_true", help="measure the substrate without each patch in turn"
    )
    options = parser.parse_args()
    spec = SampleSpec(lines=max(20_000, 100 * options.events), transformable=1.0, style="plain")
    transformer = erb.boot(lms_root_url=spec.lms_root_url, actor_type=options.actor_type)
    engines: dict[str, Installed] = {
        "stock": stock_engine(transformer),
        "substrate": substrate_engine(transformer),
        "fast": fast_engine(transformer, spec),
    }
    if options.without:
        del engines["stock"], engines["fast"]
        for patch in substrate.PATCH_NAMES:
            engines[f"-{patch}"[:15]] = substrate_engine(transformer, frozenset({patch}))
    texts = {k: v for k, v in events_by_kind(spec, options.events).items() if options.kinds in k}
    users = Site(spec)
    # As in a load's workers: cycles are looked for between chunks, never within.
    gc.collect()
    gc.freeze()
    gc.disable()
    with erb.site(users, users):
        figures = measure(engines, texts, options.rounds)
    by_kind = weights()
    for line in table(figures, by_kind):
        print(line)
    if options.json:
        result: dict[str, Any] = {
            "microseconds": figures,
            "realistic_mix": {name: mixed(figures, by_kind, name) for name in engines},
            "events_of_each_kind": options.events,
            "rounds": options.rounds,
            "actor_type": options.actor_type,
        }
        options.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

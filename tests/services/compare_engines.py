"""Both engines side by side over all mutations: `python -m services.compare_engines ACTOR_TYPE STRIDE`.

Prints JSON: how many events were compared, how many of them a builder answered, which of the usual ones none did, and
those whose outcome differs. A process of its own, since Django's settings and the patches are global.
"""

from __future__ import annotations

import copy
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from aspects_orchestration.samples import generate
from aspects_orchestration.tracking.events import Event, UnreadableEventError, event_time, parse_event
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.engine import Engine
from aspects_orchestration.xapi.erb import UntransformableError
from aspects_orchestration.xapi.fast.engine import FastEngine
from aspects_orchestration.xapi.verify import canonical
from services.compare_substrate import SPEC, People, sample_events
from services.mutations import Mutation, made, mutations


def as_generated() -> Iterator[tuple[str, Event, Iterator[tuple[str, Mutation]]]]:
    """The samples' own events, a thousand at a time."""
    samples = (sample for sample in generate(SPEC) if sample.transformable and sample.damage is None)
    events = ((f"line {number}", parse_event(sample.raw)) for number, sample in enumerate(samples))
    while batch := list(islice(events, 1_000)):
        yield "as generated", batch[0][1], iter(batch)


def parsed_quickly(value: Any) -> Any:
    """A copy of an event as the quick parser gives it: integers over 64 bits are floats."""
    if isinstance(value, dict):
        return {name: parsed_quickly(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [parsed_quickly(inner) for inner in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        return float(value)
    return value


def outcome(engine: Engine, event: Event) -> Any:
    """What a load would make of an event: its statements, or the reason why it has none."""
    quickly, event = parsed_quickly(event), copy.deepcopy(event)
    try:
        moment, _ = event_time(event)
        found = engine.statements(event, moment)
        if engine.quick:
            event_time(quickly)
            found = engine.statements_of_quick(quickly, moment) or found
    except (UntransformableError, UnreadableEventError) as failure:
        return failure.reason
    return [[one.event_id, one.emission_micros, canonical(one.event), one.verb] for one in found]


def main() -> None:
    actor_type, stride = sys.argv[1], int(sys.argv[2])
    transformer = erb.boot(lms_root_url=SPEC.lms_root_url, actor_type=actor_type)
    engine = FastEngine(transformer, lms_root_url=SPEC.lms_root_url)
    people = People()
    different: list[str] = []
    usual_left: list[str] = []
    names: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    events = built = number = 0
    batches = ((kind, event, mutations(event)) for kind, event in sample_events().items())
    for kind, event, several in chain(batches, as_generated()):
        chosen = {}
        for name, mutation in several:
            number += 1
            if name == "as it is" or number % stride == 0:
                chosen[name] = made(mutation)
        with erb.site(people, people):
            fast = {name: outcome(engine, mutation) for name, mutation in chosen.items()}
            left = [name for name, mutation in chosen.items() if not _is_built(engine, mutation)]
            built += len(chosen) - len(left)
            usual_left += [f"{kind}: {name}" for name in left if name == "as it is" or kind == "as generated"]
            with engine.stock() as stock:
                theirs = {name: outcome(stock, mutation) for name, mutation in chosen.items()}
        events += len(chosen)
        names[event["name"]] += len(chosen)
        reasons.update(one for one in theirs.values() if isinstance(one, str))
        different += [f"{kind}: {name}" for name in chosen if fast[name] != theirs[name]]
    result = {
        "events": events,
        "built": built,
        "usual_left": usual_left,
        "names": sorted(names),
        "reasons": reasons,
        "off": engine.off,
        "different": different,
    }
    print(json.dumps(result))  # noqa: T201


def _is_built(engine: FastEngine, event: Event) -> bool:
    event = copy.deepcopy(event)
    try:
        moment, _ = event_time(event)
    except UnreadableEventError:
        return False
    return engine._builders is not None and engine._builders.build(event, moment) is not None


if __name__ == "__main__":
    main()

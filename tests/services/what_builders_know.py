"""What builders were written after, and what they keep: `python -m services.what_builders_know`.

Prints JSON. A process of its own, since Django's settings and the registry of transformers are global.
"""

from __future__ import annotations

import json
from typing import Any

from aspects_orchestration.tracking.events import Event
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.engine import Engine
from aspects_orchestration.xapi.fast.builders import Builders
from aspects_orchestration.xapi.fast.builders_known import BUILDERS, TRANSFORMERS
from aspects_orchestration.xapi.fast.engine import FastEngine
from services.compare_engines import outcome
from services.compare_substrate import SPEC, People, sample_events

_PACKAGES = ("event_routing_backends.", "tincan.")


def main() -> None:
    transformer = erb.boot(lms_root_url=SPEC.lms_root_url, actor_type="external_id")
    from event_routing_backends.processors.xapi.registry import XApiTransformersRegistry

    mapping: dict[str, Any] = XApiTransformersRegistry.mapping
    builders = Builders.of(transformer, lms_root_url=SPEC.lms_root_url)
    known = {(one.module, one.qualname) for one in BUILDERS}
    relied_on = {base for name in builders.names for base in mapping[name].__mro__}
    unread = [
        f"{base.__module__}.{base.__qualname__}"
        for base in relied_on
        if base.__module__.startswith(_PACKAGES) and (base.__module__, base.__qualname__) not in known
    ]

    usual = mapping["play_video"]
    mapping["play_video"] = mapping["pause_video"]
    same_class = FastEngine(transformer, lms_root_url=SPEC.lms_root_url)
    mapping["play_video"] = mapping["load_video"]
    same_class._substrate.uninstall()
    another_class = FastEngine(transformer, lms_root_url=SPEC.lms_root_url)
    mapping["play_video"] = usual
    another_class._substrate.uninstall()

    engine = FastEngine(transformer, lms_root_url=SPEC.lms_root_url)
    events = sample_events()
    here, elsewhere = People(), People("another")
    first = _outcomes(engine, events, here)
    engine.forget()
    second = _outcomes(engine, events, elsewhere)
    with engine.stock() as stock:
        expected_first, expected_second = _outcomes(stock, events, here), _outcomes(stock, events, elsewhere)
    result = {
        "built": sorted(builders.names),
        "known": sorted(TRANSFORMERS),
        "unread": unread,
        "off_same_class": same_class.off,
        "off_another_class": another_class.off,
        "wrong_before": [kind for kind in events if first[kind] != expected_first[kind]],
        "wrong_after": [kind for kind in events if second[kind] != expected_second[kind]],
        "unchanged": [kind for kind in events if first[kind] == second[kind]],
    }
    print(json.dumps(result))  # noqa: T201


def _outcomes(engine: Engine, events: dict[str, Event], people: People) -> dict[str, Any]:
    with erb.site(people, people):
        return {kind: outcome(engine, event) for kind, event in events.items()}


if __name__ == "__main__":
    main()

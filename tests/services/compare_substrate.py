"""Stock and substrate side by side in one process: `python -m services.compare_substrate SCENARIO ACTOR_TYPE STRIDE`.

Prints JSON: how many events were compared, those whose outcome differs, which patches stayed off, and what the scenario
found besides. A process of its own, since Django's settings and the patches are global.
"""

from __future__ import annotations

import copy
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from aspects_orchestration.samples import SampleSpec, generate, site
from aspects_orchestration.tracking.events import Event, event_time, parse_event
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.built import BuiltStatement, built
from aspects_orchestration.xapi.erb import Identity, UntransformableError
from aspects_orchestration.xapi.fast.substrate import PATCH_NAMES, Substrate, install
from services.mutations import made, mutations

SPEC = SampleSpec(lines=6_000, transformable=1.0, style="plain", seed=5)
Outcome = list[Any] | str
Run = Callable[[Event], list[BuiltStatement]]


class People:
    """The samples' users and courses, and some whom no sample names; `salt` makes them another site's."""

    def __init__(self, salt: str = "") -> None:
        self._users: dict[int | str, Identity] = {}
        for who in site.learners(SPEC):
            self._add(Identity(who.user_id, who.username, salt + who.external_user_id, salt + who.email))
        self._add(Identity(77, "12", f"{salt}5b3c0c14-3ab6-4c1a-8f7e-1d4b3f0f7a11", "twelve@example.org"))
        self._add(Identity(999_999, "retired__user_0123456789abcdef", None, None))
        self._courses = {course.key: salt + course.display_name for course in site.courses(SPEC)}

    def _add(self, who: Identity) -> None:
        self._users[who.user_id] = self._users[who.username] = who

    def by_id(self, user_id: int) -> Identity | None:
        return self._users.get(user_id)

    def by_username(self, username: str) -> Identity | None:
        return self._users.get(username)

    def prefetch(self, user_ids: set[int], usernames: set[str]) -> None:
        pass

    def display_name(self, course_key: str) -> str | None:
        return self._courses.get(course_key)


def sample_events() -> dict[str, Event]:
    """One event of each kind, and of problem_check each number of questions, from a browser and a server."""
    found: dict[str, Event] = {}
    for sample in generate(SPEC):
        if sample.transformable and sample.damage is None:
            event = parse_event(sample.raw)
            event_time(event)
            data = event["data"]
            questions = len(data.get("submission", {})) if isinstance(data, dict) else 0
            found.setdefault(f"{event['name']} {event['event_source']} {questions}", event)
    return found


def outcome(run: Run, event: Event) -> Outcome:
    """What an engine makes of an event: parsed statements, or the reason why there are none, with its detail."""
    try:
        return [[one.event_id, one.emission_micros, json.loads(one.event), one.verb] for one in run(event)]
    except UntransformableError as failure:
        return f"{failure.reason}: {failure.detail}"


def outcomes(run: Run, events: dict[str, Event], people: People) -> dict[str, Outcome]:
    with erb.site(people, people):
        return {name: outcome(run, copy.deepcopy(event)) for name, event in events.items()}


def differing(one: dict[str, Outcome], other: dict[str, Outcome]) -> list[str]:
    return [name for name in one if one[name] != other[name]]


def mutated(stride: int) -> dict[str, Event]:
    """Every so many-th of all mutations of all kinds; the kinds themselves are always there."""
    chosen: dict[str, Event] = {}
    number = 0
    for kind, event in sample_events().items():
        for name, mutation in mutations(event):
            number += 1
            if name == "as it is" or number % stride == 0:
                chosen[f"{kind}: {name}"] = made(mutation)
    return chosen


class Mark:
    """A filter plugin as an operator might write it: it changes what it is given."""

    def __init__(self, **_: object) -> None:
        pass

    def run_filter(self, transformer: Any, result: Any) -> dict[str, Any]:
        if hasattr(result, "definition"):
            result.definition.extensions = {
                "http://example.org/mark": transformer.get_data("name"),
                "_under": 1,
            }
        elif hasattr(result, "account"):
            result.name = f"marked {transformer.get_data('event_source')}"
        return {"result": result}


def main() -> None:
    scenario, actor_type, stride = sys.argv[1], sys.argv[2], int(sys.argv[3])
    transformer = erb.boot(lms_root_url=SPEC.lms_root_url, actor_type=actor_type)
    if scenario == "filters":
        _configure_filters()
    events = mutated(stride)
    people = People()

    def stock(event: Event) -> list[BuiltStatement]:
        return [built(statement) for statement in transformer.statements(event)]

    expected = outcomes(stock, events, people)
    result: dict[str, Any] = {
        "events": len(events),
        "outcomes": Counter(_kind(one) for one in expected.values()),
    }
    if scenario in {"all", "filters"}:
        elsewhere = outcomes(stock, events, People("another"))
        substrate = install(transformer)
        result |= _sides(substrate, events, people, expected)
        # Caches are warm now; then another site's users come, and the first one's again.
        result["different_again"] = differing(expected, outcomes(substrate.statements, events, people))
        there = outcomes(substrate.statements, events, People("another"))
        result["different_elsewhere"] = differing(elsewhere, there)
        result["same_elsewhere"] = len(events) - len(differing(expected, elsewhere))
        substrate.uninstall()
        result["different_after"] = differing(expected, outcomes(stock, events, people))
    elif scenario == "without":
        result["without"] = {}
        for patch in PATCH_NAMES:
            substrate = install(transformer, without=frozenset({patch}))
            sides = _sides(substrate, events, people, expected)
            result["without"][patch] = sides | {"on": substrate.on}
            substrate.uninstall()
    elif scenario == "objects":
        result["objects"] = _unforeseen()
    elif scenario == "changed":
        result["changed"] = {name: _changed(name, transformer, events, people, stock) for name in CHANGES}
    print(json.dumps(result))  # noqa: T201


def _kind(one: Outcome) -> str:
    return one.partition(":")[0] if isinstance(one, str) else f"{len(one)} statements"


def _sides(
    substrate: Substrate, events: dict[str, Event], people: People, expected: dict[str, Outcome]
) -> dict[str, Any]:
    return {
        "off": substrate.off,
        "different": differing(expected, outcomes(substrate.statements, events, people)),
    }


def _unforeseen() -> dict[str, list[Any]]:
    """Objects made in ways that today's transformers do not: tincan's own value or error, and ours."""
    from aspects_orchestration.xapi.fast.quick_objects import REPLACEMENTS

    uses: dict[str, tuple[Any, ...]] = {
        "Activity": (
            {"id": ""},
            {"id": 7},
            {"colour": "red"},
            {"definition": {"type": "t", "moreInfo": "m"}},
        ),
        "ActivityDefinition": (
            {"more_info": "m", "name": {"en": "n"}},
            {"interactionType": "no"},
            {"type": ""},
        ),
        "ActivityList": (),
        "Context": (
            {"platform": "p", "registration": str(UUID(int=1 << 76 | 1 << 63))},
            {"registration": "no"},
            {},
        ),
        "ContextActivities": (
            {"other": {"id": "o"}},
            {"parent": {"id": "p"}, "grouping": [{"id": "g"}]},
            {"parent": 3},
        ),
        "Extensions": ({"a": None, "b": [None], "c": {"d": None}},),
        "GroupActivity": ({"id": "g"}, {"object_type": "x", "colour": "red"}),
        "JSONEncodedResult": (
            {"response": ["ü"]},
            {"response": "x"},
            {"response": [1], "duration": 1, "colour": 1},
        ),
        "LanguageMap": ({"en": "x"}, {"en": 3}),
        "Result": (
            {"score": 5},
            {"score": {"raw": "x"}},
            {"score": {"other": 1}},
            {"duration": "PT1S"},
            {"success": 0},
        ),
        "Statement": (
            {"version": ""},
            {"timestamp": 3, "stored": 4},
            {"actor": {"mbox": "a@example.org"}},
            {"id": "x"},
        ),
        "StatementRef": ({"id": "x"}, {"id": None}, {"object_type": "x"}, {"colour": 1}),
    }
    assert uses.keys() == REPLACEMENTS.keys()
    found: dict[str, list[Any]] = {}
    for name, several in uses.items():
        for use in several:
            found[f"{name} {use}"] = [_value(made, copy.deepcopy(use)) for made in REPLACEMENTS[name]]
    return found


def _value(made: type, use: dict[str, Any]) -> Any:
    from aspects_orchestration.xapi.fast.json_values import converters

    try:
        one: Any = made(**use)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    tree = (converters.get(type(one)) or made.as_version)(one)
    return [json.loads(one.to_json()), tree]


def _configure_filters() -> None:
    from django.conf import settings

    before = "event_routing_backends.processors.xapi"
    names = (
        f"{before}.transformer.xapi_transformer.get_actor",
        f"{before}.video_events.base_video.get_object",
    )
    steps = {"pipeline": ["services.compare_substrate.Mark"], "fail_silently": False}
    settings.OPEN_EDX_FILTERS_CONFIG = dict.fromkeys(names, steps)


#: A function of another package to each patch, and what another version of it might do.
CHANGES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "unconfigured_filters": (
        "event_routing_backends.processors.openedx_filters.filters",
        "ProcessorBaseFilter.run_filter",
        lambda _: classmethod(lambda *_, result, **__: result),
    ),
    "quick_objects": (
        "tincan.activity",
        "Activity.id",
        lambda old: property(old.fget, lambda self, value: old.fset(self, value and f"{value}#changed")),
    ),
    "quick_times": (
        "tincan.statement_base",
        "make_datetime",
        lambda old: lambda value: old(value).replace(microsecond=0),
    ),
    "event_data": (
        "event_routing_backends.processors.mixins.base_transformer",
        "BaseTransformerMixin.get_data",
        lambda old: lambda self, key, required=False: old(self, key, required) or None,
    ),
    "statement_ids": (
        "event_routing_backends.processors.xapi.transformer",
        "get_uuid5",
        lambda old: lambda key, name: old(key, f"{name} changed"),
    ),
    "planned_fields": (
        "event_routing_backends.processors.mixins.base_transformer",
        "BaseTransformerMixin.transformer_version",
        lambda _: property(lambda _: "event-routing-backends@changed"),
    ),
    "shared_objects": (
        "event_routing_backends.processors.xapi.transformer",
        "XApiTransformer.get_context_activities",
        lambda _: lambda _: None,
    ),
    "one_serialisation": (
        "event_routing_backends.processors.mixins.base_transformer_processor",
        "BaseTransformerProcessorMixin.get_transformed_event",
        lambda old: lambda self, event: old(self, event) if event["name"] != "play_video" else None,
    ),
}


def _changed(
    patch: str, transformer: erb.Transformer, events: dict[str, Event], people: People, stock: Run
) -> dict[str, Any]:
    module, qualname, change = CHANGES[patch]
    *owners, attribute = qualname.split(".")
    owner: Any = sys.modules[module]
    for name in owners:
        owner = getattr(owner, name)
    before = vars(owner)[attribute]
    setattr(owner, attribute, change(before))
    try:
        expected = outcomes(stock, events, people)
        substrate = install(transformer)
        sides = _sides(substrate, events, people, expected)
        substrate.uninstall()
    finally:
        setattr(owner, attribute, before)
    return sides | {"name": f"{module}.{qualname}"}


if __name__ == "__main__":
    main()

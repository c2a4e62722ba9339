"""The patches of the substrate: what each puts in the place of what.

What they replace or stand on is in `known.py`, and how they are applied in `substrate.py`.
"""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import FunctionType
from typing import Any, Final

_ERB = "event_routing_backends"
_RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?(?:\+00:00|Z)\Z", re.ASCII)
#: The namespace in event-routing-backends' `get_uuid5`.
_BASE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")

#: Owner, attribute, value.
Change = tuple[Any, str, Any]
#: Where a patch that keeps something of the site puts what makes it forget.
Forgets = list[Callable[[], None]]


@dataclass(frozen=True)
class Patch:
    """One replacement.

    Attributes:
        name: as `Substrate.off` calls it, and `known.KNOWN`, which has its fingerprints.
        changes: what to set: owner, attribute, value. Asked for when all patches before it are in place.
        with_strangers: whether it also holds where filters or transformers of somebody else may touch its objects.
    """

    name: str
    changes: Callable[[Forgets], Iterable[Change]]
    with_strangers: bool


def strangers() -> tuple[str, ...]:
    """Filters that are configured, and transformers that are not event-routing-backends' own."""
    from event_routing_backends.processors.xapi.registry import XApiTransformersRegistry

    filters = (
        f"filter {name} is configured" for name in _configured_filters() if name.startswith(f"{_ERB}.")
    )
    transformers = {
        f"{transformer.__module__}.{transformer.__qualname__}"
        for transformer in XApiTransformersRegistry.mapping.values()
        if not transformer.__module__.startswith(f"{_ERB}.")
    }
    return (*sorted(filters), *sorted(transformers))


def _configured_filters() -> dict[str, Any]:
    from django.conf import settings

    configured = getattr(settings, "OPEN_EDX_FILTERS_CONFIG", None) or {}
    return {name: steps for name, steps in configured.items() if steps}


def _transformer_classes() -> list[type]:
    """All classes that transformers are made of, each once."""
    from event_routing_backends.processors.xapi.registry import XApiTransformersRegistry
    from event_routing_backends.processors.xapi.transformer import OneToManyChildXApiTransformerMixin

    def below(one: type) -> Iterator[type]:
        yield one
        children: list[type] = one.__subclasses__()
        for child in children:
            yield from below(child)

    leaves = [*XApiTransformersRegistry.mapping.values(), *below(OneToManyChildXApiTransformerMixin)]
    return list(dict.fromkeys(one for leaf in leaves for one in leaf.__mro__ if one is not object))


# Patches


def _unconfigured_filters(_: Forgets) -> Iterator[Change]:
    """Methods stand without their filter where none is configured: the filter's class is made anew for every call."""
    from event_routing_backends.processors.openedx_filters.decorators import openedx_filter

    configured = _configured_filters()
    filtering = openedx_filter("")(lambda: None).__code__
    for owner in _transformer_classes():
        for name, method in list(vars(owner).items()):
            if not isinstance(method, FunctionType) or method.__code__ is not filtering:
                continue
            cells = dict(
                zip(
                    filtering.co_freevars,
                    (cell.cell_contents for cell in method.__closure__ or ()),
                    strict=True,
                )
            )
            if cells["filter_type"] and cells["filter_type"] not in configured:
                yield owner, name, cells["func"]


def _quick_objects(_: Forgets) -> Iterator[Change]:
    from aspects_orchestration.xapi.fast.quick_objects import REPLACEMENTS

    modules = dict.fromkeys(one.__module__ for one in _transformer_classes())
    for module in (sys.modules[name] for name in modules if name.startswith(f"{_ERB}.")):
        for name, (stock, quick) in REPLACEMENTS.items():
            if vars(module).get(name) is stock:
                yield module, name, quick


def _quick_times(_: Forgets) -> Iterator[Change]:
    from tincan import statement_base

    stock = statement_base.make_datetime

    def make_datetime(value: Any) -> Any:
        if value.__class__ is str and _RFC_3339_UTC.match(value) is not None:
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                pass  # a day or a second that is not: tincan has a word for it
        return stock(value)

    yield statement_base, "make_datetime", make_datetime


def _event_data(_: Forgets) -> Iterator[Change]:
    from event_routing_backends.processors.mixins.base_transformer import BaseTransformerMixin

    from aspects_orchestration.xapi.fast import event_data

    yield BaseTransformerMixin, "__init__", event_data.start
    yield BaseTransformerMixin, "get_data", event_data.get_data


def _statement_ids(_: Forgets) -> Iterator[Change]:
    from event_routing_backends.processors.xapi import transformer

    @lru_cache(maxsize=4096)
    def namespace(key: str) -> bytes:
        return uuid.uuid5(_BASE, key).bytes

    sha1 = hashlib.sha1
    from_bytes = int.from_bytes
    new, put = object.__new__, object.__setattr__
    safety = uuid.SafeUUID.unknown
    kept = ~((0xF000 << 64) | (0xC000 << 48)) & ((1 << 128) - 1)
    version_5 = (5 << 76) | (0x8000 << 48)

    def get_uuid5(namespace_key: str, name: str) -> uuid.UUID:
        digest = sha1(namespace(namespace_key) + name.encode(), usedforsecurity=False).digest()
        made = new(uuid.UUID)
        put(made, "int", from_bytes(digest[:16], "big") & kept | version_5)
        put(made, "is_safe", safety)
        return made

    yield transformer, "get_uuid5", get_uuid5


def _shared_objects(forgets: Forgets) -> Iterator[Change]:
    from event_routing_backends.processors.xapi import transformer

    from aspects_orchestration.xapi.fast import shared_objects
    from aspects_orchestration.xapi.fast.json_values import converters

    common, mixin = transformer.XApiTransformer, transformer.XApiVerbTransformerMixin
    shared = shared_objects.Shared(
        actor=common.get_actor,
        verb=common.get_verb,
        mapped_verb=mixin.get_verb,
        course=common.get_context_activities,
        around=transformer.ContextActivities,
        listed=transformer.ActivityList,
    )
    for one in (shared_objects.SharedAgent, shared_objects.SharedVerb, shared_objects.SharedActivity):
        converters[one] = shared_objects.fragment_of
    forgets.append(shared.forget)
    yield common, "_made_actor", None
    yield common, "_made_verb", None
    yield common, "get_actor", shared.get_actor
    yield common, "get_verb", shared.get_verb
    yield mixin, "get_verb", shared.get_mapped_verb
    yield common, "get_context_activities", shared.get_context_activities


def _planned_fields(_: Forgets) -> Iterator[Change]:
    """Which method makes which field is settled once a class, not by probing in every event."""
    from event_routing_backends.processors.mixins.base_transformer import BaseTransformerMixin

    stock = BaseTransformerMixin.transform
    version = BaseTransformerMixin({}).transformer_version
    plans: dict[type, list[tuple[str, str]] | None] = {}

    def plan(transformer: type) -> list[tuple[str, str]] | None:
        fields: Any = transformer
        keys = fields.required_fields + fields.additional_fields
        simple = all(not hasattr(transformer, key) and hasattr(transformer, f"get_{key}") for key in keys)
        return [(key, f"get_{key}") for key in keys] if simple else None

    def transform(self: Any) -> Any:
        made_by = self.__class__
        try:
            fields = plans[made_by]
        except KeyError:
            fields = plans[made_by] = plan(made_by)
        if fields is None:
            return stock(self)
        event = self.base_transform({})
        for key, method in fields:
            event[key] = getattr(self, method)()
        return self.del_none(event)

    yield BaseTransformerMixin, "transform", transform
    yield BaseTransformerMixin, "transformer_version", version


def _one_serialisation(_: Forgets) -> Iterator[Change]:
    yield from ()


#: In the order in which they are applied: shared objects stand on what is there before.
PATCHES: Final = (
    Patch("unconfigured_filters", _unconfigured_filters, with_strangers=True),
    Patch("quick_objects", _quick_objects, with_strangers=False),
    Patch("quick_times", _quick_times, with_strangers=True),
    Patch("event_data", _event_data, with_strangers=False),
    Patch("statement_ids", _statement_ids, with_strangers=True),
    Patch("planned_fields", _planned_fields, with_strangers=True),
    Patch("shared_objects", _shared_objects, with_strangers=False),
    Patch("one_serialisation", _one_serialisation, with_strangers=True),
)

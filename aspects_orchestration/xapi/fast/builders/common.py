"""What the families of builders share: looking up and checking an event's values, and pieces of JSON text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from aspects_orchestration.native import native

Event = dict[str, Any]
#: The statement's object and result, and what comes behind the extensions that all contexts have.
Body = tuple[bytes, bytes]
#: Builds the body of an event's statement, from the event, its `data` and its `context`.
Build = Callable[[Event, Any, Event], Body]

#: So many users, courses, pages and the like are kept at hand; 50,000 actors are about 25 MB.
MOST: Final = 50_000
#: Numbers beyond this are left to the transformers: somewhere there floats and integers part.
_UNSURE: Final = 1e15

dumps = orjson.dumps
joined = b"".join

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class UnknownShape(Exception):  # noqa: N818  not an error: another way is taken
    """A builder does not fully know the event before it."""


class Questions(NamedTuple):
    """The questions of a problem.

    Attributes:
        problem: the whole problem's object.
        bodies: each question's id, and its statement's object and result.
    """

    problem: bytes
    bodies: list[tuple[str, bytes]]


@dataclass(frozen=True)
class Kind:
    """How the statements of one kind of event are built.

    Attributes:
        build: its body.
        with_course: whether the course is among the context's activities.
        grouping: the JSON text of `grouping` among the context's activities with a comma behind it, or nothing.
        questions: of a problem that has several, each of which gets a statement too; None if there is but one.
    """

    build: Build
    with_course: bool = True
    grouping: Callable[[Event, Any], bytes] | None = None
    questions: Callable[[Any], Questions | None] | None = None


class Kept(dict[_Key, _Value]):
    """A cache of bounded size: when it is full, all is dropped, and made again as it comes."""

    def keep(self, key: _Key, value: _Value) -> _Value:
        """Keep a value, and give it back."""
        if len(self) >= MOST:
            self.clear()
        self[key] = value
        return value


def member(name: str) -> bytes:
    """A name as a member of a JSON object, up to its value."""
    return dumps(name) + b":"


def activity(kind: str) -> bytes:
    """What comes behind an activity's id, up to where its definition may go on behind its type."""
    return b',"objectType":"Activity","definition":{"type":' + dumps(kind)


def given(data: Any, name: str) -> Any:
    """A value as the transformers' `get_data` has it: what is empty is None, but zero stays zero."""
    value = data.get(name)
    return value if value or value == 0 else None


def _found(event: Event, name: str) -> Any:
    """The transformers' search for a name: at the top, else in the first nested object that has a value for it."""
    if name in event:
        value = event[name]
    else:
        value = None
        for inner in event.values():
            if inner.__class__ is dict and inner:
                value = inner[name] if name in inner else _found_below(inner, name)
                if value is not None:
                    break
    return value if value or value == 0 else None


def _found_below(place: Event, name: str) -> Any:
    for inner in place.values():
        if inner.__class__ is dict and inner:
            value = inner[name] if name in inner else _found_below(inner, name)
            if value is not None:
                return value
    return None


found = _found if native is None else native.found


def leads_to(data: Any, event: Event, names: frozenset[str]) -> bool:
    """Whether the transformers' search for each of these names comes to `data` before it finds one."""
    if not event.keys().isdisjoint(names):
        return False
    for inner in event.values():
        if inner.__class__ is dict and inner:
            if inner is data:
                return True
            if not absent(inner, names):
                return False
    return False


def _absent(place: Event, names: frozenset[str]) -> bool:
    """Whether none of these names stands in an object, or in an object inside of it."""
    if not place.keys().isdisjoint(names):
        return False
    for inner in place.values():  # noqa: SIM110  a generator costs as much as the whole search
        if inner.__class__ is dict and inner and not _absent(inner, names):
            return False
    return True


absent = _absent if native is None else native.absent


def text(value: Any) -> str:
    """A value that must be a text, and not an empty one."""
    if value.__class__ is str and value:
        return value
    raise UnknownShape


def number(value: Any) -> Any:
    """A value that must be a number, of a size at which integers and floats are one."""
    if (value.__class__ is float or value.__class__ is int) and -_UNSURE < value < _UNSURE:
        return value
    raise UnknownShape


def whole(value: Any) -> bytes:
    """The JSON text of a value that must be a whole number."""
    if value.__class__ is int:
        return dumps(value)
    raise UnknownShape


def seconds(value: Any) -> bytes:
    """Seconds to three digits behind the point, as the transformers' `convert_seconds_to_float` rounds them."""
    if (value.__class__ is float or value.__class__ is int) and -_UNSURE < value < _UNSURE:
        return dumps(round(float(value), 3))
    raise UnknownShape

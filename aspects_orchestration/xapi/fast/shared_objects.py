"""Actors, verbs and courses that are the same in many statements: made once, and their JSON text with them.

They stand in many statements at once, so nothing may change them. event-routing-backends does not; a filter or a
transformer of somebody else might, and then this patch stays off.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import orjson
import tincan

#: About 20 MB of actors; then all are forgotten and made again as they come.
_MOST_ACTORS: Final = 32_768
_MOST_COURSES: Final = 4_096
_MOST_VERBS: Final = 256


class SharedAgent(tincan.Agent):  # type: ignore[misc]
    """An actor that is known by its text alone."""

    __slots__ = ("fragment", "text")
    __setattr__ = object.__setattr__

    fragment: orjson.Fragment
    text: str

    def __init__(self, text: str) -> None:
        self.text = text
        self.fragment = _fragment(text)

    def to_json(self, version: Any = None) -> str:  # noqa: ARG002
        """The text whose digest becomes the statement's id."""
        return self.text

    def as_version(self, version: Any = None) -> Any:  # noqa: ARG002
        """Its JSON value."""
        return json.loads(self.text)


class SharedVerb(tincan.Verb):  # type: ignore[misc]
    """A verb that keeps its text."""

    __slots__ = ("fragment", "text")
    __setattr__ = object.__setattr__

    fragment: orjson.Fragment
    text: str

    def __init__(self, verb: tincan.Verb) -> None:
        self.__dict__.update(vars(verb))
        self.text = verb.to_json()
        self.fragment = _fragment(self.text)

    def to_json(self, version: Any = None) -> str:  # noqa: ARG002
        """The text whose digest becomes the statement's id."""
        return self.text


class SharedActivity(tincan.Activity):  # type: ignore[misc]
    """A course as context that keeps its text."""

    __slots__ = ("fragment",)
    __setattr__ = object.__setattr__

    fragment: orjson.Fragment

    def __init__(self, activity: tincan.Activity) -> None:
        self.__dict__.update(vars(activity))
        self.fragment = _fragment(activity.to_json())


def fragment_of(shared: SharedAgent | SharedVerb | SharedActivity) -> orjson.Fragment:
    """The JSON text of an object that is shared, for orjson to put in."""
    return shared.fragment


def _fragment(text: str) -> orjson.Fragment:
    # The shortest form, and as UTF-8 where that can be: the statement is stored as orjson would write it.
    value = json.loads(text)
    try:
        return orjson.Fragment(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return orjson.Fragment(text)


class Shared:
    """The objects that are shared now, and the methods that hand them out.

    Args:
        actor, verb, mapped_verb, course: the methods to be replaced: `XApiTransformer.get_actor`, its `get_verb`,
            `XApiVerbTransformerMixin.get_verb` and `XApiTransformer.get_context_activities`.
        around: makes `ContextActivities`.
        listed: makes an `ActivityList`.
    """

    def __init__(
        self,
        *,
        actor: Callable[[Any], Any],
        verb: Callable[[Any], Any],
        mapped_verb: Callable[[Any], Any],
        course: Callable[[Any], Any],
        around: Callable[..., Any],
        listed: Callable[..., Any],
    ) -> None:
        self._actors: dict[Any, SharedAgent] = {}
        self._courses: dict[str, SharedActivity] = {}
        self.get_actor = _actors_from(self._actors, actor)
        self.get_verb = _verbs_from({}, verb)
        self.get_mapped_verb = _mapped_verbs_from({}, mapped_verb)
        self.get_context_activities = _courses_from(self._courses, course, around, listed)

    def forget(self) -> None:
        """Forget whom and what the site's own tables were asked for."""
        self._actors.clear()
        self._courses.clear()


def _actors_from(actors: dict[Any, SharedAgent], stock: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def get_actor(self: Any) -> Any:
        made = self._made_actor
        if made is None:
            key = self.extract_username_or_userid()
            if isinstance(key, list | dict):
                return stock(self)  # which raises
            # Two keys that are equal, such as 7 and 7.0, ask for one user: event-routing-backends caches them so too.
            made = actors.get(key)
            if made is None:
                made = SharedAgent(stock(self).to_json())
                if len(actors) >= _MOST_ACTORS:
                    actors.clear()
                actors[key] = made
            self._made_actor = made
        return made

    return get_actor


def _verbs_from(
    verbs: dict[int, tuple[Any, SharedVerb]], stock: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    def get_verb(self: Any) -> Any:
        made = self._made_verb
        if made is None:
            made = stock(self)
            if made.__class__ is not SharedVerb:
                known = verbs.get(
                    id(made)
                )  # a verb that its class keeps; held here, so its address stays its own
                if known is None and len(verbs) < _MOST_VERBS:
                    known = verbs[id(made)] = (made, SharedVerb(made))
                if known is not None:
                    made = known[1]
            self._made_verb = made
        return made

    return get_verb


def _mapped_verbs_from(
    verbs: dict[tuple[str, str], SharedVerb], stock: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    def get_verb(self: Any) -> Any:
        name = self.get_data("name", True)
        source = self.get_data("event_source") or self.get_data("context.event_source")
        by_browser = source == "browser" and name == "problem_check"
        verb = self.verb_map["problem_check_browser" if by_browser else name]
        key = (verb["id"], verb["display"])
        made = verbs.get(key)
        if made is None:
            made = verbs[key] = SharedVerb(stock(self))
        return made

    return get_verb


def _courses_from(
    courses: dict[str, SharedActivity],
    stock: Callable[[Any], Any],
    around: Callable[..., Any],
    listed: Callable[..., Any],
) -> Callable[[Any], Any]:
    def get_context_activities(self: Any) -> Any:
        key = self.get_data("context.course_id")
        if key.__class__ is not str:
            return stock(self)
        course = courses.get(key)
        if course is None:
            made = stock(self)
            course = SharedActivity(made.parent[0])
            if len(courses) >= _MOST_COURSES:
                courses.clear()
            courses[key] = course
        return around(parent=listed([course]))

    return get_context_activities

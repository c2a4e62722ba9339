"""Looking things up in an event: each key once, and once for a parent and all of its children.

event-routing-backends asks for a dozen keys an event, several of them twice or more, and walks through the whole event
for each that is not at its top.
"""

from __future__ import annotations

from typing import Any, Final

_MISSING: Final[Any] = object()
#: Keys are literals in the transformers' source, so these stay few.
_paths: dict[str, list[str]] = {}


class ReadEvent(dict[str, Any]):
    """A transformer's copy of an event, with what was found in it so far."""

    __slots__ = ("below", "found", "index")

    found: dict[str, Any]
    below: bool
    index: dict[str, Any] | None

    def look_up(self, key: str) -> Any:
        """The value that `BaseTransformerMixin.get_data` finds: None for what is missing or empty, but 0 for 0."""
        if "." in key:
            path = _paths.get(key)
            if path is None:
                path = _paths[key] = key.split(".")
            value: Any = self
            try:
                for part in path:
                    value = value[part]
            except (KeyError, TypeError):
                value = None
        elif key in self:
            value = self[key]
        else:
            value = self._nested(key)
        if not value and value != 0:
            value = None
        self.found[key] = value
        return value

    def _nested(self, key: str) -> Any:
        """A key that is not at the top. The first one is looked for; from the second on, an index is cheaper."""
        if not self.below:
            self.below = True
            return _first(self, key)
        if self.index is None:
            self.index = _index(self)
        value = self.index.get(key, _MISSING)
        if value is None:  # the first of this name holds nothing: another may
            return _first(self, key)
        return None if value is _MISSING else value


def _first(place: dict[str, Any], key: str) -> Any:
    """The first value of this key that is not None, depth first; nothing below a None of this key is looked at."""
    if key in place:
        return place[key]
    for value in place.values():
        if value and isinstance(value, dict):
            found = _first(value, key)
            if found is not None:
                return found
    return None


def _index(event: dict[str, Any]) -> dict[str, Any]:
    """Each key's first value, depth first."""
    places: list[dict[str, Any]] = []

    def collect(place: dict[str, Any]) -> None:
        places.append(place)
        for value in place.values():
            if value and isinstance(value, dict):
                collect(value)

    collect(event)
    index: dict[str, Any] = {}
    for place in reversed(places):
        index.update(place)
    return index


def start(self: Any, event: dict[str, Any]) -> None:
    """In place of `BaseTransformerMixin.__init__`: a copy of the event, or the parent's own copy for a child."""
    if event.__class__ is not ReadEvent:
        copy = ReadEvent(event.copy())
        copy.found = {}
        copy.below = False
        copy.index = None
        event = copy
    self.event = event


def get_data(self: Any, key: str, required: bool = False) -> Any:
    """In place of `BaseTransformerMixin.get_data`."""
    event = self.event
    value = event.found.get(key, _MISSING)
    if value is _MISSING:
        value = event.look_up(key)
    if value is None and required:
        raise ValueError('Could not get value for {} in event "{}"'.format(key, event.get("name", None)))
    return value

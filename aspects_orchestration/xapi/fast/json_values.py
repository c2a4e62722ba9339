"""The JSON value of tincan's objects, by tincan's own rule, without the detours of `as_version`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tincan.conversions.iso8601 import jsonify_datetime, jsonify_timedelta
from tincan.serializable_base import SerializableBase

#: What is left out of a call; None is a value.
UNSET: Any = object()


class _Keys(dict[str, str]):
    """The JSON key of each attribute, by tincan's rule."""

    def __missing__(self, attribute: str) -> str:
        key: str = SerializableBase._props_corrected.get(attribute, attribute).removeprefix("_")
        self[attribute] = key
        return key


_keys = _Keys()


class Quick:
    """What all have: attributes are set without a look at their names, and `tree` reads those that are set."""

    __setattr__ = object.__setattr__

    def tree(self) -> dict[str, Any]:
        """The JSON value of the object: what `as_version` gives, or orjson's fragments of it."""
        found = {}
        for attribute, value in self.__dict__.items():
            if value is not None:
                convert = converters.get(value.__class__, json_value)
                found[_keys[attribute]] = value if convert is None else convert(value)
        return found

    def _become(self, stock: type, arguments: dict[str, Any], rest: dict[str, Any]) -> None:
        given = {name: value for name, value in arguments.items() if value is not UNSET}
        self.__class__ = stock
        stock.__init__(self, **given, **rest)  # type: ignore[misc]


def json_value(value: Any) -> Any:
    """The JSON value of an attribute of any type."""
    if isinstance(value, SerializableBase):
        return value.as_version()
    if isinstance(value, list):
        return [one.as_version() if isinstance(one, SerializableBase) else one for one in value]
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, timedelta):
        return jsonify_timedelta(value)
    if isinstance(value, datetime):
        return jsonify_datetime(value)
    return value


#: How the value of an attribute becomes JSON, by its type; None where it is JSON already.
converters: dict[type, Callable[[Any], Any] | None] = {
    str: None,
    float: None,
    int: None,
    bool: None,
    uuid.UUID: str,
    datetime: datetime.isoformat,
}

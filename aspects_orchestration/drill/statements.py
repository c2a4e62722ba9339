"""Whether two statements say the same, and where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import orjson

#: What a Learning Record Store sets by itself where a statement does not have it (xAPI 1.0.3, part two, section 2.4).
SET_BY_THE_STORE: Final = ("stored", "authority", "version")
_MILLISECOND: Final = 1_000


def differing_places(restored: str, standing: str) -> list[str]:
    """Where two statements differ: paths such as `object.definition.name`, and never a value.

    The order of keys and the way of writing do not count, nor what a Learning Record Store adds by itself; times are
    compared to the millisecond, for some writers keep no more.

    Args:
        restored: the statement that came out of the archive, as JSON.
        standing: the one with the same id that stands in the table.

    Returns:
        Sorted; empty if both say the same.
    """
    try:
        ours, theirs = orjson.loads(restored), orjson.loads(standing)
    except ValueError:
        return ["(no JSON)"]
    if isinstance(ours, dict) and isinstance(theirs, dict):
        theirs = {key: value for key, value in theirs.items() if key in ours or key not in SET_BY_THE_STORE}
    return sorted(set(_places(ours, theirs, "")))


def _places(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours.keys() | theirs.keys():
            below = f"{path}.{key}" if path else str(key)
            if key in ours and key in theirs:
                yield from _places(ours[key], theirs[key], below)
            else:
                yield below
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield path
        for one, other in zip(ours, theirs, strict=False):
            yield from _places(one, other, f"{path}[]")
    elif ours != theirs and not (path == "timestamp" and _same_time(ours, theirs)):
        yield path or "(all)"


def _same_time(ours: Any, theirs: Any) -> bool:
    try:
        gap = datetime.fromisoformat(ours) - datetime.fromisoformat(theirs)
    except (TypeError, ValueError):
        return False
    return abs(gap.total_seconds()) * _MILLISECOND < 1

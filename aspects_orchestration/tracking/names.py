"""Telling from a line's bytes that its event has no transformer, without parsing it.

Most lines of a tracking log are of events that no transformer knows, and parsing them is most of what they cost. The
name of an event is the text behind a `"name"` or `"event_type"` somewhere in its JSON. If none of those is a known
one, no order of keys and no nesting can make the event's own name a known one. Whatever could hide a name (an escaped
letter, unusual spacing, a text that does not end like an object) is not judged here but parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aspects_orchestration.native import native

#: Letters, digits and dots, of which names are made, as JSON escapes.
_HIDDEN_LETTER = re.compile(rb"\\u00[2-7]")
_KEYS = (b'"name"', b'"event_type"')
_NAME_FIRST = b'{"name": "'
_NAME_LENGTH = len(_NAME_FIRST)


class KnownNames:
    """Event names to look for.

    Args:
        names: those that are not to be passed over; plain ASCII without quotes and backslashes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.encode("ascii") for name in names)

    def may_be_in(self, body: bytes) -> bool:
        """Whether an event's JSON text may be of one of these names; False is certain, True is not."""
        return may_be_in(body, self._names)

    def passing(self) -> PassedOver:
        """Passes over lines, and counts them."""
        return PassedOver(self._names)


class PassedOver:
    """Lines as the LMS writes them, whose event has none of the known names, without a further look at them.

    Attributes:
        names: the known ones.
        lines: how many were passed over.
    """

    def __init__(self, names: frozenset[bytes]) -> None:
        self.names = names
        self.lines = 0

    def __call__(self, raw: bytes) -> bool:
        """Whether a line is passed over; it begins as an event does, and ends as an object does."""
        if not raw.startswith(_NAME_FIRST):
            return False
        end = raw.find(b'"', _NAME_LENGTH)
        name = raw[_NAME_LENGTH:end]
        # A name that stands there, once, is the event's, whatever its type.
        if not name or name in self.names or raw.find(b'"name"', end) >= 0 or _HIDDEN_LETTER.search(raw):
            return False
        self.lines += 1
        return True


def _may_be_in(body: bytes, names: frozenset[bytes]) -> bool:
    if body[-1:] != b"}":
        return True
    seen = False
    for key in _KEYS:
        at = body.find(key)
        while at >= 0:
            start = at + len(key)
            if body[start : start + 3] == b': "':
                start += 3
            elif body[start : start + 2] == b':"':
                start += 2
            else:
                return True
            end = body.find(b'"', start)
            if end < 0 or body[start:end] in names:
                return True
            seen = True
            at = body.find(key, end)
    # What has no event in it may be something else altogether.
    if not seen or b'"event"' not in body:
        return True
    return _HIDDEN_LETTER.search(body) is not None


may_be_in = _may_be_in if native is None else native.may_be_in

"""Events as byte templates: JSON is written once for each kind of event, then only its slots are filled in.

In the shape of an event, ``<<name>>`` inside a string marks a slot filled with text, and a string that is
``<<#name>>`` and nothing else marks one filled with a bare JSON value, such as a number. Slot values are
bytes that are JSON-escaped already, because filling does not escape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

Slots = dict[bytes, bytes]

_BARE: Final = re.compile(r'\\*"<<#(\w+)>>\\*"')
_TEXT: Final = re.compile(r"<<(\w+)>>")


def compile_template(shape: Mapping[str, object]) -> bytes:
    """Turn the shape of an event into a template for ``template % slots``.

    Args:
        shape: the event with slots in its strings. Strings made by ``embedded`` may hold slots too.

    Returns:
        One line of JSON without its newline, as ``%(slot)b`` formatting wants it.
    """
    text = json.dumps(shape).replace("%", "%%")
    return _TEXT.sub(r"%(\1)b", _BARE.sub(r"%(\1)b", text)).encode()


def embedded(payload: Mapping[str, object]) -> str:
    """A payload as browsers send it: JSON in a string. Its slots may hold only text that needs no escape."""
    return json.dumps(payload)


def escaped(text: str, *, ascii_only: bool = True, depth: int = 1) -> bytes:
    """Text ready for a slot.

    Args:
        text: any text.
        ascii_only: write other characters as ``\\uXXXX``, as the LMS does; else UTF-8, as some shippers do.
        depth: 1 in an event's own strings, 2 in a payload that is itself a string.
    """
    for _ in range(depth):
        text = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
    return text.encode()

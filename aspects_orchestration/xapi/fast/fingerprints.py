"""What the fast path was written against: functions, classes and values of other packages, known by their text.

A patch that stands in for a function gives the function's results only as long as the function is the one that was
read. A fingerprint is the first 16 hexadecimal digits of the SHA-256 of the source, with all white space made single.
It is taken from what stands in the module now, so it also differs where a plugin has wrapped or replaced a function.

With another version of those packages, or a new builder or patch that relies on further functions (to be written into
`builders_known.py` or `known.py` with an empty fingerprint):

    python -m aspects_orchestration.xapi.fast.fingerprints            what differs today
    python -m aspects_orchestration.xapi.fast.fingerprints --write    put today's fingerprints into those two files

Read what differs before you write, and let the differential suite run after (tests/test_fast_statements_equal_stock.py).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

_PLAIN = (str, int, list, tuple, dict, type(None))
_BY_THE_WAY = frozenset(
    {"__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"}
)


@dataclass(frozen=True)
class Known:
    """A function, property or class as it was when a patch was written.

    Attributes:
        module, qualname: where it stands.
        text: its fingerprint.
    """

    module: str
    qualname: str
    text: str

    def __str__(self) -> str:
        return f"{self.module}.{self.qualname}"


def differing(known: Iterable[Known]) -> tuple[str, ...]:
    """Those that are not as they were, by name; what is missing or has no source differs."""
    return tuple(str(one) for one in known if fingerprint(one.module, one.qualname) != one.text)


def fingerprint(module: str, qualname: str) -> str:
    """The fingerprint of what stands at this name now; '' if nothing does, or its source cannot be read."""
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            # A class's own attribute as it was written, before it turns into a bound method or a value.
            found = vars(found)[part] if part in vars(found) else getattr(found, part)
        text = _text(found)
    except (ImportError, AttributeError, OSError, TypeError):
        return ""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


def renewed(source: str, differing: Iterable[tuple[Known, str]]) -> str:
    """The source of a file of fingerprints with those of today.

    Args:
        source: of `known.py` or `builders_known.py`.
        differing: what differs and its fingerprint of today, each as often as it stands there, and in that order.
    """
    for one, today in differing:
        # `"name": "fingerprint"` in the one file, `"name", "fingerprint"` in the other.
        before = rf'("{re.escape(one.qualname)}"\s*[:,]\s*)"{one.text}"'
        source = re.sub(before, rf'\g<1>"{today}"', source, count=1)
    return source


def _text(found: Any) -> str:
    if isinstance(found, _PLAIN):
        return repr(found)
    if isinstance(found, type):
        bases = ", ".join(f"{base.__module__}.{base.__qualname__}" for base in found.__bases__)
        return "\n".join([bases, *(_member(name, value) for name, value in sorted(vars(found).items()))])
    if isinstance(found, property):
        return "\n".join(_text(part) for part in (found.fget, found.fset, found.fdel) if part is not None)
    if isinstance(found, classmethod | staticmethod):
        return _text(found.__func__)
    # Layer by layer: functools.wraps would show the innermost function's source in place of a wrapper's.
    layers = []
    while found is not None:
        code = getattr(found, "__code__", None)
        layers.append(_source(code) if isinstance(code, CodeType) else type(found).__qualname__)
        found = getattr(found, "__wrapped__", None)
    return "\n".join(layers)


def _member(name: str, value: Any) -> str:
    if name in _BY_THE_WAY:
        return ""
    if isinstance(value, _PLAIN):
        return f"{name} = {value!r}"
    if isinstance(value, re.Pattern):
        return f"{name} = {value.pattern!r}"
    if callable(value) or isinstance(value, property | classmethod | staticmethod):
        return _text(value) if not isinstance(value, type) else f"{name} = {value.__qualname__}"
    return ""


@cache
def _source(code: CodeType) -> str:
    return inspect.getsource(code)


def main() -> None:
    """The command line."""
    from aspects_orchestration.xapi import erb
    from aspects_orchestration.xapi.fast import builders_known, known

    parser = argparse.ArgumentParser(
        description="Fingerprints of other packages' functions: what differs today."
    )
    parser.add_argument(
        "--write", action="store_true", help="put today's into known.py and builders_known.py"
    )
    options = parser.parse_args()
    erb.boot(lms_root_url="http://local.openedx.io:8000", actor_type="external_id")
    files = {
        builders_known: list(builders_known.BUILDERS),
        known: [one for several in known.KNOWN.values() for one in several],
    }
    for module, listed in files.items():
        today = ((one, fingerprint(one.module, one.qualname)) for one in listed)
        different = [(one, now) for one, now in today if now != one.text]
        path = Path(str(module.__file__))
        for one, now in dict.fromkeys(different):
            print(f"{path.name}: {one} {one.text or 'new'} -> {now or 'is not there'}")  # noqa: T201
        if options.write:
            if any(not now for _, now in different):
                sys.exit(
                    "Nothing was written to this file: take out what is not there, and what relies on it."
                )
            path.write_text(renewed(path.read_text(encoding="utf-8"), different), encoding="utf-8")


if __name__ == "__main__":
    main()

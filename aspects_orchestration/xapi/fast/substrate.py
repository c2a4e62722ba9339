"""What lies under event-routing-backends' transformers, made faster: the same statements for a fraction of the work.

The transformers themselves stay. Replaced are the things that they all stand on: tincan's objects, looking things up in
the event, parsing times, digesting ids, calling filters that nobody configured, serialising twice. Each replacement is a
patch of its own, and knows by fingerprint the functions that it was written against. Where one of them is another
today, the patch stays off, event-routing-backends' own code runs in its place, and `Substrate.off` says so.

    transformer = erb.boot(lms_root_url=..., actor_type=...)
    substrate = install(transformer)
    with erb.site(identities, courses):
        rows = substrate.statements(event)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC
from typing import Any, Final

import orjson

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.events import statement_micros
from aspects_orchestration.window import micros
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.built import BuiltStatement, as_json, built
from aspects_orchestration.xapi.erb import UntransformableError
from aspects_orchestration.xapi.fast.fingerprints import differing
from aspects_orchestration.xapi.fast.known import KNOWN
from aspects_orchestration.xapi.fast.patches import PATCHES, Change, strangers

_ABSENT: Final[Any] = object()
#: datetime, dataclass and the like are no JSON to json.dumps: let them fall back to it, and fail as they do there.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class Substrate:
    """A process's transformers on faster ground. Made by `install`.

    Attributes:
        off: patches that stayed off, and why: `name: function, function`. Empty if all is as it was known.
        on: names of the patches in place.
    """

    def __init__(self, transformer: erb.Transformer, *, without: frozenset[str] = frozenset()) -> None:
        self.off: tuple[str, ...] = ()
        self.on: tuple[str, ...] = ()
        self._undo: list[Change] = []
        self._forget: list[Callable[[], None]] = []
        self._site: tuple[object, object] = (None, None)
        self._stock = transformer
        others = strangers()
        # All of them before the first is applied: what one patch replaces, another may stand on.
        found = {patch.name: differing(KNOWN[patch.name]) for patch in PATCHES}
        for patch in PATCHES:
            if patch.name in without:
                continue
            why = found[patch.name] or (() if patch.with_strangers else others)
            if why:
                self.off += (f"{patch.name}: {', '.join(why)}",)
            else:
                self._apply(patch.changes(self._forget))
                self.on += (patch.name,)
        self._quick = None if "one_serialisation" not in self.on else _QuickTransformer()

    def statements(self, event: dict[str, Any]) -> list[BuiltStatement]:
        """The statements of one event, ready to be staged: one, several, or none (no object).

        Args:
            event: a tracking event as the reader leaves it, with `data` and `timestamp`.

        Raises:
            UntransformableError: the transformer raised, or its statement has no time (`no_statement_time`) or a
                number that JSON has not (`number_without_json`).
        """
        # Caches of actors and courses belong to the site that they were asked of.
        at = erb._site
        if at.identities is not self._site[0] or at.courses is not self._site[1]:
            self.forget()
            self._site = (at.identities, at.courses)
        if self._quick is None:
            return [built(statement) for statement in self._stock.statements(event)]
        return [_serialised(statement) for statement in self._quick.statements(event)]

    def forget(self) -> None:
        """Forget all users and courses: to be called when the site's own tables may have changed."""
        for forget in self._forget:
            forget()

    def uninstall(self) -> None:
        """Put everything back as it was. `statements` then gives event-routing-backends' own, at its own speed."""
        global _installed  # noqa: PLW0603  what is patched is as global
        while self._undo:
            owner, attribute, before = self._undo.pop()
            if before is _ABSENT:
                delattr(owner, attribute)
            else:
                setattr(owner, attribute, before)
        self.on = ()
        self._quick = None
        _installed = None

    def _apply(self, changes: Iterable[Change]) -> None:
        for owner, attribute, value in list(changes):
            self._undo.append((owner, attribute, vars(owner).get(attribute, _ABSENT)))
            setattr(owner, attribute, value)


#: Names of all patches, for `install(without=...)`.
PATCH_NAMES: Final = tuple(patch.name for patch in PATCHES)

_installed: Substrate | None = None


def install(transformer: erb.Transformer, *, without: frozenset[str] = frozenset()) -> Substrate:
    """Put the faster ground under this process's transformers.

    Args:
        transformer: of `erb.boot`.
        without: names of patches to leave out, for measuring.

    Raises:
        AspectsError: a patch of this name is unknown, or a substrate is installed already.
    """
    global _installed  # noqa: PLW0603  what is patched is as global
    unknown = without - {patch.name for patch in PATCHES}
    if unknown:
        raise AspectsError(
            f"no patch is called {', '.join(sorted(unknown))}",
            do=f"Use names among {', '.join(patch.name for patch in PATCHES)}.",
        )
    if _installed is not None:
        raise AspectsError(
            "event-routing-backends is patched in this process already",
            do="Use the substrate that is there, or uninstall it first.",
        )
    _installed = Substrate(transformer, without=without)
    return _installed


class _QuickTransformer(erb.Transformer):
    """event-routing-backends' transformers without its processor, which serialises each statement and parses it again.

    What an exception means is the same for both.
    """

    def __init__(self) -> None:
        super().__init__()
        from event_routing_backends.processors.xapi.registry import XApiTransformersRegistry

        self._mapping: dict[str, Callable[[Any], Any]] = XApiTransformersRegistry.mapping
        self._processor = self._objects

    def _objects(self, events: list[Any]) -> list[Any]:
        event = events[0]
        made = self._mapping.get(event.get("name"))
        if made is None:
            return []
        found = made(event).transform()
        if not found:
            return []
        statements = found if isinstance(found, list) else [found]
        for statement in statements:
            about = statement.object
            if not about or not about.id:
                return []
        return statements


def _serialised(statement: Any) -> BuiltStatement:
    moment = statement.timestamp
    if moment is None:
        raise UntransformableError("no_statement_time", "KeyError")
    verb = statement.verb
    try:
        tree = getattr(statement, "tree", statement.as_version)()
        try:
            text = orjson.dumps(tree, option=_OPTIONS)
            if b"null" in text:  # perhaps a NaN
                text = as_json(statement.as_version())
        except TypeError:  # long integers, lone surrogates, deep nesting: the standard library tells which
            text = as_json(statement.as_version())
    except UntransformableError:
        raise
    except Exception as error:  # event-routing-backends' own serialising would have raised it as well
        raise UntransformableError(f"error_{type(error).__name__}", type(error).__name__) from None
    at = micros(moment) if moment.tzinfo is UTC else statement_micros(moment.isoformat())
    return BuiltStatement(statement.id.bytes, at, text, verb.id)

"""The fast engine: builders for the commonest events, and faster ground under the transformers for all others.

Nothing here is taken on trust: builders and patches know by fingerprint the functions that they were written against,
and where one of those is another today, event-routing-backends' own code runs in their place (`off` says so).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aspects_orchestration.tracking.events import Event
from aspects_orchestration.xapi.built import BuiltStatement
from aspects_orchestration.xapi.engine import Engine, StockEngine
from aspects_orchestration.xapi.erb import Transformer
from aspects_orchestration.xapi.fast.builders import Builders
from aspects_orchestration.xapi.fast.builders_known import BUILDERS, TRANSFORMERS
from aspects_orchestration.xapi.fast.fingerprints import differing
from aspects_orchestration.xapi.fast.patches import strangers
from aspects_orchestration.xapi.fast.substrate import install


class FastEngine:
    """Builders first, then the transformers on faster ground; see `aspects_orchestration.xapi.engine.Engine`.

    Args:
        transformer: booted; its process is patched.
        lms_root_url: as it was booted with.

    Attributes:
        off: what stays off because a function is not as it was known, and which; empty if all is on.
    """

    def __init__(self, transformer: Transformer, *, lms_root_url: str) -> None:
        # Asked before the patches are in place: they replace some of what is asked about.
        why = differing(BUILDERS) + strangers() + _registered_otherwise()
        self._builders = None if why else Builders.of(transformer, lms_root_url=lms_root_url)
        self._transformer = transformer
        self._substrate = install(transformer)
        self.off = self._substrate.off + ((f"builders: {', '.join(why)}",) if why else ())

    @property
    def quick(self) -> bool:
        """Whether there are builders."""
        return self._builders is not None

    def statements_of_quick(self, event: Event, moment: int) -> list[BuiltStatement] | None:
        """What a builder makes of an event; see `Engine`. Builders take no float for what may be an integer."""
        return None if self._builders is None else self._builders.build(event, moment)

    def statements(self, event: Event, moment: int) -> list[BuiltStatement]:
        """The statements of one event; see `Engine`."""
        if self._builders is not None:
            built = self._builders.build(event, moment)
            if built is not None:
                return built
        return self._substrate.statements(event)

    @contextmanager
    def stock(self) -> Iterator[Engine]:
        """event-routing-backends as it is: the patches are taken out for the time of a `with` block."""
        self._substrate.uninstall()
        try:
            yield StockEngine(self._transformer)
        finally:
            self._substrate = install(self._transformer)

    def forget(self) -> None:
        """Drop what was kept of identities and courses."""
        self._substrate.forget()
        if self._builders is not None:
            self._builders.forget()


def _registered_otherwise() -> tuple[str, ...]:
    """Events that have a builder, but another transformer than the one that the builder was written after."""
    from event_routing_backends.processors.xapi.registry import XApiTransformersRegistry

    mapping = XApiTransformersRegistry.mapping
    return tuple(
        f"the transformer of {name}"
        for name, known in TRANSFORMERS.items()
        if name in mapping and f"{mapping[name].__module__}.{mapping[name].__qualname__}" != known
    )

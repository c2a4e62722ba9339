"""The rules in force: those of the catalogue, unless alerts.yaml says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aspects_orchestration.monitoring.model import Rule, Signal


@dataclass(frozen=True)
class Rules:
    """What the site has set of its signals.

    Attributes:
        changed: the rules of signals that have others than the catalogue's, by signal.
        off: signals that are not watched.
    """

    changed: Mapping[str, Rule] = field(default_factory=dict)
    off: frozenset[str] = frozenset()

    def of(self, signal: Signal) -> Rule:
        """The rule of a signal."""
        return self.changed.get(signal.name, signal.rule)

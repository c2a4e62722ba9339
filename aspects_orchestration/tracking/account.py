"""The account of a load: where every line and every statement went.

Two sums must always hold:

* lines read = lines that gave statements + lines skipped + lines quarantined;
* statements = inserted + already there + duplicates + collisions + outside the window + refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from aspects_orchestration.errors import AccountError


@dataclass
class LineAccount:
    """What became of the lines of one chunk, one file or one run; accounts add up with `+=`.

    Attributes:
        lines: lines read.
        bytes: their bytes, decompressed.
        with_statements: lines that gave at least one statement.
        skipped: lines left out on purpose, by reason.
        quarantined: lines that could not be loaded, by reason; each one is kept in quarantine.
        statements: statements built inside the window.
        outside_window: statements built whose time is outside the window.
        verbs: statements by verb id.
        assumed_utc: events whose time had no zone.
        hours: transformable events by hour (hours since 1970-01-01 UTC), whatever the window.
        undated: lines of which no time could be read though they may be events.
        first_micros, last_micros: the earliest and latest transformable event (microseconds since 1970-01-01 UTC).
    """

    lines: int = 0
    bytes: int = 0
    with_statements: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    statements: int = 0
    outside_window: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    assumed_utc: int = 0
    hours: Counter[int] = field(default_factory=Counter)
    undated: int = 0
    first_micros: int | None = None
    last_micros: int | None = None

    def __iadd__(self, other: LineAccount) -> LineAccount:
        self.lines += other.lines
        self.bytes += other.bytes
        self.with_statements += other.with_statements
        self.skipped.update(other.skipped)
        self.quarantined.update(other.quarantined)
        self.statements += other.statements
        self.outside_window += other.outside_window
        self.verbs.update(other.verbs)
        self.assumed_utc += other.assumed_utc
        self.hours.update(other.hours)
        self.undated += other.undated
        for moment in (other.first_micros, other.last_micros):
            if moment is not None:
                self.saw(moment)
        return self

    def saw(self, moment: int) -> None:
        """Widen the first and last event by a moment (microseconds since 1970-01-01 UTC)."""
        if self.first_micros is None or moment < self.first_micros:
            self.first_micros = moment
        if self.last_micros is None or moment > self.last_micros:
            self.last_micros = moment

    @property
    def skipped_lines(self) -> int:
        """Lines skipped, all reasons."""
        return self.skipped.total()

    @property
    def quarantined_lines(self) -> int:
        """Lines quarantined, all reasons."""
        return self.quarantined.total()

    def check(self, what: str) -> None:
        """Refuse an account whose lines do not add up.

        Raises:
            AccountError: naming `what` and both sides of the sum.
        """
        accounted = self.with_statements + self.skipped_lines + self.quarantined_lines
        if accounted != self.lines:
            raise AccountError(
                f"{what}: {self.lines} lines were read but {accounted} are accounted for",
                do="Nothing was published. Run again; if it stays so, this is a fault of the reader: report it.",
            )

    def as_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_json` reads it back."""
        # Not `asdict`: it rebuilds a Counter from its items, and so counts them.
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> LineAccount:
        """The account that `as_json` wrote, after a trip through JSON."""
        values = dict(stored)
        for name in ("skipped", "quarantined", "verbs"):
            values[name] = Counter(values[name])
        values["hours"] = Counter({int(hour): count for hour, count in values["hours"].items()})
        return cls(**values)


@dataclass(frozen=True)
class StatementAccount:
    """Where the statements of a run went.

    Attributes:
        statements: built from the lines, inside and outside the window.
        inserted: new in the table.
        already_there: ids that stood in the table before.
        duplicates: further statements with the id and the body of one of this run.
        collisions: further statements with the id of one of this run and another body; the first stands.
        outside_window: built, but not of the window.
        refused: not taken by Ralph; their lines are in quarantine.
    """

    statements: int
    inserted: int
    already_there: int
    duplicates: int
    collisions: int
    outside_window: int
    refused: int = 0

    def check(self, what: str) -> None:
        """Refuse an account whose statements do not add up.

        Raises:
            AccountError: naming `what` and both sides of the sum.
        """
        accounted = (
            self.inserted
            + self.already_there
            + self.duplicates
            + self.collisions
            + self.outside_window
            + self.refused
        )
        if accounted != self.statements:
            raise AccountError(
                f"{what}: {self.statements} statements were built but {accounted} are accounted for",
                do="Run again: what stands in the table is recognised by its id, so nothing is doubled.",
            )

"""What can be wrong with an archive, each with its own name, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from aspects_orchestration.errors import one_line

Kind = Literal[
    "nothing_sealed",
    "gap",
    "missing_manifest",
    "changed_manifest",
    "broken_chain",
    "swapped",
    "missing_object",
    "extra",
    "changed_size",
    "changed_bytes",
    "unreadable",
]

_BRING_BACK: Final = (
    "Bring it back: an older version of the object where the bucket keeps versions, or a replica."
)

#: Every kind of fault: what it means, and what to do.
KINDS: Final[Mapping[Kind, tuple[str, str]]] = {
    "nothing_sealed": (
        "There is no manifest at all: nothing is archived, or this is not the archive.",
        "Check ASPECTS_TRACKING_LOG_ARCHIVE and its mount; then materialize tracking_log_archive for a day.",
    ),
    "gap": (
        "Days between two sealed ones were never sealed: the later manifest follows the earlier one directly.",
        "Seals leave no gaps: find out who wrote the later manifest. Files of those days come in with the next seal.",
    ),
    "missing_manifest": ("A day was sealed, and its manifest is gone.", _BRING_BACK),
    "changed_manifest": (
        "A manifest is not as it was sealed: changed, cut off, or another than the one seen before.",
        f"{_BRING_BACK} What objects it lists is not believed until then.",
    ),
    "broken_chain": (
        "A manifest does not follow from the one before it: one of the two was made anew, or put in.",
        f"Find which of the two is not the one that was sealed (when were they written?). {_BRING_BACK}",
    ),
    "swapped": (
        "A manifest or an object stands under the name of another.",
        "Put each under its own name again, or bring both back from a replica.",
    ),
    "missing_object": (
        "A manifest lists an object that is not there.",
        f"{_BRING_BACK} If its source file still exists, that is a copy too: keep it.",
    ),
    "extra": (
        "Something lies among the logs or the manifests that no manifest lists.",
        "A replay from the archive leaves it out. What a seal that was cut off has left may stay; move the rest elsewhere.",
    ),
    "changed_size": ("An object has another size than its manifest says.", _BRING_BACK),
    "changed_bytes": ("An object has the right size and other bytes than its manifest says.", _BRING_BACK),
    "unreadable": (
        "Storage refuses to give something, or breaks off.",
        "See to what the message names (a grant, a disk, a server), and verify again.",
    ),
}
#: So many faults of a kind are kept one by one; all are counted.
KEPT: Final = 200


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        kind: what it is.
        day: the day it concerns; None if it belongs to no day.
        name: of the manifest or object, below the archive.
        what: a sentence; safe to show.
        do: what to do.
    """

    kind: Kind
    day: date | None
    name: str
    what: str
    do: str

    def __str__(self) -> str:
        return one_line(f"{self.kind}: {self.what}. {self.do}")


class Faults:
    """Faults as they are found: the first of each kind one by one, and the number of all."""

    def __init__(self) -> None:
        self._kept: list[Fault] = []
        self._counts: Counter[Kind] = Counter()
        self._days: set[date] = set()

    def add(self, kind: Kind, day: date | None, name: str, what: str, *, do: str = "") -> None:
        """Note a fault; `do` is for where there is more to say than what is always done about its kind."""
        self._counts[kind] += 1
        if day is not None:
            self._days.add(day)
        if self._counts[kind] <= KEPT:
            self._kept.append(Fault(kind, day, name, what.rstrip("."), do or KINDS[kind][1]))

    @property
    def kept(self) -> tuple[Fault, ...]:
        """Those kept one by one, in the order of KINDS and of their days."""
        kinds = list(KINDS)
        return tuple(
            sorted(self._kept, key=lambda one: (kinds.index(one.kind), one.day or date.min, one.name))
        )

    @property
    def counts(self) -> dict[Kind, int]:
        """How many there are, by kind."""
        return {kind: self._counts[kind] for kind in KINDS if self._counts[kind]}

    @property
    def days(self) -> tuple[date, ...]:
        """The days that have any."""
        return tuple(sorted(self._days))

"""Which part of an archive's objects is read when it is verified: `5%`, `1/7`, `all`, or none."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from aspects_orchestration.errors import AspectsError

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)%", re.ASCII)
_GROUP = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)
_DRAWN_OF: Final = 2**64


class SubsetError(AspectsError):
    """What was asked for is no part of an archive."""


@dataclass(frozen=True)
class Subset:
    """A part of the objects.

    Attributes:
        share: of the objects, drawn by their names and a seed, 0 to 1; at least one where there is any and it is over 0.
        group, groups: instead of a share, one of so many groups (1 to `groups`); an object stays in its group.
    """

    share: float = 0.0
    group: int = 0
    groups: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be read."""
        return not self.groups and self.share == 0.0

    def __str__(self) -> str:
        if self.groups:
            return f"{self.group}/{self.groups}"
        return {0.0: "none", 1.0: "all"}.get(self.share, f"{self.share:.6%}".rstrip("0%").rstrip(".") + "%")


NOTHING: Final = Subset()
EVERYTHING: Final = Subset(1.0)


def parse_subset(text: str) -> Subset:
    """Read a subset as operators write it.

    Args:
        text: `all`; `none` or nothing; a share such as `5%` or `0.5%`; a group such as `1/7`.

    Raises:
        SubsetError: it is none of these.

    Example:
        >>> parse_subset("2/7")
        Subset(share=0.0, group=2, groups=7)
    """
    asked = text.strip().lower()
    if asked in {"", "none", "0", "0%"}:
        return NOTHING
    if asked in {"all", "100%"}:
        return EVERYTHING
    percent, group = _PERCENT.fullmatch(asked), _GROUP.fullmatch(asked)
    if percent and 0 <= float(percent[1]) <= 100:
        return Subset(float(percent[1]) / 100)
    if group and 1 <= int(group[1]) <= int(group[2]):
        return Subset(group=int(group[1]), groups=int(group[2]))
    raise SubsetError(
        f"{text.strip()[:40]!r} is no part of an archive",
        do="Write a share such as 5%, a group such as 1/7 (then 2/7, and so on), all, or none.",
    )


def draw(name: str, seed: str = "") -> float:
    """A number from 0 to 1 that follows from a name and a seed, evenly spread."""
    return _digest(f"{seed}\n{name}") / _DRAWN_OF


def group_of(name: str, groups: int) -> int:
    """The group, 1 to `groups`, that an object of this name is in."""
    return _digest(name) % groups + 1


def _digest(text: str) -> int:
    found = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(found[:8], "big")

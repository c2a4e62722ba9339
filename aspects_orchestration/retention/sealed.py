"""Whether a month's logs are safe in the archive: the condition under which raw statements may go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Sealed:
    """The answer for one month.

    Attributes:
        verified: all logs that touch the month are sealed in the archive, and their copies were read back.
        why: what is missing, where something is; may be shown.
    """

    verified: bool
    why: str = ""


class SealedMonths(Protocol):
    """Who can say of a month whether its logs are sealed in the archive and verified."""

    def sealed(self, month: str) -> Sealed:
        """The answer for a month's key, such as 2024-05."""
        ...

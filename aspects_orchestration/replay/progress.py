"""How far a load is, how fast, and when it will be done; told every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from aspects_orchestration.tracking.account import LineAccount


class Progress:
    """Lines, rate and expected end of a load.

    Args:
        stored_bytes: to be read in all, as stored.
        say: told a line every `every_s` seconds.
        reached: told before it how many bytes have been read, as stored.
    """

    def __init__(
        self,
        stored_bytes: int,
        say: Callable[[str], None],
        *,
        every_s: float = 5.0,
        reached: Callable[[int], None] | None = None,
    ) -> None:
        self._stored_bytes = stored_bytes
        self._say = say
        self._every_s = every_s
        self._reached = reached
        self._started = self._told = time.monotonic()
        self._read = 0
        self._lines = 0
        self._statements = 0

    def took(self, account: LineAccount, stored_bytes: int) -> None:
        """A chunk with this account is done, for which so many bytes of its file were read."""
        self._read += stored_bytes
        self._lines += account.lines
        self._statements += account.statements

    def tell(self, *, finally_: bool = False) -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if not finally_ and now - self._told < self._every_s:
            return
        self._told = now
        if self._reached is not None:
            self._reached(self._read)
        elapsed = max(now - self._started, 0.001)
        share = self._read / self._stored_bytes if self._stored_bytes else 1.0
        left = f", about {_span(elapsed / share - elapsed)} left" if 0.01 < share < 1 else ""
        self._say(
            f"read {share:.0%} of {self._stored_bytes / 1e6:.1f} MB: {self._lines} lines,"
            f" {self._statements} statements, {self._lines / elapsed:.0f} lines/s{left}"
        )


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

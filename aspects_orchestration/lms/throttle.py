"""Keeping the load of a replica under a cap: rows a second, exact over any stretch of more than a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

#: What was left unused for so long, in seconds, can be caught up: ClickHouse takes its time for a slice now and then.
_CREDIT_S = 5.0
#: A page is at most this share of a second's rows, so that the load is even.
_PAGES_A_SECOND = 4


class Throttle:
    """A clock that runs ahead by each row's share of a second, and is waited for.

    Args:
        rows_per_second: the cap; 0 for none.
        clock, sleep: of a test.
    """

    def __init__(
        self,
        rows_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rows_per_second = rows_per_second
        self._clock = clock
        self._sleep = sleep
        self._paid_until = clock()

    def page(self, size: int) -> int:
        """How many rows to read at a time so that the load is even: `size`, or less."""
        if not self._rows_per_second:
            return size
        return max(1, min(size, int(self._rows_per_second / _PAGES_A_SECOND)))

    def pay(self, rows: int) -> None:
        """Wait until so many rows more may have been read."""
        if not self._rows_per_second:
            return
        # From its own reckoning, not from the time of waking up: late wake-ups do not add up.
        self._paid_until = max(self._paid_until, self._clock() - _CREDIT_S) + rows / self._rows_per_second
        ahead = self._paid_until - self._clock()
        if ahead > 0:
            self._sleep(ahead)

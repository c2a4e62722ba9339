"""No more than so many statements a second."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Lets work through at a rate: over any stretch of time no more than the rate times the stretch, and one batch.

    Args:
        per_second: statements; 0: as fast as it goes.
        clock: seconds, never going back.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        per_second: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def wait(self, statements: int) -> None:
        """Wait until so many statements may be sent."""
        if not self.per_second:
            return
        now = self._clock()
        if self._free_at > now:
            self._sleep(self._free_at - now)
        # What was not used is not saved up: after a pause the rate is the same.
        self._free_at = max(now, self._free_at) + statements / self.per_second

"""Doing something to a load at a point that it tells of: a real fault, at a time of the test's own choosing."""

from __future__ import annotations

from collections.abc import Callable


class At(list[str]):
    """What a load says; when a line begins with certain words, something is done, once.

    Args:
        words: how the line begins.
        act: what to do then; the load waits for it.
    """

    def __init__(self, words: str, act: Callable[[], None]) -> None:
        super().__init__()
        self._words = words
        self._act = act
        self.done = False

    def append(self, line: str, /) -> None:
        """Take a line, and act on it."""
        super().append(line)
        if not self.done and line.startswith(self._words):
            self.done = True
            self._act()

"""Reading ahead: while one portion is worked on, the next is on its way from the LMS database."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


class _End:
    """What stands for the end, or for the failure that ended it."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure


def read_ahead(source: Iterator[T], *, portions: int = 4) -> Iterator[T]:
    """The same items, fetched by a thread of its own, a few at most before they are asked for.

    Args:
        source: used by that thread alone.
        portions: so many items wait at most; one more is being fetched.

    Raises:
        Whatever the source raises, in its place.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(portions)
    stopped = threading.Event()

    def put(item: T | _End) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def fetch() -> None:
        try:
            for item in source:
                put(item)
                if stopped.is_set():
                    break
            put(_End())
        except BaseException as failure:
            put(_End(failure))
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=fetch, name="LMS reader", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.failure is not None:
            raise item.failure
    finally:
        stopped.set()
        thread.join()

"""A call that may hang, under a deadline: whoever waits goes on, whatever becomes of the call."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from aspects_orchestration.errors import AspectsError

T = TypeVar("T")


class LateError(AspectsError):
    """Something has not answered in time."""


def within(seconds: float, what: str, call: Callable[[], T]) -> T:
    """The answer of a call, if it comes in time.

    Args:
        seconds: the deadline.
        what: who is asked, in words, to be named where it is late.
        call: run in a thread of its own, which is left behind if it is late; it should have timeouts of its own.

    Raises:
        LateError: it was late.
        Exception: whatever the call raised.
    """
    answers: queue.SimpleQueue[_Answer[T]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_Answer([call()]))
        except BaseException as error:
            answers.put(_Answer([], error))

    threading.Thread(target=ask, name=what, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise LateError(
            f"{what} did not answer within {seconds:g} s",
            do="Look whether it is overloaded or hangs, and whether the network lets its answers through.",
        ) from None
    if answer.error is not None:
        raise answer.error
    return answer.given[0]


@dataclass(frozen=True)
class _Answer(Generic[T]):
    given: list[T]
    error: BaseException | None = None

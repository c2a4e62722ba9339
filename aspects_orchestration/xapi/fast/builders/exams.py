"""Attempts at timed, practice and proctored exams (event_transformers/exam_events)."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from aspects_orchestration.xapi.fast.builders.common import (
    Body,
    Event,
    Kind,
    UnknownShape,
    activity,
    dumps,
    given,
    joined,
    member,
    number,
    text,
)

_NAMES: Final = tuple(
    f"edx.special_exam.{exam}.attempt.{done}"
    for exam in ("timed", "practice", "proctored")
    for done in ("created", "submitted")
)


class Exams:
    """Builders of events of exams.

    Args:
        registry: event-routing-backends' transformers by event name.
    """

    def __init__(self, registry: dict[str, Any]) -> None:
        from event_routing_backends.processors.xapi import constants

        self._registry = registry
        limit = member(constants.XAPI_ACTIVITY_TIME_LIMIT)
        self._limited = b'},"extensions":{' + limit
        self._attempt = activity(constants.XAPI_ACTIVITY_EXAM_ATTEMPT) + b',"name":{"en":'
        self._started = constants.XAPI_CONTEXT_ATTEMPT_STARTED
        self._completed = constants.XAPI_CONTEXT_ATTEMPT_COMPLETED
        self._elapsed = constants.XAPI_CONTEXT_DURATION
        self._number = constants.XAPI_ACTIVITY_ATTEMPT

    def kinds(self) -> dict[str, Kind]:
        """Its builders by event name."""
        return {
            name: Kind(partial(self.attempt, self._exam(name)), grouping=self.around)
            for name in _NAMES
            if name in self._registry
        }

    def attempt(self, exam: bytes, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """An attempt was begun or handed in."""
        if event["event"] is not data or data.__class__ is not dict:
            raise UnknownShape  # the transformers look into the line's own `event`, which may still be text
        content, name = dumps(text(data["exam_content_id"])), dumps(text(data["exam_name"]))
        limit = given(data, "exam_default_time_limit_mins")
        if limit is None:
            return joined((b'"object":{"id":', content, exam, name, b'},"extensions":{}}}')), b""
        rest = dumps(number(limit))
        return joined((b'"object":{"id":', content, exam, name, self._limited, rest, b"}}}")), b""

    def around(self, event: Event, data: Any) -> bytes:  # noqa: ARG002
        """The attempt around the exam."""
        started, completed = given(data, "attempt_started_at"), given(data, "attempt_completed_at")
        elapsed, attempt = given(data, "attempt_event_elapsed_time_secs"), given(data, "attempt_id")
        about: dict[str, Any] = {}
        if started is not None:
            about[self._started] = text(started)
        if completed is not None:
            about[self._completed] = text(completed)
        if elapsed is not None:
            about[self._elapsed] = number(elapsed)
        if attempt is not None:
            about[self._number] = number(attempt)
        return b'"grouping":[{"id":%b%b%b},"extensions":%b}}],' % (
            dumps(text(data["attempt_code"])),
            self._attempt,
            dumps(text(data["exam_name"])),
            dumps(about),
        )

    def _exam(self, name: str) -> bytes:
        return activity(self._registry[name].exam_type_activity) + b',"name":{"en":'

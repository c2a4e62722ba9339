"""Completion and grades (event_transformers/completion_events, grading_events)."""

from __future__ import annotations

from typing import Any

from aspects_orchestration.xapi.fast.builders.common import (
    Body,
    Event,
    Kept,
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

_COURSE_GRADE = "edx.grades.course.grade_calculated"


class Progress:
    """Builders of events of completion and grades.

    Args:
        root: LMS_ROOT_URL.
        registry: event-routing-backends' transformers by event name.
    """

    def __init__(self, root: str, registry: dict[str, Any]) -> None:
        from event_routing_backends.processors.xapi import constants

        self._blocks = f"{root}/xblock/"
        self._registry = registry
        #: Objects of courses, with the course's name: to be forgotten with the site's courses.
        self.courses: Kept[str, bytes] = Kept()
        resource = activity(constants.XAPI_ACTIVITY_RESOURCE) + b'}},"result":{'
        progress = b'"extensions":{' + member(constants.XAPI_ACTIVITY_PROGRESS)
        self._completed = resource + b'"completion":true,' + progress
        self._begun = resource + b'"completion":false,' + progress
        self._passed = resource + b'"success":true,"score":'
        self._failed = resource + b'"success":false,"score":'
        self._letter = b',"extensions":{' + member(constants.XAPI_ACTIVITY_GRADE_CLASSIFICATION)

    def kinds(self) -> dict[str, Kind]:
        """Its builders by event name."""
        return {
            "edx.completion.block_completion.changed": Kind(self.completion),
            "edx.grades.subsection.grade_calculated": Kind(self.subsection),
            _COURSE_GRADE: Kind(self.course),
        }

    def completion(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A block was completed, or not any more."""
        share = number(data["completion"])
        block = dumps(self._blocks + text(data["block_id"]))
        rest = self._completed if share == 1.0 else self._begun
        return joined((b'"object":{"id":', block, rest, dumps(share * 100), b"}}")), b""

    def subsection(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A subsection's grade was calculated."""
        possible = number(data["weighted_total_possible"] or 0)
        earned = number(data["weighted_total_earned"] or 0)
        block = dumps(self._blocks + text(data["block_id"]))
        rest = self._passed if earned >= possible else self._failed
        # Divided by next to nothing it is infinite, which is no number.
        score = _score(number(earned / possible) if possible > 0 else 0, earned, possible)
        return joined((b'"object":{"id":', block, rest, score, b"}")), b""

    def course(self, event: Event, data: Any, context: Event) -> Body:
        """A course's grade was calculated."""
        grade = number(data["percent_grade"] or 0)
        letter = given(data, "letter_grade") or "Fail"
        if letter.__class__ is not str:
            raise UnknownShape
        course_id = context["course_id"]
        course = self.courses.get(course_id) or self._course(event, course_id)
        return joined((course, _score(grade, grade, 1), self._letter, dumps(letter), b"}}")), b""

    def _course(self, event: Event, course_id: str) -> bytes:
        about = dumps(self._registry[_COURSE_GRADE](event).get_object().as_version())
        return self.courses.keep(course_id, b'"object":%b,"result":{"score":' % about)


def _score(scaled: float, raw: float, highest: float) -> bytes:
    return dumps({"scaled": float(scaled), "raw": float(raw), "min": 0.0, "max": float(highest)})

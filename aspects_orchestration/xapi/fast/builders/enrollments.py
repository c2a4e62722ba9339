"""Enrollments, and what becomes of a course for its learner (event_transformers/enrollment_events)."""

from __future__ import annotations

from typing import Any, Final

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
    text,
)

_NAMES: Final = (
    "edx.course.enrollment.activated",
    "edx.course.enrollment.deactivated",
    "edx.course.enrollment.mode_changed",
    "edx.course.grade.passed.first_time",
    "edx.course.grade.now_passed",
    "edx.course.grade.now_failed",
)


class Enrollments:
    """Builders of events of enrollments.

    Args:
        root: LMS_ROOT_URL.
    """

    def __init__(self, root: str) -> None:
        from event_routing_backends.processors.xapi import constants

        self._root = root
        #: Objects of courses, with the course's name: to be forgotten with the site's courses.
        self.courses: Kept[str, bytes] = Kept()
        self._open_course = activity(constants.XAPI_ACTIVITY_COURSE)
        self._mode = member(constants.XAPI_ACTIVITY_MODE)

    def kinds(self) -> dict[str, Kind]:
        """Its builders by event name."""
        return dict.fromkeys(_NAMES, Kind(self.enrolled, with_course=False))

    def enrolled(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """An enrollment changed; a course was passed or failed."""
        course_id, mode = context["course_id"], given(data, "mode")
        course = self.courses.get(course_id) or self._course(course_id)
        if mode is None:
            return course + b"}}}", b""
        return joined((course, self._mode, dumps(text(mode)), b"}}}")), b""

    def _course(self, course_id: str) -> bytes:
        from event_routing_backends.helpers import get_course_from_id

        name = get_course_from_id(course_id)["display_name"]
        if name.__class__ is not str:
            raise UnknownShape
        url = dumps(f"{self._root}/course/{course_id}")
        course = b'"object":{"id":%b%b,"name":{"en":%b},"extensions":{' % (
            url,
            self._open_course,
            dumps(name),
        )
        return self.courses.keep(course_id, course)

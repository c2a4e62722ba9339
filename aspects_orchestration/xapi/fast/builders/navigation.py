"""Ways through a course (event_transformers/navigation_events)."""

from __future__ import annotations

from typing import Any

from aspects_orchestration.xapi.fast.builders.common import (
    Body,
    Event,
    Kind,
    activity,
    dumps,
    given,
    joined,
    member,
    text,
    whole,
)


class Navigation:
    """Builders of events of navigation.

    Args:
        root: LMS_ROOT_URL.
    """

    def __init__(self, root: str) -> None:
        from event_routing_backends.processors.xapi import constants

        self._blocks = f"{root}/xblock/"
        self._link = activity(constants.XAPI_ACTIVITY_LINK) + b"}}"
        self._module = activity(constants.XAPI_ACTIVITY_MODULE) + b',"name":{"en":'
        resource = activity(constants.XAPI_ACTIVITY_RESOURCE) + b',"extensions":{'
        self._no_total = resource + b"}}}"
        self._total = resource + member(constants.XAPI_ACTIVITY_TOTAL_COUNT)
        self._starting = b"," + member(constants.XAPI_CONTEXT_STARTING_POSITION)
        self._ending = b"," + member(constants.XAPI_CONTEXT_ENDING_POSITION)
        self._next = self._ending + b'"next unit"'
        self._previous = self._ending + b'"previous unit"'

    def kinds(self) -> dict[str, Kind]:
        """Its builders by event name."""
        outline = Kind(self.outline)
        return {
            "edx.ui.lms.link_clicked": Kind(self.link),
            "edx.ui.lms.outline.selected": outline,
            "edx.ui.lms.sequence.outline.selected": outline,
            "edx.ui.lms.sequence.next_selected": Kind(self.next),
            "edx.ui.lms.sequence.previous_selected": Kind(self.previous),
            "edx.ui.lms.sequence.tab_selected": Kind(self.tab),
        }

    def link(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A link was followed."""
        return joined((b'"object":{"id":', dumps(text(data["target_url"])), self._link)), b""

    def outline(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """An entry of the course's outline was chosen."""
        target, name = dumps(text(data["target_url"])), dumps(text(data["target_name"]))
        return joined((b'"object":{"id":', target, self._module, name, b"}}}")), b""

    def next(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """The next unit was chosen."""
        return self._sequence(data), self._since(data) + self._next

    def previous(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """The previous unit was chosen."""
        return self._sequence(data), self._since(data) + self._previous

    def tab(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """One of the units was chosen."""
        target = given(data, "target_tab")
        ending = b"" if target is None else self._ending + whole(target)
        return self._sequence(data), self._since(data) + ending

    def _sequence(self, data: Any) -> bytes:
        place, total = dumps(self._blocks + text(data["id"])), given(data, "tab_count")
        if total is None:
            return joined((b'"object":{"id":', place, self._no_total))
        return joined((b'"object":{"id":', place, self._total, whole(total), b"}}}"))

    def _since(self, data: Any) -> bytes:
        starting = given(data, "current_tab")
        return b"" if starting is None else self._starting + whole(starting)

"""Posts in forums (event_transformers/forum_events)."""

from __future__ import annotations

from typing import Any, Final

from aspects_orchestration.xapi.fast.builders.common import (
    Body,
    Event,
    Kind,
    UnknownShape,
    activity,
    dumps,
    found,
    given,
    joined,
    member,
    text,
)

#: The name under which the transformers look for a further extension of some.
_FURTHER: Final = {
    "edx.forum.thread.created": "thread_type",
    "edx.forum.thread.voted": "vote_value",
    "edx.forum.response.voted": "vote_value",
}
_PLAIN: Final = tuple(
    f"edx.forum.{post}.{done}"
    for post in ("thread", "response", "comment")
    for done in ("created", "edited", "deleted", "viewed", "reported", "unreported")
    if (post, done) not in {("thread", "created"), ("response", "viewed"), ("comment", "viewed")}
)


class Forum:
    """Builders of events of forums.

    Args:
        root: LMS_ROOT_URL.
    """

    def __init__(self, root: str) -> None:
        from event_routing_backends.processors.xapi import constants

        self._root = root
        self._post = activity(constants.XAPI_ACTIVITY_DISCUSSION)
        self._untitled = self._post + b"}}"
        self._titled = self._post + b',"name":{"en":'
        self._further = b"," + member(constants.XAPI_ACTIVITY_MODE)

    def kinds(self) -> dict[str, Kind]:
        """Its builders by event name."""
        return {
            **dict.fromkeys(_PLAIN, Kind(self.post, grouping=self.discussion)),
            **dict.fromkeys(_FURTHER, Kind(self.further, grouping=self.discussion)),
        }

    def post(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A post was written, edited, deleted, seen or reported."""
        post, path, title = text(data["id"]), text(context["path"]), given(data, "title")
        place = path.rstrip("/").replace(post, "").rstrip("/")
        url = dumps(f"{self._root}{place}/{post}")
        if title is None:
            return joined((b'"object":{"id":', url, self._untitled)), b""
        return joined((b'"object":{"id":', url, self._titled, dumps(text(title)), b"}}}")), b""

    def further(self, event: Event, data: Any, context: Event) -> Body:
        """A thread of a type was written, or a vote given."""
        value = found(event, _FURTHER[event["name"]])
        if value.__class__ is not str:
            raise UnknownShape
        return self.post(event, data, context)[0], self._further + dumps(value)

    def discussion(self, event: Event, data: Any) -> bytes:  # noqa: ARG002
        """The discussion around a post."""
        if "discussion" not in data:
            return b""
        discussion = data["discussion"]["id"]
        if not discussion:
            return b""
        url = dumps(f"{self._root}/api/discussion/v1/threads/{text(discussion)}")
        return b'"grouping":[{"id":%b%b}}],' % (url, self._post)

"""Videos (event_transformers/video_events)."""

from __future__ import annotations

from datetime import timedelta
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
    seconds,
    text,
)

_CAPTIONS_ON: Final = (
    "show_transcript",
    "video_show_cc_menu",
    "edx.video.transcript.shown",
    "edx.video.closed_captions.shown",
)
_CAPTIONS_OFF: Final = (
    "hide_transcript",
    "video_hide_cc_menu",
    "edx.video.transcript.hidden",
    "edx.video.closed_captions.hidden",
)


class Videos:
    """Builders of events of videos.

    Args:
        root: LMS_ROOT_URL.
    """

    def __init__(self, root: str) -> None:
        from event_routing_backends.processors.xapi import constants

        self._root = root
        self._before: Kept[str, str] = Kept()
        self._lengths: Kept[float, bytes] = Kept()
        self._shown: Kept[str, bytes] = Kept()
        self._object = activity(constants.XAPI_ACTIVITY_VIDEO) + b"}}"
        at = member(constants.XAPI_RESULT_VIDEO_TIME)
        result = self._object + b',"result":{"extensions":{'
        self._no_result = result + b"}}"
        self._at = result + at
        self._from = result + member(constants.XAPI_RESULT_VIDEO_TIME_FROM)
        self._only_to = result + member(constants.XAPI_RESULT_VIDEO_TIME_TO)
        self._to = b"," + member(constants.XAPI_RESULT_VIDEO_TIME_TO)
        self._speed_from = result + member(constants.XAPI_RESULT_VIDEO_SPEED_FROM)
        self._speed_to = b"," + member(constants.XAPI_RESULT_VIDEO_SPEED_TO)
        captions = member(constants.XAPI_RESULT_VIDEO_CC_ENABLED)
        self._captions = {
            **dict.fromkeys(_CAPTIONS_ON, captions + b"true}}"),
            **dict.fromkeys(_CAPTIONS_OFF, captions + b"false}}"),
        }
        self._only_captions = result
        self._completed = self._object + b',"result":{"completion":true,"extensions":{' + at
        self._length = b"," + member(constants.XAPI_CONTEXT_VIDEO_LENGTH)

    def kinds(self) -> dict[str, Kind]:
        """Its builders by event name."""
        at_time, seek, captions = Kind(self.at_time), Kind(self.seek), Kind(self.captions)
        return {
            **dict.fromkeys(("load_video", "edx.video.loaded"), Kind(self.loaded)),
            **dict.fromkeys(("play_video", "edx.video.played"), at_time),
            **dict.fromkeys(("pause_video", "edx.video.paused"), at_time),
            **dict.fromkeys(("stop_video", "edx.video.stopped"), at_time),
            **dict.fromkeys(("seek_video", "edx.video.position.changed"), seek),
            **dict.fromkeys(("complete_video", "edx.video.completed"), Kind(self.completed)),
            **dict.fromkeys(_CAPTIONS_ON + _CAPTIONS_OFF, captions),
            "speed_change_video": Kind(self.speed),
        }

    def loaded(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A video was loaded."""
        return self._opened(data, context) + self._object, self._with_length(data)

    def at_time(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """Played, paused, stopped."""
        at = data.get("current_time") or given(data, "currentTime")
        video = self._opened(data, context)
        if at is None:
            return video + self._no_result, self._with_length(data)
        return joined((video, self._at, seconds(at), b"}}")), self._with_length(data)

    def seek(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """Another place was sought."""
        since, until = given(data, "old_time"), given(data, "new_time")
        video = self._opened(data, context)
        if since is None:
            rest = self._no_result if until is None else joined((self._only_to, seconds(until), b"}}"))
            return video + rest, self._with_length(data)
        upto = b"" if until is None else self._to + seconds(until)
        return joined((video, self._from, seconds(since), upto, b"}}")), self._with_length(data)

    def captions(self, event: Event, data: Any, context: Event) -> Body:
        """Captions or the transcript were shown or hidden."""
        at = data.get("current_time") or given(data, "currentTime")
        video, switched = self._opened(data, context), self._captions[event["name"]]
        if at is None:
            return video + self._only_captions + switched, self._with_length(data)
        return joined((video, self._at, seconds(at), b",", switched)), self._with_length(data)

    def completed(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A video was seen to its end."""
        duration = given(data, "duration")
        if duration is None:
            raise UnknownShape
        length = seconds(duration)
        shown = self._shown.get(length.decode()) or self._duration(length.decode())
        body = joined((self._opened(data, context), self._completed, length, b'},"duration":', shown, b"}"))
        return body, self._length + length

    def speed(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """Another speed was chosen."""
        since, until = dumps(text(data["old_speed"]) + "x"), dumps(text(data["new_speed"]) + "x")
        video = self._opened(data, context)
        return joined((video, self._speed_from, since, self._speed_to, until, b"}}")), self._with_length(data)

    def _opened(self, data: Any, context: Event) -> bytes:
        """The object, up to its id."""
        video, course_id = data["id"], context["course_id"]
        if video.__class__ is not str or not video:
            raise UnknownShape
        before = self._before.get(course_id) or self._before_videos(course_id)
        return b'"object":{"id":' + dumps(before + video)

    def _before_videos(self, course_id: str) -> str:
        from event_routing_backends.helpers import make_video_block_id

        return self._before.keep(course_id, f"{self._root}/xblock/{make_video_block_id('', course_id)}")

    def _with_length(self, data: Any) -> bytes:
        duration = data.get("duration")
        if duration.__class__ is float or duration.__class__ is int:
            return self._lengths.get(duration) or self._length_of(duration)
        if given(data, "duration") is None:
            return b""
        raise UnknownShape

    def _length_of(self, duration: float) -> bytes:
        length = self._length + seconds(duration)
        # Zero may be negative, and is equal all the same.
        return self._lengths.keep(duration, length) if duration else length

    def _duration(self, length: str) -> bytes:
        from tincan.conversions.iso8601 import jsonify_timedelta

        return self._shown.keep(length, dumps(jsonify_timedelta(timedelta(seconds=float(length)))))

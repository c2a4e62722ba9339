"""Statements of the commonest events, written down directly.

A builder knows one kind of event in one shape, and leaves every other shape to the transformers: it answers None as
soon as a value is not of the type, or not in the place, for which its statement was worked out. What a statement
looks like is event-routing-backends' rule (processors/xapi/event_transformers); the differential suite holds the two
side by side. Actors, verbs and courses are taken from the transformers themselves, once, and kept as JSON text.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha1
from typing import Any

import orjson

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.xapi.built import BuiltStatement
from aspects_orchestration.xapi.erb import Transformer, UntransformableError

Event = dict[str, Any]
Build = Callable[[Event, Any, bytes], bytes]

_BASE = uuid.UUID(
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
)  # event-routing-backends' own; it may never change there
_KEPT = 50_000
_UNSURE = 1e15
_NOTHING = object()
_ENROLLMENT = frozenset(
    {
        "edx.course.enrollment.activated",
        "edx.course.enrollment.deactivated",
        "edx.course.enrollment.mode_changed",
        "edx.course.grade.passed.first_time",
        "edx.course.grade.now_passed",
        "edx.course.grade.now_failed",
    }
)
#: Posts in forums, and the name under which the transformers look for a further extension of some.
_FORUM: dict[str, str | None] = {
    "edx.forum.thread.created": "thread_type",
    "edx.forum.thread.voted": "vote_value",
    "edx.forum.response.voted": "vote_value",
    **{
        f"edx.forum.{post}.{done}": None
        for post in ("thread", "response", "comment")
        for done in ("created", "edited", "deleted", "viewed", "reported", "unreported")
        if (post, done) not in {("thread", "created"), ("response", "viewed"), ("comment", "viewed")}
    },
}
#: The one way to write a time of which the text is also the statement's; 24:00 is the next day's 00:00 there.
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00", re.ASCII).fullmatch
_CAPTIONS_ON = frozenset(
    {"show_transcript", "video_show_cc_menu", "edx.video.transcript.shown", "edx.video.closed_captions.shown"}
)
_CAPTIONS_OFF = frozenset(
    {
        "hide_transcript",
        "video_hide_cc_menu",
        "edx.video.transcript.hidden",
        "edx.video.closed_captions.hidden",
    }
)


class _UnknownShape(Exception):  # noqa: N818  not an error: another way is taken
    pass


class Builders:
    """Builders for the commonest kinds of events.

    Args:
        lms_root_url: as the transformers have it.
        registry: event-routing-backends' transformers by event name.
        version: event-routing-backends' version.

    Attributes:
        names: event names that have a builder.
    """

    def __init__(self, *, lms_root_url: str, registry: dict[str, Any], version: str) -> None:
        from event_routing_backends.processors.xapi import constants
        from tincan.conversions.iso8601 import jsonify_timedelta

        self._root = lms_root_url
        self._registry = registry
        self._actors: dict[int | str, tuple[bytes, bytes]] = {}
        self._courses: dict[str, bytes] = {}
        self._course_objects: dict[str, bytes] = {}
        self._enrolled: dict[str, bytes] = {}
        self._videos: dict[str, str] = {}
        self._referers: dict[str, str | None] = {}
        self._verbs: dict[str, tuple[bytes, bytes, str]] = {}
        self._text = _Text(constants)
        self._shown_duration = jsonify_timedelta
        self._extensions = (
            b'"context":{"extensions":{'
            + _member(constants.XAPI_TRANSFORMER_VERSION_KEY)
            + orjson.dumps(f"event-routing-backends@{version}")
        )
        self._session = b"," + _member(constants.XAPI_CONTEXT_SESSION_ID)
        self._build: dict[str, Build] = {
            "load_video": self._video,
            "edx.video.loaded": self._video,
            "play_video": self._video_at_time,
            "edx.video.played": self._video_at_time,
            "pause_video": self._video_at_time,
            "edx.video.paused": self._video_at_time,
            "stop_video": self._video_at_time,
            "edx.video.stopped": self._video_at_time,
            "seek_video": self._video_seek,
            "edx.video.position.changed": self._video_seek,
            "complete_video": self._video_completed,
            "edx.video.completed": self._video_completed,
            "speed_change_video": self._video_speed,
            **dict.fromkeys(_CAPTIONS_ON | _CAPTIONS_OFF, self._video_captions),
            "edx.ui.lms.link_clicked": self._link,
            "edx.ui.lms.outline.selected": self._outline,
            "edx.ui.lms.sequence.outline.selected": self._outline,
            "edx.ui.lms.sequence.next_selected": self._navigation,
            "edx.ui.lms.sequence.previous_selected": self._navigation,
            "edx.ui.lms.sequence.tab_selected": self._navigation,
            "edx.completion.block_completion.changed": self._completion,
            "edx.grades.subsection.grade_calculated": self._subsection_grade,
            "edx.grades.course.grade_calculated": self._course_grade,
            **dict.fromkeys(_ENROLLMENT, self._enrollment),
            **dict.fromkeys(_FORUM, self._forum),
            "problem_check": self._problem_check,
            "showanswer": self._show_answer,
        }
        self.names = frozenset(self._build)

    @classmethod
    def of(cls, transformer: Transformer, *, lms_root_url: str) -> Builders:
        """Builders beside booted transformers."""
        from event_routing_backends.processors.xapi.registry import XApiTransformersRegistry

        mapping = XApiTransformersRegistry.mapping
        return cls(lms_root_url=lms_root_url, registry=mapping, version=transformer.version)

    def forget(self) -> None:
        """Drop all that came from identities and courses."""
        self._actors.clear()
        self._courses.clear()
        self._course_objects.clear()
        self._enrolled.clear()

    def build(self, event: Event, moment: int) -> BuiltStatement | None:
        """The statement of an event, or None if no builder is sure of it.

        Args:
            event: as `parse_event` leaves it, its time being readable.
            moment: its time in microseconds since 1970-01-01 UTC.
        """
        build = self._build.get(event["name"])
        if build is None:
            return None
        try:
            return self._statement(event, moment, build)
        except (AspectsError, UntransformableError):
            raise
        except Exception:  # whatever is odd about it, the transformer will say, in its own way
            return None

    def _statement(self, event: Event, moment: int, build: Build) -> BuiltStatement:
        timestamp = event["timestamp"]
        if timestamp.__class__ is not str or _CANONICAL(timestamp) is None:
            raise _UnknownShape
        # The statement repeats a canonical text, without a fraction of zero.
        shown = timestamp if timestamp[19:26] != ".000000" else timestamp[:19] + "+00:00"
        context = event["context"]
        course_id = context["course_id"]
        if context.__class__ is not dict or course_id.__class__ is not str or not course_id:
            raise _UnknownShape
        data = event["data"]
        actor, actor_name = self._actor(event, data)
        verb, namespace, verb_id = self._verb(event, context)
        session = event["session"]
        extensions = self._extensions
        if session:
            if session.__class__ is not str:
                raise _UnknownShape
            extensions += self._session + orjson.dumps(session)
        elif session is not None and session != "":
            raise _UnknownShape
        rest = build(event, data, extensions)
        digest = bytearray(sha1(namespace + actor_name + timestamp.encode()).digest()[:16])  # noqa: S324
        digest[6] = digest[6] & 0x0F | 0x50
        digest[8] = digest[8] & 0x3F | 0x80
        text = digest.hex()
        event_id = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        statement = b'{"id":"%b","version":"1.0.3","actor":%b,"verb":%b,"timestamp":"%b",%b%b}}' % (
            event_id.encode(),
            actor,
            verb,
            shown.encode(),
            rest,
            self._activities(event, data, course_id),
        )
        return BuiltStatement(event_id, moment, statement, verb_id)

    # --- what statements share -----------------------------------------------------------------------------------

    def _actor(self, event: Event, data: Any) -> tuple[bytes, bytes]:
        key = None
        if data.__class__ is dict:
            key = data.get("user_id") or data.get("username")
        if not key:
            key = _found(event, "user_id") or _found(event, "username")
        if key.__class__ is not int and key.__class__ is not str:
            raise _UnknownShape
        found = self._actors.get(key)
        if found is None:
            actor = self._registry[event["name"]](event).get_actor()
            found = orjson.dumps(actor.as_version()), f"{actor.to_json()}-".encode()
            if len(self._actors) >= _KEPT:
                self._actors.clear()
            self._actors[key] = found
        return found

    def _verb(self, event: Event, context: Event) -> tuple[bytes, bytes, str]:
        name = event["name"]
        if name == "problem_check":
            source = event["event_source"]
            if "event_source" in context or source not in {"browser", "server"}:
                raise _UnknownShape
            name = f"{name} {source}"
        found = self._verbs.get(name)
        if found is None:
            transformer = self._registry[event["name"]](event)
            verb = transformer.get_verb()
            namespace = uuid.uuid5(_BASE, verb.to_json()).bytes
            found = self._verbs[name] = (orjson.dumps(verb.as_version()), namespace, verb.id)
        return found

    def _activities(self, event: Event, data: Any, course_id: str) -> bytes:
        """The context's activities, behind its extensions: the course, a discussion; for enrollments none."""
        name = event["name"]
        if name in _ENROLLMENT:
            return b""
        course = self._courses.get(course_id) or self._course(event, course_id)
        if name in _FORUM and "discussion" in data:
            discussion = data["discussion"]["id"]
            if discussion:
                if discussion.__class__ is not str:
                    raise _UnknownShape
                url = orjson.dumps(f"{self._root}/api/discussion/v1/threads/{discussion}")
                grouping = b'"grouping":[{"id":%b%b}}]' % (url, self._text.open_discussion)
                return b',"contextActivities":{%b,%b' % (grouping, course[1:])
        return b',"contextActivities":' + course

    def _course(self, event: Event, course_id: str) -> bytes:
        from event_routing_backends.processors.xapi.transformer import XApiTransformer

        # The course alone: what a kind of event adds is of that event.
        activities = XApiTransformer.get_context_activities(self._registry[event["name"]](event))
        found = orjson.dumps(activities.as_version())
        if len(self._courses) >= _KEPT:
            self._courses.clear()
        self._courses[course_id] = found
        return found

    def _block(self, block: Any) -> bytes:
        if block.__class__ is not str or not block:
            raise _UnknownShape
        return orjson.dumps(f"{self._root}/xblock/{block}")

    # --- kinds of events: object, result, and the context up to its extensions ---------------------------------------

    def _video(self, event: Event, data: Any, extensions: bytes) -> bytes:
        return b"%b%b}" % (self._video_object(event, data), self._with_length(data, extensions))

    def _video_at_time(self, event: Event, data: Any, extensions: bytes) -> bytes:
        at = _given(data, "current_time") or _given(data, "currentTime")
        return b'%b"result":{"extensions":{%b}},%b}' % (
            self._video_object(event, data),
            b"" if at is None else self._text.time + _seconds(at),
            self._with_length(data, extensions),
        )

    def _video_seek(self, event: Event, data: Any, extensions: bytes) -> bytes:
        since, until = _given(data, "old_time"), _given(data, "new_time")
        times = []
        if since is not None:
            times.append(self._text.time_from + _seconds(since))
        if until is not None:
            times.append(self._text.time_to + _seconds(until))
        return b'%b"result":{"extensions":{%b}},%b}' % (
            self._video_object(event, data),
            b",".join(times),
            self._with_length(data, extensions),
        )

    def _video_captions(self, event: Event, data: Any, extensions: bytes) -> bytes:
        at = _given(data, "current_time") or _given(data, "currentTime")
        return b'%b"result":{"extensions":{%b%b%b}},%b}' % (
            self._video_object(event, data),
            b"" if at is None else self._text.time + _seconds(at) + b",",
            self._text.captions,
            b"true" if event["name"] in _CAPTIONS_ON else b"false",
            self._with_length(data, extensions),
        )

    def _video_completed(self, event: Event, data: Any, extensions: bytes) -> bytes:
        duration = _given(data, "duration")
        if duration is None:
            raise _UnknownShape
        seconds = _seconds(duration)
        return b'%b"result":{"completion":true,"duration":"%b","extensions":{%b%b}},%b}' % (
            self._video_object(event, data),
            self._shown_duration(timedelta(seconds=float(seconds))).encode(),
            self._text.time,
            seconds,
            self._with_length(data, extensions),
        )

    def _video_speed(self, event: Event, data: Any, extensions: bytes) -> bytes:
        since, until = data["old_speed"], data["new_speed"]
        if since.__class__ is not str or until.__class__ is not str or not since or not until:
            raise _UnknownShape
        return b'%b"result":{"extensions":{%b%b,%b%b}},%b}' % (
            self._video_object(event, data),
            self._text.speed_from,
            orjson.dumps(since + "x"),
            self._text.speed_to,
            orjson.dumps(until + "x"),
            self._with_length(data, extensions),
        )

    def _video_object(self, event: Event, data: Any) -> bytes:
        video = data["id"]
        if video.__class__ is not str or not video:
            raise _UnknownShape
        course_id = event["context"]["course_id"]
        prefix = self._videos.get(course_id)
        if prefix is None:
            from event_routing_backends.helpers import make_video_block_id

            if len(self._videos) >= _KEPT:
                self._videos.clear()
            prefix = self._videos[course_id] = f"{self._root}/xblock/" + make_video_block_id("", course_id)
        return b'"object":{"id":%b%b' % (orjson.dumps(prefix + video), self._text.video_definition)

    def _with_length(self, data: Any, extensions: bytes) -> bytes:
        duration = _given(data, "duration")
        return extensions if duration is None else extensions + self._text.length + _seconds(duration)

    def _link(self, event: Event, data: Any, extensions: bytes) -> bytes:  # noqa: ARG002
        target = data["target_url"]
        if target.__class__ is not str or not target:
            raise _UnknownShape
        return b'"object":{"id":%b%b%b}' % (orjson.dumps(target), self._text.link_definition, extensions)

    def _outline(self, event: Event, data: Any, extensions: bytes) -> bytes:  # noqa: ARG002
        target, name = data["target_url"], data["target_name"]
        if target.__class__ is not str or name.__class__ is not str or not target or not name:
            raise _UnknownShape
        return b'"object":{"id":%b%b%b}}},%b}' % (
            orjson.dumps(target),
            self._text.open_module,
            orjson.dumps(name),
            extensions,
        )

    def _navigation(self, event: Event, data: Any, extensions: bytes) -> bytes:
        name = event["name"]
        total = _given(data, "tab_count")
        starting = _given(data, "current_tab")
        if name == "edx.ui.lms.sequence.tab_selected":
            target = _given(data, "target_tab")
            ending = b"" if target is None else self._text.ending + _whole(target)
        elif name == "edx.ui.lms.sequence.next_selected":
            ending = self._text.ending_next
        else:
            ending = self._text.ending_previous
        return b'"object":{"id":%b%b%b}}},%b%b%b}' % (
            self._block(data["id"]),
            self._text.open_navigation,
            b"" if total is None else self._text.total + _whole(total),
            extensions,
            b"" if starting is None else self._text.starting + _whole(starting),
            ending,
        )

    def _completion(self, event: Event, data: Any, extensions: bytes) -> bytes:  # noqa: ARG002
        completion = _number(data["completion"])
        return b'"object":{"id":%b%b"result":{"completion":%b,"extensions":{%b%b}},%b}' % (
            self._block(data["block_id"]),
            self._text.resource_definition,
            b"true" if completion == 1.0 else b"false",
            self._text.progress,
            repr(completion * 100).encode(),
            extensions,
        )

    def _subsection_grade(self, event: Event, data: Any, extensions: bytes) -> bytes:  # noqa: ARG002
        possible = _number(data["weighted_total_possible"] or 0)
        earned = _number(data["weighted_total_earned"] or 0)
        return b'"object":{"id":%b%b"result":{"success":%b,"score":%b},%b}' % (
            self._block(data["block_id"]),
            self._text.resource_definition,
            b"true" if earned >= possible else b"false",
            _score(earned / possible if possible > 0 else 0, earned, possible),
            extensions,
        )

    def _course_grade(self, event: Event, data: Any, extensions: bytes) -> bytes:
        grade = _number(data["percent_grade"] or 0)
        letter = _given(data, "letter_grade") or "Fail"
        if letter.__class__ is not str:
            raise _UnknownShape
        course_id = event["context"]["course_id"]
        course = self._course_objects.get(course_id)
        if course is None:
            course = orjson.dumps(self._registry[event["name"]](event).get_object().as_version())
            if len(self._course_objects) >= _KEPT:
                self._course_objects.clear()
            self._course_objects[course_id] = course
        return b'"object":%b,"result":{"score":%b,"extensions":{%b%b}},%b}' % (
            course,
            _score(grade, grade, 1),
            self._text.grade,
            orjson.dumps(letter),
            extensions,
        )

    def _enrollment(self, event: Event, data: Any, extensions: bytes) -> bytes:
        course_id = event["context"]["course_id"]
        course = self._enrolled.get(course_id)
        if course is None:
            from event_routing_backends.helpers import get_course_from_id

            name = get_course_from_id(course_id)["display_name"]
            if name.__class__ is not str:
                raise _UnknownShape
            url = orjson.dumps(f"{self._root}/course/{course_id}")
            course = b'"object":{"id":%b%b"name":{"en":%b},"extensions":{' % (
                url,
                self._text.open_course,
                orjson.dumps(name),
            )
            if len(self._enrolled) >= _KEPT:
                self._enrolled.clear()
            self._enrolled[course_id] = course
        mode = _given(data, "mode")
        if mode is not None and mode.__class__ is not str:
            raise _UnknownShape
        return b"%b%b}}},%b}" % (
            course,
            b"" if mode is None else self._text.mode + orjson.dumps(mode),
            extensions,
        )

    def _forum(self, event: Event, data: Any, extensions: bytes) -> bytes:
        post, path = data["id"], event["context"]["path"]
        title = _given(data, "title")
        if post.__class__ is not str or path.__class__ is not str or not post or not path:
            raise _UnknownShape
        if title is not None and title.__class__ is not str:
            raise _UnknownShape
        kind = _FORUM[event["name"]]
        if kind is not None:
            value = _found(event, kind)
            if value.__class__ is not str:
                raise _UnknownShape
            extensions += b"," + self._text.mode + orjson.dumps(value)
        place = path.rstrip("/").replace(post, "").rstrip("/")
        return b'"object":{"id":%b%b%b}},%b}' % (
            orjson.dumps(f"{self._root}{place}/{post}"),
            self._text.open_discussion,
            b"" if title is None else b',"name":{"en":%b}' % orjson.dumps(title),
            extensions,
        )

    def _problem_check(self, event: Event, data: Any, extensions: bytes) -> bytes:
        referer = event["referer"]
        if referer.__class__ is not str or not referer:
            raise _UnknownShape
        # The transformers look for some names everywhere in the event; wherever they find this, it must be text.
        places = _objects(event)
        kind = _first(places, "response_type")
        if kind is not None and kind.__class__ is not str:
            raise _UnknownShape
        if event["event_source"] == "browser":
            return self._problem_check_browser(event, data, places, kind, extensions)
        return self._problem_check_server(data, places, extensions)

    def _problem_check_browser(
        self, event: Event, data: Any, places: list[Event], kind: str | None, extensions: bytes
    ) -> bytes:
        from event_routing_backends.helpers import get_block_id_from_event_data

        if data.__class__ is not str or not data or _first(places, "submission") is not None:
            raise _UnknownShape
        usage_key = _first(places, "usage_key")
        if usage_key is not None and usage_key.__class__ is not str:
            raise _UnknownShape
        block = self._block_of_referer(event["referer"])
        if block is None:
            block = get_block_id_from_event_data(data, event["context"]["course_id"])
        name = _first(places, "display_name")
        if name and name.__class__ is not str:
            raise _UnknownShape
        return b'"object":{"id":%b,"objectType":"Activity","definition":{%b%b%b}},%b}' % (
            self._block(block),
            b'"name":{"en-US":' + orjson.dumps(name) + b"}," if name else b"",
            self._text.interaction,
            self._text.interaction_types.get(kind, b'"other"'),
            extensions,
        )

    def _block_of_referer(self, referer: str) -> str | None:
        if "?" not in referer:
            return None
        found = self._referers.get(referer, _NOTHING)
        if found is _NOTHING:
            from event_routing_backends.helpers import get_block_id_from_event_referrer

            if len(self._referers) >= _KEPT:
                self._referers.clear()
            found = self._referers[referer] = get_block_id_from_event_referrer(referer)
        return found  # type: ignore[return-value]

    def _problem_check_server(self, data: Any, places: list[Event], extensions: bytes) -> bytes:
        submissions = data["submission"]
        if submissions.__class__ is not dict or len(submissions) != 1:
            raise _UnknownShape  # none, or several questions: a statement each
        if _first(places, "submission") is not submissions:
            raise _UnknownShape
        (submission,) = submissions.values()
        kind, question, answer = submission["response_type"], submission["question"], submission["answer"]
        if kind.__class__ is not str or not kind or question.__class__ is not str:
            raise _UnknownShape
        if answer.__class__ is list:
            answer = json.dumps(answer, ensure_ascii=False)
        elif answer is not None:
            answer = str(answer)
        correct = submission.get("correct")
        if correct is not None and correct.__class__ is not bool:
            raise _UnknownShape
        attempts = _given(data, "attempts")
        return (
            b'"object":{"id":%b,"objectType":"Activity","definition":{%b"description":{"en-US":%b},%b%b}},'
            b'"result":{"score":%b%b%b},%b}'
        ) % (
            self._block(data["problem_id"]),
            self._text.attempts + _whole(attempts) + b"}," if attempts else b"",
            orjson.dumps(question),
            self._text.interaction,
            self._text.interaction_types.get(kind, b'"other"'),
            _grade(_first(places, "grade"), _first(places, "max_grade")),
            b"" if correct is None else b',"success":true' if correct else b',"success":false',
            b"" if answer is None else b',"response":' + orjson.dumps(answer),
            extensions,
        )

    def _show_answer(self, event: Event, data: Any, extensions: bytes) -> bytes:
        own = data["problem_id"]
        problem = _found(event, "problem_id")
        if own.__class__ is not str or not own or problem.__class__ is not str:
            raise _UnknownShape
        return b'"object":{"id":%b%b%b}' % (
            self._block(f"{problem}/answer"),
            self._text.answer_definition,
            extensions,
        )


class _Text:
    """Pieces of JSON text that never change, with event-routing-backends' own names of things."""

    def __init__(self, constants: Any) -> None:
        from event_routing_backends.processors.xapi.event_transformers import problem_interaction_events

        types: dict[str | None, str] = problem_interaction_events.INTERACTION_TYPES_MAP
        self.interaction_types = {kind: orjson.dumps(shown) for kind, shown in types.items()}
        self.time = _member(constants.XAPI_RESULT_VIDEO_TIME)
        self.time_from = _member(constants.XAPI_RESULT_VIDEO_TIME_FROM)
        self.time_to = _member(constants.XAPI_RESULT_VIDEO_TIME_TO)
        self.length = b"," + _member(constants.XAPI_CONTEXT_VIDEO_LENGTH)
        self.total = _member(constants.XAPI_ACTIVITY_TOTAL_COUNT)
        self.starting = b"," + _member(constants.XAPI_CONTEXT_STARTING_POSITION)
        self.ending = b"," + _member(constants.XAPI_CONTEXT_ENDING_POSITION)
        self.ending_next = self.ending + b'"next unit"'
        self.ending_previous = self.ending + b'"previous unit"'
        self.progress = _member(constants.XAPI_ACTIVITY_PROGRESS)
        self.grade = _member(constants.XAPI_ACTIVITY_GRADE_CLASSIFICATION)
        self.attempts = b'"extensions":{' + _member(constants.XAPI_ACTIVITY_ATTEMPT)
        interaction = orjson.dumps(constants.XAPI_ACTIVITY_INTERACTION)
        self.interaction = b'"type":' + interaction + b',"interactionType":'
        resource = orjson.dumps(constants.XAPI_ACTIVITY_RESOURCE)
        video = orjson.dumps(constants.XAPI_ACTIVITY_VIDEO)
        activity = b',"objectType":"Activity","definition":{"type":'
        self.captions = _member(constants.XAPI_RESULT_VIDEO_CC_ENABLED)
        self.speed_from = _member(constants.XAPI_RESULT_VIDEO_SPEED_FROM)
        self.speed_to = _member(constants.XAPI_RESULT_VIDEO_SPEED_TO)
        self.link_definition = activity + orjson.dumps(constants.XAPI_ACTIVITY_LINK) + b"}},"
        self.answer_definition = activity + orjson.dumps(constants.XAPI_ACTIVITY_SOLUTION) + b"}},"
        self.open_module = activity + orjson.dumps(constants.XAPI_ACTIVITY_MODULE) + b',"name":{"en":'
        course = orjson.dumps(constants.XAPI_ACTIVITY_COURSE)
        self.open_course = activity + course + b","
        self.open_discussion = activity + orjson.dumps(constants.XAPI_ACTIVITY_DISCUSSION)
        self.mode = _member(constants.XAPI_ACTIVITY_MODE)
        self.video_definition = activity + video + b"}},"
        self.resource_definition = activity + resource + b"}},"
        self.open_navigation = activity + resource + b',"extensions":{'


def _member(name: str) -> bytes:
    return orjson.dumps(name) + b":"


def _given(data: Any, name: str) -> Any:
    """A value as the transformers' `get_data` has it: what is empty is None, but zero stays zero."""
    value = data.get(name)
    return value if value or value == 0 else None


def _found(event: Event, name: str) -> Any:
    """The transformers' search for a name: at the top, else in the first nested object that has a value for it."""
    if name in event:
        value = event[name]
    else:
        value = None
        for inner in event.values():
            if inner.__class__ is dict and inner:
                value = _nested(inner, name)
                if value is not None:
                    break
    return value if value or value == 0 else None


def _nested(inner: Event, name: str) -> Any:
    if name in inner:
        return inner[name]
    for value in inner.values():
        if value.__class__ is dict and value:
            found = _nested(value, name)
            if found is not None:
                return found
    return None


def _objects(event: Event) -> list[Event]:
    """The event and every object in it, in the order in which the transformers search them."""
    places = [event]
    data, seen = event["data"], False
    for value in event.values():
        if value.__class__ is dict and value:
            if value is data:
                if seen:
                    continue  # the line's `event`, met before: nothing is found here that was not found there
                seen = True
            places.append(value)
            _gather(value, places)
    return places


def _gather(inner: Event, places: list[Event]) -> None:
    for value in inner.values():
        if value.__class__ is dict and value:
            places.append(value)
            _gather(value, places)


def _first(places: list[Event], name: str) -> Any:
    """`_found`, for several names in one event."""
    for place in places:
        if name in place:
            value = place[name]
            if value is None:
                raise _UnknownShape  # the transformers go on elsewhere; too rare to follow them
            return value if value or value == 0 else None
    return None


def _number(value: Any) -> int | float:
    if (value.__class__ is float or value.__class__ is int) and -_UNSURE < value < _UNSURE:
        found: int | float = value
        return found
    raise _UnknownShape


def _seconds(value: Any) -> bytes:
    """Seconds to three digits behind the point, as the transformers round them."""
    return repr(float(f"{float(_number(value)):.3f}")).encode()


def _whole(value: Any) -> bytes:
    if value.__class__ is int:
        return b"%d" % value
    raise _UnknownShape


def _score(scaled: float, raw: float, highest: float) -> bytes:
    return f'{{"scaled":{float(scaled)!r},"raw":{float(raw)!r},"min":0.0,"max":{float(highest)!r}}}'.encode()


def _grade(grade: Any, highest: Any) -> bytes:
    parts = ['"min":0.0']
    if highest is not None:
        parts.append(f'"max":{float(_number(highest))!r}')
    if grade is not None:
        parts.append(f'"raw":{float(_number(grade))!r}')
        if highest is not None:
            parts.append(f'"scaled":{float(grade / highest if highest > 0 else 0)!r}')
    return ("{" + ",".join(parts) + "}").encode()

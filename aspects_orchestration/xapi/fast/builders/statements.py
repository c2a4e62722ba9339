"""The table of builders by event name, and the statement around what each of them builds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.native import native
from aspects_orchestration.tracking.events import canonical_micros
from aspects_orchestration.xapi.built import BuiltStatement, assembled
from aspects_orchestration.xapi.erb import Transformer, UntransformableError
from aspects_orchestration.xapi.fast.builders.common import (
    Build,
    Event,
    Kept,
    Kind,
    UnknownShape,
    dumps,
    found,
    joined,
    member,
)
from aspects_orchestration.xapi.fast.builders.enrollments import Enrollments
from aspects_orchestration.xapi.fast.builders.exams import Exams
from aspects_orchestration.xapi.fast.builders.forum import Forum
from aspects_orchestration.xapi.fast.builders.navigation import Navigation
from aspects_orchestration.xapi.fast.builders.problems import Problems
from aspects_orchestration.xapi.fast.builders.progress import Progress
from aspects_orchestration.xapi.fast.builders.video import Videos
from aspects_orchestration.xapi.statement_id import statement_id

#: The namespace in event-routing-backends' `get_uuid5`; it may never change there.
_BASE: Final = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8").bytes
#: How a body is built, whether the course goes with it, its id's namespace, its verb as it stands in it, and the verb's id.
_Usual = tuple[Build, bool, bytes, bytes, str]


@dataclass(frozen=True)
class _Plan:
    """A kind of event with its verb, which is the same in all of its statements.

    Attributes:
        usual: what `native.usual_statement` needs of it; None where the statement around a body is no usual one.
    """

    kind: Kind
    usual: _Usual | None
    verb: bytes
    verb_id: str
    verb_text: str
    namespace: bytes


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

        self._registry = registry
        self._actors: Kept[int | str, tuple[bytes, bytes]] = Kept()
        self._courses: Kept[str, tuple[bytes, bytes]] = Kept()
        self._questions: Kept[str, bytes] = Kept()
        self._progress = Progress(lms_root_url, registry)
        self._enrollments = Enrollments(lms_root_url)
        problems = Problems(lms_root_url)
        kinds = {
            **Videos(lms_root_url).kinds(),
            **Navigation(lms_root_url).kinds(),
            **problems.kinds(),
            **self._progress.kinds(),
            **self._enrollments.kinds(),
            **Forum(lms_root_url).kinds(),
            **Exams(registry).kinds(),
        }
        self._plans = {name: self._plan(name, kind) for name, kind in kinds.items() if name in registry}
        checks = problems.checks() if "problem_check" in registry else {}
        self._checks = {source: self._plan("problem_check", kind, source) for source, kind in checks.items()}
        self._context = (
            b',"context":{"extensions":{'
            + member(constants.XAPI_TRANSFORMER_VERSION_KEY)
            + dumps(f"event-routing-backends@{version}")
        )
        self._session = self._context + b"," + member(constants.XAPI_CONTEXT_SESSION_ID)
        self._site = (
            BuiltStatement,
            self._context,
            self._session,
            self._actors,
            self._courses,
            dumps,
        )
        self.names = frozenset(self._plans) | ({"problem_check"} if checks else frozenset())

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
        self._progress.courses.clear()
        self._enrollments.courses.clear()

    def build(self, event: Event, moment: int) -> list[BuiltStatement] | None:
        """The statements of an event, or None if no builder is sure of it.

        Args:
            event: as `parse_event` leaves it, its time being readable.
            moment: its time in microseconds since 1970-01-01 UTC.

        Raises:
            AspectsError: identities or courses could not be asked.
        """
        plan = self._plans.get(event["name"])
        try:
            if plan is None:
                if event["name"] != "problem_check":
                    return None
                plan = self._checks[event["event_source"]]
                if "event_source" in event["context"]:
                    return None
            if plan.usual is not None:
                built = native.usual_statement(self._site, plan.usual, event, moment)
                if built is not None:
                    return built
            return self._statements(event, moment, plan)
        except (AspectsError, UntransformableError):
            raise
        except Exception:  # whatever is odd about it, the transformer will say, in its own way
            return None

    def _statements(  # noqa: PLR0912  a call for each branch would cost as much as half of them
        self, event: Event, moment: int, plan: _Plan
    ) -> list[BuiltStatement]:
        timestamp, context, session = event["timestamp"], event["context"], event["session"]
        if canonical_micros(timestamp) is None or context.__class__ is not dict:
            raise UnknownShape
        course_id = context["course_id"]
        if course_id.__class__ is not str or not course_id:
            raise UnknownShape
        if session:
            if session.__class__ is not str:
                raise UnknownShape
            extensions = self._session + dumps(session)
        elif session is None or session == "":
            extensions = self._context
        else:
            raise UnknownShape
        data, kind = event["data"], plan.kind
        body, further = kind.build(event, data, context)
        # Whom and what the site's own tables know is asked last: unknown shapes do not come so far.
        user = (data.get("user_id") or data.get("username")) if data.__class__ is dict else None
        if not user:
            user = found(event, "user_id") or found(event, "username")
        if user.__class__ is not int and user.__class__ is not str:
            raise UnknownShape
        actor, actor_name = self._actors.get(user) or self._actor(event, user)
        if kind.with_course:
            activities, course = self._courses.get(course_id) or self._course(event, course_id)
            if kind.grouping is not None:
                grouping = kind.grouping(event, data)
                activities = joined((b'},"contextActivities":{', grouping, b'"parent":', course, b"}}}"))
        else:
            activities, course = b"}}}", b""
        rest = (body, extensions, further, activities)
        verb, verb_id = plan.verb, plan.verb_id
        whole = assembled(
            BuiltStatement, plan.namespace, actor_name, timestamp, moment, actor, verb, rest, verb_id
        )
        if kind.questions is None or (questions := kind.questions(data)) is None:
            return [whole]
        reference = b'},"statement":{"objectType":"StatementRef","id":"%b"}' % whole.event_id.encode()
        around = b',"contextActivities":{"parent":[%b],"grouping":%b}}}' % (questions.problem, course)
        built = [whole]
        for question, about in questions.bodies:
            namespace = self._questions.get(question) or self._question(plan, question)
            behind = (about, extensions, further, reference, around)
            built.append(
                assembled(
                    BuiltStatement, namespace, actor_name, timestamp, moment, actor, verb, behind, verb_id
                )
            )
        return built

    def _plan(self, name: str, kind: Kind, source: str = "") -> _Plan:
        verb = self._registry[name]({"name": name, "event_source": source}).get_verb()
        shown = dumps(verb.as_version()) + b',"timestamp":"'
        text = verb.to_json()
        namespace = statement_id(_BASE, text.encode())[0]
        alone = kind.grouping is None and kind.questions is None
        usual = (kind.build, kind.with_course, namespace, shown, verb.id) if native and alone else None
        return _Plan(kind, usual, shown, verb.id, text, namespace)

    def _question(self, plan: _Plan, question: str) -> bytes:
        """The namespace of the ids of a question's statements."""
        return self._questions.keep(question, statement_id(_BASE, f"{plan.verb_text}-{question}".encode())[0])

    def _actor(self, event: Event, user: int | str) -> tuple[bytes, bytes]:
        """An actor as it stands in a statement, and as its text goes into the statement's id."""
        actor = self._registry[event["name"]](event).get_actor()
        shown = b'","version":"1.0.3","actor":' + dumps(actor.as_version()) + b',"verb":'
        return self._actors.keep(user, (shown, f"{actor.to_json()}-".encode()))

    def _course(self, event: Event, course_id: str) -> tuple[bytes, bytes]:
        """The end of a statement whose context has the course alone, and the list in which the course stands there."""
        from event_routing_backends.processors.xapi.transformer import XApiTransformer

        # The course alone: what a kind of event adds is of that event.
        activities = XApiTransformer.get_context_activities(self._registry[event["name"]](event))
        course = dumps(activities.as_version()["parent"])
        return self._courses.keep(course_id, (b'},"contextActivities":{"parent":%b}}}' % course, course))

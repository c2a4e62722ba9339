"""Problems: answers checked, solutions and hints shown (event_transformers/problem_interaction_events).

The transformers look for some names everywhere in the event. A builder goes on only where it knows what they would
find: that a name stands nowhere else, or that the search comes to the event's own data first.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import Any, Final

from aspects_orchestration.xapi.fast.builders.common import (
    Body,
    Event,
    Kept,
    Kind,
    Questions,
    UnknownShape,
    absent,
    activity,
    dumps,
    found,
    joined,
    leads_to,
    member,
    number,
    text,
    whole,
)

_CHECKED: Final = frozenset({"submission", "grade", "max_grade", "response_type"})
_POSTED: Final = frozenset({"submission", "usage_key", "response_type"})
_POSTED_NAMELESS: Final = _POSTED | {"display_name"}
_HINT: Final = frozenset({"module_id", "hint_index"})
_ANSWERED: Final = "showanswer"
_HINTED: Final = "edx.problem.hint.demandhint_displayed"


class Problems:
    """Builders of events of problems.

    Args:
        root: LMS_ROOT_URL.
    """

    def __init__(self, root: str) -> None:
        from event_routing_backends.processors.xapi import constants
        from event_routing_backends.processors.xapi.event_transformers import (
            problem_interaction_events as rules,
        )

        self._blocks = f"{root}/xblock/"
        self._referers: Kept[str, str | None] = Kept()
        self._scores: Kept[tuple[float, float], bytes] = Kept()
        self._tries: Kept[int, bytes] = Kept()
        self._before: Kept[str, str] = Kept()
        self._attempts = b',"extensions":{' + member(constants.XAPI_ACTIVITY_ATTEMPT)
        definition_types = rules.EVENT_OBJECT_DEFINITION_TYPE
        problem = activity(definition_types.get("problem_check", constants.XAPI_ACTIVITY_INTERACTION))
        opened, other = problem + b',"interactionType":', dumps(rules.DEFAULT_INTERACTION_TYPE)
        self._opens = {kind: opened + dumps(shown) for kind, shown in rules.INTERACTION_TYPES_MAP.items()}
        self._open_other = opened + other
        self._open_group = self._open_other.replace(b'"Activity"', b'"GroupActivity"', 1)
        self._solution = activity(definition_types[_ANSWERED]) + b"}}"
        self._hint = activity(definition_types[_HINTED]) + b"}}"

    def kinds(self) -> dict[str, Kind]:
        """Its builders by event name, but for problem_check."""
        return {_ANSWERED: Kind(self.solution), _HINTED: Kind(self.hint)}

    def checks(self) -> dict[str, Kind]:
        """The builders of problem_check by the event's source."""
        return {"browser": Kind(self.posted), "server": Kind(self.checked, questions=self.questions)}

    def solution(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A solution was shown."""
        text(data["problem_id"])
        problem = found(event, "problem_id")
        block = dumps(f"{self._blocks}{text(problem)}/answer")
        return joined((b'"object":{"id":', block, self._solution)), b""

    def hint(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """A hint was shown on demand."""
        module, hint = data["module_id"], data["hint_index"]
        if "problem_id" in data or not leads_to(data, event, _HINT):
            raise UnknownShape
        block = dumps(f"{self._blocks}{text(module)}/hint/{whole(hint).decode()}")
        return joined((b'"object":{"id":', block, self._hint)), b""

    def posted(self, event: Event, data: Any, context: Event) -> Body:
        """Answers were posted by a browser: what they were is known as a form alone."""
        referer = event["referer"]
        if referer.__class__ is not str or not referer or data.__class__ is not str or not data:
            raise UnknownShape
        name = None
        if not absent(event, _POSTED_NAMELESS):
            if not absent(event, _POSTED):
                raise UnknownShape
            name = found(event, "display_name")
        block = self._referers.get(referer, "") or self._block(referer)
        if block is None:
            block = self._posted_block(data, context["course_id"])
        named = b"" if name is None else b',"name":{"en-US":' + dumps(text(name)) + b"}"
        url = dumps(self._blocks + block)
        return joined((b'"object":{"id":', url, self._open_other, named, b"}}")), b""

    def checked(self, event: Event, data: Any, context: Event) -> Body:  # noqa: ARG002
        """Answers were checked by the server. Of several questions this is the statement of the whole problem."""
        text(event["referer"])
        submissions = data["submission"]
        if submissions.__class__ is not dict or not submissions or not leads_to(data, event, _CHECKED):
            raise UnknownShape
        # Whatever is found under this name first must be text: a list or an object fails in the transformers.
        if dumps(data).count(b'"response_type":') != len(submissions):
            raise UnknownShape
        (submission, *others) = submissions.values()
        url = dumps(self._blocks + text(data["problem_id"]))
        opened = self._open_group if others else self._opened(submission)
        asked, tried = _asked(submission), self._tried(data)
        score, answered = self._score(data["grade"], data["max_grade"]), _answered(submission)
        end = b'}},"result":{"score":', score, b"," if answered else b"", answered, b"}"
        return joined((b'"object":{"id":', url, opened, asked, tried, *end)), b""

    def questions(self, data: Any) -> Questions | None:
        """The questions of a problem that has several."""
        submissions = data["submission"]
        if len(submissions) == 1:
            return None
        problem, tried = data["problem_id"], self._tried(data)
        before = self._blocks + problem[: problem.rfind("@") + 1]
        bodies = []
        for question, submission in submissions.items():
            url, opened = dumps(before + text(question)), self._opened(submission)
            asked, answered = _asked(submission), _answered(submission)
            parts = (b'"object":{"id":', url, opened, asked, tried, b'}},"result":{', answered, b"}")
            bodies.append((question, joined(parts)))
        url, asked = dumps(self._blocks + problem), _asked(next(iter(submissions.values())))
        return Questions(joined((b'{"id":', url, self._open_group, asked, tried, b"}}")), bodies)

    def _opened(self, submission: Any) -> bytes:
        """What comes behind a question's id, up to what was asked."""
        kind = submission["response_type"]
        if kind.__class__ is not str or not kind:
            raise UnknownShape
        return self._opens.get(kind, self._open_other)

    def _tried(self, data: Any) -> bytes:
        """How often it was tried, behind what was asked."""
        attempts = data.get("attempts")
        if not attempts:
            return b""
        if attempts.__class__ is not int:
            raise UnknownShape
        known = self._tries.get(attempts)
        return known or self._tries.keep(attempts, b"%b%d}" % (self._attempts, attempts))

    def _score(self, grade: Any, highest: Any) -> bytes:
        known = self._scores.get((number(grade), number(highest)))
        if known is None:
            # Divided by next to nothing it is infinite, which is no number.
            scaled = number(grade / highest) if highest > 0 else 0
            score = {"min": 0.0, "max": float(highest), "raw": float(grade), "scaled": float(scaled)}
            known = dumps(score)
            if grade and highest:  # zero may be negative, and is equal all the same
                self._scores.keep((grade, highest), known)
        return known

    def _block(self, referer: str) -> str | None:
        """The block that the page was to show, if its address tells."""
        if referer in self._referers:
            return None
        from event_routing_backends.helpers import get_block_id_from_event_referrer

        block = get_block_id_from_event_referrer(referer)
        return self._referers.keep(referer, None if block is None else text(block))

    def _posted_block(self, data: str, course_id: str) -> str:
        """The block that a form's first field names."""
        parts = data.split("_", 2)
        if len(parts) == 1:
            raise UnknownShape
        before = self._before.get(course_id)
        if before is None:
            from event_routing_backends.helpers import get_block_id_from_event_data

            before = self._before.keep(course_id, text(get_block_id_from_event_data("_", course_id)))
        return before + parts[1]


def _asked(submission: Any) -> bytes:
    """What was asked; a problem of several questions is described by the first."""
    question = submission["question"]
    if question.__class__ is not str:
        raise UnknownShape
    return b',"description":{"en-US":' + dumps(question) + b"}"


def _answered(submission: Any) -> bytes:
    """Whether an answer was right, and the answer, as members of a result."""
    answer, correct = submission["answer"], submission.get("correct")
    if answer.__class__ is str:
        response = dumps(answer)
    elif answer.__class__ is list:
        response = dumps(_list(answer))
    elif answer is None:
        response = b""
    elif answer.__class__ is int or answer.__class__ is bool:
        response = dumps(str(answer))
    else:
        raise UnknownShape
    if correct is True:
        return b'"success":true,"response":' + response if response else b'"success":true'
    if correct is False:
        return b'"success":false,"response":' + response if response else b'"success":false'
    if correct is not None:
        raise UnknownShape
    return b'"response":' + response if response else b""


def _list(answer: list[Any]) -> str:
    for one in answer:
        if one.__class__ is not str:
            raise UnknownShape
    return f"[{', '.join(map(encode_basestring, answer))}]"

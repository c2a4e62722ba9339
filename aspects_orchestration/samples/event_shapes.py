"""The pieces of which sample events are made: who asked, in what context, and each way an event comes about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aspects_orchestration.samples.template import embedded

Shape = dict[str, Any]

USAGE: Final = "<<block>>+type@{0}+block@<<{0}>>"
PROBLEM: Final = USAGE.format("problem")
SEQUENTIAL: Final = USAGE.format("sequential")
INPUT: Final = "<<problem>>_2_1"
COURSEWARE: Final = "/courses/<<course>>/courseware/<<chapter>>/<<sequential>>/"
HANDLER: Final = f"/courses/<<course>>/xblock/{PROBLEM}/handler/xmodule_handler/"
_UNIT_PAGE: Final = (
    f"<<root>>/xblock/{USAGE.format('vertical')}"
    "?exam_access=&recheck_access=1&show_bookmark=0&show_title=0&view=student_view"
)
ANSWER_FORM: Final = f"input_{INPUT}=<<choice>>"
TRANSACTION: Final = {
    "event_transaction_id": "<<uuid>>",
    "event_transaction_type": "edx.grades.problem.submitted",
}


def _request(referer: str) -> Shape:
    return {
        "username": "<<username>>",
        "session": "<<session>>",
        "ip": "<<ip>>",
        "agent": "<<agent>>",
        "host": "<<host>>",
        "referer": referer,
        "accept_language": "<<language>>",
    }


def _context(path: str, user_id: str = "<<#user_id>>") -> Shape:
    return {
        "course_id": "<<course>>",
        "course_user_tags": {},
        "user_id": user_id,
        "path": path,
        "org_id": "<<org>>",
        "enterprise_uuid": "",
    }


def server(
    name: str,
    event: Mapping[str, object],
    path: str,
    *,
    module: bool = False,
    acting: str = "",
    referer: str = _UNIT_PAGE,
) -> Shape:
    """An event that the LMS emits itself; ``acting`` is ``staff`` where somebody acts upon a learner."""
    context = _context(path, "<<#staff_id>>" if acting else "<<#user_id>>")
    if module:
        context["module"] = {"display_name": "<<title>>", "usage_key": PROBLEM}
        context["asides"] = {}
    request = _request(referer)
    if acting:
        request["username"] = "<<staff_name>>"
    return {
        "name": name,
        "context": context,
        **request,
        "event": dict(event),
        "time": "<<time>>",
        "event_type": name,
        "event_source": "server",
        "page": None,
    }


def browser(
    name: str, payload: str, *, page: str = _UNIT_PAGE, referer: str = _UNIT_PAGE, known_by: str = "id"
) -> Shape:
    """An event that a page posts to ``/event``; its payload is a string. Old ones know only the username."""
    context = _context("/event")
    if known_by == "username":
        del context["user_id"]
    return {
        "name": name,
        "context": context,
        **_request(referer),
        "event": payload,
        "time": "<<time>>",
        "event_type": name,
        "event_source": "browser",
        "page": page,
    }


def mobile(name: str, event: Mapping[str, object]) -> Shape:
    """An event of the mobile apps, which arrives through the segment.io endpoint."""
    client = {
        "app": {"name": "edX", "version": "4.1.0", "build": "4001000", "namespace": "org.example.mobile"},
        "device": {"id": "<<hex>>", "manufacturer": "Example", "model": "Phone 7", "type": "android"},
        "network": {"wifi": True, "cellular": False, "carrier": "", "bluetooth": False},
        "os": {"name": "Android", "version": "13"},
        "locale": "en-US",
        "timezone": "Europe/Lisbon",
        "screen": {"density": 2.625, "height": 2138, "width": 1080},
    }
    context = _context("/segmentio/event")
    context |= {
        "client": client,
        "application": {"name": "edx.mobileapp.android", "version": "4.1.0"},
        "component": "videoplayer",
        "received_at": "<<time>>",
    }
    request = _request("")
    request["agent"] = "Dalvik/2.1.0 (Linux; U; Android 13; Phone 7 Build/TQ3A.230901.001)"
    return {
        "name": name,
        "context": context,
        **request,
        "event": dict(event),
        "time": "<<time>>",
        "event_type": name,
        "event_source": "mobile",
        "page": "<<root>>" + COURSEWARE,
    }


def page_view(
    path: str, *, get: Mapping[str, object] | None = None, post: Mapping[str, object] | None = None
) -> Shape:
    """What the LMS logs for every request: the name is the path."""
    context = _context(path)
    if "<<course>>" not in path:
        context |= {"course_id": "", "org_id": ""}
    return {
        "name": path,
        "context": context,
        **_request("<<root>>" + COURSEWARE),
        "event": embedded({"GET": dict(get or {}), "POST": dict(post or {})}),
        "time": "<<time>>",
        "event_type": path,
        "event_source": "server",
        "page": None,
    }


def without_name(shape: Shape) -> Shape:
    """As events were before they had names: only ``event_type``."""
    return {key: value for key, value in shape.items() if key != "name"}


def submission(kind: str, answer: object, question: str, *, variant: str = "") -> Shape:
    return {
        "question": question,
        "answer": answer,
        "response_type": kind,
        "input_type": {"stringresponse": "textline", "numericalresponse": "formulaequationinput"}.get(
            kind, "choicegroup"
        ),
        "correct": "<<#is_correct>>",
        "variant": variant,
        "group_label": "",
    }


def problem_check(submission: Mapping[str, Shape], answers: Mapping[str, object]) -> Shape:
    state: Shape = {
        "correct_map": {},
        "done": None,
        "input_state": {key: {} for key in submission},
        "seed": 1,
        "student_answers": {},
    }
    correct_map = {
        key: {
            "answervariable": None,
            "correctness": "<<correct>>",
            "hint": "",
            "hintmode": None,
            "msg": "",
            "npoints": None,
            "queuestate": None,
        }
        for key in submission
    }
    event = {
        "answers": dict(answers),
        "attempts": "<<#attempts>>",
        "correct_map": correct_map,
        "grade": "<<#earned>>",
        "max_grade": "<<#possible>>",
        "problem_id": PROBLEM,
        "state": state,
        "submission": dict(submission),
        "success": "<<correct>>",
    }
    return server("problem_check", event, HANDLER + "problem_check", module=True)

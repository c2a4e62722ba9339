"""Events of kinds that the generator does not write, in the shapes that real logs have them in."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

Event = dict[str, Any]

_COURSE: Final = "course-v1:DemoX+STAT101+2024_T1"
_BLOCK: Final = "block-v1:DemoX+STAT101+2024_T1+type@{}+block@5a1b"
_OLD: Final = "DemoX/STAT101/2013_Spring"
_QUESTION: Final[Event] = {
    "answer": "choice_1",
    "correct": True,
    "input_type": "choicegroup",
    "question": "Which?",
    "response_type": "multiplechoiceresponse",
    "variant": "",
    "group_label": "",
}


def _event(
    name: str | None, payload: Any, *, source: str = "server", course: str = _COURSE, **other: Any
) -> Event:
    context = {
        "course_id": course,
        "user_id": 1001,
        "org_id": course.partition("+")[0].rpartition(":")[2],
        "path": "/event",
    }
    event = {
        "name": name,
        "event_type": name,
        "event_source": source,
        "time": "2024-05-20T10:11:12.123456+00:00",
        "username": "",
        "session": "0123456789abcdef0123456789abcdef",
        "ip": "",
        "agent": "Mozilla/5.0",
        "host": "local.openedx.io",
        "referer": f"http://local.openedx.io/courses/{course}/courseware/a/b/",
        "accept_language": "",
        "page": None,
        "context": context,
        "event": payload,
    }
    event.update(other)
    return {key: value for key, value in event.items() if not (key == "name" and value is None)}


def _from_browser(name: str, payload: Event, **other: Any) -> Event:
    """As browsers sent events before they had a name: the payload is text."""
    return _event(None, json.dumps(payload), source="browser", event_type=name, page="http://lms/x", **other)


def _from_phone(name: str, payload: Event) -> Event:
    event = _event(name, payload, source="mobile")
    event["context"] |= {
        "application": {"name": "edx.mobileapp.android", "version": "3.2.1"},
        "component": "videoplayer",
        "received_at": "2024-05-20T10:11:13.000000+00:00",
    }
    return event


def _checked(
    answers: Any, submission: Event, *, problem: str = _BLOCK.format("problem"), **other: Any
) -> Event:
    payload = {
        "answers": answers,
        "attempts": 2,
        "correct_map": {key: {"correctness": "correct", "npoints": None, "hint": ""} for key in submission},
        "grade": 1,
        "max_grade": 2,
        "problem_id": problem,
        "state": {
            "seed": 1,
            "done": None,
            "student_answers": {},
            "correct_map": {},
            "input_state": {"5a1b_2_1": {}},
        },
        "submission": submission,
        "success": "incorrect",
    }
    event = _event("problem_check", payload, **other)
    event["context"]["module"] = {"display_name": "Quiz", "usage_key": problem}
    return event


_VIDEO: Final = {"id": "5a1b", "code": "mobile", "currentTime": 12.345678, "duration": 600}
_EXAM: Final = {
    "exam_id": 4,
    "exam_content_id": _BLOCK.format("sequential"),
    "exam_name": "Final",
    "exam_default_time_limit_mins": 90,
    "exam_is_proctored": False,
    "attempt_id": 9,
    "attempt_code": "F00D",
    "attempt_started_at": "2024-05-20T10:00:00.000000+00:00",
    "attempt_completed_at": None,
    "attempt_event_elapsed_time_secs": 672.123456,
}
_POST: Final = {
    "id": "5f1b0c",
    "title": "Why?",
    "body": "Because",
    "commentable_id": "course",
    "category_id": "course",
    "category_name": "General",
    "user_course_roles": ["Student"],
    "user_forums_roles": ["Student", "Moderator"],
    "url": "http://local.openedx.io/courses/x/discussion/forum/course/threads/5f1b0c",
    "discussion": {"id": "5f1b0b"},
    "response": {"id": "5f1b0a"},
    "options": {"followed": True},
}

WILD: Final[tuple[Event, ...]] = (
    # Browsers, as they were, and as they are
    _from_browser(
        "play_video", {"id": "i4x-DemoX-STAT101-video-5a1b", "code": "html5", "currentTime": 0}, course=_OLD
    ),
    _from_browser(
        "seek_video", {"id": "5a1b", "code": "x", "old_time": 3.1, "new_time": 70, "type": "onSlideSeek"}
    ),
    _from_browser("seek_video", {"id": "5a1b", "code": "x", "type": "onCaptionSeek"}),
    _from_browser(
        "speed_change_video", {"id": "5a1b", "current_time": 3, "old_speed": "1.0", "new_speed": "1.50"}
    ),
    _from_browser("load_video", {"id": "5a1b", "code": "html5", "duration": 0}),
    _from_browser("show_transcript", {"id": "5a1b", "code": "html5", "current_time": 1.5, "duration": 32.5}),
    _from_browser("video_hide_cc_menu", {"id": "5a1b", "code": "html5"}),
    _from_browser("stop_video", {"id": "5a1b", "code": "html5", "currentTime": "600.5", "duration": None}),
    _from_browser(
        "edx.ui.lms.sequence.tab_selected",
        {"id": _BLOCK.format("sequential"), "target_tab": 0, "tab_count": 1},
    ),
    _from_browser("edx.ui.lms.link_clicked", {"current_url": "http://a", "target_url": "http://b?c=d#e"}),
    _event("seq_next", '{"old": 1, "new": 2, "id": "i4x://DemoX/STAT101/sequential/a"}', source="browser"),
    _event("page_close", "{}", source="browser"),
    _event(None, "{}", event_type="problem_check?course_id=x", source="browser"),
    _event(
        None,
        '{"POST": {"position": ["2"]}, "GET": {}}',
        event_type=f"/courses/{_OLD}/modx/i4x://a/b/c/d/goto_position",
    ),
    _event(
        f"/courses/{_COURSE}/xblock/x/handler/xmodule_handler/problem_check?a=b",
        {"POST": {}, "GET": {"a": ["b"]}},
    ),
    _event(
        "problem_check", "input_i4x-DemoX-STAT101-problem-5a1b_2_1=choice_1", source="browser", course=_OLD
    ),
    _event("problem_check", quote("input_5a1b_2_1[]=choice_0&input_5a1b_2_1[]=é"), source="browser"),
    _event("problem_check", "", source="browser"),
    _event("problem_graded", ["input_5a1b_2_1=3", "<div>"], source="browser"),
    # Problems
    _checked({"5a1b_2_1": "choice_1"}, {"5a1b_2_1": _QUESTION}),
    _checked({"5a1b_2_1": ["choice_0", "choice_1"]}, {"5a1b_2_1": {**_QUESTION, "answer": ["a", "é"]}}),
    _checked({}, {f"5a1b_{n}_1": {**_QUESTION, "correct": n % 2 == 0} for n in range(2, 30)}),
    _checked(
        {"i4x-a": "3"},
        {"i4x-DemoX-STAT101-problem-5a1b_2_1": _QUESTION},
        problem="i4x://DemoX/STAT101/problem/5a1b",
    ),
    _checked(
        {"a": None},
        {"5a1b_2_1": {**_QUESTION, "answer": {"a": "b"}}},
        problem=_BLOCK.format("library_content"),
    ),
    _checked({}, {}),
    _event("showanswer", {"problem_id": "i4x://DemoX/STAT101/problem/5a1b"}, course=_OLD),
    _event(
        "edx.problem.hint.demandhint_displayed",
        {"module_id": _BLOCK.format("problem"), "hint_index": 0, "hint_len": 2},
    ),
    _event(
        "edx.librarycontentblock.content.assigned",
        {"added": [], "result": [], "location": _BLOCK.format("library_content")},
    ),
    _event("edx.drag_and_drop_v2.item.dropped", {"is_correct": True, "item_id": 0, "location": "Top"}),
    _event(
        "openassessmentblock.create_submission", {"answer": {"parts": [{"text": "é"}]}, "attempt_number": 1}
    ),
    _event("openassessment.upload_file", '{"fileName": "a.pdf", "fileSize": 5}', source="browser"),
    # Videos on a phone
    _from_phone("edx.video.played", _VIDEO),
    _from_phone(
        "edx.video.position.changed",
        {**_VIDEO, "old_time": 12.3, "new_time": 1, "requested_skip_interval": -11.3},
    ),
    _from_phone("edx.video.loaded", {"id": "5a1b", "code": "mobile"}),
    _from_phone("edx.video.completed", _VIDEO),
    _from_phone("edx.video.transcript.shown", {**_VIDEO, "currentTime": 0}),
    _from_phone("edx.video.closed_captions.hidden", {**_VIDEO, "current_time": 3.0005}),
    # Enrollments, grades, completion, exams
    _event(
        "edx.course.enrollment.activated",
        {"course_id": _COURSE, "user_id": 1002, "mode": "honor"},
        username="staff",
    ),
    _event(
        "edx.course.enrollment.mode_changed",
        {"course_id": _OLD, "user_id": 1002, "mode": "verified"},
        course=_OLD,
    ),
    _event("edx.course.enrollment.upgrade.clicked", {"mode": "verified"}, source="browser"),
    _event(
        "edx.course.grade.now_passed", {"course_id": _COURSE, "user_id": 1001, "event_transaction_id": "x"}
    ),
    _event(
        "edx.grades.course.grade_calculated",
        {"percent_grade": 1.0000000000000002, "letter_grade": "", "user_id": 1001},
    ),
    _event(
        "edx.grades.subsection.grade_calculated",
        {
            "block_id": _BLOCK.format("sequential"),
            "weighted_total_earned": 0.0,
            "weighted_total_possible": 0.0,
            "user_id": "1001",
        },
    ),
    _event(
        "edx.completion.block_completion.changed",
        {"block_id": _BLOCK.format("html"), "completion": 0.333, "user_id": 1001},
    ),
    *(
        _event(f"edx.special_exam.{exam}.attempt.{done}", _EXAM)
        for exam in ("timed", "practice", "proctored")
        for done in ("created", "submitted")
    ),
    # Discussions
    _event("edx.forum.thread.created", {**_POST, "thread_type": "question", "group_id": None}),
    _event("edx.forum.thread.viewed", _POST),
    _event("edx.forum.comment.created", {**_POST, "title": ""}),
    _event("edx.forum.response.voted", {**_POST, "vote_value": "up", "undo_vote": False}),
    _event("edx.forum.thread.reported", {**_POST, "content_type": "Post"}),
)

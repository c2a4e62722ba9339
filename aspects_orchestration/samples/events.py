"""The kinds of events that a site logs, each as a shape with slots, a weight and what becomes of it.

The shapes follow Open edX's event reference. The names that become xAPI statements are those that
event-routing-backends both whitelists and transforms; a test compares them with the installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aspects_orchestration.samples.template import compile_template, embedded

Shape = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of event.

    Args:
        name: the event's ``event_type``, which is its ``name`` if it has one; a path has slots.
        weight: how often it occurs, relative to the others that share its fate.
        transformable: whether it becomes xAPI statements.
        template: to be filled with the slots of a line.
    """

    name: str
    weight: int
    transformable: bool
    template: bytes


_USAGE: Final = "<<block>>+type@{0}+block@<<{0}>>"
_PROBLEM: Final = _USAGE.format("problem")
_SEQUENTIAL: Final = _USAGE.format("sequential")
_INPUT: Final = "<<problem>>_2_1"
_COURSEWARE: Final = "/courses/<<course>>/courseware/<<chapter>>/<<sequential>>/"
_HANDLER: Final = f"/courses/<<course>>/xblock/{_PROBLEM}/handler/xmodule_handler/"
_UNIT_PAGE: Final = (
    f"<<root>>/xblock/{_USAGE.format('vertical')}"
    "?exam_access=&recheck_access=1&show_bookmark=0&show_title=0&view=student_view"
)
_ANSWER_FORM: Final = f"input_{_INPUT}=<<choice>>"
_TRANSACTION: Final = {
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


def _server(
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
        context["module"] = {"display_name": "<<title>>", "usage_key": _PROBLEM}
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


def _browser(
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


def _mobile(name: str, event: Mapping[str, object]) -> Shape:
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
        "page": "<<root>>" + _COURSEWARE,
    }


def _page_view(
    path: str, *, get: Mapping[str, object] | None = None, post: Mapping[str, object] | None = None
) -> Shape:
    """What the LMS logs for every request: the name is the path."""
    context = _context(path)
    if "<<course>>" not in path:
        context |= {"course_id": "", "org_id": ""}
    return {
        "name": path,
        "context": context,
        **_request("<<root>>" + _COURSEWARE),
        "event": embedded({"GET": dict(get or {}), "POST": dict(post or {})}),
        "time": "<<time>>",
        "event_type": path,
        "event_source": "server",
        "page": None,
    }


def _without_name(shape: Shape) -> Shape:
    """As events were before they had names: only ``event_type``."""
    return {key: value for key, value in shape.items() if key != "name"}


def _submission(kind: str, answer: object, question: str, *, variant: str = "") -> Shape:
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


def _problem_check(submission: Mapping[str, Shape], answers: Mapping[str, object]) -> Shape:
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
        "problem_id": _PROBLEM,
        "state": state,
        "submission": dict(submission),
        "success": "<<correct>>",
    }
    return _server("problem_check", event, _HANDLER + "problem_check", module=True)


def _videos() -> list[tuple[int, Shape]]:
    video = {"id": "<<video>>", "code": "html5", "duration": "<<#duration>>"}
    at = {**video, "currentTime": "<<#seconds>>"}
    seek = {**video, "old_time": "<<#old_seconds>>", "new_time": "<<#seconds>>", "type": "onSlideSeek"}
    speed = {
        **video,
        "current_time": "<<#seconds>>",
        "old_speed": "<<old_speed>>",
        "new_speed": "<<new_speed>>",
    }
    transcript = {**video, "current_time": "<<#seconds>>"}
    mobile = {
        "id": "<<video>>",
        "code": "mobile",
        "module_id": _USAGE.format("video"),
        "duration": "<<#duration>>",
        "current_time": "<<#seconds>>",
    }
    mobile_seek = {
        **mobile,
        "old_time": "<<#old_seconds>>",
        "new_time": "<<#seconds>>",
        "requested_skip_interval": -30,
    }
    return [
        (60, _browser("load_video", embedded(video))),
        (90, _browser("play_video", embedded(at))),
        (70, _browser("pause_video", embedded(at))),
        (8, _browser("pause_video", embedded(at), known_by="username")),
        (45, _browser("seek_video", embedded(seek))),
        (25, _browser("stop_video", embedded(at))),
        (10, _browser("complete_video", embedded(at))),
        (8, _browser("speed_change_video", embedded(speed))),
        (4, _browser("show_transcript", embedded(transcript))),
        (4, _browser("hide_transcript", embedded(transcript))),
        (2, _browser("video_show_cc_menu", embedded({**video, "language": "en"}))),
        (2, _browser("video_hide_cc_menu", embedded({**video, "language": "pt"}))),
        (2, _browser("edx.video.closed_captions.shown", embedded(transcript))),
        (2, _browser("edx.video.closed_captions.hidden", embedded(transcript))),
        (
            6,
            _mobile(
                "edx.video.loaded", {key: mobile[key] for key in ("id", "code", "module_id", "duration")}
            ),
        ),
        (9, _mobile("edx.video.played", mobile)),
        (7, _mobile("edx.video.paused", mobile)),
        (3, _mobile("edx.video.stopped", mobile)),
        (4, _mobile("edx.video.position.changed", mobile_seek)),
        (2, _mobile("edx.video.completed", mobile)),
        (1, _mobile("edx.video.transcript.shown", mobile)),
        (1, _mobile("edx.video.transcript.hidden", mobile)),
    ]


def _problems() -> list[tuple[int, Shape]]:
    second, third = "<<problem>>_3_1", "<<problem>>_4_1"
    choice = _submission("multiplechoiceresponse", "<<choice>>", "Which of these holds?")
    boxes = _submission("choiceresponse", ["choice_0", "<<choice>>"], "Select all that apply.")
    number = _submission("numericalresponse", "<<number>>", "How many?", variant="3")
    words = _submission("stringresponse", "<<answer>>", "In your own words: <<title>>")
    essay = _submission("stringresponse", "<<essay>>", "Write an essay.")
    menu = _submission("optionresponse", "<<choice>>", "Choose from the menu.")
    return [
        (25, _problem_check({_INPUT: choice}, {_INPUT: "<<choice>>"})),
        (10, _problem_check({_INPUT: boxes}, {_INPUT: ["choice_0", "<<choice>>"]})),
        (12, _problem_check({_INPUT: number}, {_INPUT: "<<number>>"})),
        (12, _problem_check({_INPUT: words}, {_INPUT: "<<answer>>"})),
        (1, _problem_check({_INPUT: essay}, {_INPUT: "<<essay>>"})),
        (8, _problem_check({_INPUT: choice, second: words}, {_INPUT: "<<choice>>", second: "<<answer>>"})),
        (
            6,
            _problem_check(
                {_INPUT: menu, second: number, third: boxes}, {_INPUT: "<<choice>>", second: "<<number>>"}
            ),
        ),
        (50, _browser("problem_check", _ANSWER_FORM)),
        (
            10,
            _browser(
                "problem_check", f"{_ANSWER_FORM}&input_{second}%5B%5D=choice_1&input_{second}%5B%5D=choice_2"
            ),
        ),
        (
            10,
            _browser(
                "problem_check", _ANSWER_FORM, referer=f"<<root>>{_COURSEWARE}?activate_block_id={_PROBLEM}"
            ),
        ),
        (12, _server("showanswer", {"problem_id": _PROBLEM}, _HANDLER + "problem_show", module=True)),
        (
            4,
            _server(
                "edx.problem.hint.demandhint_displayed",
                {
                    "module_id": _PROBLEM,
                    "hint_index": "<<#hint>>",
                    "hint_len": 3,
                    "hint_text": "Think of <<title>>.",
                },
                _HANDLER + "hint_button",
                module=True,
            ),
        ),
    ]


def _navigation() -> list[tuple[int, Shape]]:
    place = {
        "id": _SEQUENTIAL,
        "current_tab": "<<#tab>>",
        "tab_count": "<<#tabs>>",
        "widget_placement": "top",
    }
    outline = {
        "target_url": "<<root>>" + _COURSEWARE,
        "target_name": "<<title_in_payload>>",
        "widget_placement": "outline",
    }
    link = {
        "current_url": "<<root>>" + _COURSEWARE,
        "target_url": "https://docs.example.org/reading/<<vertical>>?from=lms",
    }
    return [
        (50, _browser("edx.ui.lms.sequence.next_selected", embedded(place))),
        (
            12,
            _browser(
                "edx.ui.lms.sequence.previous_selected", embedded({**place, "widget_placement": "bottom"})
            ),
        ),
        (
            30,
            _browser(
                "edx.ui.lms.sequence.tab_selected", embedded({**place, "target_tab": "<<#target_tab>>"})
            ),
        ),
        (6, _browser("edx.ui.lms.outline.selected", embedded(outline))),
        (3, _browser("edx.ui.lms.sequence.outline.selected", embedded(outline))),
        (6, _browser("edx.ui.lms.link_clicked", embedded(link))),
    ]


def _progress() -> list[tuple[int, Shape]]:
    completion = {
        "user_id": "<<#user_id>>",
        "course_id": "<<course>>",
        "context_key": "<<course>>",
        "block_id": _USAGE.format("html"),
        "block_type": "html",
        "completion": "<<#completion>>",
        "is_new": True,
    }
    graded = {"user_id": "<<user_id>>", "course_id": "<<course>>", **_TRANSACTION}
    subsection = {
        **graded,
        "block_id": _SEQUENTIAL,
        "course_version": "<<hex24>>",
        "weighted_total_earned": "<<#earned>>",
        "weighted_total_possible": "<<#possible>>",
        "weighted_graded_earned": "<<#earned>>",
        "weighted_graded_possible": "<<#possible>>",
        "first_attempted": "<<time>>",
        "subtree_edited_timestamp": "2024-01-08T09:30:11.204000+00:00",
        "visible_blocks_hash": "<<hex24>>=",
    }
    course = {
        **graded,
        "course_edited_timestamp": "2024-01-08T09:30:11.204000+00:00",
        "course_version": "<<hex24>>",
        "grading_policy_hash": "<<hex24>>=",
        "percent_grade": "<<#percent>>",
        "letter_grade": "<<letter>>",
    }
    outcome = {"user_id": "<<#user_id>>", "course_id": "<<course>>", **_TRANSACTION}
    handler = _HANDLER + "problem_check"
    return [
        (
            80,
            _server(
                "edx.completion.block_completion.changed", completion, "/api/completion/v1/completion-batch"
            ),
        ),
        (40, _server("edx.grades.subsection.grade_calculated", subsection, handler)),
        (35, _server("edx.grades.course.grade_calculated", course, handler)),
        (1, _server("edx.course.grade.passed.first_time", outcome, handler)),
        (2, _server("edx.course.grade.now_passed", outcome, handler)),
        (2, _server("edx.course.grade.now_failed", outcome, handler)),
    ]


def _enrollments() -> list[tuple[int, Shape]]:
    enrollment = {"course_id": "<<course>>", "user_id": "<<#user_id>>", "mode": "<<mode>>"}
    about = "<<root>>/courses/<<course>>/about"
    by_staff = "/courses/<<course>>/instructor/api/students_update_enrollment"
    return [
        (8, _server("edx.course.enrollment.activated", enrollment, "/change_enrollment", referer=about)),
        (3, _server("edx.course.enrollment.activated", enrollment, by_staff, acting="staff")),
        (2, _server("edx.course.enrollment.deactivated", enrollment, "/change_enrollment", referer=about)),
        (1, _server("edx.course.enrollment.deactivated", enrollment, by_staff, acting="staff")),
        (
            2,
            _server(
                "edx.course.enrollment.mode_changed", enrollment, "/api/commerce/v0/baskets/", referer=about
            ),
        ),
    ]


def _exams() -> list[tuple[int, Shape]]:
    kinds: list[tuple[int, Shape]] = []
    for exam in ("timed", "practice", "proctored"):
        created = {
            "exam_id": 7,
            "exam_content_id": _SEQUENTIAL,
            "exam_name": "<<title>>",
            "exam_default_time_limit_mins": 90,
            "exam_is_proctored": exam == "proctored",
            "exam_is_practice_exam": exam == "practice",
            "exam_is_active": True,
            "attempt_id": "<<#attempt>>",
            "attempt_user_id": "<<#user_id>>",
            "attempt_code": "<<uuid>>",
            "attempt_status": "created",
            "attempt_allowed_time_limit_mins": 90,
            "attempt_started_at": None,
            "attempt_completed_at": None,
            "attempt_event_elapsed_time_secs": None,
        }
        submitted = {
            **created,
            "attempt_status": "submitted",
            "attempt_started_at": "<<time>>",
            "attempt_completed_at": "<<time>>",
            "attempt_event_elapsed_time_secs": "<<#seconds>>",
        }
        path = "/api/edx_proctoring/v1/proctored_exam/attempt"
        kinds.append((2, _server(f"edx.special_exam.{exam}.attempt.created", created, path)))
        kinds.append(
            (2, _server(f"edx.special_exam.{exam}.attempt.submitted", submitted, path + "/<<attempt>>"))
        )
    return kinds


def _forum() -> list[tuple[int, Shape]]:
    thread_path = "/courses/<<course>>/discussion/forum/<<vertical>>/threads/<<hex24>>"
    comment_path = "/courses/<<course>>/discussion/comments/<<hex24>>"
    post = {
        "id": "<<hex24>>",
        "commentable_id": "<<vertical>>",
        "category_id": "<<vertical>>",
        "category_name": "<<title>>",
        "url": "<<root>>" + thread_path,
        "user_course_roles": [],
        "user_forums_roles": ["Student"],
        "team_id": None,
    }
    text = {**post, "body": "<<answer>>", "truncated": False}
    thread = {
        **text,
        "title": "<<title>>",
        "thread_type": "<<thread_type>>",
        "anonymous": False,
        "group_id": None,
    }
    response = {**text, "discussion": {"id": "<<problem>>"}}
    comment = {**response, "response": {"id": "<<html>>"}}
    vote = {"target_username": "<<staff_name>>", "undo_vote": False, "vote_value": "<<vote>>"}
    report = {"content_type": "Post", "target_username": "<<staff_name>>"}

    def at(path: str, name: str, event: Mapping[str, object]) -> Shape:
        return _server(
            f"edx.forum.{name}", event, path, referer="<<root>>/courses/<<course>>/discussion/forum/"
        )

    kinds = [
        (14, at(thread_path, "thread.viewed", {**post, "title": "<<title>>"})),
        (3, at("/courses/<<course>>/discussion/<<vertical>>/threads/create", "thread.created", thread)),
        (4, at(f"{thread_path}/reply", "response.created", response)),
        (3, at(f"{comment_path}/reply", "comment.created", comment)),
        (2, at(f"{thread_path}/upvote", "thread.voted", {**post, **vote})),
        (2, at(f"{comment_path}/upvote", "response.voted", {**response, **vote})),
    ]
    for about, event, path in (
        ("thread", thread, thread_path),
        ("response", response, comment_path),
        ("comment", comment, comment_path),
    ):
        kinds += [
            (1, at(f"{path}/update", f"{about}.edited", event)),
            (1, at(f"{path}/delete", f"{about}.deleted", event)),
            (1, at(f"{path}/flagAbuse", f"{about}.reported", {**event, **report})),
            (
                1,
                at(
                    f"{path}/unFlagAbuse",
                    f"{about}.unreported",
                    {**event, **report, "reported_status_cleared": False},
                ),
            ),
        ]
    return kinds


def _page_views() -> list[tuple[int, Shape]]:
    """Page views; some have a transformable event's name in their path or payload, which must fool nobody."""
    form = {f"input_{_INPUT}": ["<<choice>>"]}
    return [
        (60, _page_view(_COURSEWARE, get={"child": ["first"]})),
        (
            40,
            _page_view(
                f"/xblock/{_USAGE.format('vertical')}", get={"view": ["student_view"], "show_title": ["0"]}
            ),
        ),
        (40, _page_view(_HANDLER + "problem_check", post=form)),
        (30, _page_view(_HANDLER + "problem_get")),
        (20, _page_view(_HANDLER + "problem_show")),
        (30, _page_view("/courses/<<course>>/course/")),
        (25, _page_view("/api/courseware/course/<<course>>", get={"browser_timezone": ["Europe/Lisbon"]})),
        (25, _page_view("/api/course_home/outline/<<course>>")),
        (
            20,
            _page_view(
                f"/courses/<<course>>/xblock/{_USAGE.format('video')}/handler/transcript/translation/en"
            ),
        ),
        (
            20,
            _page_view(
                f"/courses/<<course>>/xblock/{_USAGE.format('video')}/handler/xmodule_handler/save_user_state"
            ),
        ),
        (15, _page_view("/courses/<<course>>/progress")),
        (12, _page_view("/courses/<<course>>/discussion/forum/", get={"ajax": ["1"], "page": ["1"]})),
        (15, _page_view("/dashboard")),
        (
            8,
            _page_view(
                "/api/user/v2/account/login_session/",
                post={"email_or_username": ["<<email>>"], "next": ["/dashboard"]},
            ),
        ),
        (
            6,
            _page_view(
                "/search/course_discovery/", post={"search_string": ["play_video"], "page_index": ["0"]}
            ),
        ),
        (
            6,
            _page_view(
                "/courses/<<course>>/instructor/api/list_course_role_members", post={"rolename": ["staff"]}
            ),
        ),
        (10, _page_view("/event", post={"event_type": ["play_video"], "event": ['{"name": "play_video"}']})),
        (12, _without_name(_page_view("/courses/<<course>>/jump_to_id/<<vertical>>"))),
    ]


def _other_events() -> list[tuple[int, Shape]]:
    """Events that are not page views and become no statement either."""
    bookmark = {
        "bookmark_id": "<<username>>,<<block>>",
        "component_type": "vertical",
        "component_usage_id": _USAGE.format("vertical"),
        "course_id": "<<course>>",
    }
    goto = {"old": "<<#tab>>", "new": "<<#target_tab>>", "id": _SEQUENTIAL}
    submitted = {
        "user_id": "<<user_id>>",
        "course_id": "<<course>>",
        "problem_id": _PROBLEM,
        "weighted_earned": "<<#earned>>",
        "weighted_possible": "<<#possible>>",
        **_TRANSACTION,
    }
    assessed = {
        "submission_uuid": "<<uuid>>",
        "attempt_number": 1,
        "created_at": "<<time>>",
        "submitted_at": "<<time>>",
        "answer": {"parts": [{"text": "<<essay>>"}], "file_keys": []},
    }
    video = embedded({"id": "<<video>>", "code": "html5", "duration": "<<#duration>>"})
    scrolled = {"chapter": "/static/book.pdf", "page": "<<#tab>>", "direction": "down"}
    graded = embedded({"problem": f"input_{_INPUT}", "message": "play_video"})
    setting = {"user_id": "<<#user_id>>", "setting": "email", "old": "<<email>>", "new": "new.<<email>>"}
    viewed = {"user_id": "<<#user_id>>", "page": "account", "visibility": None}
    listed = {"bookmarks_count": 3, "page_size": 10, "page_number": 1, "list_type": "per_course"}
    home = "<<root>>/learning/course/<<course>>/home"
    tool = {"tool_name": "edx.bookmarks", "course_id": "<<course>>", "is_staff": False}
    resumed = {"event_type": "resume", "url": home}
    searched = {"query": "<<answer>>", "page": 1, "total_results": 4, "corrected_text": ""}
    cohort = {"cohort_id": 12, "cohort_name": "<<title>>", "user_id": "<<#user_id>>"}
    certificate = {"certificate_id": "<<hex>>", "certificate_url": home}
    bookmarks, check = "/api/bookmarks/v1/bookmarks/", _HANDLER + "problem_check"
    return [
        (60, _browser("page_close", "{}")),
        (12, _without_name(_browser("page_close", "{}"))),
        (30, _browser("problem_graded", graded)),
        (20, _browser("problem_show", embedded({"problem": _PROBLEM}))),
        (8, _browser("problem_save", _ANSWER_FORM)),
        (6, _browser("problem_reset", _ANSWER_FORM)),
        (15, _browser("seq_next", embedded(goto))),
        (8, _browser("seq_prev", embedded(goto))),
        (10, _without_name(_browser("seq_goto", embedded(goto)))),
        (4, _browser("edx.video.language_menu.shown", video)),
        (4, _browser("edx.video.language_menu.hidden", video)),
        (3, _browser("textbook.pdf.page.scrolled", embedded(scrolled))),
        (25, _server("edx.grades.problem.submitted", submitted, check, module=True)),
        (6, _server("edx.problem.completed", {}, check, module=True)),
        (8, _server("edx.bookmark.listed", listed, bookmarks)),
        (5, _server("edx.bookmark.added", bookmark, bookmarks)),
        (4, _server("edx.bookmark.accessed", bookmark, _COURSEWARE)),
        (8, _server("edx.user.settings.viewed", viewed, "/account/settings")),
        (2, _server("edx.user.settings.changed", setting, "/api/user/v1/accounts/<<username>>")),
        (6, _server("edx.course.tool.accessed", tool, "/event")),
        (6, _server("edx.course.home.resume_course.clicked", resumed, "/event")),
        (4, _server("edx.forum.searched", searched, "/event")),
        (3, _server("edx.cohort.user_added", cohort, "/event")),
        (2, _server("edx.certificate.created", certificate, "/event")),
        (1, _server("openassessmentblock.create_submission", assessed, _HANDLER + "submit", module=True)),
    ]


def _kinds() -> tuple[Kind, ...]:
    transformable = (
        _videos() + _problems() + _navigation() + _progress() + _enrollments() + _exams() + _forum()
    )
    others = _page_views() + _other_events()
    return tuple(
        Kind(shape["event_type"], weight, fate, compile_template(shape))
        for fate, shapes in ((True, transformable), (False, others))
        for weight, shape in shapes
    )


KINDS: Final = _kinds()


def known_event_names() -> frozenset[str]:
    """The names of all events that become xAPI statements; the generator writes each of them."""
    return frozenset(kind.name for kind in KINDS if kind.transformable)


def other_event_names() -> frozenset[str]:
    """The names of the events that become none; those of page views are paths, with their slots."""
    return frozenset(kind.name for kind in KINDS if not kind.transformable)

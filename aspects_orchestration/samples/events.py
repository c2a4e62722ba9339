"""The kinds of events that a site logs, each as a shape with slots, a weight and what becomes of it.

The shapes follow Open edX's event reference. The names that become xAPI statements are those that
event-routing-backends both whitelists and transforms; a test compares them with the installed package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aspects_orchestration.samples.event_shapes import (
    ANSWER_FORM,
    COURSEWARE,
    HANDLER,
    INPUT,
    PROBLEM,
    SEQUENTIAL,
    TRANSACTION,
    USAGE,
    Shape,
    browser,
    mobile,
    page_view,
    problem_check,
    server,
    submission,
    without_name,
)
from aspects_orchestration.samples.template import compile_template, embedded


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
    on_phone = {
        "id": "<<video>>",
        "code": "mobile",
        "module_id": USAGE.format("video"),
        "duration": "<<#duration>>",
        "current_time": "<<#seconds>>",
    }
    seek_on_phone = {
        **on_phone,
        "old_time": "<<#old_seconds>>",
        "new_time": "<<#seconds>>",
        "requested_skip_interval": -30,
    }
    return [
        (60, browser("load_video", embedded(video))),
        (90, browser("play_video", embedded(at))),
        (70, browser("pause_video", embedded(at))),
        (8, browser("pause_video", embedded(at), known_by="username")),
        (45, browser("seek_video", embedded(seek))),
        (25, browser("stop_video", embedded(at))),
        (10, browser("complete_video", embedded(at))),
        (8, browser("speed_change_video", embedded(speed))),
        (4, browser("show_transcript", embedded(transcript))),
        (4, browser("hide_transcript", embedded(transcript))),
        (2, browser("video_show_cc_menu", embedded({**video, "language": "en"}))),
        (2, browser("video_hide_cc_menu", embedded({**video, "language": "pt"}))),
        (2, browser("edx.video.closed_captions.shown", embedded(transcript))),
        (2, browser("edx.video.closed_captions.hidden", embedded(transcript))),
        (
            6,
            mobile(
                "edx.video.loaded", {key: on_phone[key] for key in ("id", "code", "module_id", "duration")}
            ),
        ),
        (9, mobile("edx.video.played", on_phone)),
        (7, mobile("edx.video.paused", on_phone)),
        (3, mobile("edx.video.stopped", on_phone)),
        (4, mobile("edx.video.position.changed", seek_on_phone)),
        (2, mobile("edx.video.completed", on_phone)),
        (1, mobile("edx.video.transcript.shown", on_phone)),
        (1, mobile("edx.video.transcript.hidden", on_phone)),
    ]


def _problems() -> list[tuple[int, Shape]]:
    second, third = "<<problem>>_3_1", "<<problem>>_4_1"
    choice = submission("multiplechoiceresponse", "<<choice>>", "Which of these holds?")
    boxes = submission("choiceresponse", ["choice_0", "<<choice>>"], "Select all that apply.")
    number = submission("numericalresponse", "<<number>>", "How many?", variant="3")
    words = submission("stringresponse", "<<answer>>", "In your own words: <<title>>")
    essay = submission("stringresponse", "<<essay>>", "Write an essay.")
    menu = submission("optionresponse", "<<choice>>", "Choose from the menu.")
    return [
        (25, problem_check({INPUT: choice}, {INPUT: "<<choice>>"})),
        (10, problem_check({INPUT: boxes}, {INPUT: ["choice_0", "<<choice>>"]})),
        (12, problem_check({INPUT: number}, {INPUT: "<<number>>"})),
        (12, problem_check({INPUT: words}, {INPUT: "<<answer>>"})),
        (1, problem_check({INPUT: essay}, {INPUT: "<<essay>>"})),
        (8, problem_check({INPUT: choice, second: words}, {INPUT: "<<choice>>", second: "<<answer>>"})),
        (
            6,
            problem_check(
                {INPUT: menu, second: number, third: boxes}, {INPUT: "<<choice>>", second: "<<number>>"}
            ),
        ),
        (50, browser("problem_check", ANSWER_FORM)),
        (
            10,
            browser(
                "problem_check", f"{ANSWER_FORM}&input_{second}%5B%5D=choice_1&input_{second}%5B%5D=choice_2"
            ),
        ),
        (
            10,
            browser(
                "problem_check", ANSWER_FORM, referer=f"<<root>>{COURSEWARE}?activate_block_id={PROBLEM}"
            ),
        ),
        (12, server("showanswer", {"problem_id": PROBLEM}, HANDLER + "problem_show", module=True)),
        (
            4,
            server(
                "edx.problem.hint.demandhint_displayed",
                {
                    "module_id": PROBLEM,
                    "hint_index": "<<#hint>>",
                    "hint_len": 3,
                    "hint_text": "Think of <<title>>.",
                },
                HANDLER + "hint_button",
                module=True,
            ),
        ),
    ]


def _navigation() -> list[tuple[int, Shape]]:
    place = {
        "id": SEQUENTIAL,
        "current_tab": "<<#tab>>",
        "tab_count": "<<#tabs>>",
        "widget_placement": "top",
    }
    outline = {
        "target_url": "<<root>>" + COURSEWARE,
        "target_name": "<<title_in_payload>>",
        "widget_placement": "outline",
    }
    link = {
        "current_url": "<<root>>" + COURSEWARE,
        "target_url": "https://docs.example.org/reading/<<vertical>>?from=lms",
    }
    return [
        (50, browser("edx.ui.lms.sequence.next_selected", embedded(place))),
        (
            12,
            browser(
                "edx.ui.lms.sequence.previous_selected", embedded({**place, "widget_placement": "bottom"})
            ),
        ),
        (
            30,
            browser("edx.ui.lms.sequence.tab_selected", embedded({**place, "target_tab": "<<#target_tab>>"})),
        ),
        (6, browser("edx.ui.lms.outline.selected", embedded(outline))),
        (3, browser("edx.ui.lms.sequence.outline.selected", embedded(outline))),
        (6, browser("edx.ui.lms.link_clicked", embedded(link))),
    ]


def _progress() -> list[tuple[int, Shape]]:
    completion = {
        "user_id": "<<#user_id>>",
        "course_id": "<<course>>",
        "context_key": "<<course>>",
        "block_id": USAGE.format("html"),
        "block_type": "html",
        "completion": "<<#completion>>",
        "is_new": True,
    }
    graded = {"user_id": "<<user_id>>", "course_id": "<<course>>", **TRANSACTION}
    subsection = {
        **graded,
        "block_id": SEQUENTIAL,
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
    outcome = {"user_id": "<<#user_id>>", "course_id": "<<course>>", **TRANSACTION}
    handler = HANDLER + "problem_check"
    return [
        (
            80,
            server(
                "edx.completion.block_completion.changed", completion, "/api/completion/v1/completion-batch"
            ),
        ),
        (40, server("edx.grades.subsection.grade_calculated", subsection, handler)),
        (35, server("edx.grades.course.grade_calculated", course, handler)),
        (1, server("edx.course.grade.passed.first_time", outcome, handler)),
        (2, server("edx.course.grade.now_passed", outcome, handler)),
        (2, server("edx.course.grade.now_failed", outcome, handler)),
    ]


def _enrollments() -> list[tuple[int, Shape]]:
    enrollment = {"course_id": "<<course>>", "user_id": "<<#user_id>>", "mode": "<<mode>>"}
    about = "<<root>>/courses/<<course>>/about"
    by_staff = "/courses/<<course>>/instructor/api/students_update_enrollment"
    return [
        (8, server("edx.course.enrollment.activated", enrollment, "/change_enrollment", referer=about)),
        (3, server("edx.course.enrollment.activated", enrollment, by_staff, acting="staff")),
        (2, server("edx.course.enrollment.deactivated", enrollment, "/change_enrollment", referer=about)),
        (1, server("edx.course.enrollment.deactivated", enrollment, by_staff, acting="staff")),
        (
            2,
            server(
                "edx.course.enrollment.mode_changed", enrollment, "/api/commerce/v0/baskets/", referer=about
            ),
        ),
    ]


def _exams() -> list[tuple[int, Shape]]:
    kinds: list[tuple[int, Shape]] = []
    for exam in ("timed", "practice", "proctored"):
        created = {
            "exam_id": 7,
            "exam_content_id": SEQUENTIAL,
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
        kinds.append((2, server(f"edx.special_exam.{exam}.attempt.created", created, path)))
        kinds.append(
            (2, server(f"edx.special_exam.{exam}.attempt.submitted", submitted, path + "/<<attempt>>"))
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
        return server(
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
    form = {f"input_{INPUT}": ["<<choice>>"]}
    return [
        (60, page_view(COURSEWARE, get={"child": ["first"]})),
        (
            40,
            page_view(
                f"/xblock/{USAGE.format('vertical')}", get={"view": ["student_view"], "show_title": ["0"]}
            ),
        ),
        (40, page_view(HANDLER + "problem_check", post=form)),
        (30, page_view(HANDLER + "problem_get")),
        (20, page_view(HANDLER + "problem_show")),
        (30, page_view("/courses/<<course>>/course/")),
        (25, page_view("/api/courseware/course/<<course>>", get={"browser_timezone": ["Europe/Lisbon"]})),
        (25, page_view("/api/course_home/outline/<<course>>")),
        (
            20,
            page_view(
                f"/courses/<<course>>/xblock/{USAGE.format('video')}/handler/transcript/translation/en"
            ),
        ),
        (
            20,
            page_view(
                f"/courses/<<course>>/xblock/{USAGE.format('video')}/handler/xmodule_handler/save_user_state"
            ),
        ),
        (15, page_view("/courses/<<course>>/progress")),
        (12, page_view("/courses/<<course>>/discussion/forum/", get={"ajax": ["1"], "page": ["1"]})),
        (15, page_view("/dashboard")),
        (
            8,
            page_view(
                "/api/user/v2/account/login_session/",
                post={"email_or_username": ["<<email>>"], "next": ["/dashboard"]},
            ),
        ),
        (
            6,
            page_view(
                "/search/course_discovery/", post={"search_string": ["play_video"], "page_index": ["0"]}
            ),
        ),
        (
            6,
            page_view(
                "/courses/<<course>>/instructor/api/list_course_role_members", post={"rolename": ["staff"]}
            ),
        ),
        (10, page_view("/event", post={"event_type": ["play_video"], "event": ['{"name": "play_video"}']})),
        (12, without_name(page_view("/courses/<<course>>/jump_to_id/<<vertical>>"))),
    ]


def _other_events() -> list[tuple[int, Shape]]:
    """Events that are not page views and become no statement either."""
    bookmark = {
        "bookmark_id": "<<username>>,<<block>>",
        "component_type": "vertical",
        "component_usage_id": USAGE.format("vertical"),
        "course_id": "<<course>>",
    }
    goto = {"old": "<<#tab>>", "new": "<<#target_tab>>", "id": SEQUENTIAL}
    submitted = {
        "user_id": "<<user_id>>",
        "course_id": "<<course>>",
        "problem_id": PROBLEM,
        "weighted_earned": "<<#earned>>",
        "weighted_possible": "<<#possible>>",
        **TRANSACTION,
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
    graded = embedded({"problem": f"input_{INPUT}", "message": "play_video"})
    setting = {"user_id": "<<#user_id>>", "setting": "email", "old": "<<email>>", "new": "new.<<email>>"}
    viewed = {"user_id": "<<#user_id>>", "page": "account", "visibility": None}
    listed = {"bookmarks_count": 3, "page_size": 10, "page_number": 1, "list_type": "per_course"}
    home = "<<root>>/learning/course/<<course>>/home"
    tool = {"tool_name": "edx.bookmarks", "course_id": "<<course>>", "is_staff": False}
    resumed = {"event_type": "resume", "url": home}
    searched = {"query": "<<answer>>", "page": 1, "total_results": 4, "corrected_text": ""}
    cohort = {"cohort_id": 12, "cohort_name": "<<title>>", "user_id": "<<#user_id>>"}
    certificate = {"certificate_id": "<<hex>>", "certificate_url": home}
    bookmarks, check = "/api/bookmarks/v1/bookmarks/", HANDLER + "problem_check"
    return [
        (60, browser("page_close", "{}")),
        (12, without_name(browser("page_close", "{}"))),
        (30, browser("problem_graded", graded)),
        (20, browser("problem_show", embedded({"problem": PROBLEM}))),
        (8, browser("problem_save", ANSWER_FORM)),
        (6, browser("problem_reset", ANSWER_FORM)),
        (15, browser("seq_next", embedded(goto))),
        (8, browser("seq_prev", embedded(goto))),
        (10, without_name(browser("seq_goto", embedded(goto)))),
        (4, browser("edx.video.language_menu.shown", video)),
        (4, browser("edx.video.language_menu.hidden", video)),
        (3, browser("textbook.pdf.page.scrolled", embedded(scrolled))),
        (25, server("edx.grades.problem.submitted", submitted, check, module=True)),
        (6, server("edx.problem.completed", {}, check, module=True)),
        (8, server("edx.bookmark.listed", listed, bookmarks)),
        (5, server("edx.bookmark.added", bookmark, bookmarks)),
        (4, server("edx.bookmark.accessed", bookmark, COURSEWARE)),
        (8, server("edx.user.settings.viewed", viewed, "/account/settings")),
        (2, server("edx.user.settings.changed", setting, "/api/user/v1/accounts/<<username>>")),
        (6, server("edx.course.tool.accessed", tool, "/event")),
        (6, server("edx.course.home.resume_course.clicked", resumed, "/event")),
        (4, server("edx.forum.searched", searched, "/event")),
        (3, server("edx.cohort.user_added", cohort, "/event")),
        (2, server("edx.certificate.created", certificate, "/event")),
        (1, server("openassessmentblock.create_submission", assessed, HANDLER + "submit", module=True)),
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

"""The functions, classes and values whose rules the builders write down, as they were read.

edx-event-routing-backends 9.3.8 and the tincan that it brings. `fingerprints.py` says what a fingerprint is, and how to
renew them.
"""

from typing import Final

from aspects_orchestration.xapi.fast.fingerprints import Known

_RULES: Final = "event_routing_backends.processors.xapi.event_transformers"

#: The transformer of each event name that has a builder, by its module below `event_transformers`.
_TRANSFORMERS: Final = {
    "completion_events.CompletionCreatedTransformer": ("edx.completion.block_completion.changed",),
    "enrollment_events.CourseGradeNowFailedTransformer": ("edx.course.grade.now_failed",),
    "enrollment_events.CourseGradeNowPassedTransformer": ("edx.course.grade.now_passed",),
    "enrollment_events.CourseGradePassedFirstTimeTransformer": ("edx.course.grade.passed.first_time",),
    "enrollment_events.EnrollmentActivatedTransformer": (
        "edx.course.enrollment.activated",
        "edx.course.enrollment.mode_changed",
    ),
    "enrollment_events.EnrollmentDeactivatedTransformer": ("edx.course.enrollment.deactivated",),
    "exam_events.PracticeExamCreatedTransformer": ("edx.special_exam.practice.attempt.created",),
    "exam_events.PracticeExamSubmittedTransformer": ("edx.special_exam.practice.attempt.submitted",),
    "exam_events.ProctoredExamCreatedTransformer": ("edx.special_exam.proctored.attempt.created",),
    "exam_events.ProctoredExamSubmittedTransformer": ("edx.special_exam.proctored.attempt.submitted",),
    "exam_events.TimedExamCreatedTransformer": ("edx.special_exam.timed.attempt.created",),
    "exam_events.TimedExamSubmittedTransformer": ("edx.special_exam.timed.attempt.submitted",),
    "forum_events.ThreadCreatedTransformer": ("edx.forum.thread.created",),
    "forum_events.ThreadDeletedTransformer": (
        "edx.forum.comment.deleted",
        "edx.forum.response.deleted",
        "edx.forum.thread.deleted",
    ),
    "forum_events.ThreadEditedTransformer": (
        "edx.forum.comment.edited",
        "edx.forum.response.edited",
        "edx.forum.thread.edited",
    ),
    "forum_events.ThreadResponseCreatedTransformer": (
        "edx.forum.comment.created",
        "edx.forum.response.created",
    ),
    "forum_events.ThreadResponseReportedTransformer": (
        "edx.forum.comment.reported",
        "edx.forum.response.reported",
        "edx.forum.thread.reported",
    ),
    "forum_events.ThreadResponseUnReportedTransformer": (
        "edx.forum.comment.unreported",
        "edx.forum.response.unreported",
        "edx.forum.thread.unreported",
    ),
    "forum_events.ThreadViewedTransformer": ("edx.forum.thread.viewed",),
    "forum_events.ThreadVotedTransformer": (
        "edx.forum.response.voted",
        "edx.forum.thread.voted",
    ),
    "grading_events.CourseGradedTransformer": ("edx.grades.course.grade_calculated",),
    "grading_events.SubsectionGradedTransformer": ("edx.grades.subsection.grade_calculated",),
    "navigation_events.LinkClickedTransformer": ("edx.ui.lms.link_clicked",),
    "navigation_events.OutlineSelectedTransformer": (
        "edx.ui.lms.outline.selected",
        "edx.ui.lms.sequence.outline.selected",
    ),
    "navigation_events.TabNavigationTransformer": (
        "edx.ui.lms.sequence.next_selected",
        "edx.ui.lms.sequence.previous_selected",
        "edx.ui.lms.sequence.tab_selected",
    ),
    "problem_interaction_events.ProblemCheckTransformer": ("problem_check",),
    "problem_interaction_events.ProblemEventsTransformer": (
        "edx.problem.hint.demandhint_displayed",
        "showanswer",
    ),
    "video_events.VideoCCTransformers": (
        "edx.video.closed_captions.hidden",
        "edx.video.closed_captions.shown",
        "edx.video.transcript.hidden",
        "edx.video.transcript.shown",
        "hide_transcript",
        "show_transcript",
        "video_hide_cc_menu",
        "video_show_cc_menu",
    ),
    "video_events.VideoCompletedTransformer": (
        "complete_video",
        "edx.video.completed",
    ),
    "video_events.VideoInteractionTransformers": (
        "edx.video.paused",
        "edx.video.played",
        "edx.video.stopped",
        "pause_video",
        "play_video",
        "stop_video",
    ),
    "video_events.VideoLoadedTransformer": (
        "edx.video.loaded",
        "load_video",
    ),
    "video_events.VideoPositionChangedTransformer": (
        "edx.video.position.changed",
        "seek_video",
    ),
    "video_events.VideoSpeedChangedTransformer": ("speed_change_video",),
}

#: The same by event name, as `module.class`.
TRANSFORMERS: Final = {
    name: f"{_RULES}.{transformer}" for transformer, names in _TRANSFORMERS.items() for name in names
}

_READ: Final = {
    "event_routing_backends.helpers": {
        "get_uuid5": "fb088c669705c5c1",
        "get_anonymous_user_id": "a335935b491527d3",
        "get_user": "3d4fd6d83a6e6adf",
        "get_course_from_id": "bf6ab2379bff860e",
        "convert_seconds_to_float": "88df8a4c4cbeb4a0",
        "get_block_id_from_event_referrer": "6d3c9368f8984434",
        "get_block_id_from_event_data": "133cf182dff23f37",
        "get_problem_block_id": "ccdefa972eb055a8",
        "make_video_block_id": "8b011ba1c9f8bd8c",
        "BLOCK_ID_FORMAT": "5f3a2a52d7095e8b",
        "get_block_version": "e4524f30fd6aa124",
    },
    "event_routing_backends.models": {
        "get_value_from_dotted_path": "4ad789ac6503c9cd",
    },
    "event_routing_backends.processors.mixins.base_transformer": {
        "BaseTransformerMixin": "92857af5448d55c9",
    },
    "event_routing_backends.processors.xapi.transformer_processor": {
        "XApiProcessor": "153ae762c037cc35",
    },
    "event_routing_backends.processors.xapi.transformer": {
        "XApiTransformer": "9e253884ebdc909d",
        "XApiVerbTransformerMixin": "be606e327c62018e",
        "OneToManyChildXApiTransformerMixin": "9e34791527eff3e0",
        "OneToManyXApiTransformerMixin": "5a32b62d5e4a23db",
    },
    "event_routing_backends.processors.xapi.event_transformers.video_events": {
        "BaseVideoTransformer": "a89f4dad44b216aa",
        "VideoLoadedTransformer": "a3b0dd2cff2e5a80",
        "VideoInteractionTransformers": "be1a02a3811505ac",
        "VideoPositionChangedTransformer": "209f3b97145dfdf0",
        "VideoCCTransformers": "d2b4bdec02b29a7f",
        "VideoCompletedTransformer": "cb64dce9ee5fedbe",
        "VideoSpeedChangedTransformer": "caec40fd49769d50",
    },
    "event_routing_backends.processors.xapi.event_transformers.completion_events": {
        "CompletionCreatedTransformer": "4091016cff7c40db",
    },
    "event_routing_backends.processors.xapi.event_transformers.navigation_events": {
        "NavigationTransformersMixin": "ed7bc1c6c1125da4",
        "TabNavigationTransformer": "092bd41fcbfc1c74",
        "LinkClickedTransformer": "f59cc2eb73c6194c",
        "OutlineSelectedTransformer": "491e37c9a4ac5ae2",
    },
    "event_routing_backends.processors.xapi.event_transformers.problem_interaction_events": {
        "BaseProblemsTransformer": "c2888f12bc53c6b0",
        "ProblemEventsTransformer": "f0a834b497c8b34f",
        "BaseProblemCheckTransformer": "5e29588ef634db4f",
        "ProblemCheckChildTransformer": "dadb3d621bc7a987",
        "ProblemCheckTransformer": "4463e5a5f9e3e4a8",
        "JSONEncodedResult": "85f2f9c1f53dc70e",
    },
    "event_routing_backends.processors.xapi.event_transformers.grading_events": {
        "SubsectionGradedTransformer": "4a045e1b667c5275",
        "CourseGradedTransformer": "0234da392c6d0f5f",
    },
    "event_routing_backends.processors.xapi.event_transformers.enrollment_events": {
        "BaseEnrollmentTransformer": "efb993394718e8ed",
        "EnrollmentActivatedTransformer": "73419190efa3a1c1",
        "EnrollmentDeactivatedTransformer": "73419190efa3a1c1",
        "CourseGradePassedFirstTimeTransformer": "73419190efa3a1c1",
        "CourseGradeNowPassedTransformer": "73419190efa3a1c1",
        "CourseGradeNowFailedTransformer": "73419190efa3a1c1",
    },
    "event_routing_backends.processors.xapi.event_transformers.forum_events": {
        "BaseForumThreadTransformer": "40f596c120dd006e",
        "ThreadCreatedTransformer": "f210a8284ed64938",
        "ThreadEditedTransformer": "e05d3d2d7690cc89",
        "ThreadViewedTransformer": "e05d3d2d7690cc89",
        "ThreadDeletedTransformer": "e05d3d2d7690cc89",
        "ThreadVotedTransformer": "6890b7d8ed15856f",
        "ThreadResponseCreatedTransformer": "e05d3d2d7690cc89",
        "ThreadResponseReportedTransformer": "e05d3d2d7690cc89",
        "ThreadResponseUnReportedTransformer": "e05d3d2d7690cc89",
    },
    "event_routing_backends.processors.xapi.event_transformers.exam_events": {
        "PracticeExamCreatedTransformer": "38109dd179928142",
        "BasePracticeExamTransformer": "864fb2b0e0058b59",
        "BaseExamTransformer": "5bddbe02d4d2de02",
        "InitializedMixin": "f2b18fc1a27b690e",
        "PracticeExamSubmittedTransformer": "6c0365f6b433337b",
        "TerminatedMixin": "f2b18fc1a27b690e",
        "ProctoredExamCreatedTransformer": "cc2adf7ee12b2c8e",
        "BaseProctoredExamTransformer": "3745b47e0be8d0b7",
        "ProctoredExamSubmittedTransformer": "6866f48ea7b9f736",
        "TimedExamCreatedTransformer": "1ec5964279f8b107",
        "BaseTimedExamTransformer": "3851b3ad547e3c24",
        "TimedExamSubmittedTransformer": "4b6d6c088fa8e42f",
    },
    "event_routing_backends.processors.xapi.constants": {
        "EN": "92941d720779e57d",
        "EN_US": "4e825c8d0ecc117b",
        "XAPI_SPECIFICATION_VERSION": "e4a989b18f5d2f9b",
    },
    "event_routing_backends.processors.xapi.statements": {
        "GroupActivity": "3a42f2915d87767c",
    },
    "tincan.serializable_base": {
        "SerializableBase": "0635af4b8616105e",
    },
    "tincan.base": {
        "Base": "5641a891cf533f53",
    },
    "tincan.statement": {
        "Statement": "6573cc0558ffe30e",
    },
    "tincan.statement_base": {
        "StatementBase": "4e250ab47bf3ad2f",
    },
    "tincan.statement_ref": {
        "StatementRef": "6408e78c3208929f",
    },
    "tincan.typed_list": {
        "TypedList": "dbd7ebd4de388937",
    },
    "tincan.activity_list": {
        "ActivityList": "171a0d58e0e6c73d",
    },
    "tincan.agent": {
        "Agent": "7a02b4b5eb057db8",
    },
    "tincan.verb": {
        "Verb": "a0a52e7fa85404dd",
    },
    "tincan.activity": {
        "Activity": "28a7846461d14667",
    },
    "tincan.activity_definition": {
        "ActivityDefinition": "c0355852aec2bc2e",
    },
    "tincan.context": {
        "Context": "cbf3f5d00c125d2e",
    },
    "tincan.context_activities": {
        "ContextActivities": "7daf89a81514e8e7",
    },
    "tincan.result": {
        "Result": "b9cf81f51b5b38fa",
    },
    "tincan.score": {
        "Score": "34894e477225cdd8",
    },
    "tincan.extensions": {
        "Extensions": "af930f7c1ac643f6",
    },
    "tincan.language_map": {
        "LanguageMap": "f082386a8acc8365",
    },
    "tincan.conversions.iso8601": {
        "make_timedelta": "b767725c08e363b6",
        "jsonify_timedelta": "5f2cd964cc63cc24",
        "make_datetime": "14e2e0d7b661ab40",
        "jsonify_datetime": "a969183fb9f50cf4",
    },
}

BUILDERS: tuple[Known, ...] = tuple(
    Known(module, qualname, text) for module, found in _READ.items() for qualname, text in found.items()
)

"""The functions and classes whose rules the builders write down, as they were read.

edx-event-routing-backends 9.3.8 and the tincan that it brings. `fingerprints.py` says what a fingerprint is.
"""

from aspects_orchestration.xapi.fast.fingerprints import Known

_READ = {
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

BUILDERS = tuple(
    Known(module, qualname, text) for module, found in _READ.items() for qualname, text in found.items()
)

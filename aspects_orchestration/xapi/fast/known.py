"""The functions and classes that the substrate's patches replace or stand on.

Fingerprints of event-routing-backends 9.3.8, tincan 1.0.0 and openedx-filters 3.16.0. `fingerprints.py` says what a
fingerprint is, and how to renew them.
"""

from __future__ import annotations

from typing import Final

from aspects_orchestration.xapi.fast.fingerprints import Known

_TRANSFORMER: Final = "event_routing_backends.processors.xapi.transformer"
_BASE: Final = "event_routing_backends.processors.mixins.base_transformer"
_HELPERS: Final = "event_routing_backends.helpers"
_TIMES: Final = "tincan.conversions.iso8601"
_STATEMENT_BASE: Final = "tincan.statement_base"

#: What each patch replaces or stands on, by the patch's name.
KNOWN: Final[dict[str, tuple[Known, ...]]] = {
    "unconfigured_filters": (
        Known(
            "event_routing_backends.processors.openedx_filters.decorators",
            "openedx_filter",
            "46a242c307ffc915",
        ),
        Known(
            "event_routing_backends.processors.openedx_filters.filters",
            "ProcessorBaseFilter",
            "317b068b8be0f401",
        ),
        Known("openedx_filters.tooling", "OpenEdxPublicFilter", "2da914e8f98ca950"),
    ),
    "quick_objects": (
        Known("tincan.base", "Base", "5641a891cf533f53"),
        Known("tincan.serializable_base", "SerializableBase", "0635af4b8616105e"),
        Known("tincan.typed_list", "TypedList", "dbd7ebd4de388937"),
        Known(_STATEMENT_BASE, "StatementBase", "4e250ab47bf3ad2f"),
        Known("tincan.statement", "Statement", "6573cc0558ffe30e"),
        Known("tincan.statement_ref", "StatementRef", "6408e78c3208929f"),
        Known("tincan.activity", "Activity", "28a7846461d14667"),
        Known("tincan.activity_definition", "ActivityDefinition", "c0355852aec2bc2e"),
        Known("tincan.activity_list", "ActivityList", "171a0d58e0e6c73d"),
        Known("tincan.context", "Context", "cbf3f5d00c125d2e"),
        Known("tincan.context_activities", "ContextActivities", "7daf89a81514e8e7"),
        Known("tincan.extensions", "Extensions", "af930f7c1ac643f6"),
        Known("tincan.language_map", "LanguageMap", "f082386a8acc8365"),
        Known("tincan.result", "Result", "b9cf81f51b5b38fa"),
        Known("tincan.score", "Score", "34894e477225cdd8"),
        Known("tincan.version", "Version", "56af81f9e6749853"),
        Known(_TIMES, "jsonify_datetime", "a969183fb9f50cf4"),
        Known(_TIMES, "jsonify_timedelta", "5f2cd964cc63cc24"),
        Known("event_routing_backends.processors.xapi.statements", "GroupActivity", "3a42f2915d87767c"),
        Known(
            "event_routing_backends.processors.xapi.event_transformers.problem_interaction_events",
            "JSONEncodedResult",
            "85f2f9c1f53dc70e",
        ),
    ),
    "quick_times": (
        Known(_STATEMENT_BASE, "make_datetime", "14e2e0d7b661ab40"),
        Known(_TIMES, "_make_datetime", "560e55d08114ac35"),
        Known(_TIMES, "jsonify_datetime", "a969183fb9f50cf4"),
        Known(_STATEMENT_BASE, "StatementBase.timestamp", "d41138533c7cf4a3"),
    ),
    "event_data": (
        Known(_BASE, "BaseTransformerMixin.__init__", "cd3d9e39b9e4f31c"),
        Known(_BASE, "BaseTransformerMixin.get_data", "e90caee502384b23"),
        Known(_BASE, "BaseTransformerMixin.find_nested", "4deb02273ca0e852"),
        Known(_BASE, "get_value_from_dotted_path", "4ad789ac6503c9cd"),
        Known(_TRANSFORMER, "OneToManyXApiTransformerMixin.transform_children", "c18801c9f7964f24"),
        Known(_TRANSFORMER, "OneToManyChildXApiTransformerMixin.__init__", "ee37934c27e4c969"),
    ),
    "statement_ids": (
        Known(_TRANSFORMER, "get_uuid5", "fb088c669705c5c1"),
        Known(_TRANSFORMER, "XApiTransformer.get_event_id", "19077c35ea9f58c6"),
        Known(_TRANSFORMER, "OneToManyChildXApiTransformerMixin.get_event_id", "2448e39731ee4be3"),
    ),
    "planned_fields": (
        Known(_BASE, "BaseTransformerMixin.transform", "98ee483ab1b1c81a"),
        Known(_BASE, "BaseTransformerMixin.transformer_version", "0811c4a74161676e"),
    ),
    "shared_objects": (
        Known(_TRANSFORMER, "XApiTransformer.get_actor", "67716cee27f62454"),
        Known(_TRANSFORMER, "XApiTransformer.get_verb", "13f7d1ca46a3d63c"),
        Known(_TRANSFORMER, "XApiTransformer.get_context_activities", "1e56ff2f3cb35998"),
        Known(_TRANSFORMER, "XApiTransformer.get_event_id", "19077c35ea9f58c6"),
        Known(_TRANSFORMER, "XApiVerbTransformerMixin.get_verb", "21a977e0f5db05f0"),
        Known(_TRANSFORMER, "OneToManyChildXApiTransformerMixin.get_event_id", "2448e39731ee4be3"),
        Known(_TRANSFORMER, "OneToManyChildXApiTransformerMixin.get_context_activities", "7a0a23c890eb522b"),
        Known(_BASE, "BaseTransformerMixin.extract_username_or_userid", "5a6353dd3bd8f203"),
        Known(_HELPERS, "get_user", "3d4fd6d83a6e6adf"),
        Known(_HELPERS, "get_anonymous_user_id", "a335935b491527d3"),
        Known(_HELPERS, "get_course_from_id", "bf6ab2379bff860e"),
        Known("tincan.agent", "Agent", "7a02b4b5eb057db8"),
        Known("tincan.agent_account", "AgentAccount", "e357c2d25b856980"),
        Known("tincan.verb", "Verb", "a0a52e7fa85404dd"),
        Known("tincan.serializable_base", "SerializableBase", "0635af4b8616105e"),
    ),
    "one_serialisation": (
        Known(
            "event_routing_backends.processors.xapi.transformer_processor",
            "XApiProcessor",
            "153ae762c037cc35",
        ),
        Known(
            "event_routing_backends.processors.mixins.base_transformer_processor",
            "BaseTransformerProcessorMixin",
            "a5c58b3c458bbe0e",
        ),
        Known(
            "event_routing_backends.processors.transformer_utils.registry",
            "TransformerRegistry.get_transformer",
            "63e58c515c733360",
        ),
        Known("tincan.serializable_base", "SerializableBase", "0635af4b8616105e"),
    ),
}

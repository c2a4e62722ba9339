"""tincan's classes as event-routing-backends uses them, without the cost of checking every attribute by name.

Each class here is a subclass of tincan's and takes its place where event-routing-backends builds statements. What is
checked or converted there is checked or converted here: a value that is already of the right type is stored, every other
goes through tincan's own property. Called in a way that is not foreseen, an object becomes one of tincan's own class.
Beside tincan's `as_version`, which still works, `tree` gives the same JSON value faster.

Import this after Django is set up: event-routing-backends cannot be imported before.
"""

from __future__ import annotations

import uuid
from typing import Any

import tincan
from event_routing_backends.processors.xapi.event_transformers.problem_interaction_events import (
    JSONEncodedResult,
)
from event_routing_backends.processors.xapi.statements import GroupActivity
from tincan.serializable_base import SerializableBase
from tincan.version import Version

from aspects_orchestration.xapi.fast.json_values import UNSET, Quick, converters, json_value


class QuickExtensions(tincan.Extensions):  # type: ignore[misc]
    """Extensions."""

    __init__ = dict.__init__

    def tree(self) -> dict[str, Any]:
        """The extensions that have a value."""
        for value in self.values():
            if value is None or isinstance(value, SerializableBase):
                break
        else:
            return self
        return {
            key: value.as_version() if isinstance(value, SerializableBase) else value
            for key, value in self.items()
            if value is not None
        }


class QuickLanguageMap(tincan.LanguageMap):  # type: ignore[misc]
    """A text by language."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        dict.__init__(self, *args, **kwargs)
        for value in self.values():
            if value.__class__ is not str:
                self._check_basestring(value)


class QuickActivityList(tincan.ActivityList):  # type: ignore[misc]
    """A list of activities."""

    def __init__(self, *args: Any) -> None:
        list.__init__(self, *args)
        for value in self:
            if not isinstance(value, tincan.Activity):
                tincan.ActivityList.__init__(self, list(self))
                return

    def tree(self) -> list[Any]:
        """The JSON values of the activities."""
        return [converters.get(one.__class__, json_value)(one) for one in self]  # type: ignore[misc]


class QuickDefinition(Quick, tincan.ActivityDefinition):  # type: ignore[misc]
    """The definition of an activity."""

    _name = _description = _type = _more_info = _interaction_type = _correct_responses_pattern = None
    _choices = _scale = _source = _target = _steps = _extensions = None

    def __init__(self, type: Any = None, name: Any = None, extensions: Any = None, **rest: Any) -> None:  # noqa: A002
        if rest:
            self._become(
                tincan.ActivityDefinition, {"type": type, "name": name, "extensions": extensions}, rest
            )
            return
        if type.__class__ is str and type:
            self._type = type
        else:
            self.type = type
        if name is not None:
            self.name = name
        if extensions is not None:
            self.extensions = extensions


class QuickActivity(Quick, tincan.Activity):  # type: ignore[misc]
    """An activity."""

    _id = _definition = None
    _stock: type = tincan.Activity
    _kind = "Activity"

    def __init__(self, id: Any = None, definition: Any = None, object_type: Any = None, **rest: Any) -> None:  # noqa: A002
        if rest:
            self._become(self._stock, {"id": id, "definition": definition, "object_type": object_type}, rest)
            return
        if id.__class__ is str and id:
            self._id = id
        else:
            self.id = id
        self._object_type = self._kind
        if definition.__class__ is QuickDefinition:
            self._definition = definition
        else:
            self.definition = definition


class QuickGroupActivity(QuickActivity, GroupActivity):  # type: ignore[misc]
    """A problem of several questions."""

    _stock = GroupActivity
    _kind = "GroupActivity"


class QuickContextActivities(Quick, tincan.ContextActivities):  # type: ignore[misc]
    """The activities around a statement's object."""

    _category = _parent = _grouping = _other = None

    def __init__(self, parent: Any = None, grouping: Any = None, **rest: Any) -> None:
        if rest:
            self._become(tincan.ContextActivities, {"parent": parent, "grouping": grouping}, rest)
            return
        if parent is not None:
            self._parent = parent if parent.__class__ is QuickActivityList else self._activity_or_list(parent)
        if grouping is not None:
            self._grouping = (
                grouping if grouping.__class__ is QuickActivityList else self._activity_or_list(grouping)
            )

    @staticmethod
    def _activity_or_list(value: Any) -> Any:
        # tincan finds out that a list is no activity by an exception, which costs more than all the rest.
        if value.__class__ is list:
            return QuickActivityList(value)
        return tincan.ContextActivities._activity_or_list(value)


class QuickContext(Quick, tincan.Context):  # type: ignore[misc]
    """The context of a statement."""

    _registration = _instructor = _team = _context_activities = _revision = _platform = _language = None
    _statement = _extensions = None

    def __init__(
        self,
        extensions: Any = None,
        contextActivities: Any = None,  # noqa: N803  tincan's name
        statement: Any = None,
        **rest: Any,
    ) -> None:
        if rest:
            given = {"extensions": extensions, "contextActivities": contextActivities, "statement": statement}
            self._become(tincan.Context, given, rest)
            return
        if extensions.__class__ is QuickExtensions:
            self._extensions = extensions
        else:
            self.extensions = extensions
        if contextActivities.__class__ is QuickContextActivities:
            self._context_activities = contextActivities
        else:
            self.context_activities = contextActivities
        if statement is not None:
            self.statement = statement


class QuickScore(Quick, tincan.Score):  # type: ignore[misc]
    """A score; all of its numbers are floats."""

    _scaled = _raw = _min = _max = None

    def __init__(self, min: Any = None, max: Any = None, raw: Any = None, scaled: Any = None) -> None:  # noqa: A002
        if min is not None:
            self._min = float(min)
        if max is not None:
            self._max = float(max)
        if raw is not None:
            self._raw = float(raw)
        if scaled is not None:
            self._scaled = float(scaled)


_SCORE_KEYS = frozenset({"min", "max", "raw", "scaled"})


class QuickResult(Quick, tincan.Result):  # type: ignore[misc]
    """The result of a statement."""

    _score = _success = _completion = _duration = _response = _extensions = None
    _stock: type = tincan.Result

    def __init__(
        self,
        success: Any = UNSET,
        score: Any = None,
        response: Any = UNSET,
        extensions: Any = None,
        completion: Any = UNSET,
        duration: Any = None,
        **rest: Any,
    ) -> None:
        if rest:
            given = {
                "success": success,
                "score": score,
                "response": response,
                "extensions": extensions,
                "completion": completion,
                "duration": duration,
            }
            self._become(self._stock, given, rest)
            return
        if success is not UNSET:
            self._success = None if success is None else bool(success)
        if score is not None:
            self._set_score(score)
        if response is not UNSET:
            self.response = response
        if extensions.__class__ is QuickExtensions:
            self._extensions = extensions
        elif extensions is not None:
            self.extensions = extensions
        if completion is not UNSET:
            self._completion = None if completion is None else bool(completion)
        if duration is not None:
            self.duration = duration

    def _set_score(self, score: Any) -> None:
        if score.__class__ is dict and score.keys() <= _SCORE_KEYS:
            try:
                self._score = QuickScore(**score)
            except Exception:
                self.score = score  # which raises, with tincan's own words
        else:
            self.score = score


class QuickEncodedResult(QuickResult, JSONEncodedResult):  # type: ignore[misc]
    """A result whose response is a list, stored as JSON text."""

    _stock = JSONEncodedResult
    response = JSONEncodedResult.response


class QuickStatementRef(Quick, tincan.StatementRef):  # type: ignore[misc]
    """A reference to the parent statement."""

    _id = None

    def __init__(self, id: Any = None, **rest: Any) -> None:  # noqa: A002
        if rest:
            self._become(tincan.StatementRef, {"id": id}, rest)
            return
        self._object_type = "StatementRef"
        self.id = id


class QuickStatement(Quick, tincan.Statement):  # type: ignore[misc]
    """A statement."""

    _id = _stored = _authority = _result = _actor = _verb = _object = _timestamp = _context = None
    _attachments = None

    def __init__(  # noqa: PLR0912  a branch for each property
        self,
        id: Any = None,  # noqa: A002
        actor: Any = None,
        context: Any = None,
        timestamp: Any = None,
        object: Any = None,  # noqa: A002
        verb: Any = None,
        version: Any = UNSET,
        result: Any = None,
        **rest: Any,
    ) -> None:
        if rest:
            given = {
                "id": id,
                "actor": actor,
                "context": context,
                "timestamp": timestamp,
                "object": object,
                "verb": verb,
                "version": version,
                "result": result,
            }
            self._become(tincan.Statement, given, rest)
            return
        if isinstance(id, uuid.UUID):
            self._id = id
        else:
            self.id = id
        if version.__class__ is str and version:
            self._version = version
        else:
            self.version = Version.latest if version is UNSET else version
        if isinstance(actor, tincan.Agent):
            self._actor = actor
        else:
            self.actor = actor
        if context.__class__ is QuickContext:
            self._context = context
        else:
            self.context = context
        self.timestamp = timestamp
        if isinstance(object, QuickActivity):
            self._object = object
        else:
            self.object = object
        if isinstance(verb, tincan.Verb):
            self._verb = verb
        else:
            self.verb = verb
        if isinstance(result, QuickResult):
            self._result = result
        elif result is not None:
            self.result = result


converters.update(
    {
        QuickLanguageMap: None,
        QuickExtensions: QuickExtensions.tree,
        QuickActivityList: QuickActivityList.tree,
    }
)
converters.update(
    (quick, quick.tree)
    for quick in (
        QuickDefinition,
        QuickActivity,
        QuickGroupActivity,
        QuickContextActivities,
        QuickContext,
        QuickScore,
        QuickResult,
        QuickEncodedResult,
        QuickStatementRef,
        QuickStatement,
    )
)

#: The class to be replaced, where it stands by this name in a module that builds statements, and its replacement.
REPLACEMENTS: dict[str, tuple[type, type]] = {
    "Activity": (tincan.Activity, QuickActivity),
    "ActivityDefinition": (tincan.ActivityDefinition, QuickDefinition),
    "ActivityList": (tincan.ActivityList, QuickActivityList),
    "Context": (tincan.Context, QuickContext),
    "ContextActivities": (tincan.ContextActivities, QuickContextActivities),
    "Extensions": (tincan.Extensions, QuickExtensions),
    "GroupActivity": (GroupActivity, QuickGroupActivity),
    "JSONEncodedResult": (JSONEncodedResult, QuickEncodedResult),
    "LanguageMap": (tincan.LanguageMap, QuickLanguageMap),
    "Result": (tincan.Result, QuickResult),
    "Statement": (tincan.Statement, QuickStatement),
    "StatementRef": (tincan.StatementRef, QuickStatementRef),
}
for _stock, _quick in (*REPLACEMENTS.values(), (tincan.Score, QuickScore)):
    _quick.__name__ = _stock.__name__  # which tincan puts into the texts of its errors

"""Statements of the commonest events, written down directly.

A builder knows one kind of event in one shape, and leaves every other shape to the transformers: it gives up as soon as
a value is not of the type, or not in the place, for which its statement was worked out. What a statement looks like is
event-routing-backends' rule (processors/xapi/event_transformers); the differential suite holds the two side by side.
Actors, verbs and courses are taken from the transformers themselves, once, and kept as JSON text.

Each family of events has a module here; `statements` has the table of all and what their statements share.
"""

from aspects_orchestration.xapi.fast.builders.statements import Builders

__all__ = ["Builders"]

"""What is remembered of signals from one look to the next; it lives in a sensor's cursor, so it is kept small."""

import json
from collections.abc import Mapping

from aspects_orchestration.monitoring.model import Standing
from aspects_orchestration.monitoring.watch import Look


def written(look: Look) -> dict[str, object]:
    """How signals stand after a look, as JSON-ready values by key."""
    return {key: standing.as_json() for key, standing in look.standings.items()}


def read(stored: object) -> dict[str, Standing]:
    """The inverse of `written`; what is none (of another version, say) is as if it had never been read."""
    found: dict[str, Standing] = {}
    if not isinstance(stored, Mapping):
        return found
    for key, values in stored.items():
        try:
            found[str(key)] = Standing.from_json(values)
        except (KeyError, TypeError, ValueError):
            continue
    return found


def read_cursor(cursor: str | None) -> dict[str, object]:
    """A sensor's cursor as a dict; empty where it is none."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

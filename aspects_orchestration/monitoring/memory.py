"""What is remembered of signals from one look to the next; it lives in a sensor's cursor, so it is kept small."""

import json
from collections.abc import Mapping
from typing import Final

from aspects_orchestration.monitoring.model import Standing, State
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import Look

#: With more than that (partitions of a large Kafka, say) those that are well are left out: they lose no more than their last
#: good value.
_ALL: Final = 200


def written(look: Look, before: Mapping[str, Standing]) -> dict[str, object]:
    """How signals stand after a look, as JSON-ready values by key.

    Args:
        look: the newest.
        before: how they stood before it. What could not be seen this time, because nothing of its signal could be read,
            stands as it stood: one look that failed must not make an incident begin anew.
    """
    hidden = {key: standing for key, standing in before.items() if look.hides(key)}
    standings = {**hidden, **look.standings}
    all_of_them = len(standings) <= _ALL
    return {
        key: standing.as_json()
        for key, standing in standings.items()
        if all_of_them or not _is_plainly_well(key.partition("{")[0], standing)
    }


def _is_plainly_well(signal: str, standing: Standing) -> bool:
    of = SIGNALS[signal].rule.of if signal in SIGNALS else "value"
    return standing.state is State.OK and standing.coming is None and of == "value"


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

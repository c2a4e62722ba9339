"""Before a load: do the statements that stand there name actors, and the LMS, as this load would?

An event's id follows from its actor. After a change of XAPI_AGENT_IFI_TYPE, or under another LMS_ROOT_URL, a load would
not recognise a single event that stands in the table, and add each of them a second time.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.known import newest_month
from aspects_orchestration.warehouse.schema import SchemaNames
from aspects_orchestration.window import Window

#: Statements are looked at in so many places of the window, so many in each: by the primary key, whatever its size.
_PLACES = 12
_STATEMENTS_A_PLACE = 100


class OtherActorsError(AspectsError):
    """Statements stand in the table whose actors, or whose LMS, are named otherwise than the settings say."""


@dataclass(frozen=True)
class Naming:
    """How a statement names its actor (XAPI_AGENT_IFI_TYPE) and its LMS (LMS_ROOT_URL); '' where it does not say."""

    kind: str
    root_url: str

    def contradicts(self, settings: Settings) -> bool:
        """Whether a load with these settings would name them otherwise."""
        other_kind = self.kind not in {"", settings.agent_ifi_type}
        return other_kind or self.root_url not in {"", settings.lms_root_url}


def refuse_other_actors(settings: Settings, warehouse: Warehouse, month: str, window: Window) -> None:
    """Refuse to add to statements that were made with another XAPI_AGENT_IFI_TYPE or LMS_ROOT_URL.

    A sample is looked at: of the window; of the newest statements of the table where nothing stands in the window yet.

    Args:
        settings: of the load.
        warehouse: a connection.
        month: the partition's key, for the message.
        window: what the load covers.

    Raises:
        OtherActorsError: with the command that rebuilds the month.
    """
    found = sampled_namings(settings, warehouse, window)
    where = f"in {month}"
    if not found:
        newest = newest_month(warehouse, _names(settings))
        if newest is None:
            return
        found = sampled_namings(settings, warehouse, newest)
        where = f"from {newest.start:%Y-%m-%d} on (nothing stands in {month} yet)"
    others = Counter({naming: count for naming, count in found.items() if naming.contradicts(settings)})
    if not others:
        return
    other, _ = others.most_common(1)[0]
    raise OtherActorsError(
        f"{others.total()} of {found.total()} statements looked at in {settings.xapi_database}.{settings.raw_xapi_table}"
        f" {where} are of {_described(other)}, but this load would write {_described(_of(settings))}: every event would get"
        " another id, and stand there twice",
        do="If a setting is wrong, mend XAPI_AGENT_IFI_TYPE or LMS_ROOT_URL. If the site has changed it, rebuild month by"
        f" month: {rebuild_command(month)}",
    )


def rebuild_command(month: str) -> str:
    """The shell command that drops a month and loads all of it anew."""
    config = {"ops": {"xapi_events_all": {"config": {"mode": "rebuild", "allow_loss": True}}}}
    return (
        f"dagster asset materialize --select xapi_events_all --partition {month} --config-json"
        f" '{json.dumps(config)}'"
    )


def _names(settings: Settings) -> SchemaNames:
    return SchemaNames(
        settings.xapi_database,
        settings.raw_xapi_table,
        settings.event_sink_database,
        settings.orchestration_database,
    )


def _of(settings: Settings) -> Naming:
    return Naming(settings.agent_ifi_type, settings.lms_root_url)


def _described(naming: Naming) -> str:
    return f"XAPI_AGENT_IFI_TYPE {naming.kind or '(none)'} and LMS_ROOT_URL {naming.root_url or '(none)'}"


def sampled_namings(settings: Settings, warehouse: Warehouse, window: Window) -> Counter[Naming]:
    """How statements of the raw table name their actors and their LMS, from samples spread over a window."""
    found: Counter[Naming] = Counter()
    length = window.end_micros - window.start_micros
    for place in range(_PLACES):
        rows = warehouse.rows(
            "actors_sampled",
            database=settings.xapi_database,
            table=settings.raw_xapi_table,
            start=window.start_micros + length * place // _PLACES,
            end=window.start_micros + length * (place + 1) // _PLACES,
            limit=_STATEMENTS_A_PLACE,
        )
        for kind, root_url, statements in rows:
            found[Naming(kind, root_url)] += int(statements)
    return found

"""The record of retention in ClickHouse: plans that were begun, what each did, rows seen in held partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse

if TYPE_CHECKING:
    from aspects_orchestration.retention.plan import RetentionPlan, Step

LOG = "retention_log"


def log_ttl_merges(
    settings: Settings, warehouse: Warehouse, event: str, tables: Sequence[str], why: str
) -> None:
    """Remember that TTL merges of tables were `stopped` or `started`."""
    remember(
        settings,
        warehouse,
        [_row(event, target=one, described=why, run_id=warehouse.run_id) for one in tables],
    )


def log_held(settings: Settings, warehouse: Warehouse, plan: RetentionPlan) -> None:
    """Remember the rows of held partitions, so that it is noticed if one is lost."""
    rows = [
        _row(
            "held",
            target=fate.table.full_name,
            partition_id=fate.partition.id,
            rows=fate.partition.rows,
            bytes=fate.partition.bytes,
            run_id=warehouse.run_id,
            described=fate.why,
        )
        for fate in plan.of_state("held")
    ]
    remember(settings, warehouse, rows)


def entry(event: str, plan_id: str, step: Step, run_id: str) -> dict[str, object]:
    """A row that says of a step of a plan that it was `begun` or `done`."""
    return _row(
        event,
        plan_id=plan_id,
        step=step.identity,
        target=step.target,
        partition_id=step.partition_id,
        rows=step.rows,
        bytes=step.bytes,
        run_id=run_id,
        described=step.described(),
    )


def _row(event: str, **values: object) -> dict[str, object]:
    return {"event": event, "at": datetime.now(UTC), **values}


def remember(settings: Settings, warehouse: Warehouse, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of the record; one that is written twice counts once."""
    if rows:
        lines = b"\n".join(orjson.dumps(row, option=orjson.OPT_UTC_Z) for row in rows)
        with_retries(lambda: warehouse.insert_json(settings.orchestration_database, LOG, lines))

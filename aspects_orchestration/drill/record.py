"""The record of drills in ClickHouse: a row for each day that was replayed, or could not be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, datetime

import orjson

from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse

PASSED = "passed"
DIFFERS = "differs"
FAILED = "failed"


@dataclass(frozen=True)
class DrillRecord:
    """One day of a drill, as remembered.

    Attributes:
        run_id, turn, day: which; `turn` is the drill's month.
        outcome: `passed`, `differs`, or `failed` where it came to no comparison.
        months: that were loaded.
        objects, stored_bytes, raw_bytes, lines: that were replayed.
        restored, missing, different, expired: statements; see `MonthComparison`.
        quarantined, newly_quarantined: lines.
        ids: of statements that are missing or different, the first of them.
        summary: a sentence.
        rto_day_s: seconds from nothing to the day restored.
        rto_all_s: the same for the whole archive, by bytes.
        rpo_s: age of the newest sealed line in seconds; None where nothing is sealed.
        started_at, finished_at: UTC.
    """

    run_id: str
    turn: str
    day: date
    outcome: str
    months: tuple[str, ...]
    objects: int
    stored_bytes: int
    raw_bytes: int
    lines: int
    summary: str
    started_at: datetime
    finished_at: datetime
    rpo_s: float | None
    restored: int = 0
    missing: int = 0
    different: int = 0
    expired: int = 0
    quarantined: int = 0
    newly_quarantined: int = 0
    ids: tuple[str, ...] = field(default=())
    rto_day_s: float = 0.0
    rto_all_s: float = 0.0


@dataclass(frozen=True)
class RecordedDay:
    """One day of the last drill, read back from the record."""

    turn: str
    day: str
    outcome: str
    summary: str
    rto_all_s: float
    rpo_s: float | None
    finished_at: datetime


def remember_drill(settings: Settings, warehouse: Warehouse, record: DrillRecord) -> None:
    """Write the row of a day."""
    row = orjson.dumps(asdict(record), option=orjson.OPT_UTC_Z)
    with_retries(lambda: warehouse.insert_json(settings.orchestration_database, "drills", row))


def last_drill(warehouse: Warehouse, database: str) -> list[RecordedDay]:
    """The days of the last drill, the worst first; none where there was no drill."""
    return [
        RecordedDay(
            turn, day, outcome, summary, float(rto), None if rpo is None else float(rpo), at(int(ended))
        )
        for turn, day, outcome, summary, rto, rpo, ended in warehouse.rows("drills_latest", database=database)
    ]

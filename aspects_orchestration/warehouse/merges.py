"""Waiting for merges before the next insert: of one partition always, of the whole server where the site asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse

#: ClickHouse's own advice for a partition; it delays inserts at 1,000 and refuses them at 3,000 parts.
MAX_PARTS: Final = 300
WAIT_FOR_MERGES_S: Final = 1800.0
_LOOK_S: Final = 1.0
_TELL_S: Final = 10.0
_LOOK_AT_MERGES: Final = "Look at system.merges for what holds merges up, then run again."


@dataclass(frozen=True)
class Pause:
    """When loads wait for the merges of the whole server (ASPECTS_PAUSE_BACKFILLS).

    Attributes:
        at: they wait from so many parts in one partition of any table on.
        until: and go on when the fullest partition has no more than so many; below `at`, so that they do not stop and go.
        longest_s: in seconds; whoever has waited so long gives up.
    """

    at: int
    until: int
    longest_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.until < self.at:
            raise ValueError("a pause must end at fewer parts than it begins at")


def wait_for_merges(
    warehouse: Warehouse,
    database: str,
    table: str,
    partition_id: str,
    *,
    say: Callable[[str], None],
    limit: int = MAX_PARTS,
) -> None:
    """Wait while a partition has more parts than `limit`.

    Raises:
        WarehouseError: merges did not catch up within half an hour.
    """
    place = f"{database}.{table} partition {partition_id}"

    def parts_there() -> tuple[int, str]:
        found = warehouse.row("partition_parts", database=database, table=table, partition_id=partition_id)
        return int(found[0]), place

    _wait(
        parts_there,
        begins=limit + 1,
        ends=limit,
        longest_s=WAIT_FOR_MERGES_S,
        told="waiting for merges",
        do=_LOOK_AT_MERGES,
        say=say,
    )


def wait_for_all_merges(
    warehouse: Warehouse,
    pause: Pause | None,
    *,
    say: Callable[[str], None],
    before_look: Callable[[], None] = lambda: None,
) -> float:
    """Wait while any partition of the server has too many parts.

    Args:
        warehouse: a connection.
        pause: when to wait; None: never.
        say: told why, every ten seconds, and when it goes on.
        before_look: called before each look; may raise, to stop waiting.

    Returns:
        Seconds that were waited; 0 if there was no reason to.

    Raises:
        WarehouseError: it has lasted too long. Nothing was inserted since it began, and nothing is lost.
    """
    if pause is None:
        return 0.0

    def fullest() -> tuple[int, str]:
        before_look()
        found = warehouse.rows("parts_fullest")
        return (int(found[0][0]), str(found[0][1])) if found else (0, "")

    return _wait(
        fullest,
        begins=pause.at,
        ends=pause.until,
        longest_s=pause.longest_s,
        told="paused by ASPECTS_PAUSE_BACKFILLS until merges have caught up",
        do="What was published stays. Look at system.merges and the disks for what holds merges up, at whoever inserts in"
        " small batches, then run again: it goes on where it was. ASPECTS_LONGEST_PAUSE_MINUTES lets it wait longer.",
        say=say,
    )


def _wait(
    look: Callable[[], tuple[int, str]],
    *,
    begins: int,
    ends: int,
    longest_s: float,
    told: str,
    do: str,
    say: Callable[[str], None],
) -> float:
    started, said_at, waits = time.monotonic(), 0.0, False
    while True:
        parts, place = with_retries(look, waiting=say)
        waited = time.monotonic() - started
        if parts <= ends or (not waits and parts < begins):
            if waits:
                say(f"merges have caught up after {waited:.0f} s: going on")
            return waited if waits else 0.0
        if waited > longest_s:
            raise WarehouseError(f"{place} still has {parts} parts after {waited:.0f} s", do=do)
        if not waits or waited - said_at > _TELL_S:
            say(f"{told}: {place} has {parts} parts, and goes on at {ends}")
            said_at = waited
        waits = True
        time.sleep(_LOOK_S)

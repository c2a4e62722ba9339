"""Logs that arrived or grew: which the catalog does not know yet, and which months no load has read them for.

What is new is found by holding a listing against the catalog and the record of loads, not against a memory of all files;
so nothing is missed while nobody looks, and nothing grows with the number of logs. A listing that takes long is taken up
again where it was left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from aspects_orchestration.replay.reading import transformer_reader
from aspects_orchestration.replay.sources import archive_root
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.chunks import is_live
from aspects_orchestration.tracking.stores import LogFile, S3Options
from aspects_orchestration.tracking.stores.ordered import list_in_order
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.window import micros

#: A file is left alone until nothing has been written to it for so long.
QUIET: Final = timedelta(minutes=10)
#: A month is asked for again no sooner, whatever arrives; one whose run failed, no sooner than `AGAIN`, and so often.
BETWEEN: Final = timedelta(minutes=30)
AGAIN: Final = timedelta(hours=6)
TRIES: Final = 3
#: A reading of new logs is asked for again after so long, twice as long each time, where it has left some unread.
_READ_AGAIN: Final = timedelta(minutes=10)
_READ_AGAIN_AT_MOST: Final = timedelta(hours=6)
_BATCH: Final = 2_000
_REMEMBERED_MONTHS: Final = 60


@dataclass(frozen=True)
class Asked:
    """A run of a month that was asked for: by the newest reading of its logs, when (Unix time), and how often."""

    newest: int
    at_s: int
    tries: int = 1


@dataclass(frozen=True)
class Memory:
    """What is remembered from tick to tick; of bounded length.

    Attributes:
        after: a listing goes on behind this file; '' begins anew.
        begun_s: when that listing began (Unix time).
        unread: files of it so far that the catalog does not know.
        old_to: logs that were read up to this moment (microseconds) were there before anybody watched: they are not
            loaded by themselves; None until all of those have been read.
        readings: of new logs that were asked for since all were known.
        read_s: when the last one was (Unix time).
        asked: by month.
    """

    after: str = ""
    begun_s: int = 0
    unread: int = 0
    old_to: int | None = None
    readings: int = 0
    read_s: int = 0
    asked: dict[str, Asked] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: str | None) -> Memory:
        """The inverse of `written`; an empty one for what it did not write."""
        try:
            stored: dict[str, Any] = json.loads(cursor or "{}")
            asked = {str(month): Asked(*map(int, one)) for month, one in stored.pop("asked", {}).items()}
            return cls(**stored, asked=asked)
        except (ValueError, TypeError, AttributeError):
            return cls()

    def written(self) -> str:
        """As text for a cursor."""
        newest = sorted(self.asked)[-_REMEMBERED_MONTHS:]
        asked = {month: list(vars(self.asked[month]).values()) for month in newest}
        return json.dumps({**vars(self), "asked": asked}, separators=(",", ":"))


@dataclass(frozen=True)
class Found:
    """What one look has found.

    Attributes:
        files: that were listed in it.
        growing: of these, those that may still be written to.
        unread: those that the catalog does not know.
        months: with lines that no load has read: lines, and the newest reading of their logs (microseconds).
        whole: whether the listing came to its end.
        memory: to be remembered.
    """

    files: int
    growing: int
    unread: int
    months: dict[str, tuple[int, int]]
    whole: bool
    memory: Memory


def look_for_new(
    settings: Settings, warehouse: Warehouse, memory: Memory, *, s3: S3Options, now: datetime, budget_s: float
) -> Found:
    """List some logs, and find out which are new.

    Args:
        settings: of the site.
        warehouse: for the catalog and the record of loads.
        memory: of the look before.
        s3: how to reach S3.
        now: the time, with zone.
        budget_s: in seconds; it stops between two portions of files when that is over.

    Raises:
        LogStoreError: storage cannot be listed.
        WarehouseError: ClickHouse cannot be asked.
    """
    started = time.monotonic()
    begun_s = memory.begun_s if memory.after else int(now.timestamp())
    files, growing, unread = 0, 0, 0
    months: dict[str, tuple[int, int]] = {}
    after, whole = memory.after, True
    for portion in _portions(_listed(settings, s3, memory.after)):
        files += len(portion)
        quiet = [file for file in portion if file.size and is_quiet(file, now)]
        growing += sum(1 for file in portion if file.size) - len(quiet)
        for month, count, lines, newest in _not_loaded(settings, warehouse, quiet, memory.old_to or 0):
            if not month:
                unread += count
            else:
                before = months.get(month, (0, 0))
                months[month] = (before[0] + lines, max(before[1], newest))
        after = portion[-1].uri
        if time.monotonic() - started > budget_s:
            whole = False
            break
    in_listing = unread + (memory.unread if memory.after else 0)
    kept = replace(memory, after="" if whole else after, begun_s=begun_s, unread=0 if whole else in_listing)
    if whole and not in_listing:
        kept = replace(kept, readings=0)
        if memory.old_to is None:
            kept = replace(kept, old_to=micros(now))
    return Found(files, growing, unread, months, whole, kept)


def is_quiet(file: LogFile, now: datetime) -> bool:
    """Whether a file has stopped growing, as far as its name and its time of last writing tell."""
    age = now - file.modified
    # A clock that is far ahead of ours says nothing about what happens now.
    return not is_live(file, now=now) and (age >= QUIET or age < -timedelta(hours=1))


def may_read(memory: Memory, now: datetime) -> bool:
    """Whether it is time to ask for a reading of new logs."""
    waits = min(_READ_AGAIN * 2 ** max(0, memory.readings - 1), _READ_AGAIN_AT_MOST)
    return not memory.readings or now.timestamp() - memory.read_s >= waits.total_seconds()


def asked_to_read(memory: Memory, now: datetime) -> Memory:
    """The memory after a reading was asked for."""
    return replace(memory, readings=min(memory.readings + 1, 20), read_s=int(now.timestamp()))


def why_not_now(memory: Memory, month: str, newest: int, now: datetime) -> str:
    """Why a month is not to be loaded now; empty if it is.

    Args:
        memory: of what was asked for.
        month: its key.
        newest: the newest reading of its logs, in microseconds.
        now: the time, with zone.
    """
    asked = memory.asked.get(month)
    if asked is None:
        return ""
    age = now.timestamp() - asked.at_s
    if age < BETWEEN.total_seconds():
        return "a run of it was asked for less than half an hour ago"
    if asked.newest == newest and asked.tries >= TRIES:
        return f"given up after {TRIES} runs that did not load it: look at them"
    if asked.newest == newest and age < AGAIN.total_seconds():
        return "a run of it was asked for, and has not loaded it: look at it"
    return ""


def asked_for(memory: Memory, month: str, newest: int, now: datetime) -> Memory:
    """The memory after a run of a month was asked for."""
    before = memory.asked.get(month)
    tries = before.tries + 1 if before is not None and before.newest == newest else 1
    return replace(memory, asked={**memory.asked, month: Asked(newest, int(now.timestamp()), tries)})


def _listed(settings: Settings, s3: S3Options, after: str) -> Iterator[LogFile]:
    archive = archive_root(settings)
    for file in list_in_order(settings.tracking_log_prefixes, s3=s3, after=after):
        if not file.uri.startswith(archive):
            yield file


def _portions(files: Iterator[LogFile]) -> Iterator[list[LogFile]]:
    portion: list[LogFile] = []
    for file in files:
        portion.append(file)
        if len(portion) == _BATCH:
            yield portion
            portion = []
    if portion:
        yield portion


def _not_loaded(
    settings: Settings, warehouse: Warehouse, files: list[LogFile], since: int
) -> list[tuple[str, int, int, int]]:
    if not files:
        return []
    return [
        (str(month), int(count), int(lines), int(newest))
        for month, count, lines, newest in warehouse.rows(
            "logs_to_load",
            listed=[f"{file.uri}\n{file.etag}" for file in files],
            database=settings.orchestration_database,
            target=f"{settings.xapi_database}.{settings.raw_xapi_table}",
            reader=transformer_reader(),
            since=since,
        )
    ]


def loadable_from(settings: Settings, now: datetime) -> str:
    """The first month that a load would not refuse: a partition that retention keeps.

    Raises:
        SettingsError: the retention policy cannot be read.
    """
    from aspects_orchestration.retention.policy import site_policy
    from aspects_orchestration.warehouse.ttl import DataTtl

    months = site_policy(settings).months_of_raw(f"{settings.xapi_database}.{settings.raw_xapi_table}")
    if months is None:
        return settings.first_month
    return max(settings.first_month, f"{DataTtl(months, 'month').cutoff(now):%Y-%m}")

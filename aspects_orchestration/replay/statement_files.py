"""Publishing as files: all statements of a day in one file, each id once over all files of a month.

    <ASPECTS_STATEMENT_FILES>/<table>/<format>/<month>/<day>.<format>
    <ASPECTS_STATEMENT_FILES>/<table>/<format>/<month>/manifest.json

A file is named for its day and holds nothing of another one, so writing it again replaces it, and in no moment does an
id stand in two of them. It appears whole or not at all. The manifest is written behind each file, and says `complete`
when all are there. A file that stands as it would be written is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Final

import orjson

from aspects_orchestration.errors import AccountError, LogStoreError, WarehouseError
from aspects_orchestration.replay.attempt import Attempt, Delivered
from aspects_orchestration.replay.destinations import files_folder
from aspects_orchestration.replay.encode_statements import encoded
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.tracking.catalog import at
from aspects_orchestration.tracking.stores import LogStore, open_store
from aspects_orchestration.warehouse.lock import Lock
from aspects_orchestration.warehouse.publish import CountedSlice, PublishPlan, Slice, cut_slices
from aspects_orchestration.warehouse.staged import Statement, batches, bodies

SETTING: Final = "ASPECTS_STATEMENT_FILES"
MANIFEST: Final = "manifest.json"
_MINUTES_OF_A_DAY: Final = 1440
_DAY_MICROS: Final = 86_400_000_000
#: Statements that are read at a time.
_BATCH: Final = 5_000
_COLUMNS: Final = {
    "event_id": "String: a UUID",
    "emission_time": "DateTime64(6, 'UTC')",
    "event": "String: the statement as JSON",
}


@dataclass(frozen=True)
class StatementFile:
    """One file, as the manifest has it.

    Attributes:
        day: whose statements it holds (UTC), such as 2024-05-07.
        name: in the manifest's folder.
        statements: how many, each with an id of its own.
        bytes, sha256: of the file as stored.
        bodies: a hash of all ids and statements, by which a file that need not be written again is known.
        run_id: of the load that wrote it.
    """

    day: str
    name: str
    statements: int
    bytes: int
    sha256: str
    bodies: int
    run_id: str


def cut_by_day(minutes: Iterable[tuple[int, int]], limit: int) -> list[Slice]:
    """As `cut_slices`, with no slice that reaches from one day (UTC) into the next."""
    days = groupby(minutes, key=lambda one: one[0] // _MINUTES_OF_A_DAY)
    return [one for _, of_day in days for one in cut_slices(of_day, limit)]


def read_manifest(store: LogStore, folder: str) -> dict[str, StatementFile]:
    """The files that a manifest names, by day; none where there is no manifest.

    Raises:
        LogStoreError: storage cannot be read, or what is there is no manifest.
    """
    uri = f"{folder}/{MANIFEST}"
    if not store.exists(uri):
        return {}
    try:
        stored = orjson.loads(store.get(uri))
        return {one["day"]: StatementFile(**one) for one in stored["files"]}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise LogStoreError(
            f"{uri} is no manifest of statement files",
            do=f"Look at it; move the folder away, or name another one in {SETTING}.",
        ) from None


def look_at_files(attempt: Attempt) -> None:
    """See that the folder can be reached, before hours are spent on reading logs.

    Raises:
        LogStoreError: it cannot be.
    """
    folder = _folder(attempt)
    read_manifest(open_store(folder, s3=attempt.s3, setting=SETTING), folder)


def write_statement_files(attempt: Attempt, counted: PublishPlan, lock: Lock) -> Delivered:
    """Write the files of the days that a load covers.

    Args:
        attempt: whose statements are staged; its window is one of whole days.
        counted: slices by `cut_by_day`.
        lock: of the month; looked at before each file.

    Raises:
        WarehouseError: files would lose statements that they hold.
        AccountError: a file does not hold what was counted.
        LogStoreError: storage refuses.
    """
    folder = _folder(attempt)
    store = open_store(folder, s3=attempt.s3, setting=SETTING)
    before = read_manifest(store, folder)
    slices = _by_day(counted)
    days = list(_days(attempt))
    _require_no_loss(
        attempt, folder, before, {day: sum(one.ids for one in slices.get(day, ())) for day in days}
    )
    files = dict(before)
    written = kept = inserted = 0
    for day in days:
        of_day = slices.get(day, ())
        old = before.get(day)
        if not of_day:
            if old is not None:
                store.delete(f"{folder}/{old.name}")
                del files[day]
            continue
        content = _content(attempt, of_day)
        if old is not None and _stands(store, folder, old, content):
            kept += 1
            continue
        lock.check()
        files[day] = _write(attempt, store, folder, day, of_day, content)
        _write_manifest(attempt, store, folder, files, complete=False)
        written += 1
        inserted += content[0]
        attempt.say(f"wrote {files[day].name}: {content[0]} statements, {files[day].bytes / 1e6:.1f} MB")
    _write_manifest(attempt, store, folder, files, complete=True)
    return Delivered(
        inserted=inserted,
        notes={
            "files_written": written,
            "files_left_as_they_stand": kept,
            "manifest": f"{folder}/{MANIFEST}",
        },
    )


def _folder(attempt: Attempt) -> str:
    # As the store names what is below it: a folder by path becomes a file:// URI.
    folder = files_folder(attempt.settings, attempt.plan.request.month)
    return open_store(folder, s3=attempt.s3, setting=SETTING).uri.rstrip("/")


def _by_day(counted: PublishPlan) -> dict[str, list[CountedSlice]]:
    found: dict[str, list[CountedSlice]] = {}
    for one in counted.slices:
        found.setdefault(f"{at(one.slice.start):%Y-%m-%d}", []).append(one)
    return found


def _days(attempt: Attempt) -> Iterator[str]:
    window = attempt.plan.window
    day: date = window.start.date()
    while day < window.end.date():
        yield day.isoformat()
        day += timedelta(days=1)


def _require_no_loss(
    attempt: Attempt, folder: str, before: Mapping[str, StatementFile], now: Mapping[str, int]
) -> None:
    less = [day for day, count in now.items() if day in before and before[day].statements > count]
    if less and not attempt.plan.request.allow_loss:
        day = less[0]
        raise WarehouseError(
            f"{len(less)} files in {folder} hold more statements than the logs do now; {day}: {before[day].statements}, and"
            f" {now[day]} in the logs",
            do="Nothing was written. Read the archive too (source: both), or set `allow_loss: true` to replace them.",
        )


def _content(attempt: Attempt, of_day: Sequence[CountedSlice]) -> tuple[int, int]:
    ids = combined = 0
    for one in of_day:
        count, bodies_hash = bodies(attempt.warehouse, attempt.target, one.slice)
        ids, combined = ids + count, combined ^ bodies_hash
    if ids != sum(one.ids for one in of_day):
        raise AccountError(
            "a day's staged statements have changed while they were counted",
            do="Nothing of that day was written. Run again.",
        )
    return ids, combined


def _stands(store: LogStore, folder: str, old: StatementFile, content: tuple[int, int]) -> bool:
    if (old.statements, old.bodies) != content:
        return False
    found = store.find(f"{folder}/{old.name}")
    return found is not None and found.size == old.bytes


def _write(
    attempt: Attempt,
    store: LogStore,
    folder: str,
    day: str,
    of_day: Sequence[CountedSlice],
    content: tuple[int, int],
) -> StatementFile:
    kind = attempt.settings.statement_format
    name = f"{day}.{kind}"
    tally = _Tally()
    statements = _statements(attempt, of_day, tally)
    store.write(
        f"{folder}/{name}", tally.bytes_of(encoded(kind, statements), lambda: _agree(day, tally, content))
    )
    found = store.find(f"{folder}/{name}")
    if found is None or found.size != tally.bytes:
        raise LogStoreError(
            f"{folder}/{name} was written with {tally.bytes} bytes, and storage has {found.size if found else 'none'}",
            do=f"Look at the storage of {SETTING}, then run again: the file is written anew.",
        )
    return StatementFile(
        day,
        name,
        tally.statements,
        tally.bytes,
        tally.sha256.hexdigest(),
        content[1],
        attempt.warehouse.run_id,
    )


def _statements(attempt: Attempt, of_day: Sequence[CountedSlice], tally: _Tally) -> Iterator[list[Statement]]:
    for one in of_day:
        for batch in batches(attempt.warehouse, attempt.target, one.slice, most=_BATCH):
            tally.statements += len(batch)
            yield batch


def _agree(day: str, tally: _Tally, content: tuple[int, int]) -> None:
    """Before the file is there: an error keeps it from appearing."""
    if tally.statements != content[0]:
        raise AccountError(
            f"{content[0]} statements of {day} were counted, and {tally.statements} read",
            do="The file was not written. Run again; if it stays so, report it.",
        )


class _Tally:
    """What flows into a file."""

    def __init__(self) -> None:
        self.statements = 0
        self.bytes = 0
        self.sha256 = hashlib.sha256()

    def bytes_of(self, pieces: Iterable[bytes], at_the_end: Callable[[], None]) -> Iterator[bytes]:
        for piece in pieces:
            self.bytes += len(piece)
            self.sha256.update(piece)
            yield piece
        at_the_end()


def _write_manifest(
    attempt: Attempt, store: LogStore, folder: str, files: Mapping[str, StatementFile], *, complete: bool
) -> None:
    settings = attempt.settings
    manifest: dict[str, Any] = {
        "table": f"{settings.xapi_database}.{settings.raw_xapi_table}",
        "month": attempt.plan.request.month,
        "format": settings.statement_format,
        "columns": _COLUMNS,
        "complete": complete,
        "statements": sum(one.statements for one in files.values()),
        "files": [asdict(files[day]) for day in sorted(files)],
        "written_at": utc_now(),
    }
    store.put(f"{folder}/{MANIFEST}", orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))

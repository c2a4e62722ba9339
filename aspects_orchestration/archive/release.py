"""Releasing source files whose bytes the archive holds: the only code of this project that deletes tracking logs.

A few files at a time: their copies are read back from the archive to the last byte and held against the manifests; then
each file whose copies are all right is removed, if it is still the version that was listed. Killed at any point, what is
gone was read back, and the same plan can be gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from aspects_orchestration.archive.index import ARCHIVE_SETTING
from aspects_orchestration.archive.read_back import read_data
from aspects_orchestration.archive.release_plan import Copy, Release, ReleasePlan
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store, open_stores

#: Instead of a plan's id: do whatever the plan is now.
UNSEEN: Final = "unseen"
#: Below the archive: a record of each plan that was begun, with every file that it names.
RELEASED: Final = "released"
#: Files whose copies are read back before the first of them is removed.
BATCH_FILES: Final = 64
_BATCH_BYTES: Final = 1024 * 1024 * 1024

Say = Callable[[str], None]


class ChangedPlanError(AspectsError):
    """The plan that was asked for is not what would be done now."""


@dataclass(frozen=True)
class Released:
    """What a real run has done.

    Attributes:
        plan_id: of the plan.
        files, bytes: that were removed.
        read_objects, read_bytes: copies that were read back, all of them before their files went.
        left: files of the plan that stay because they are gone, have changed, or are written to again by now.
        bad: copies in the archive that are not what was sealed, with what is wrong; their files stay.
    """

    plan_id: str
    files: int
    bytes: int
    read_objects: int
    read_bytes: int
    left: int
    bad: tuple[str, ...]

    @property
    def summary(self) -> str:
        """A sentence."""
        text = (
            f"plan {self.plan_id}: {self.files:,} source files removed ({self.bytes:,} bytes), after {self.read_objects:,}"
            f" copies ({self.read_bytes:,} bytes) were read back from the archive"
        )
        if self.left:
            text += f"; {self.left:,} stay: they have changed or are gone"
        if self.bad:
            text += f"; {len(self.bad):,} copies are not what was sealed, and their files stay"
        return text


def release(
    settings: Settings,
    plan: ReleasePlan,
    *,
    asked: str,
    s3: S3Options,
    live: Callable[[], Collection[Path]],
    run_id: str,
    now: datetime,
    say: Say,
    batch_files: int = BATCH_FILES,
) -> Released:
    """Do a plan.

    Args:
        settings: of the site.
        plan: what may be released now.
        asked: the id of the plan that an operator has seen, or UNSEEN.
        s3: how to reach S3.
        live: asked before each batch which files are written to at that moment.
        run_id: of this run, for the record.
        now: the time, with zone, for the record.
        say: told of each batch; safe to show.
        batch_files: files at a time.

    Raises:
        ChangedPlanError: `asked` is another plan, and none that was begun; nothing was removed.
        LogStoreError: a file may not be removed, or storage does not answer; what was removed had been read back.
    """
    archive = open_store(settings.archive_uri, s3=s3, setting=ARCHIVE_SETTING)
    begun = _begun(archive, asked) if asked not in {plan.id, UNSEEN} else None
    if asked not in {plan.id, UNSEEN} and begun is None:
        _refuse(plan, asked)
    plan_id = plan.id if begun is None else asked
    # Of a plan that was begun, what is left of it; what has come since was seen by nobody.
    files = plan if begun is None else (one for one in plan if one.line in begun)
    if begun is None and plan.files:
        archive.create(_record(archive, plan.id), _lines(plan, run_id, now))
        say(f"{_record(archive, plan.id)} names the {plan.files:,} files")
    done = _Doing(archive, open_stores(settings.tracking_log_prefixes, s3=s3), live)
    for batch in _batches(iter(files), batch_files):
        good = done.read_back(batch)
        say(f"read back: the copies of {len(good):,} of {len(batch):,} files are as they were sealed")
        done.remove(good)
        say(f"removed {done.files:,} files, {done.bytes:,} bytes")
    return Released(
        plan_id, done.files, done.bytes, done.read_objects, done.read_bytes, done.left, tuple(done.bad)
    )


class _Doing:
    """The release under way: what was read, what was removed."""

    def __init__(
        self, archive: LogStore, sources: Sequence[LogStore], live: Callable[[], Collection[Path]]
    ) -> None:
        self._archive = archive
        self._sources = sources
        self._live = live
        self.files = self.bytes = self.read_objects = self.read_bytes = self.left = 0
        self.bad: list[str] = []

    def read_back(self, batch: Sequence[Release]) -> list[Release]:
        """Read all copies of some files from the archive; returns the files whose copies are all as they were sealed."""
        wanted: dict[str, Copy] = {}
        listed: list[LogFile] = []
        for copy in {copy.name: copy for one in batch for copy in one.copies}.values():
            file = self._archive.find(f"{self._archive.uri}/{copy.name}")
            if file is None:
                self.bad.append(f"{copy.name} is not there")
            elif file.size != copy.size:
                self.bad.append(f"{copy.name} has {file.size:,} bytes, and was sealed with {copy.size:,}")
            else:
                wanted[file.uri] = copy
                listed.append(file)
        good: set[Copy] = set()
        for back in read_data(self._archive, listed):
            copy = wanted[back.file.uri]
            self.read_objects += 1
            self.read_bytes += back.file.size
            if back.error is not None:
                self.bad.append(f"{copy.name} cannot be read: {back.error.what}")
            elif back.sha256 != copy.sha256:
                self.bad.append(f"{copy.name} has other bytes than were sealed")
            else:
                good.add(copy)
        return [one for one in batch if good.issuperset(one.copies)]

    def remove(self, several: Sequence[Release]) -> None:
        """Remove files that were read back just now, unless one has changed or come to life."""
        live = {open_store(str(path)).uri for path in self._live()} if several else set()
        for one in several:
            if one.file.uri not in live and self._store_of(one.file).remove(one.file):
                self.files += 1
                self.bytes += one.file.size
            else:
                self.left += 1

    def _store_of(self, file: LogFile) -> LogStore:
        return next(
            store
            for store in self._sources
            if file.uri == store.uri or file.uri.startswith(f"{store.uri.rstrip('/')}/")
        )


def _refuse(plan: ReleasePlan, asked: str) -> None:
    if not asked:
        raise ChangedPlanError(
            f"a real run does a plan that was printed, and none was named; it would be plan {plan.id} with"
            f" {plan.files:,} files",
            do="Run with dry_run first, then give the id it prints: `plan: <id>`.",
        )
    raise ChangedPlanError(
        f"what may be released has changed since plan {asked} was made (or there never was such a plan): now it would be"
        f" plan {plan.id} with {plan.files:,} files",
        do="Nothing was removed. Run with dry_run again, look at the new plan, and give its id.",
    )


def _record(archive: LogStore, plan_id: str) -> str:
    return f"{archive.uri}/{RELEASED}/{plan_id}.jsonl"


def _lines(plan: ReleasePlan, run_id: str, now: datetime) -> Iterator[bytes]:
    head = {"plan": plan.id, "begun_at": now, "begun_by": run_id, "keep_days": plan.keep_days}
    yield orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
    for one in plan:
        yield one.line


def _begun(archive: LogStore, plan_id: str) -> set[bytes] | None:
    """The files of a plan that was begun; None if none of this id was."""
    if not plan_id.isalnum():
        return None
    record = archive.find(_record(archive, plan_id))
    if record is None:
        return None
    with archive.open(record) as lines:
        next(lines, None)
        return set(lines)


def _batches(files: Iterator[Release], at_most: int) -> Iterator[list[Release]]:
    batch: list[Release] = []
    size = 0
    for one in files:
        batch.append(one)
        size += sum(copy.size for copy in one.copies)
        if len(batch) >= at_most or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

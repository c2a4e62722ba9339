"""Sealing a day: every closed log file of it into the archive, and a manifest that holds for good.

Safe to kill at any point and to run again, and safe to run twice at once: objects are named for what they hold, each is
read back before it counts, what is done is remembered in the archive, and a day is sealed by the one manifest that can
be created for it. Nothing is overwritten, and nothing needs to be deleted.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import orjson

from aspects_orchestration.archive.index import ARCHIVE_SETTING, ArchiveIndex, SealedDay
from aspects_orchestration.archive.layout import ARCHIVE, PROGRESS, manifest_name, progress_folder
from aspects_orchestration.archive.live import live_files
from aspects_orchestration.archive.manifest import (
    FORMAT,
    VERSION,
    ArchivedObject,
    Head,
    Link,
    ManifestError,
    encode,
)
from aspects_orchestration.archive.seal_plan import LeftOut, PlannedFile, SealPlan, SealWork
from aspects_orchestration.archive.sources import log_files
from aspects_orchestration.archive.store_object import Archiving, ReadBackError, SourceError, store_object
from aspects_orchestration.errors import AspectsError, LogStoreError, one_line
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store

Say = Callable[[str], None]

#: Files under way at once, and their bytes: many small ones hide the storage's latency, large ones use all cores alone.
_AT_ONCE: Final = 4
_BYTES_AT_ONCE: Final = 64 * 1024 * 1024
#: What a killed seal has to do again at most.
_BATCH_OBJECTS: Final = 200
_BATCH_BYTES: Final = 1024 * 1024 * 1024
_BATCH_S: Final = 30.0
#: So many files in a row that cannot be read are no matter of the files.
_GIVE_UP_AFTER: Final = 20
_MANIFEST_READINGS: Final = 3
_LISTED: Final = 2_000


class SealError(AspectsError):
    """A day cannot be sealed, or not yet."""


@dataclass(frozen=True)
class SealResult:
    """What a seal of a day did, or would do.

    Attributes:
        day: that was asked for.
        plan: what was to be done.
        sealed: the asked day as it is sealed now; None after a dry run of a day that is not.
        sealed_now: the days that this run has sealed, the asked one last.
        left_out: closed files that could not be archived, and why; the next seal tries them again.
        days: all sealed days of the archive, the oldest first.
    """

    day: date
    plan: SealPlan
    sealed: SealedDay | None
    sealed_now: tuple[SealedDay, ...]
    left_out: tuple[LeftOut, ...]
    days: tuple[SealedDay, ...]

    @property
    def newest_line(self) -> datetime | None:
        """The latest event that is sealed, of any day."""
        return max((one.newest_line for one in self.days if one.newest_line is not None), default=None)


def index_of(settings: Settings, *, s3: S3Options) -> ArchiveIndex:
    """The index over the site's archive, kept below ASPECTS_HOME."""
    return ArchiveIndex(settings.archive_uri, settings.home / "archive-index", s3=s3)


def can_be_sealed_at(day: date, lateness_hours: float) -> datetime:
    """When a day can be sealed (UTC): when it is over, and its late files have had their time."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=lateness_hours)


def newest_that_can_be_sealed(now: datetime, lateness_hours: float) -> date:
    """The last day that is over for long enough."""
    return (now.astimezone(UTC) - timedelta(hours=lateness_hours)).date() - timedelta(days=1)


def seal_day(
    settings: Settings,
    day: date,
    *,
    s3: S3Options,
    run_id: str,
    now: datetime,
    say: Say,
    dry_run: bool = False,
    lateness_hours: float | None = None,
    live: Collection[Path] | None = None,
) -> SealResult:
    """Seal a day, and before it every day since the newest sealed one.

    Args:
        settings: of the site.
        day: a UTC day that is over.
        s3: how to reach S3.
        run_id: for the manifest.
        now: the time, with zone.
        say: told what is going on; safe to show.
        dry_run: look and plan only; nothing is read or written.
        lateness_hours: instead of ASPECTS_ARCHIVE_LATENESS_HOURS.
        live: files that may still be written to; None: those of ASPECTS_LIVE_LOG (`live_files`).

    Raises:
        SealError: the day is not over, or before the archive's first.
        ManifestError: the archive's manifests are not whole; nothing is sealed on top of that.
        ReadBackError: the archive gives back something else than was written.
        LogStoreError: logs cannot be listed, or the archive cannot be written; what was done is not done again.
    """
    lateness = settings.archive_lateness_hours if lateness_hours is None else lateness_hours
    ready = can_be_sealed_at(day, lateness)
    if now < ready:
        raise SealError(
            f"{day} cannot be sealed before {ready:%Y-%m-%d %H:%M} UTC",
            do="Files of it may still come. Wait, or set lateness_hours: 0 once the day (UTC) is over.",
        )
    sealing = _Sealing(settings, s3=s3, run_id=run_id, say=say)
    days = sealing.index.update()
    if days and day <= days[-1].day:
        if day < days[0].day:
            raise _before_the_first(day, days[0].day, settings.archive_uri)
        found = next(one for one in days if one.day == day)
        say(f"{day} is sealed: by run {found.sealed_by}, at {found.sealed_at:%Y-%m-%d %H:%M} UTC")
        return SealResult(day, SealPlan((), 0, 0, ()), found, (), (), tuple(days))
    first = days[-1].day + timedelta(days=1) if days else sealing.first_day(day, dry_run=dry_run)
    with SealWork() as work:
        plan = work.plan(
            first,
            day,
            log_files(settings, s3=s3, live=live_files(settings, now=now) if live is None else live),
            sealed=sealing.index.sealed_as_they_are,
            now=now,
        )
        for line in plan.described():
            say(line)
        if dry_run:
            return SealResult(day, plan, None, (), (), tuple(days))
        now_sealed = [number for planned in plan.days if (number := sealing.seal(work, planned.day))]
    days = sealing.index.update()
    by_day = {one.day: one for one in days}
    return SealResult(
        day,
        plan,
        by_day[day],
        tuple(by_day[one] for one in now_sealed),
        tuple(sealing.left_out),
        tuple(days),
    )


def unsealed(
    settings: Settings, until: date, *, s3: S3Options, live: Collection[Path] | None = None
) -> Iterator[LogFile]:
    """The closed log files, last written by the end of a day, that are not in the archive as they are.

    Args:
        settings: of the site.
        until: the day.
        s3: how to reach S3.
        live: see `seal_day`.

    Raises:
        ManifestError, LogStoreError: as `seal_day`.
    """
    index = index_of(settings, s3=s3)
    index.update()
    end = can_be_sealed_at(until, 0)
    batch: list[LogFile] = []

    def of_batch() -> Iterator[LogFile]:
        known = index.sealed_as_they_are(batch)
        yield from (file for file in batch if file.uri not in known)

    for _, file in log_files(settings, s3=s3, live=live_files(settings) if live is None else live):
        if file.modified < end:
            batch.append(file)
        if len(batch) == _LISTED:
            yield from of_batch()
            batch.clear()
    yield from of_batch()


class _Sealing:
    """One run's seal."""

    def __init__(self, settings: Settings, *, s3: S3Options, run_id: str, say: Say) -> None:
        self.index = index_of(settings, s3=s3)
        self.left_out: list[LeftOut] = []
        self._archive = self.index.archive
        self._store = open_store(self._archive, s3=s3, setting=ARCHIVE_SETTING)
        self._how = Archiving(self._archive, self._store, settings.archive_compression, settings)
        self._folder = open_store(f"{self._archive}/{PROGRESS}", s3=s3, setting=ARCHIVE_SETTING)
        self._run_id = run_id
        self._say = say

    def first_day(self, day: date, *, dry_run: bool) -> date:
        """The archive's first day: the one that the first of all seals was asked for."""
        uri = f"{self._archive}/{ARCHIVE}"
        said = {"archive": FORMAT, "version": VERSION, "first_day": day.isoformat()}
        protection = self._how.protection(datetime.now(UTC))
        content = [orjson.dumps(said) + b"\n"]
        if not self._store.exists(uri) and (
            dry_run or self._store.create(uri, content, protection=protection)
        ):
            return day
        try:
            found = date.fromisoformat(orjson.loads(self._store.get(uri))["first_day"])
        except (KeyError, TypeError, ValueError):
            raise SealError(
                f"{uri} does not say which day is the archive's first",
                do="Nothing was ever sealed here: remove it, and run again.",
            ) from None
        if found > day:
            raise _before_the_first(day, found, self._archive)
        return found

    def seal(self, work: SealWork, day: date) -> date | None:
        """Archive what is planned for a day, and seal it.

        Returns:
            The day, if it was this run that sealed it; None if another one was faster.
        """
        begun = time.monotonic()
        self._take_over(work, day)
        self._archive_files(work, day)
        days = self.index.update()
        previous = Link(days[-1].day, days[-1].sha256) if days else None
        if not days or days[-1].day < day:
            if previous is not None and previous.day != day - timedelta(days=1):
                raise SealError(
                    f"the newest manifest in {self._archive} is that of {previous.day}, and {day} is to follow it",
                    do="Run `python -m aspects_orchestration.jobs.archive verify`, and bring back what is missing.",
                )
            created, sha = self._create_manifest(work, day, previous)
            if created:
                self._confirm(day, sha)
                self._forget_progress(day)
                seconds = time.monotonic() - begun
                self._say(
                    f"sealed {day}: {work.done_objects(day):,} objects in {seconds:.1f} s; manifest {sha}"
                )
                return day
        self._leave_to_the_other(work, day)
        return None

    # --- files -------------------------------------------------------------------------------------------------------

    def _take_over(self, work: SealWork, day: date) -> None:
        """What an earlier run of the same day, cut off or still under way, has archived and read back."""
        count = 0
        for file in self._progress(day):
            try:
                content = self._store.get(file.uri)
            except LogStoreError:
                continue  # its day was sealed just now
            if hashlib.sha256(content).hexdigest()[:16] != file.uri.rpartition("/")[2].partition(".")[0]:
                self._say(f"passed over {one_line(file.uri)}, which is damaged; its files are archived again")
                continue
            done = [ArchivedObject.from_json(orjson.loads(line)) for line in content.splitlines()]
            work.remember(day, done)
            count += len(done)
        if count:
            self._say(f"{day}: {count:,} objects of an earlier run are taken over")

    def _progress(self, day: date) -> list[LogFile]:
        """What seals of a day that have ended, or still go on, have left for others to go on with."""
        # In S3 there are no folders, and listing none is no error.
        if not self._store.uri.startswith("s3://") and not self._store.exists(self._folder.uri):
            return []
        return [file for file in self._folder.list() if f"/{progress_folder(day)}/" in file.uri]

    def _archive_files(self, work: SealWork, day: date) -> None:
        batch = _Batch(lambda done: self._write_progress(day, done))
        under_way: dict[Future[ArchivedObject], PlannedFile] = {}
        failures = 0
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="archive") as threads:

            def collect(at_most: int, at_most_bytes: int) -> None:
                nonlocal failures
                while len(under_way) > at_most or (
                    under_way and sum(one.file.size for one in under_way.values()) > at_most_bytes
                ):
                    finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
                    for one in finished:
                        planned = under_way.pop(one)
                        try:
                            done = one.result()
                        except SourceError as error:
                            failures += 1
                            self._leave_out(planned.file, error)
                            if failures >= _GIVE_UP_AFTER:
                                raise LogStoreError(error.what, do=error.do) from None
                            continue
                        failures = 0
                        work.remember(day, [done])
                        batch.add(done)

            try:
                for planned in work.to_do(day):
                    # Another run may have sealed it since this one planned: "what follows of it" would be an empty
                    # object that no manifest names.
                    if self.index.sealed_as_they_are([planned.file]):
                        continue
                    collect(_AT_ONCE - 1, max(0, _BYTES_AT_ONCE - planned.file.size))
                    known = self.index.of_sources([planned.file.uri]).get(planned.file.uri, [])
                    known += work.done_of(planned.file.uri)
                    job = threads.submit(
                        store_object, self._how, day, planned.store, planned.file, tuple(known)
                    )
                    under_way[job] = planned
                collect(0, 0)
            except BaseException:
                for one in under_way:
                    one.cancel()
                with suppress(Exception):
                    batch.flush()
                raise
        batch.flush(unless_all=True)

    def _leave_out(self, file: LogFile, error: AspectsError) -> None:
        self.left_out.append(LeftOut(file.uri, str(error)))
        self._say(f"left out: {error}")

    def _write_progress(self, day: date, done: Sequence[ArchivedObject]) -> None:
        content = b"".join(orjson.dumps(one.as_json(), option=orjson.OPT_APPEND_NEWLINE) for one in done)
        name = f"{progress_folder(day)}/{hashlib.sha256(content).hexdigest()[:16]}.jsonl"
        protection = self._how.protection(datetime.now(UTC), locked=False)
        self._store.create(f"{self._archive}/{name}", [content], protection=protection)
        self._say(f"{day}: {len(done):,} more files are in the archive, and were read back")

    def _forget_progress(self, day: date) -> None:
        # Without the permission to delete it stays, and is never read again.
        with suppress(LogStoreError):
            for file in self._progress(day):
                self._store.delete(file.uri)

    # --- the manifest ------------------------------------------------------------------------------------------------

    def _create_manifest(self, work: SealWork, day: date, previous: Link | None) -> tuple[bool, str]:
        now = datetime.now(UTC)
        head = Head(day, previous, now.replace(microsecond=0), self._run_id, self._how.compression)
        last = b"{}"

        def lines() -> Iterator[bytes]:
            nonlocal last
            for line in encode(head, work.done(day)):
                last = line
                yield line

        uri = f"{self._archive}/{manifest_name(day)}"
        created = self._store.create(uri, lines(), protection=self._how.protection(now))
        return created, str(orjson.loads(last).get("sha256", ""))

    def _confirm(self, day: date, sha256: str) -> None:
        """Read the manifest back, which also holds it against the one before."""
        for reading in range(1, _MANIFEST_READINGS + 1):
            try:
                newest = self.index.update()[-1]
            except ManifestError:
                if reading == _MANIFEST_READINGS:
                    raise
                continue
            if (newest.day, newest.sha256) == (day, sha256) or newest.day > day:
                return
        raise ReadBackError(
            f"the manifest of {day} in {self._archive} is read back as something else than was written",
            do="Look at the storage of the archive, and what is between. Then run verify_archive.",
        )

    def _leave_to_the_other(self, work: SealWork, day: date) -> None:
        self.index.update()
        theirs = {(one.source, one.source_etag) for one in self.index.of_day(day)}
        rest = [one for one in work.done(day) if (one.source, one.source_etag) not in theirs]
        work.move_on(day, rest)
        self._say(
            f"{day} was sealed by another run at the same time"
            + (
                f"; {len(rest)} files that it did not see come with the next day"
                if rest
                else "; it holds the same"
            )
        )


class _Batch:
    """Objects that are done and not yet remembered in the archive."""

    def __init__(self, write: Callable[[Sequence[ArchivedObject]], None]) -> None:
        self._write = write
        self._held: list[ArchivedObject] = []
        self._bytes = 0
        self._since = time.monotonic()
        self._written = 0

    def add(self, done: ArchivedObject) -> None:
        self._held.append(done)
        self._bytes += done.raw_bytes
        if (
            len(self._held) >= _BATCH_OBJECTS
            or self._bytes >= _BATCH_BYTES
            or time.monotonic() - self._since >= _BATCH_S
        ):
            self.flush()

    def flush(self, *, unless_all: bool = False) -> None:
        """Write what is held; with `unless_all` not if that is all there was: the manifest follows at once."""
        if self._held and (self._written or not unless_all):
            self._write(self._held)
            self._written += len(self._held)
        self._held, self._bytes, self._since = [], 0, time.monotonic()


def _before_the_first(day: date, first: date, archive: str) -> SealError:
    return SealError(
        f"{day} is before the first day of the archive {archive}, which is {first}",
        do=f"Files that were last written before {first} were sealed with it, or come as supplements with the next day:"
        " there is nothing to do for earlier days.",
    )

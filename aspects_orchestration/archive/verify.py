"""Is the archive what was sealed? Its manifests and their chain, its objects, and of as many as asked for the bytes.

Nothing is written, and nothing is believed that is not read from storage. What an index on this machine has seen before
is one more witness: it tells of a newest manifest that is gone, or of a chain that was made anew as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from aspects_orchestration.archive.faults import KEPT, Fault, Faults, Kind
from aspects_orchestration.archive.index import ARCHIVE_SETTING
from aspects_orchestration.archive.inventory import Expected, Inventory
from aspects_orchestration.archive.layout import LOGS, MANIFESTS, manifest_day, manifest_name
from aspects_orchestration.archive.manifest import Head, ManifestError, ManifestReader
from aspects_orchestration.archive.read_back import ReadBack, read_data
from aspects_orchestration.archive.subset import NOTHING, Subset, draw, group_of
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store

__all__ = ["ReadBack", "Verified", "read_data", "verify"]

#: So many objects in a row that cannot be read are no faults of objects: storage is down, or refuses everything.
_UNREADABLE_IN_A_ROW: Final = 20
#: Missing days named one by one; of more, the first and the number.
_DAYS_NAMED: Final = 31
_SAID_EVERY_S: Final = 30.0
_DAY: Final = timedelta(days=1)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Verified:
    """What a verification has found.

    Attributes:
        archive: URI prefix.
        day: the one day that was looked at; None for all.
        days: manifests that are whole.
        first, last: the first and the last day that has a manifest; None if there is none.
        head: hash of the last day's manifest; empty if it is not whole.
        objects: that the manifests list.
        stored_bytes, raw_bytes, lines: sums of the manifests.
        subset: what part of the objects was to be read.
        read_objects, read_bytes: how many were, and how large they are as stored.
        seconds: it all took.
        faults: the first of each kind.
        counts: how many there are of each kind.
        bad_days: days that have any.
    """

    archive: str
    day: date | None
    days: int
    first: date | None
    last: date | None
    head: str
    objects: int
    stored_bytes: int
    raw_bytes: int
    lines: int
    subset: Subset
    read_objects: int
    read_bytes: int
    seconds: float
    faults: tuple[Fault, ...]
    counts: Mapping[Kind, int]
    bad_days: tuple[date, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.counts

    @property
    def summary(self) -> str:
        """A sentence with the figures."""
        read = "no object was read (structure and chain only)"
        if not self.subset.is_empty:
            read = f"{self.read_objects:,} objects ({self.read_bytes:,} bytes) read back"
        wrong = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        return (
            f"{self.archive}: {self.days:,} sealed days, {self.objects:,} objects, {self.stored_bytes:,} bytes stored;"
            f" {read}; {f'wrong: {wrong}' if wrong else 'all is as it was sealed'}"
        )


def verify(
    archive: str,
    *,
    s3: S3Options,
    subset: Subset = NOTHING,
    seed: str = "",
    day: date | None = None,
    known: Mapping[date, str] | None = None,
    threads: int | None = None,
    say: Say = lambda _: None,
) -> Verified:
    """Verify an archive; what is wrong is told, not raised.

    Args:
        archive: its URI prefix.
        s3: how to reach S3.
        subset: which objects to read to their last byte; the others are compared by name and size.
        seed: another one draws another share.
        day: look at one day only: its manifest, its links to the days before and after, its objects.
        known: hashes of manifests that were seen earlier, by day (`ArchiveIndex.remembered`).
        threads: objects read at once; None: as many as suit the storage.
        say: told of the progress of reading.

    Raises:
        LogStoreError: the archive cannot be listed, or object after object cannot be read.
    """
    began = time.monotonic()
    with closing(Inventory()) as inventory:
        found = _Verification(archive, s3, inventory, day, known or {})
        found.read_manifests()
        found.compare_objects()
        found.read_objects(subset, seed, threads, say)
        return found.result(subset, time.monotonic() - began)


class _Verification:
    """One look at an archive."""

    def __init__(
        self, archive: str, s3: S3Options, inventory: Inventory, day: date | None, known: Mapping[date, str]
    ) -> None:
        self._store = open_store(archive, s3=s3, setting=ARCHIVE_SETTING)
        self._s3 = s3
        self._inventory = inventory
        self._day = day
        self._known = known
        self._faults = Faults()
        self._heads: dict[date, Head | None] = {}
        self._hashes: dict[date, str] = {}
        self._listed_days: list[date] = []
        self._told_missing: set[date] = set()
        self._objects = self._stored = self._raw = self._lines = 0
        self._read_objects = self._read_bytes = self._compared = 0

    # --- manifests -----------------------------------------------------------------------------------------------

    def read_manifests(self) -> None:
        """Read each manifest and compare its hash, then its link to the one before."""
        listed: dict[date, LogFile] = {}
        for file in self._files(MANIFESTS):
            day = manifest_day(file.uri)
            if day is not None and self._name(file) == manifest_name(day):
                listed[day] = file
            elif self._day is None:
                self._faults.add("extra", None, self._name(file), f"{file.uri} is no manifest")
        self._listed_days = sorted(listed)
        if not listed and self._day is None and not self._known:
            self._faults.add(
                "nothing_sealed", None, MANIFESTS, f"{self._store.uri}/{MANIFESTS} has no manifest"
            )
        for day in self._looked_at():
            if day in listed:
                self._read_manifest(day, listed[day])
        self._follow_chain()
        self._compare_with_known(set(listed))
        if self._day is not None and self._day not in {*self._heads, *self._told_missing}:
            self._not_sealed(self._day)

    def _looked_at(self) -> list[date]:
        """The days whose manifests are read: all, or one and its neighbours."""
        if self._day is None:
            return self._listed_days
        before = [day for day in self._listed_days if day < self._day][-1:]
        after = [day for day in self._listed_days if day > self._day][:1]
        return [*before, self._day, *after]

    def _read_manifest(self, day: date, file: LogFile) -> None:
        wanted = self._day in {None, day}
        try:
            with self._store.open(file) as stream:
                reader = ManifestReader(stream, file.uri)
                if reader.head.day != day:
                    self._disbelieve(
                        day, "swapped", f"{file.uri} is the manifest of {reader.head.day}, not of {day}"
                    )
                    return
                if wanted:
                    self._inventory.seal(day, reader)
                else:
                    for _ in reader:
                        pass
        except ManifestError as error:
            self._disbelieve(day, "changed_manifest", error.what)
            return
        except LogStoreError as error:
            self._disbelieve(day, "unreadable", error.what)
            return
        self._heads[day], totals = reader.head, reader.totals
        self._hashes[day] = totals.sha256
        if wanted:
            self._objects += totals.objects
            self._stored += totals.stored_bytes
            self._raw += totals.raw_bytes
            self._lines += totals.lines

    def _disbelieve(self, day: date, kind: Kind, why: str) -> None:
        self._heads[day] = None
        self._inventory.seal(day, None)
        self._faults.add(kind, day, manifest_name(day), why)

    def _follow_chain(self) -> None:
        days = [day for day in self._looked_at() if day in self._heads]
        for before, day in zip([None, *days], days, strict=False):
            head = self._heads[day]
            if head is not None:
                self._check_link(before, day, head)

    def _check_link(self, before: date | None, day: date, head: Head) -> None:
        name, link = manifest_name(day), head.previous
        # Of one day alone, what stands before the day before it is not looked at.
        if before is None and self._day is not None and day != self._listed_days[0]:
            return
        if link is None:
            if before is not None:
                self._faults.add(
                    "broken_chain", day, name, f"{name} begins a chain, but {before} stands before it"
                )
            return
        if link.day >= day or (before is not None and link.day < before):
            self._faults.add(
                "broken_chain",
                day,
                name,
                f"{name} follows {link.day}, but {before or 'nothing'} stands before it",
            )
            return
        if link.day != before:
            first = before + _DAY if before is not None else link.day
            self._missing(first, link.day, f"{name} follows {manifest_name(link.day)} ({link.sha256[:12]}…)")
        elif before in self._hashes and self._hashes[before] != link.sha256:
            self._faults.add(
                "broken_chain",
                day,
                name,
                f"{name} follows a manifest of {before} with the hash {link.sha256[:12]}…, but the one that stands there"
                f" has {self._hashes[before][:12]}…",
            )
        if day - link.day > _DAY:
            days = (day - link.day).days - 1
            span = f"{link.day + _DAY}" if days == 1 else f"{link.day + _DAY} to {day - _DAY} ({days} days)"
            self._faults.add(
                "gap", link.day + _DAY, name, f"{span} was never sealed: {name} follows {link.day}"
            )

    def _missing(self, first: date, last: date, why: str) -> None:
        """Days from the first to the last were sealed, since an archive's days have no gaps, and have no manifest."""
        count = (last - first).days + 1
        named = min(count, _DAYS_NAMED)
        for number in range(named):
            day = last - number * _DAY
            self._told_missing.add(day)
            more = f"; {count - named} days before it are missing too" if number + 1 == named < count else ""
            self._faults.add(
                "missing_manifest",
                day,
                manifest_name(day),
                f"{manifest_name(day)} is not there: {why}{more}",
            )

    def _not_sealed(self, day: date) -> None:
        self._faults.add(
            "missing_manifest",
            day,
            manifest_name(day),
            f"{day} is not sealed",
            do="Materialize tracking_log_archive for this day, or for a later one; a day before the archive's first is"
            " sealed with that.",
        )

    def _compare_with_known(self, listed: set[date]) -> None:
        for day, sha in sorted(self._known.items()):
            if self._day not in {None, day}:
                continue
            name = manifest_name(day)
            if day not in listed:
                if day not in self._told_missing:
                    self._missing(day, day, "it was there when this machine last read the archive")
            elif day in self._hashes and self._hashes[day] != sha:
                self._faults.add(
                    "changed_manifest",
                    day,
                    name,
                    f"{name} is whole, but not the one that this machine has read before: its hash is"
                    f" {self._hashes[day][:12]}…, not {sha[:12]}…",
                )

    # --- objects -------------------------------------------------------------------------------------------------

    def compare_objects(self) -> None:
        """Compare the manifests' lists with what lies there, by name and size."""
        folder = LOGS if self._day is None else f"{LOGS}/{self._day}"
        self._inventory.list_objects(self._in_folders(folder))
        for name, day in self._inventory.missing():
            self._faults.add("missing_object", day, name, f"{name} is not there")
        for name, day in self._inventory.extra():
            self._faults.add("extra", day, name, f"{name} is in no manifest")
        for name in self._inventory.strangers():
            self._faults.add("extra", None, name, f"{name} is in no day's folder")
        for day, count in self._inventory.without_manifest():
            if day not in self._told_missing:
                self._faults.add(
                    "missing_manifest",
                    day,
                    manifest_name(day),
                    f"{manifest_name(day)} is not there, but {count:,} objects are in {LOGS}/{day}",
                    do="If the day was never sealed to its end (a seal is under way or was cut off), materialize"
                    " tracking_log_archive for it. Else bring the manifest back from an older version or a replica.",
                )

    def _in_folders(self, folder: str) -> Iterator[tuple[str, date | None, LogFile]]:
        for file in self._files(folder):
            name = self._name(file)
            parts = name.split("/")
            yield name, _date(parts[1]) if len(parts) == 3 else None, file

    # --- bytes ---------------------------------------------------------------------------------------------------

    def read_objects(self, subset: Subset, seed: str, threads: int | None, say: Say) -> None:
        """Read the chosen objects, and those of a wrong size, to know whose bytes they have."""
        if subset.is_empty:
            for one in self._inventory.of_another_size():
                self._another_size(one, "")
            return
        self._read(self._inventory.of_another_size(), threads, say)
        self._read(self._inventory.of_right_size(self._chosen(subset, seed)), threads, say)

    def _read(self, several: Iterator[Expected], threads: int | None, say: Say) -> None:
        waiting: dict[str, Expected] = {}

        def files() -> Iterator[LogFile]:
            for one in several:
                waiting[one.file.uri] = one
                yield one.file

        refused, said = 0, time.monotonic()
        for back in read_data(self._store, files(), threads):
            one = waiting.pop(back.file.uri)
            if back.error is not None:
                refused += 1
                if refused >= _UNREADABLE_IN_A_ROW:
                    raise back.error
                self._faults.add("unreadable", one.day, one.name, back.error.what)
                continue
            refused = 0
            self._read_objects += 1
            self._read_bytes += back.file.size
            if one.size != one.file.size:
                self._another_size(one, back.sha256)
            elif back.sha256 != one.sha256:
                self._other_bytes(one, back.sha256)
            if time.monotonic() - said > _SAID_EVERY_S:
                said = time.monotonic()
                say(f"{self._read_objects:,} objects read back, {self._read_bytes:,} bytes")

    def _chosen(self, subset: Subset, seed: str) -> Callable[[str], bool]:
        if subset.groups:
            return lambda name: group_of(name, subset.groups) == subset.group
        if subset.share == 1.0:
            return lambda _: True
        # A share of a small archive is still one object.
        least = min((draw(name, seed) for name in self._inventory.names()), default=0.0)
        return lambda name: draw(name, seed) <= max(subset.share, least)

    def _another_size(self, one: Expected, sha256: str) -> None:
        if not self._swapped(one, sha256):
            sizes = f"{one.file.size:,} bytes, and was sealed with {one.size:,}"
            self._faults.add("changed_size", one.day, one.name, f"{one.name} has {sizes}")

    def _other_bytes(self, one: Expected, sha256: str) -> None:
        if not self._swapped(one, sha256):
            hashes = f"the hash {sha256[:12]}…, and was sealed with {one.sha256[:12]}…"
            self._faults.add("changed_bytes", one.day, one.name, f"{one.name} has {hashes}")

    def _swapped(self, one: Expected, sha256: str) -> bool:
        self._compared += 1
        # Each is looked for among all objects: where hundreds are wrong, that they were swapped is no longer the point.
        other = self._inventory.with_hash(sha256, but=one.name) if sha256 and self._compared <= KEPT else None
        if other:
            self._faults.add("swapped", one.day, one.name, f"{one.name} holds the bytes of {other}")
        return other is not None

    # --- the result ----------------------------------------------------------------------------------------------

    def result(self, subset: Subset, seconds: float) -> Verified:
        """All that was found."""
        last = self._listed_days[-1] if self._listed_days else None
        return Verified(
            archive=self._store.uri,
            day=self._day,
            days=len(self._hashes) if self._day is None else int(self._day in self._hashes),
            first=self._listed_days[0] if self._listed_days else None,
            last=last,
            head=self._hashes.get(last, "") if last else "",
            objects=self._objects,
            stored_bytes=self._stored,
            raw_bytes=self._raw,
            lines=self._lines,
            subset=subset,
            read_objects=self._read_objects,
            read_bytes=self._read_bytes,
            seconds=seconds,
            faults=self._faults.kept,
            counts=self._faults.counts,
            bad_days=self._faults.days,
        )

    def _name(self, file: LogFile) -> str:
        return file.uri.removeprefix(self._store.uri).lstrip("/")

    def _files(self, folder: str) -> Iterator[LogFile]:
        """What lies in a folder of the archive; nothing if there is no such folder."""
        uri = f"{self._store.uri}/{folder}"
        if not uri.startswith("s3://") and not self._store.exists(uri):
            return
        yield from open_store(uri, s3=self._s3, setting=ARCHIVE_SETTING).list()


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None

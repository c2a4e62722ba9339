"""Who has arrived: users and courses that earlier loads missed, and that the site knows by now.

The reports of the quarantine are gone through, month by month, and whoever stands in them is looked up where a load
would look. One sweep over all months may take several calls: each has a time budget and begins where the last ended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from aspects_orchestration.replay.missing import MissingKey, read_report
from aspects_orchestration.replay.plan import not_replayed, site_source
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.quarantine import MISSING_REPORT
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.xapi.erb import USERS, Courses, Identities, Identity
from aspects_orchestration.xapi.identities import wanted

_AT_A_TIME = 1_000


@dataclass(frozen=True)
class Position:
    """Where a sweep has come to: a month, and how many keys of its reports have been looked up."""

    month: str
    keys: int = 0


@dataclass(frozen=True)
class Arrival:
    """A month whose quarantine is worth replaying.

    Attributes:
        month: the partition's key.
        users, courses: how many of those who were missing are known now, of the portion that was looked up.
        quarantine: a name for what lies in quarantine, another as soon as something else does.
    """

    month: str
    users: int
    courses: int
    quarantine: str


@dataclass(frozen=True)
class Sweep:
    """What a call has found, and where the next one goes on; None: all months were gone through."""

    arrivals: tuple[Arrival, ...]
    missing: int
    rest: Position | None


def sweep(
    settings: Settings,
    warehouse: Warehouse,
    months: Sequence[str],
    *,
    s3: S3Options,
    after: Position | None = None,
    budget_s: float = 20.0,
) -> Sweep:
    """Look up who was missing.

    Args:
        settings: of the site.
        warehouse: a connection.
        months: partition keys, ascending.
        s3: how to reach S3.
        after: where the last call ended; None: begin anew.
        budget_s: begin no further portion after so many seconds.

    Raises:
        AspectsError: storage, ClickHouse or the LMS database cannot be read.
    """
    ends = time.monotonic() + budget_s
    identities, courses = site_source(settings, s3).open(warehouse)
    known = _Known(identities, courses, with_email=settings.agent_ifi_type != "external_id")
    arrivals: list[Arrival] = []
    missing = 0
    for month in months:
        if after is not None and month < after.month:
            continue
        skip = after.keys if after is not None and month == after.month else 0
        reports = [file for file in not_replayed(settings, month, s3) if file.uri.endswith(MISSING_REPORT)]
        keys = islice(_keys(reports, s3), skip, None)
        while portion := list(islice(keys, _AT_A_TIME)):
            missing += len(portion)
            skip += len(portion)
            users, found_courses = known.count(portion)
            if users or found_courses:
                # One is enough to replay all of it: the rest of the month need not be looked up.
                arrivals.append(Arrival(month, users, found_courses, _name(reports)))
                break
            if time.monotonic() > ends:
                return Sweep(tuple(arrivals), missing, Position(month, skip))
        if time.monotonic() > ends and month != months[-1]:
            return Sweep(tuple(arrivals), missing, Position(months[months.index(month) + 1]))
    return Sweep(tuple(arrivals), missing, None)


@dataclass(frozen=True)
class _Known:
    """Whom and what the site knows now."""

    identities: Identities
    courses: Courses
    with_email: bool

    def count(self, portion: Sequence[MissingKey]) -> tuple[int, int]:
        users = [one.key for one in portion if one.kind == USERS]
        if self.identities.asks_for_many:
            ids, names = wanted(users)
            # What reads as a number is an id first and a username after.
            self.identities.prefetch(ids, names | {key for key in users if key.isdecimal()})
        return (
            sum(self._is_complete(self._user(key)) for key in users),
            sum(self.courses.display_name(one.key) is not None for one in portion if one.kind != USERS),
        )

    def _user(self, key: str) -> Identity | None:
        ids, _ = wanted([key])
        found = self.identities.by_id(next(iter(ids))) if ids else None
        return found or self.identities.by_username(key)

    def _is_complete(self, found: Identity | None) -> bool:
        return found is not None and bool(found.email if self.with_email else found.external_id)


def _keys(reports: Sequence[LogFile], s3: S3Options) -> Iterator[MissingKey]:
    for file in sorted(reports):
        store = open_store(file.uri.rpartition("/")[0], s3=s3, setting="ASPECTS_QUARANTINE")
        yield from read_report(store, file)


def _name(reports: Sequence[LogFile]) -> str:
    digest = hashlib.sha256("\n".join(f"{file.uri} {file.etag}" for file in sorted(reports)).encode())
    return digest.hexdigest()[:16]

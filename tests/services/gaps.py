"""A site whose hours are known to the line, for tests of gaps between logs and table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aspects_orchestration.gaps.look import Look, Request, hour_start, look
from aspects_orchestration.tracking.stores import S3Options
from services.events import enrolled, peopled_site, who
from services.site import Site

MAY = "2024-05"
#: Hours of the tests count from here.
FIRST = datetime(2024, 5, 20, tzinfo=UTC)
_AT = int(FIRST.timestamp()) // 3600


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server, users and courses for all tests of a module."""
    for made in peopled_site(tmp_path_factory):
        made.warehouse()
        yield made


@pytest.fixture
def hours(house: Site, tmp_path: Path) -> Site:
    """A site of its own on that server: no logs, empty tables."""
    made = Site(tmp_path)
    made.logs.mkdir()
    made.home.symlink_to(house.home)
    for name in ("identities.csv", "courses.csv"):
        (tmp_path / name).symlink_to(house.folder / name)
    made.warehouse()
    for table in ("xapi.xapi_events_all", *(f"aspects_orchestration.{one}" for one in _OWN)):
        made.sql(f"TRUNCATE TABLE {table}", admin=True)
    return made


_OWN = ("tracking_log_catalog", "loaded_hours", "runs", "expected_ids")


def hour(number: int) -> int:
    """The number since 1970 of an hour of the test."""
    return _AT + number


def numbers(seen: Look) -> list[int]:
    """The hours of the test that fall short."""
    return [one.hour - _AT for one in seen.comparison.gaps]


def lines(by_hour: Mapping[int, int], *, seed: int = 0, unknown: int = 0) -> bytes:
    """Lines of so many enrolments in each hour of the test, in the order of time, no two at one time.

    Args:
        by_hour: how many.
        seed: another one gives other events.
        unknown: so many of each hour are by users whom the site does not know.
    """
    made = []
    for number, count in sorted(by_hour.items()):
        start = hour_start(hour(number))
        step = timedelta(seconds=3500) / count if count else timedelta(0)
        for one in range(count):
            moment = start + step * one + timedelta(microseconds=17 + seed)
            event = enrolled(f"{moment:%Y-%m-%dT%H:%M:%S.%f}+00:00", learner=who(one % 20))
            if one < unknown:
                stranger = b'"user_id":9%07d' % (one + seed)
                event = event.replace(f'"user_id":{who(one % 20).user_id}'.encode(), stranger)
                event = event.replace(who(one % 20).username.encode(), b"nobody-%d" % one)
            made.append(event)
    return b"".join(made)


def write(site: Site, name: str, content: bytes, *, modified: datetime | None = None) -> Path:
    """Write a log that nobody writes to any more."""
    path = site.logs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = (modified or FIRST + timedelta(days=1)).timestamp()
    os.utime(path, (moment, moment))
    return path


def written_live(site: Site, skipped: str = "0", months: tuple[str, ...] = (MAY,)) -> None:
    """Fill the table as a live pipeline does, that leaves out statements for which a condition holds; no load on record."""
    for month in months:
        site.load(month)
    for table in ("loaded_hours", "runs", "expected_ids"):
        site.sql(f"TRUNCATE TABLE aspects_orchestration.{table}", admin=True)
    lose(site, skipped)


def lose(site: Site, condition: str) -> None:
    """Delete statements from the table."""
    site.sql(
        f"ALTER TABLE xapi.xapi_events_all DELETE WHERE {condition} SETTINGS mutations_sync = 2", admin=True
    )


def of_hours(*wanted: int) -> str:
    """The condition of some hours of the test."""
    known = ", ".join(str(hour(number)) for number in wanted)
    return f"intDiv(toUnixTimestamp(emission_time), 3600) IN ({known})"


def seen(site: Site, *, until: datetime = FIRST + timedelta(days=10), **how: Any) -> Look:
    """One look, as of a time of the test, at the 14 days before it."""
    read_new = how.pop("read_new", None)
    request = Request(**how)
    return look(
        site.settings, site.warehouse(), s3=S3Options(), now=until, request=request, read_new=read_new
    )

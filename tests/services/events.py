"""Tracking events written by hand, for tests in which every field counts."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from aspects_orchestration.samples import SampleSpec, write_courses, write_identities
from aspects_orchestration.samples.site import Learner, course, learner
from services.site import Site, stop_server

COURSE = course(0).key
OTHER_COURSE = course(1).key
CCX = course(2).key


def who(number: int = 0) -> Learner:
    """A learner whom the site's identities know."""
    return learner(1, number)


def enrolled(time: object, *, learner: Learner | None = None, course: str = COURSE, **more: Any) -> bytes:
    """A line for `edx.course.enrollment.activated`; `time` stands in it as it is."""
    learner = learner or who()
    name = "edx.course.enrollment.activated"
    event = {
        "name": name,
        "event_type": name,
        "event_source": "server",
        "username": learner.username,
        "ip": "198.51.100.77",
        "agent": "Mozilla/5.0",
        "host": "local.openedx.io:8000",
        "referer": "http://local.openedx.io:8000/",
        "accept_language": "en",
        "session": "0123456789abcdef0123456789abcdef",
        "page": None,
        "context": {
            "course_id": course,
            "org_id": course.partition(":")[2].partition("+")[0],
            "user_id": learner.user_id,
            "path": "/change_enrollment",
        },
        "event": {"course_id": course, "user_id": learner.user_id, "mode": "audit"},
        "time": time,
        **more,
    }
    return orjson.dumps(event) + b"\n"


def write_people(site: Site) -> None:
    """The users and courses that samples and `enrolled` name."""
    write_identities(SampleSpec(lines=0), site.folder / "identities.csv")
    write_courses(SampleSpec(lines=0), site.folder / "courses.csv")


def peopled_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for all tests of a module, each of which has a month and files of its own; logs are empty at first."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.logs.mkdir()
    write_people(site)
    yield site
    stop_server(site.home)


def statements(site: Site, month: str) -> list[dict[str, Any]]:
    """A month's statements in the order of their time."""
    rows = site.sql("SELECT emission_time, event FROM xapi.xapi_events_all ORDER BY ALL FORMAT TSVRaw")
    pairs = [row.split(b"\t", 1) for row in rows.splitlines()]
    return [orjson.loads(event) for time, event in pairs if time.startswith(month.encode())]


def quarantine_records(folder: Path) -> list[dict[str, Any]]:
    """All records in quarantine below a folder."""
    return [
        orjson.loads(line)
        for path in sorted(folder.rglob("*.ndjson.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]

"""A drill that is killed anywhere has touched nothing that stands, and the next one clears up behind it and passes."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import date
from pathlib import Path

import pytest
from services import drill_once
from services.drills import drilled, records, scratches, seal
from services.events import enrolled, who, write_people
from services.runs import assert_gone, said
from services.site import Site

from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.lock import LockedError

MONTH = "2024-05"
#: What a drill says at the beginning of each of its steps, in their order.
STEPS = (
    "drilling 2024-05-10",
    "creating aspects_drill",
    "reading 1 objects back",
    "verified 1 objects",
    "loading 2024-05",
    "counts agree",
    "comparing 2024-05",
    "dropping aspects_drill",
    "writing the drill down",
    "drilled 2024-05-10",
    "outcome passed",
)


@pytest.fixture
def loaded(site: Site) -> Site:
    write_people(site)
    log = site.logs / "may.log.1"
    log.write_bytes(b"".join(enrolled(f"2024-05-10T10:{n:02d}:00Z", learner=who(n)) for n in range(60)))
    site.load(MONTH)
    seal(str(site.folder / "archive"), {date(2024, 5, 10): [log]})
    log.unlink()
    return site


def start(site: Site) -> subprocess.Popen[bytes]:
    program = str(Path(drill_once.__file__))
    return site.popen("-u", program, "2024-06", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_killed_at_each_step_and_drilled_again(loaded: Site) -> None:
    rows = loaded.rows()
    left = []
    for step in STEPS:
        process = start(loaded)
        assert said(process, step), step
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)
        assert_gone(process, within_s=30)
        assert loaded.rows() == rows
        left.append(bool(scratches(loaded)))
    assert any(left), "no kill left a scratch: the test has lost its point"

    last = start(loaded)
    output, _ = last.communicate(timeout=120)

    assert last.returncode == 0, output.decode()
    assert b"took over the lock" in output
    assert b"outcome passed" in output
    assert loaded.rows() == rows
    assert scratches(loaded) == []
    assert not (loaded.home / "drill").exists()
    assert {outcome for (outcome,) in records(loaded, "outcome")} == {"passed"}


def test_what_a_killed_drill_has_left_is_dropped_by_the_next(loaded: Site) -> None:
    process = start(loaded)
    assert said(process, "counts agree")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    assert_gone(process, within_s=30)
    assert scratches(loaded) == ["aspects_drill_aspects_orchestration"]
    heard: list[str] = []
    (one,) = drilled(loaded, said=heard)
    assert one.passed
    assert "dropped aspects_drill_aspects_orchestration, left by a drill that ended early" in heard
    assert scratches(loaded) == []


def test_a_server_that_is_killed_harms_nothing_and_the_next_drill_passes(loaded: Site) -> None:
    rows = loaded.rows()
    process = start(loaded)
    assert said(process, "counts agree")
    os.kill(server.ensure_running(loaded.home).pid, signal.SIGKILL)
    assert loaded.rows() == rows, "started again"
    output, _ = process.communicate(timeout=300)
    assert b"Traceback" not in output or b"ClickHouse at 127.0.0.1" in output
    (one,) = drilled(loaded)
    assert one.passed
    assert loaded.rows() == rows
    assert scratches(loaded) == []


def test_two_drills_at_once_are_one(loaded: Site) -> None:
    process = start(loaded)
    assert said(process, "creating aspects_drill")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LockedError, match="is drilling a restore"):
            drilled(loaded)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()
    assert b"outcome passed" in output

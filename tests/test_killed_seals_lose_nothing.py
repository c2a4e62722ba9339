"""A seal that is killed at any step is gone on with, and the archive is the one that a seal without a kill makes."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from services.seals import FIRST, SealSite, killed

DAYS, FILES = 3, 9
LAST = date(2024, 5, DAYS)


def filled(folder: Path) -> SealSite:
    folder.mkdir()
    made = SealSite(folder)
    made.put_days(DAYS, FILES)
    made.seal(FIRST)
    return made


@pytest.mark.parametrize(
    "step",
    [
        "object",
        "object:7",
        "object created",
        "object created:6",
        "object read back:5",
        "progress",
        "progress created",
        "progress created:2",
        "manifest",
        "manifest:2",
        "manifest created",
        "manifest created:2",
        "manifest read back:2",
    ],
)
def test_killed_at_a_step_and_run_again_it_is_the_same_archive(tmp_path: Path, step: str) -> None:
    once = filled(tmp_path / "once")
    town = filled(tmp_path / "killed")
    killed(town.popen(LAST, step))
    before = {name: data for name, data in town.stored().items() if "/." not in name}

    town.seal(LAST)

    after = town.stored()
    assert {name: after.get(name) for name in before if not name.startswith("progress/")} == {
        name: data for name, data in before.items() if not name.startswith("progress/")
    }, "what was there stays as it is"
    once.seal(LAST)
    assert town.lines() == once.lines() == once.lines(str(once.logs))
    assert [one.lines for one in town.objects()] == [one.lines for one in once.objects()]
    assert {one.object for one in town.objects()} == {
        name for name in after if name.startswith("logs/") and "/." not in name
    }
    assert town.seal(LAST).sealed_now == ()


@pytest.mark.parametrize("step", ["archive", "archive created", "object created", "manifest"])
def test_a_first_seal_that_is_killed_is_gone_on_with(tmp_path: Path, step: str) -> None:
    town = SealSite(tmp_path)
    town.put_days(1, 3)
    killed(town.popen(FIRST, step))
    town.seal(FIRST)
    assert town.lines() == town.lines(str(town.logs))


def test_killed_again_and_again_it_ends(tmp_path: Path) -> None:
    town = filled(tmp_path / "town")
    killed(town.popen(LAST, "progress created"))
    killed(town.popen(LAST, "progress created"))
    killed(town.popen(LAST, "object created"))
    process = town.popen(LAST)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert b"2024-05-02: 8 objects of an earlier run are taken over" in output
    assert town.lines() == town.lines(str(town.logs))


def test_what_a_killed_seal_has_done_is_not_done_again(tmp_path: Path) -> None:
    town = filled(tmp_path / "town")
    killed(town.popen(LAST, "progress created:2"))
    town.seal(LAST)
    assert "2024-05-02: 8 objects of an earlier run are taken over" in town.said


def test_progress_that_is_damaged_is_passed_over(tmp_path: Path) -> None:
    town = filled(tmp_path / "town")
    killed(town.popen(LAST, "progress created"))
    (progress,) = (Path(town.archive) / "progress").rglob("*.jsonl")
    progress.write_bytes(progress.read_bytes().replace(b'"lines":20', b'"lines":21'))
    town.seal(LAST)
    assert any(line.startswith("passed over") for line in town.said)
    assert {one.lines for one in town.objects()} == {20}


def test_a_source_that_is_gone_after_the_kill_stays_in_the_archive(tmp_path: Path) -> None:
    town = filled(tmp_path / "town")
    lines = town.lines(str(town.logs))
    killed(town.popen(LAST, "progress created:2"))
    done = [
        json.loads(line)["source"]
        for progress in (Path(town.archive) / "progress").rglob("*.jsonl")
        for line in progress.read_text().splitlines()
    ]
    assert len(done) == 8
    for uri in done:
        Path(uri.removeprefix("file://")).unlink()
    town.seal(LAST)
    assert town.lines() == lines
    assert len(town.objects()) == DAYS * FILES

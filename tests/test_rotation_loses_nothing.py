"""Several processes write 1,000 lines a second, logs are rotated, rotations are killed: each line stands once, whole."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from services import log_writer, rotate_once

WRITERS = 4
LINES_A_SECOND = 250
#: More than are ever written: writers are told when to end.
MANY = 1_000_000


def lines_of(folder: Path) -> Counter[tuple[str, int]]:
    """How often each line stands in all files of a folder."""
    found: Counter[tuple[str, int]] = Counter()
    for file in folder.iterdir():
        for line in file.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"}\n")
            event = json.loads(line)
            found[event["username"], event["event"]["number"]] += 1
    return found


def written(lines: Sequence[int]) -> Counter[tuple[str, int]]:
    """Each line of each writer once, by how many they wrote."""
    return Counter((f"writer{one}", number) for one, many in enumerate(lines) for number in range(many))


@pytest.mark.slow
def test_nothing_is_lost_while_a_thousand_lines_a_second_are_written(tmp_path: Path) -> None:
    log = tmp_path / "tracking.log"
    started = time.monotonic()
    writers = [log_writer.start(log, f"writer{one}", MANY, LINES_A_SECOND) for one in range(WRITERS)]
    for step in ("none", *rotate_once.STEPS) * 2:
        returned = rotate_once.start(log, step).wait(60)
        assert returned == (0 if step == "none" else -signal.SIGKILL)
    lines = [log_writer.told_to_end(one) for one in writers]
    took_s = time.monotonic() - started
    assert lines_of(tmp_path) == written(lines)
    assert sum(1 for one in tmp_path.glob("tracking.log-*") if one.stat().st_size) >= 3
    assert sum(lines) / took_s > 500


@pytest.mark.slow
def test_two_rotations_at_once_lose_nothing(tmp_path: Path) -> None:
    log = tmp_path / "tracking.log"
    writers = [log_writer.start(log, f"writer{one}", MANY, LINES_A_SECOND) for one in range(WRITERS)]
    for _ in range(4):
        both = [rotate_once.start(log) for _ in range(2)]
        assert [one.wait(60) for one in both] == [0, 0]
    lines = [log_writer.told_to_end(one) for one in writers]
    assert lines_of(tmp_path) == written(lines)


@pytest.mark.parametrize("step", rotate_once.STEPS)
def test_a_rotation_that_was_killed_is_gone_on_with(tmp_path: Path, step: str) -> None:
    """Whatever it had done by then: the next one needs no mending, and the writer writes on."""
    log = tmp_path / "tracking.log"
    writer = log_writer.start(log, "writer0")
    assert rotate_once.start(log, step).wait(60) == -signal.SIGKILL
    log_writer.write_line(writer)
    assert rotate_once.start(log).wait(60) == 0
    log_writer.write_line(writer)
    log_writer.end(writer)
    assert lines_of(tmp_path) == written([3])
    assert json.loads(log.read_bytes())["event"]["number"] == 2

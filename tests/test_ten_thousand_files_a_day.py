"""A day of 10,000 files is sealed in bounded memory, and a seal of them that is killed does not start over."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from services.seals import FIRST, SealSite, event, killed

pytestmark = pytest.mark.slow

FILES = 10_000
MOST_MB = 400


def test_ten_thousand_files(tmp_path: Path) -> None:
    town = SealSite(tmp_path)
    for number in range(FILES):
        at = datetime(2024, 5, 1, tzinfo=UTC) + timedelta(seconds=8 * number)
        town.put(f"server-{number % 20}/tracking.log-{number:05d}", event(number, at) * 3, at)
    killed(town.popen(FIRST, "progress created:1500"))
    process = town.popen(FIRST)
    assert process.stdout is not None
    output = process.stdout.read()
    assert process.wait() == 0, output[-3000:]
    assert b"2024-05-01: 6,000 objects of an earlier run are taken over" in output
    days = town.index.update()
    assert [(one.objects, one.lines) for one in days] == [(FILES, 3 * FILES)]
    assert town.seal(date(2024, 5, 2)).plan.sealed == FILES
    peak = re.search(rb"peak: (\d+) KB", output)
    assert peak is not None
    assert int(peak[1]) < MOST_MB * 1024, f"{peak[1].decode()} KB"

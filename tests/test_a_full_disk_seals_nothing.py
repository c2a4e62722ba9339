"""Where the archive's disk is full, nothing half stands, nothing is sealed, and with space again the seal goes on."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from services.seals import FIRST, SealSite

from aspects_orchestration.errors import LogStoreError

#: More than the small disk of the test holds, and nothing to compress.
NOISE = os.urandom(300_000).hex().encode() + b"\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def assert_nothing_half(town: SealSite) -> None:
    left = town.stored()
    assert not [name for name in left if name.startswith("manifests/") or ".part" in name]


def test_a_disk_that_is_full_is_told_and_gone_on_with(tmp_path: Path, small_disk: Path) -> None:
    town = SealSite(tmp_path, str(small_disk / "archive"))
    town.put_days(1, 3)
    town.put("a-noise.log", NOISE, datetime(2024, 5, 1, 12, tzinfo=UTC))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 250_000)
    with pytest.raises(LogStoreError, match=r"No space left on device.* Look at the disk"):
        town.seal(FIRST)
    assert_nothing_half(town)
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    town.seal(FIRST)
    assert town.lines() == town.lines(str(town.logs))


def test_a_file_that_may_not_grow_is_told_and_gone_on_with(tmp_path: Path) -> None:
    town = SealSite(tmp_path)
    town.put_days(1, 3)
    town.put("noise.log", NOISE, datetime(2024, 5, 1, 12, tzinfo=UTC))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    try:
        with pytest.raises(LogStoreError, match=r"File too large.* Look at the disk"):
            town.seal(FIRST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert_nothing_half(town)
    town.seal(FIRST)
    assert town.lines() == town.lines(str(town.logs))

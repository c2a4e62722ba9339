"""Promise 6: memory is bounded, whatever the size of a file or of a line.

Limits are of the run and its workers together, ClickHouse apart; they are generous, and far below the data.
"""

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil
import pytest
from backports import zstd
from services.events import enrolled, write_people
from services.runs import start
from services.site import Site

from aspects_orchestration.samples import SampleSpec, generate, lines_for_size

MONTH = "2024-05"
LIMIT_BYTES = 900_000_000


def peak_while(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """The most memory that a run and its workers hold at once (bytes), by sampling, and what the run says."""
    output: list[bytes] = []
    reader = threading.Thread(target=lambda: output.append(process.communicate()[0]))
    reader.start()
    peak = 0
    run = psutil.Process(process.pid)
    while reader.is_alive():
        held = 0
        try:
            for one in [run, *run.children(recursive=True)]:
                # Shared pages (the interpreter, libraries) are counted once for each process: rather too much.
                held += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        peak = max(peak, held)
        reader.join(0.1)
    return peak, output[0]


def write_zst(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    with zstd.open(path, "wb", level=1) as stream:
        write(stream)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000_000_000])
def test_one_file_of_a_gigabyte_is_never_held(site: Site, size: int) -> None:
    write_people(site)
    # Mostly lines that are none of ours: it is the reading that is looked at here.
    spec = SampleSpec(lines=1, transformable=0.01)
    block = b"".join(
        line.raw for line in generate(SampleSpec(lines=lines_for_size(spec, 10_000_000), transformable=0.01))
    )
    repeats = size // len(block)

    def write(stream: IO[bytes]) -> None:
        for _ in range(repeats):
            stream.write(block)

    write_zst(site.logs / "tracking.log-20240601.zst", write)
    site.warehouse()
    peak, output = peak_while(start(site, MONTH))
    assert b"done" in output, output.decode()
    assert peak < LIMIT_BYTES, f"{peak / 1e6:.0f} MB"
    lines = repeats * block.count(b"\n")
    assert f"{lines} lines" in output.decode()


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [False, True])
def test_a_line_of_hundreds_of_megabytes_is_quarantined_whole_and_never_held(
    site: Site, compressed: bool
) -> None:
    write_people(site)
    piece, pieces = b"x" * 1_000_000, 400

    def write(stream: IO[bytes]) -> None:
        stream.write(enrolled("2024-05-02T00:00:00Z") + b'{"name": "')
        for _ in range(pieces):
            stream.write(piece)
        stream.write(b'"}\n' + enrolled("2024-05-03T00:00:00Z"))

    path = site.logs / "tracking.log-20240601.zst"
    write_zst(path, write)
    if not compressed:
        with zstd.open(path) as stored, path.with_suffix(".1").open("wb") as plain:
            shutil.copyfileobj(stored, plain)
        path.unlink()
    site.warehouse()
    peak, output = peak_while(start(site, MONTH))
    assert b"done 2 inserted" in output, output.decode()
    assert peak < LIMIT_BYTES, f"{peak / 1e6:.0f} MB"
    (kept,) = (site.folder / "archive" / "quarantine").rglob("*.line*")
    assert kept.stat().st_size == len(b'{"name": "') + pieces * len(piece) + len(b'"}\n')

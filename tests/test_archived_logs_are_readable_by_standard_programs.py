"""What the archive holds is a log compressed as anybody would: zstd and gzip read it, whatever it came from.

It is hashed and counted on its way, the same input always gives the same bytes, and no file is too large.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest
from backports import zstd
from test_lines_are_never_lost import TEXT, docker

from aspects_orchestration.archive import recompress
from aspects_orchestration.archive.layout import Compression
from aspects_orchestration.archive.recompress import (
    BLOCK_BYTES,
    Content,
    DamagedSourceError,
    Recompressed,
    prefix_sha256,
    raw_sha256_of,
)
from aspects_orchestration.errors import AspectsError, LogStoreError
from aspects_orchestration.samples import SampleSpec, generate_lines
from aspects_orchestration.tracking.chunks import Chunk, line_ends, read_chunks
from aspects_orchestration.tracking.compression import decompressed

SMALL = b"".join(generate_lines(SampleSpec(lines=300, style="tutor", damage=0.1)))
#: Two blocks and a part of one, and no newline at its end.
LARGE = (SMALL * (2 * BLOCK_BYTES // len(SMALL) + 2))[: 2 * BLOCK_BYTES + 1_000_003]
LOGS = {"empty": b"", "small": SMALL, "a block": LARGE[:BLOCK_BYTES], "large": LARGE}
SOURCES: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": lambda data: gzip.compress(data, 1),
    "gz of several members": lambda data: gzip.compress(data[:700_000], 1) + gzip.compress(data[700_000:], 1),
    "zst": lambda data: zstd.compress(data, 1),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
}
PROGRAMS: dict[Compression, str] = {"zst": "zstd", "gz": "gzip"}


@cache
def source_of(name: str, log: str) -> bytes:
    return SOURCES[name](LOGS[log])


def opens(data: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(data)


def taken(made: Recompressed) -> tuple[bytes, Content]:
    stored = b"".join(made)
    return stored, made.content


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("compression", PROGRAMS)
@pytest.mark.parametrize("log", LOGS)
def test_by_the_programs_of_their_names(compression: Compression, log: str, tmp_path: Path) -> None:
    program = PROGRAMS[compression]
    if shutil.which(program) is None:
        if os.environ.get("ASPECTS_TESTS_REQUIRE_ALL"):
            pytest.fail(f"{program} is not installed, and ASPECTS_TESTS_REQUIRE_ALL is set: install it")
        pytest.skip(f"{program} is not installed")
    stored, content = taken(Recompressed(opens(LOGS[log]), compression=compression, level=1))
    path = tmp_path / f"tracking.log.{compression}"
    path.write_bytes(stored)
    subprocess.run([program, "-q", "-t", path], check=True)
    with_program = subprocess.run([program, "-dc", path], check=True, capture_output=True).stdout
    assert with_program == LOGS[log]
    assert (content.raw_bytes, content.raw_sha256) == (len(LOGS[log]), sha(LOGS[log]))
    assert (content.stored_bytes, content.stored_sha256) == (len(stored), sha(stored))
    if compression == "zst" and log != "empty":
        # One frame, which carries a checksum.
        listed = subprocess.run([program, "-lv", path], check=True, capture_output=True, text=True).stdout
        assert "XXH64" in listed
        assert [line for line in listed.splitlines() if line.startswith("# Zstandard Frames: 1")]


@pytest.mark.parametrize("compression", PROGRAMS)
@pytest.mark.parametrize("log", ["small", "large"])
def test_whatever_the_source_is_compressed_with_the_object_is_the_same(
    compression: Compression, log: str
) -> None:
    def object_of(name: str, threads: int) -> tuple[bytes, Content]:
        source = opens(source_of(name, log))
        return taken(Recompressed(source, compression=compression, level=1, threads=threads))

    first = object_of("plain", 1)
    assert all(
        object_of(name, threads) == first for name, threads in zip(SOURCES, cycle((2, 1)), strict=False)
    )


class Dripping(io.BytesIO):
    """A source that answers as a slow network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(100_003, size) if size is not None and size > 0 else size)


@pytest.mark.parametrize("compression", PROGRAMS)
def test_how_the_source_answers_makes_no_difference(compression: Compression) -> None:
    at_once = taken(Recompressed(opens(LARGE), compression=compression, level=1))
    assert taken(Recompressed(lambda: Dripping(LARGE), compression=compression, level=1)) == at_once


@pytest.mark.parametrize("log", ["small", "large"])
def test_what_is_covered_ends_with_a_whole_line(log: str) -> None:
    data = LOGS[log] + b"half a li"
    _, content = taken(Recompressed(opens(data), level=1))
    end = data.rindex(b"\n") + 1
    assert (content.covered_bytes, content.covered_sha256) == (end, sha(data[:end]))
    assert (
        prefix_sha256(opens(gzip.compress(data + b"ne\n")), content.covered_bytes) == content.covered_sha256
    )
    changed = b"x" + data[1:]
    assert prefix_sha256(opens(changed), content.covered_bytes) != content.covered_sha256
    assert prefix_sha256(opens(data[: end - 1]), content.covered_bytes) is None


def test_pieces_of_a_line_stay_together() -> None:
    whole = (docker(TEXT + "\n") + "\n").encode()
    data = whole + (docker(TEXT[:100]) + "\n").encode()
    _, content = taken(Recompressed(opens(data)))
    assert (content.covered_bytes, content.covered_sha256) == (len(whole), sha(whole))


@pytest.mark.parametrize("offset", [1, 5_000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 77, len(LARGE)])
@pytest.mark.parametrize("source", ["plain", "gz"])
def test_from_an_offset_on(offset: int, source: str) -> None:
    stored, content = taken(Recompressed(opens(SOURCES[source](LARGE)), offset=offset, level=1))
    rest = LARGE[offset:]
    assert zstd.decompress(stored) == rest
    assert (content.raw_bytes, content.raw_sha256) == (len(rest), sha(rest))
    assert content.lines == rest.count(b"\n") + (bool(rest) and not rest.endswith(b"\n"))
    end = max(offset, LARGE.rindex(b"\n") + 1)
    assert (content.covered_bytes, content.covered_sha256) == (end, sha(LARGE[:end]))


def test_an_offset_behind_the_end_is_refused() -> None:
    with pytest.raises(LogStoreError, match=r"Run again"):
        b"".join(Recompressed(opens(SMALL), offset=len(SMALL) + 1))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "a byte changed": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]
    ),
    "something behind": lambda data: data + b"and more",
    "a member cut, a sound one behind": lambda data: data[: len(data) // 2] + gzip.compress(SMALL, 1),
    "compressed twice": gzip.compress,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("log", ["small", "large"])
def test_a_damaged_source_is_told_and_then_kept_as_it_is(damage: str, log: str) -> None:
    source = DAMAGES[damage](gzip.compress(LOGS[log], 1))
    with pytest.raises(DamagedSourceError, match=r"access\.log does not|access\.log is") as refused:
        b"".join(Recompressed(opens(source), level=1, name="access.log"))
    assert isinstance(refused.value, AspectsError)
    stored, content = taken(Recompressed(opens(source), verbatim=True))
    assert stored == source
    assert content.verbatim
    assert (content.raw_bytes, content.raw_sha256) == (len(source), sha(source))
    assert (content.stored_bytes, content.stored_sha256) == (len(source), sha(source))
    # It may hold events of any month, so no load shall pass it over; and nothing of it can be relied on to stay.
    assert content.undated >= 1
    assert content.covered_bytes == 0
    # The reader finds in the object what it finds in the source.
    chunks = [one for one in read_chunks(decompressed(io.BytesIO(stored))) if isinstance(one, Chunk)]
    assert content.lines == sum(line_ends(one.data) for one in chunks if one.data)
    assert raw_sha256_of(opens(stored), verbatim=True) == (len(source), sha(source))


@pytest.mark.parametrize("compression", PROGRAMS)
def test_a_stored_object_is_read_back(compression: Compression) -> None:
    stored, content = taken(Recompressed(opens(LARGE), compression=compression, level=1))
    assert raw_sha256_of(opens(stored)) == (content.raw_bytes, content.raw_sha256)
    with pytest.raises(DamagedSourceError):
        raw_sha256_of(opens(stored[:-3]))


def test_a_source_that_fails_in_the_middle_fails_the_object_and_leaves_no_thread() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > BLOCK_BYTES:
                raise LogStoreError("the line is broken", do="Nothing.")
            return super().read(size)

    made = Recompressed(lambda: Failing(LARGE), level=1)
    with pytest.raises(LogStoreError, match="the line is broken"):
        b"".join(made)
    with pytest.raises(RuntimeError):
        _ = made.content
    assert not threads()


def test_an_object_that_nobody_takes_to_its_end_leaves_no_thread() -> None:
    # Of noise, so that bytes come out before the source is at its end.
    noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(900_000))
    made = iter(Recompressed(opens(noise), level=1))
    next(made)
    assert threads()
    made.close()  # type: ignore[attr-defined]
    assert not threads()


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "recompress"]


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"level": 0}, {"level": 20}, {"level": 10, "compression": "gz"}, {"offset": -1}):
        with pytest.raises(ValueError, match=r"level|offset"):
            Recompressed(opens(SMALL), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="offset"):
        Recompressed(opens(SMALL), offset=1, verbatim=True)


STREAM = """
import io, sys
from aspects_orchestration.archive.recompress import Recompressed

class Stream(io.RawIOBase):
    block, size, at = open(sys.argv[1], 'rb').read(), int(sys.argv[2]), 0
    def readable(self): return True
    def seekable(self): return True
    def seek(self, to, whence=0): self.at = to; return to
    def tell(self): return self.at
    def readinto(self, buffer):
        begin = self.at % len(self.block)
        data = self.block[begin : begin + min(len(buffer), self.size - self.at)]
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)

made = Recompressed(lambda: io.BufferedReader(Stream(), 1 << 20), compression=sys.argv[3])
length = sum(map(len, made))
assert length == made.content.stored_bytes
print(made.content.raw_bytes, made.content.lines, sum(made.content.months.values()) + made.content.undated)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("compression", "size"), [("zst", 1_000_000_000), ("gz", 500_000_000)])
def test_a_file_of_a_gigabyte_is_never_held(compression: str, size: int, tmp_path: Path) -> None:
    block = b"".join(generate_lines(SampleSpec(lines=20_000)))
    (tmp_path / "block").write_bytes(block)
    process = subprocess.Popen(
        [sys.executable, "-c", STREAM, tmp_path / "block", str(size), compression], stdout=subprocess.PIPE
    )
    peak, run = 0, psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, run.memory_info().rss)
            process.wait(0.05)
        except (psutil.NoSuchProcess, subprocess.TimeoutExpired):
            continue
    assert process.returncode == 0
    assert process.stdout is not None
    raw_bytes, lines, told = map(int, process.stdout.read().split())
    repeats, rest = divmod(size, len(block))
    assert raw_bytes == size
    assert lines - told in (0, 1)  # the last line is cut
    assert lines == repeats * 20_000 + block[:rest].count(b"\n") + 1
    assert peak < 450_000_000, f"{peak / 1e6:.0f} MB"


def test_levels_trade_time_for_size() -> None:
    sizes = [len(taken(Recompressed(opens(LARGE[: 2 * BLOCK_BYTES]), level=level))[0]) for level in (1, 11)]
    assert sizes[1] < sizes[0]
    assert recompress.DEFAULT_LEVELS == {"zst": 11, "gz": 6}

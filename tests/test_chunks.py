"""Chunks hold whole lines, in bounded memory; damage, long lines and half lines are reported in their places."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backports import zstd

from aspects_orchestration.tracking.chunks import (
    Chunk,
    HalfLine,
    Item,
    OversizePart,
    is_live,
    read_chunks,
    read_log,
)
from aspects_orchestration.tracking.compression import Damage, compression_of, decompressed
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.stores import LogFile, open_store

MIB = 1024 * 1024
STAMP = "2024-05-01T10:00:00.123456789Z"


def compress_zst(data: bytes) -> bytes:
    """With a checksum, as the `zstd` program writes it."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": compress_zst}


def lines(count: int, seed: int = 1) -> bytes:
    """Lines that do not compress too well."""
    dice = random.Random(seed)  # noqa: S311
    return b"".join(b'{"n": %d, "noise": "%x"}\n' % (n, dice.getrandbits(800)) for n in range(count))


def items_of(stored: bytes, **options: int | bool) -> list[Item]:
    return list(read_chunks(decompressed(io.BytesIO(stored)), **options))  # type: ignore[arg-type]


def data_of(items: list[Item]) -> bytes:
    return b"".join(item.data for item in items if isinstance(item, Chunk))


def damages_of(items: list[Item]) -> list[Damage]:
    return [item for item in items if isinstance(item, Damage)]


@pytest.mark.parametrize("name", COMPRESS)
def test_the_content_tells_the_compression(name: str, tmp_path: Path) -> None:
    data = lines(3000)
    stored = COMPRESS[name](data)
    assert compression_of(stored[:64]) == name
    (tmp_path / "tracking.log-20240501").write_bytes(stored)
    store = open_store(str(tmp_path))
    (file,) = store.list()
    assert data_of(list(read_log(store, file))) == data


def test_plain_text_named_gz_is_read(tmp_path: Path) -> None:
    (tmp_path / "tracking.log-20240501.gz").write_bytes(b'{"a": 1}\n')
    store = open_store(str(tmp_path))
    (file,) = store.list()
    assert list(read_log(store, file, file_no=4)) == [Chunk(4, 0, b'{"a": 1}\n', True)]


def test_an_empty_file_is_one_empty_chunk() -> None:
    assert items_of(b"") == [Chunk(0, 0, b"", True)]
    assert items_of(gzip.compress(b"")) == [Chunk(0, 0, b"", True)]


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"PK\x03\x04", "zip"), (b"\xff\xfe{\0", "UTF-16 text"), (b"\x04\x22\x4d\x18", "lz4")],
)
def test_a_format_that_cannot_be_read_is_a_damage_not_garbage(head: bytes, name: str) -> None:
    damage, last = items_of(head + b"\n\0garbage\n")
    assert isinstance(damage, Damage)
    assert (damage.kind, damage.compression, damage.resumed_at) == ("unsupported", name, None)
    assert last == Chunk(0, 0, b"", True)


@pytest.mark.parametrize("name", COMPRESS)
def test_a_cut_archive_gives_all_lines_before_the_cut(name: str) -> None:
    data = lines(12_000)
    stored = COMPRESS[name](data)
    items = items_of(stored[: len(stored) * 3 // 4])
    found = data_of(items)
    assert data.startswith(found)
    assert len(found) > len(data) // 2
    assert [(damage.kind, damage.at_byte) for damage in damages_of(items)] == [
        ("truncated", len(stored) * 3 // 4)
    ]


def test_no_byte_before_a_damage_is_withheld() -> None:
    whole = gzip.compress(lines(3000))
    met_in_the_middle = 0
    for seed in range(6):
        noise = random.Random(seed).randbytes(400)  # noqa: S311
        at = len(whole) * 4 // 5 + seed
        stored = whole[:at] + noise + whole[at + len(noise) :]
        byte_by_byte, expected, end = zlib.decompressobj(31), [], 0
        try:
            for end in range(1, len(stored) + 1):
                expected.append(byte_by_byte.decompress(stored[end - 1 : end]))
        except zlib.error:
            met_in_the_middle += end < len(stored) - 8
        items = items_of(stored)
        (damage,) = damages_of(items)
        assert (damage.kind, damage.at_byte) == ("corrupt", end)
        assert data_of(items) == b"".join(expected)
    assert met_in_the_middle > 0


@pytest.mark.parametrize("name", COMPRESS)
def test_reading_goes_on_at_the_next_member_after_a_damaged_one(name: str) -> None:
    first, second, third = (lines(4000, seed) for seed in (1, 2, 3))
    members = [COMPRESS[name](part) for part in (first, second, third)]
    broken = bytearray(members[1])
    broken[len(broken) // 2 : len(broken) // 2 + 64] = b"\x55" * 64
    items = items_of(members[0] + bytes(broken) + members[2])
    (damage,) = damages_of(items)
    assert damage.kind == "corrupt"
    assert damage.resumed_at == len(members[0]) + len(members[1])
    at = items.index(damage)
    assert data_of(items[:at]).startswith(first)
    assert data_of(items[at:]) == third


def test_a_cut_member_does_not_hide_the_one_behind_it() -> None:
    first, second = gzip.compress(lines(4000, 1)), gzip.compress(lines(4000, 2))
    cut = first[: len(first) // 2]
    items = items_of(cut + second)
    (damage,) = damages_of(items)
    assert damage.resumed_at == len(cut)
    assert data_of(items[items.index(damage) :]) == lines(4000, 2)


def test_a_wrong_checksum_is_told_and_loses_nothing() -> None:
    stored = bytearray(gzip.compress(lines(100)))
    stored[-6] ^= 0xFF
    items = items_of(bytes(stored))
    assert data_of(items) == lines(100)
    assert [damage.kind for damage in damages_of(items)] == ["corrupt"]


def test_zeros_behind_an_archive_are_padding_and_other_bytes_are_not() -> None:
    stored = gzip.compress(b"{}\n")
    assert items_of(stored + b"\0" * 1000) == [Chunk(0, 0, b"{}\n", True)]
    items = items_of(stored + b"\0" * 10 + b"something else")
    assert [(damage.kind, damage.at_byte) for damage in damages_of(items)] == [
        ("trailing_data", len(stored) + 10)
    ]


def test_zstandard_frames_without_content_are_skipped() -> None:
    seek_table = b"\x5e\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"seek"
    stored = zstd.compress(b"a\n") + seek_table + zstd.compress(b"b\n") + seek_table
    assert items_of(stored) == [Chunk(0, 0, b"a\nb\n", True)]


def test_a_bomb_is_read_in_bounded_memory() -> None:
    stored = b"".join(gzip.compress(b"\0" * (64 * MIB)) for _ in range(4))
    tracemalloc.start()
    total = sum(
        len(item.data)
        for item in read_chunks(decompressed(io.BytesIO(stored)))
        if isinstance(item, Chunk | OversizePart)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 256 * MIB
    assert peak < 64 * MIB


def test_a_line_too_long_is_passed_on_in_parts_and_its_neighbours_are_kept() -> None:
    def blocks() -> Iterator[bytes]:
        yield b"before\n"
        for _ in range(40):
            yield b"x" * MIB
        yield b"\nafter\n"

    tracemalloc.start()
    kept, parts, size = b"", 0, 0
    for item in read_chunks(blocks()):
        if isinstance(item, OversizePart):
            assert item.offset == 7
            parts, size = parts + 1, size + len(item.data)
            assert item.source_lines == item.last
        elif isinstance(item, Chunk):
            kept += item.data
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (kept, size) == (b"before\nafter\n", 40 * MIB + 1)
    assert parts > 20
    assert peak < 40 * MIB


def test_the_longest_line_allowed_is_no_part() -> None:
    data = b"a" * 100 + b"\n" + b"b" * 101 + b"\n" + b"c\n"
    items = list(read_chunks([data], max_line_bytes=100, chunk_bytes=10))
    assert items == [
        Chunk(0, 0, b"a" * 100 + b"\n", False),
        OversizePart(0, 101, b"b" * 101 + b"\n", 1, True),
        Chunk(0, 203, b"c\n", True),
    ]


def test_a_long_last_line_without_its_end_is_counted() -> None:
    items = list(read_chunks([b"x" * 50, b"x" * 50], max_line_bytes=10, chunk_bytes=10))
    assert sum(item.source_lines for item in items if isinstance(item, OversizePart)) == 1


def test_the_half_written_line_of_a_live_file_is_left_for_the_next_reading() -> None:
    assert items_of(b'{"a": 1}\n{"b"', live=True) == [HalfLine(0, 9, 4), Chunk(0, 0, b'{"a": 1}\n', True)]
    assert items_of(b'{"a": 1}\n{"b"') == [Chunk(0, 0, b'{"a": 1}\n{"b"', True)]
    piece = f"{STAMP} stderr P half\n".encode()
    assert items_of(b"x\n" + piece, live=True) == [HalfLine(0, 2, len(piece)), Chunk(0, 0, b"x\n", True)]


def test_a_live_file_gives_the_line_once_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "tracking.log"
    log.write_bytes(b'{"a": 1}\n{"b"')
    store = open_store(str(tmp_path))
    (before,) = store.list()
    assert is_live(before, now=datetime.now(UTC))
    with log.open("ab") as writer:
        writer.write(b": 2}\n")
    # What was appended after the listing belongs to the next reading.
    assert list(read_log(store, before, live=True)) == [HalfLine(0, 9, 4), Chunk(0, 0, b'{"a": 1}\n', True)]
    (after,) = store.list()
    assert data_of(list(read_log(store, after, live=True))) == b'{"a": 1}\n{"b": 2}\n'


@pytest.mark.parametrize(
    ("name", "age", "live"),
    [
        ("tracking.log", timedelta(minutes=1), True),
        ("tracking.log", timedelta(hours=2), False),
        ("tracking.log.1", timedelta(minutes=1), False),
        ("tracking.log-20240501-1714521600.gz", timedelta(minutes=1), False),
    ],
)
def test_a_file_is_live_by_its_name_and_age(name: str, age: timedelta, live: bool) -> None:
    now = datetime(2024, 5, 1, tzinfo=UTC)
    assert is_live(LogFile(f"file:///{name}", 1, "1-1-1", now - age), now=now) is live


@pytest.mark.parametrize("shape", ["cri", "docker"])
def test_a_line_in_pieces_is_never_cut_in_two(shape: str) -> None:
    event = json.dumps({"event_source": "server", "event_type": "x", "event": "y" * 3000})
    cuts = [event[at : at + 700] for at in range(0, len(event), 700)]
    if shape == "cri":
        group = "".join(f"{STAMP} stderr P {cut}\n" for cut in cuts[:-1]) + f"{STAMP} stderr F {cuts[-1]}\n"
    else:
        group = "".join(
            json.dumps({"log": cut + "\n" * (cut is cuts[-1]), "stream": "stderr", "time": STAMP}) + "\n"
            for cut in cuts
        )
    data = (group * 50).encode()
    chunks = list(read_chunks([data[at : at + 999] for at in range(0, len(data), 999)], chunk_bytes=5000))
    assert len(chunks) > 10
    found = [line for item in chunks if isinstance(item, Chunk) for line in unwrap(item.data)]
    assert [line.body for line in found] == [event.encode()] * 50


def test_a_line_in_too_many_pieces_is_passed_on_in_parts() -> None:
    piece = f"{STAMP} stderr P {'x' * 100}\n".encode()
    end = f"{STAMP} stderr F x\n".encode()
    data = b"before\n" + piece * 50 + end + b"after\n"
    items = list(
        read_chunks(
            [data[at : at + 99] for at in range(0, len(data), 99)], chunk_bytes=500, max_line_bytes=1000
        )
    )
    parts = [item for item in items if isinstance(item, OversizePart)]
    assert b"".join(part.data for part in parts) == piece * 50 + end
    assert sum(part.source_lines for part in parts) == 51
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert data_of(items) == b"before\nafter\n"
    (held,) = unwrap(piece * 50 + end, max_line_bytes=1000)
    assert (held.reason, held.source_lines) == ("oversize", 51)


def test_the_reader_starts_fast() -> None:
    code = "import sys, aspects_orchestration.tracking.chunks; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"boto3", "fsspec", "smart_open", "pandas", "dagster"} & set(loaded)

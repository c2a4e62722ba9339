"""Whatever bytes a log file holds: no crash, and every line is accounted for, exactly once and unchanged."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from backports import zstd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aspects_orchestration.tracking.chunks import Chunk, HalfLine, Item, OversizePart, read_chunks
from aspects_orchestration.tracking.compression import Damage, compression_of, decompressed
from aspects_orchestration.tracking.lines import Line, split_lines, unwrap
from aspects_orchestration.tracking.wrapped import QUARANTINE_REASONS, SKIP_REASONS, why_unreadable

EVENT: dict[str, Any] = {
    "name": "edx.video.played",
    "username": "zoë {admin}",
    "event_type": "edx.video.played",
    "event_source": "browser",
    "time": "2024-05-01T10:00:00.123456+00:00",
    "context": {"course_id": "course-v1:Org+Course+Run", "user_id": 7, "path": "/event"},
    "event": json.dumps({"id": "a", "currentTime": 1.5}),
    "page": 'https://example.org/"quoted"?a={b}',
}
TEXT = json.dumps(EVENT)
LOGGER = "2024-05-01 10:00:00,123 INFO 20 [tracking] [user 7] [ip 192.0.2.1] logger.py:41 - "
STAMP = "2024-05-01T10:00:00.123456789Z"


def docker(log: str, stream: str = "stderr") -> str:
    return json.dumps({"log": log, "stream": stream, "time": STAMP})


# What stands on a line (or on several that belong together), and is the event.
SHAPES: dict[str, str] = {
    "bare": TEXT,
    "bare, keys in another order": json.dumps(dict(reversed(EVENT.items()))),
    "bare, compact": json.dumps(EVENT, separators=(",", ":")),
    "bare, not escaped": json.dumps(EVENT, ensure_ascii=False),
    "byte order mark": "\ufeff" + TEXT,
    "leading NULs": "\0" * 40 + TEXT,
    "trailing NULs": TEXT + "\0" * 40,
    "carriage return": TEXT + "\r",
    "spaces": f"  {TEXT}\t",
    "tutor": LOGGER + TEXT,
    "tutor, carriage return": LOGGER + TEXT + "\r",
    "brace in the prefix": LOGGER.replace("user 7", "user {7}") + TEXT,
    "brackets and quotes in the prefix": LOGGER.replace("user 7", 'user {"7') + TEXT,
    "object in the prefix": LOGGER.replace("user 7", 'user {"id": 7}') + TEXT,
    "half an object before the logger's name": '{"id": '.join(["2024-05-01 ", " INFO [tracking] - "]) + TEXT,
    "syslog": "May  1 10:00:00 lms-1 tracking: " + TEXT,
    "syslog with priority": "<134>May  1 10:00:00 lms-1 [service_variant=lms][tracking][env:x] INFO - "
    + TEXT,
    "syslog of RFC 5424": f'<134>1 {STAMP} lms-1 tracking 20 - [meta x="{{"] ' + TEXT,
    "docker": docker(LOGGER + TEXT + "\n"),
    "docker, bare": docker(TEXT + "\n"),
    "docker, newline stripped": docker(LOGGER + TEXT),
    "docker in pieces": docker(LOGGER + TEXT[:100])
    + "\n"
    + docker(TEXT[100:200])
    + "\n"
    + docker(TEXT[200:] + "\n"),
    "cri": f"{STAMP} stderr F {LOGGER}{TEXT}",
    "cri, bare": f"{STAMP} stdout F {TEXT}",
    "cri in pieces": f"{STAMP} stderr P {LOGGER}{TEXT[:100]}\n{STAMP} stderr P {TEXT[100:200]}\n"
    f"{STAMP} stderr F {TEXT[200:]}",
    "cri in pieces, the last empty": f"{STAMP} stderr P {LOGGER}{TEXT}\n{STAMP} stderr F ",
    "cri of docker": f"{STAMP} stderr F {docker(TEXT)}",
    "cri's flag kept by a shipper": json.dumps(
        {"time": STAMP, "stream": "stderr", "logtag": "P", "log": TEXT[:90]}
    )
    + "\n"
    + json.dumps({"time": STAMP, "stream": "stderr", "logtag": "F", "log": TEXT[90:]}),
    "fluentd": json.dumps({"container": "lms", "log": LOGGER + TEXT, "kubernetes": {"pod": "lms-1"}}),
    "vector": json.dumps({"host": "h", "message": LOGGER + TEXT, "source_type": "file", "timestamp": STAMP}),
    "message that is an object": json.dumps({"@timestamp": STAMP, "message": EVENT, "host": {"name": "h"}}),
    "original event": json.dumps({"@timestamp": STAMP, "event": {"original": TEXT, "kind": "event"}}),
    "dotted original event": json.dumps({"@timestamp": STAMP, "event.original": TEXT}),
    "an event of its own": json.dumps({"time": 1714557600.5, "host": "h", "event": EVENT}),
    "wrapped three times": json.dumps({"message": json.dumps({"log": json.dumps({"msg": LOGGER + TEXT})})}),
}

LOST: dict[str, tuple[str, str]] = {
    "empty": ("", "blank"),
    "spaces": (" \t\r", "blank"),
    "NULs": ("\0" * 4096, "blank"),
    "only a byte order mark": ("\ufeff", "blank"),
    "another logger": ("2024-05-01 10:00:00,123 INFO 20 [celery] logger.py:41 - task done in 3 s", "no_json"),
    "a dict of Python": ("2024-05-01 10:00:00,123 INFO 20 [lms] views.py:4 - {'a': 1}", "no_json"),
    "other JSON": ('{"method": "GET", "status": 200}', "other_json"),
    "other JSON behind a prefix": ('INFO answer: {"method": "GET", "status": 200}', "other_json"),
    "other JSON, cut, behind a prefix": ('INFO answer: {"method": "GET", "sta', "no_json"),
    "docker, another logger": (docker("GET / 200\n"), "no_json"),
    "docker, blank": (docker("\n"), "blank"),
    "cut": (TEXT[:200], "cut"),
    "cut behind a prefix": (LOGGER + TEXT[:200], "cut"),
    "cut in the prefix": (LOGGER[:50], "cut"),
    "cut inside docker": (docker(LOGGER + TEXT[:200] + "\n"), "cut"),
    "docker's own line cut": (docker(LOGGER + TEXT + "\n")[:300], "cut"),
    "an event inside a cut event": (LOGGER + f'{{"name": "x", "event": {TEXT}', "cut"),
    "something behind": (LOGGER + TEXT + " and more", "trailing_data"),
    "two events": (TEXT + TEXT + "x", "trailing_data"),
    "broken inside": (LOGGER + TEXT.replace(", ", ",, ", 1), "invalid_json"),
    "first piece only": (f"{STAMP} stderr P {LOGGER}{TEXT[:100]}", "partial_missing"),
    "last piece only": (f"{STAMP} stderr F {TEXT[100:]}", "cut"),
}


@pytest.mark.parametrize("end", ["\n", ""], ids=["newline", "end of file"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_event_is_found_in_every_shape(shape: str, end: str) -> None:
    data = (SHAPES[shape] + end).encode()
    (line,) = unwrap(data)
    assert line.raw == data
    assert line.reason is None
    assert line.body is not None
    assert json.loads(line.body) == EVENT
    assert line.source_lines == SHAPES[shape].count("\n") + 1


@pytest.mark.parametrize("shape", LOST)
def test_a_line_without_a_readable_event_has_its_reason(shape: str) -> None:
    text, reason = LOST[shape]
    (line,) = unwrap(text.encode() + b"\n")
    # What looks like an event from both ends is passed on unparsed; then its reader asks for the reason.
    assert (line.reason or why_unreadable(line.body or b"")) == reason


def test_invalid_utf8_is_kept_and_told() -> None:
    broken = TEXT.encode().replace(b"zo", b"zo\xff\xfe")
    (line,) = unwrap(broken + b"\n")
    assert line.body == broken
    assert why_unreadable(broken) == "invalid_utf8"
    (wrapped,) = unwrap(f"{LOGGER.replace('7', '{7')}".encode() + broken + b"\n")
    assert (wrapped.body, wrapped.reason, wrapped.raw[-5:]) == (None, "invalid_utf8", broken[-4:] + b"\n")


def test_an_object_in_a_message_is_not_rewritten() -> None:
    inner = b'{ "event_source":"server","event_type":"x", "n": 12345678901234567890123, "f": 1.10, "s": "\\u00e9" }'
    (line,) = unwrap(b'{"host": "h", "message": ' + inner + b', "z": [1]}\n')
    assert line.body == inner


def test_events_that_only_the_standard_library_reads_pass() -> None:
    for value in (b"NaN", b"-Infinity", b'"\\ud83d"'):
        body = b'{"time": "2024-05-01T10:00:00", "event_source": "server", "event": {"a": ' + value + b"}}"
        (line,) = unwrap(LOGGER.encode() + body + b"\n")
        assert line.body == body


def test_the_streams_of_a_container_may_alternate() -> None:
    other = json.dumps({**EVENT, "username": "other"})
    data = (
        f"{STAMP} stderr P {LOGGER}{TEXT[:100]}\n{STAMP} stdout P {other[:50]}\n{STAMP} stderr P {TEXT[100:150]}\n"
        f"{STAMP} stdout F {other[50:]}\n{STAMP} stdout F {TEXT}\n{STAMP} stderr F {TEXT[150:]}\n"
    ).encode()
    found = list(unwrap(data))
    assert [json.loads(line.body or b"")["username"] for line in found] == [
        EVENT["username"],
        "other",
        EVENT["username"],
    ]
    assert [line.source_lines for line in found] == [3, 2, 1]
    assert_all_there(data, found)


def test_a_piece_that_never_ends_does_not_swallow_the_next_event() -> None:
    data = f"{STAMP} stderr P {LOGGER}{TEXT[:100]}\n{STAMP} stderr F {LOGGER}{TEXT}\n".encode()
    lost, kept = unwrap(data)
    assert (lost.body, lost.reason) == (None, "partial_missing")
    assert json.loads(kept.body or b"") == EVENT


PIECES = st.sampled_from(
    [shape.encode() + b"\n" for shape in SHAPES.values()]
    + [text.encode() + b"\n" for text, _ in LOST.values()]
    + [
        b"{",
        b'{"',
        b'{"log":',
        b'{"log":"a","stream":"stderr","time":"t"}\n',
        b'{"log":"b\\n","stream":"stdout","time":"t"}\n',
        f"{STAMP} stderr P ".encode(),
        f"{STAMP} stdout F ".encode(),
        b"[tracking]",
        b"\n",
        b"\r\n",
        b"\0" * 50,
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"[" * 3000,
        b'{"a":' * 3000,
    ]
)
FILES = st.lists(st.one_of(PIECES, st.binary(max_size=60)), max_size=25).map(b"".join)


def lines_of(data: bytes) -> list[bytes]:
    return [raw for _, raw in split_lines(data)]


def assert_all_there(data: bytes, found: Iterable[Line]) -> None:
    lines = list(found)
    assert Counter(source for line in lines for source in lines_of(line.raw)) == Counter(lines_of(data))
    assert sum(line.source_lines for line in lines) == len(lines_of(data))
    assert [line.offset for line in lines] == sorted({line.offset for line in lines})
    for line in lines:
        assert (line.body is None) != (line.reason is None)
        assert line.reason is None or line.reason in SKIP_REASONS | QUARANTINE_REASONS


@given(FILES)
@settings(max_examples=300, deadline=None)
def test_every_line_of_any_bytes_is_in_one_line(data: bytes) -> None:
    found = list(unwrap(data))
    assert_all_there(data, found)
    if b"stdout" not in data:  # one stream: the pieces of a line stand together
        assert b"".join(line.raw for line in found) == data


@given(FILES, st.data())
@settings(max_examples=300, deadline=None)
def test_every_byte_is_in_one_chunk(data: bytes, draw: st.DataObject) -> None:
    blocks = split_anywhere(data, draw)
    maximum = draw.draw(st.integers(1, 3000), "max_line_bytes")
    live = draw.draw(st.booleans(), "live")
    items = list(
        read_chunks(
            blocks, chunk_bytes=draw.draw(st.integers(1, 3000)), max_line_bytes=maximum, live=live, file_no=3
        )
    )
    assert isinstance(items[-1], Chunk)
    assert [item.last for item in items if isinstance(item, Chunk)].count(True) == 1
    assert items[-1].last
    assert joined(items, data) == data
    lines = 0
    for item in items:
        if isinstance(item, Chunk):
            assert not item.data or item.data.endswith(b"\n") or (item.last and not live)
            lines += len(lines_of(item.data))
            assert_all_there(item.data, unwrap(item.data, offset=item.offset))
        elif isinstance(item, OversizePart):
            lines += item.source_lines
        elif isinstance(item, HalfLine):
            lines += len(lines_of(data[item.offset :]))
    assert lines == len(lines_of(data))


def joined(items: list[Item], data: bytes) -> bytes:
    """All bytes, each where its item says it is."""
    found = b""
    half: HalfLine | None = None
    for item in items:
        if isinstance(item, Chunk):
            assert item.data == b"" or item.offset == len(found)
            found += item.data
        elif isinstance(item, OversizePart):
            assert item.offset <= len(found)
            found += item.data
        elif isinstance(item, HalfLine):
            half = item
    if half is not None:
        assert half.offset == len(found)
        assert half.offset + half.length == len(data)
        found += data[half.offset :]
    return found


def split_anywhere(data: bytes, draw: st.DataObject) -> list[bytes]:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8), "cuts"))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(
    st.lists(st.sampled_from([*SHAPES.values(), *(text for text, _ in LOST.values())]), max_size=20),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_what_a_line_says_does_not_depend_on_where_chunks_end(shapes: list[str], draw: st.DataObject) -> None:
    data = "".join(shape + "\n" for shape in shapes).encode()
    at_once = list(unwrap(data))
    items = read_chunks(split_anywhere(data, draw), chunk_bytes=draw.draw(st.integers(1, 3000)))
    in_chunks = [
        line for item in items if isinstance(item, Chunk) for line in unwrap(item.data, offset=item.offset)
    ]
    assert in_chunks == at_once


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, 6),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
}


def split_damage(compressed: bytes) -> tuple[bytes, list[Damage]]:
    found = list(decompressed(io.BytesIO(compressed)))
    assert all(len(block) <= 1024 * 1024 for block in found if isinstance(block, bytes))
    return (
        b"".join(block for block in found if isinstance(block, bytes)),
        [block for block in found if isinstance(block, Damage)],
    )


@given(st.sampled_from(list(COMPRESSIONS)), st.lists(FILES, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_compressed_files_of_several_members_come_out_whole(name: str, members: list[bytes]) -> None:
    assume(compression_of(b"".join(members)) == "plain")  # an archive in an archive is told as such
    compressed = b"".join(COMPRESSIONS[name](member) for member in members)
    assert split_damage(compressed) == (b"".join(members), [])


@given(st.sampled_from(list(COMPRESSIONS)), FILES, st.data())
@settings(max_examples=150, deadline=None)
def test_what_stands_before_a_cut_in_an_archive_is_read(name: str, data: bytes, draw: st.DataObject) -> None:
    assume(compression_of(data) == "plain")  # an archive in an archive is told as such
    compressed = COMPRESSIONS[name](data)
    end = draw.draw(st.integers(4, len(compressed) - 1))
    assume(compression_of(compressed[:end]) == name)  # a few bytes of an archive could be anything
    found, damages = split_damage(compressed[:end])
    assert data.startswith(found)
    assert [(damage.kind, damage.at_byte, damage.resumed_at) for damage in damages] == [
        ("truncated", end, None)
    ]


@given(st.sampled_from(list(COMPRESSIONS)), FILES, st.integers(0, 2000), st.binary(min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_a_damaged_archive_never_crashes_the_reader(name: str, data: bytes, at: int, noise: bytes) -> None:
    compressed = COMPRESSIONS[name](data)
    damaged = compressed[:at] + noise + compressed[at + len(noise) :]
    items = list(read_chunks(decompressed(io.BytesIO(damaged)), max_line_bytes=10_000))
    assert isinstance(items[-1], Chunk)

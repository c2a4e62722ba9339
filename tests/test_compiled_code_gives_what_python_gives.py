"""What is compiled and its twin in Python give the same, on whatever they are given."""

from __future__ import annotations

import gc
import os
import sys
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspects_orchestration.native import native
from aspects_orchestration.tracking import chunks, events, lines, names
from aspects_orchestration.warehouse import load
from aspects_orchestration.xapi import statement_id

if native is None:
    if os.environ.get("ASPECTS_TESTS_REQUIRE_ALL"):
        pytest.fail("the compiled part was not built", pytrace=False)
    pytest.skip("the compiled part was not built: no C compiler", allow_module_level=True)

KNOWN = frozenset({b"play_video", b"problem_check", b"edx.course.enrollment.activated"})

#: Pieces of which lines are put together that come near everything that the readers look for.
_PIECES = st.sampled_from(
    [
        *(
            b'{"name": "play_video"',
            b'{"name": "page_close"',
            b'{"name": ""',
            b'{"name":"play_video"',
            b'{"name"',
        ),
        *(b'"event_type": "page_close"', b'"event_type":"problem_check"', b'"event_type"', b'"event": "{}"'),
        *(
            b'"name": "play_video"',
            b'"name"',
            b'{"context": {}',
            b'{"log":"',
            b"{",
            b"}",
            b"}}",
            b'"',
            b", ",
            b": ",
        ),
        *(b"\\u0061", b"\\u00", b"\\u00e9", b"\\\\u0041", b"\\", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b""),
        *(b"2024-05-01T10:00:00.123456Z stdout F ", b"2024-05-01T10:00:00Z stderr P ", b"2024-05-01T1"),
        *(b"2024-05-01 10:00:00,123 INFO 20 [tracking] [user None] [ip None] logger.py:41 - ", b"x" * 17),
    ]
)
_LINES = st.lists(st.lists(_PIECES, max_size=9).map(b"".join), max_size=8)
_EVENT = b'{"name": "%b", "context": {"a": "%b"}, "event_type": "%b", "event": "{}"}'
_NAMES = st.sampled_from([b"play_video", b"page_close", b"/courses/x", b"", b"\\u0070lay_video"])
_EVENTS = st.builds(lambda *parts: _EVENT % parts, _NAMES, _PIECES, _NAMES)


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    made = draw(st.lists(st.one_of(_EVENTS, st.lists(_PIECES, max_size=9).map(b"".join)), max_size=90))
    ends = draw(st.lists(st.sampled_from([b"\n", b"\r\n"]), min_size=len(made), max_size=len(made)))
    text = b"".join(line + end for line, end in zip(made, ends, strict=True))
    return text.removesuffix(b"\n") if draw(st.booleans()) else text


@given(logs())
@settings(max_examples=1500, deadline=None)
def test_the_same_lines_are_found_and_passed_over(data: bytes) -> None:
    in_c, in_python = names.PassedOver(KNOWN), names.PassedOver(KNOWN)
    limit = lines.MAX_LINE_BYTES
    found = list(lines.unwrap(data, passes_over=in_c))
    assert found == list(lines._unwrap(data, 0, limit, in_python))
    assert all(type(line) is lines.Line for line in found)
    assert in_c.lines == in_python.lines


@given(st.one_of(st.lists(_PIECES, max_size=14).map(b"".join), _EVENTS, st.binary(max_size=60)))
@settings(max_examples=1500, deadline=None)
def test_a_known_name_is_seen_by_both(body: bytes) -> None:
    assert native.may_be_in(body, KNOWN) == names._may_be_in(body, KNOWN)


@given(st.one_of(st.binary(max_size=200), _LINES.map(b"\n".join)))
@settings(deadline=None)
def test_line_ends_are_counted_alike(data: bytes) -> None:
    assert native.newlines(data) == chunks._newlines(data)


@given(st.lists(st.one_of(_PIECES, st.sampled_from([b"[", b"{[" * 9, b"]}"])), max_size=40).map(b"".join))
@settings(deadline=None)
def test_brackets_are_counted_alike(text: bytes) -> None:
    assert native.openings(text) == events._openings(text)


_DIGITS = st.text("0123456789", min_size=2, max_size=2)
_TIMES = st.builds(
    "{}-{}-{}T{}:{}:{}{}{}".format,
    st.sampled_from(
        ["2024", "2023", "2000", "1900", "1969", "1970", "2105", "2106", "0001", "9999", "20x4", "٢٠٢٤"]
    ),
    *(
        st.one_of(
            st.sampled_from(["01", "02", "12", "28", "29", "30", "31", "00", "23", "24", "59", "60"]), _DIGITS
        ),
    )
    * 5,
    st.sampled_from(["", ".123456", ".000000", ".12345", ".1234567", ",123456", ".12345x"]),
    st.sampled_from(["+00:00", "Z", "", "+02:00", "-00:00", "+00:00 ", "+0000"]),
)


@given(
    st.one_of(_TIMES, st.text(max_size=40), st.datetimes().map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%f}+00:00"))
)
@settings(max_examples=3000, deadline=None)
def test_the_same_times_are_canonical(text: str) -> None:
    assert native.canonical_micros(text) == events._canonical_micros(text)


@pytest.mark.parametrize("value", [None, 0, 1714557600, 1.5, b"2024-05-01T10:00:00+00:00", [], True])
def test_what_is_no_text_is_no_canonical_time(value: object) -> None:
    assert native.canonical_micros(value) is events._canonical_micros(value) is None


def test_every_day_of_the_years_that_count_is_the_same_moment() -> None:
    day = events.datetime(1970, 1, 1, tzinfo=events.UTC)
    while day.year < 2106:
        text = f"{day:%Y-%m-%d}T23:59:58+00:00"
        assert native.canonical_micros(text) == (int(day.timestamp()) + 86398) * 1_000_000
        day += events.datetime(1970, 1, 2) - events.datetime(1970, 1, 1)


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=300))
@settings(max_examples=1000, deadline=None)
def test_ids_of_statements_are_uuids_of_version_5(namespace: bytes, name: bytes) -> None:
    identity, text = native.statement_id(namespace, name)
    assert (identity, text) == statement_id._statement_id(namespace, name)
    assert uuid.UUID(bytes=identity).version == 5
    assert str(uuid.UUID(bytes=identity)) == text.decode()


@pytest.mark.parametrize("size", [*range(130), 16_384, 70_000])
def test_names_of_every_length_are_hashed_alike(size: int) -> None:
    # The hash is made of blocks of 64 bytes; its padding is different at each length.
    name = bytes(number % 251 for number in range(size))
    assert native.statement_id(b"n" * 16, name) == statement_id._statement_id(b"n" * 16, name)


@given(
    st.lists(
        st.tuples(
            st.binary(min_size=16, max_size=16),
            st.integers(-(2**63), 2**63 - 1),
            st.one_of(st.binary(max_size=40), st.integers(0, 40_000).map(bytes)),
            st.binary(max_size=20),
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**16 - 1),
        ),
        max_size=5,
    )
)
@settings(deadline=None)
def test_rows_are_encoded_alike(rows: list[tuple[bytes, int, bytes, bytes, int, int]]) -> None:
    in_c, in_python = bytearray(), bytearray()
    for row in rows:
        native.add_row(in_c, *row)
        load._add_row(in_python, *row)
    assert in_c == in_python


def test_what_does_not_fit_a_row_is_refused_and_leaves_the_rows_as_they_were() -> None:
    rows = bytearray(b"before")
    for bad in (
        (b"short", 0, b"", b"", 0, 0),
        (b"i" * 16, 2**63, b"", b"", 0, 0),
        (b"i" * 16, 0, "text", b"", 0, 0),
        (b"i" * 16, 0, b"", b"", -1, 0),
        (b"i" * 16, 0, b"", b"", 0, 2**16),
    ):
        with pytest.raises((TypeError, OverflowError)):
            native.add_row(rows, *bad)  # type: ignore[arg-type]
    assert rows == b"before"


def test_wrong_arguments_are_errors_and_not_crashes() -> None:
    starts, data = (b'{"name":',), b'{"name": "x", "event_type": "x"}\n'
    for arguments in (
        (data, -1, starts, KNOWN, lines.Line, 1),
        (data, len(data) + 1, starts, KNOWN, lines.Line, 1),
        (data, 0, (1,), KNOWN, lines.Line, 1),
        (data, 0, starts, [b"x"], lines.Line, 1),
        (data, 0, starts, KNOWN, list, 1),
        ("text", 0, starts, KNOWN, lines.Line, 1),
    ):
        with pytest.raises((TypeError, ValueError)):
            native.scan(*arguments)  # type: ignore[arg-type]
    assert native.scan(data, len(data), starts, KNOWN, lines.Line, 1) == ([], len(data), 0)
    assert native.scan(data, 0, starts, KNOWN, lines.Line, 0) == ([], 0, 0)


def test_nothing_is_leaked() -> None:
    line = _EVENT % (b"play_video", b"x" * 1000, b"play_video") + b"\n"
    data = (line + line.replace(b"play_video", b"page_close")) * 50

    def once() -> None:
        list(lines.unwrap(data, passes_over=names.PassedOver(KNOWN)))
        native.may_be_in(data, KNOWN)
        native.statement_id(b"n" * 16, data)
        native.add_row(bytearray(), b"i" * 16, 2**40, data, b"f", 2**40, 7)
        native.canonical_micros("2024-05-01T10:00:00.123456+00:00")

    once()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        once()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100

"""What is compiled and its twin in Python give the same, on whatever they are given."""

from __future__ import annotations

import gc
import json
import os
import sys
import uuid
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspects_orchestration.native import native
from aspects_orchestration.tracking import chunks, events, lines, names
from aspects_orchestration.warehouse import load
from aspects_orchestration.xapi import built, statement_id
from aspects_orchestration.xapi.fast.builders import common

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
    # As on a processor that cannot hash by itself.
    assert native.use_sha_instructions(False) is False
    try:
        assert native.statement_id(b"n" * 16, name) == statement_id._statement_id(b"n" * 16, name)
    finally:
        native.use_sha_instructions(True)


_STATEMENTS = st.lists(
    st.builds(
        built.BuiltStatement,
        st.binary(min_size=16, max_size=16),
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 103)),
        st.one_of(st.binary(max_size=40), st.integers(0, 40_000).map(bytes)),
        st.sampled_from(["http://verb/a", "http://verb/b"]),
    ),
    max_size=5,
)


@given(
    st.lists(st.tuples(_STATEMENTS, st.binary(max_size=20), st.integers(0, 2**64 - 1)), max_size=4),
    st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.just(100), st.integers(-(2**63), 2**63 - 1)),
)
@settings(deadline=None)
def test_rows_are_encoded_alike(
    added: list[tuple[list[built.BuiltStatement], bytes, int]], first: int, end: int
) -> None:
    in_c, in_python = bytearray(), bytearray()
    verbs_in_c, verbs_in_python = list[str](), list[str]()
    for statements, file, offset in added:
        outside = native.add_statements(in_c, statements, first, end, file, offset, verbs_in_c)
        assert outside == load._add_statements(
            in_python, statements, first, end, file, offset, verbs_in_python
        )
    assert (in_c, verbs_in_c) == (in_python, verbs_in_python)


def test_of_a_line_all_statements_are_added_or_none() -> None:
    untyped: Any = native
    rows, verbs = bytearray(b"before"), ["before"]
    good = built.BuiltStatement(b"i" * 16, 5, b"{}", "verb")
    place = (0, 10, b"file", 7)
    for bad in (
        good._replace(identity=b"short"),
        good._replace(emission_micros=2**63),
        (b"i" * 16, 5, "text", "verb"),
        (b"i" * 16, 5, b"{}"),
        None,
    ):
        with pytest.raises((TypeError, OverflowError)):
            untyped.add_statements(rows, [good, bad], *place, verbs)
    for wrong in ((0, 10, "file", 7), (0, 10, b"file", -1), (0, 10, b"file", 2**64), (0, 2**63, b"file", 7)):
        with pytest.raises((TypeError, OverflowError)):
            untyped.add_statements(rows, [good], *wrong, verbs)
    with pytest.raises(OverflowError):
        untyped.add_statements(rows, [good] * (2**16 + 1), *place, verbs)
    assert (bytes(rows), verbs) == (b"before", ["before"])


_KEYS = ["user_id", "username", "event", "x"]
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.sampled_from([0, 1, -1, 0.0, -0.0, 1.5, "", "a", [], [0]])),
    lambda inner: st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=4)


@given(_OBJECTS)
@settings(max_examples=1500, deadline=None)
def test_names_are_searched_alike(event: dict[str, Any]) -> None:
    for name in _KEYS:
        in_c, in_python = native.found(event, name), common._found(event, name)
        assert in_c is in_python
        assert native.absent(event, frozenset({name})) == common._absent(event, frozenset({name}))
    two = frozenset(_KEYS[:2])
    assert native.absent(event, two) == common._absent(event, two)


def test_what_is_nested_without_end_is_an_error_and_no_crash() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(RecursionError):
        native.found(deep, "b")
    with pytest.raises(RecursionError):
        native.absent(deep, frozenset({"b"}))
    while deep:  # a dict of dicts that is dropped as a whole goes as deep again
        deep = deep["a"]


_EVENT_NAMES = frozenset({"play_video", "é"})
_TEXTS = st.sampled_from(
    [
        *("{}", '{"a": 1}', "[1", "NaN", "{", "[" * 900 + "]" * 900, '{"a":' * 801 + "1" + "}" * 801),
        *("[" * 800 + "é" + "]" * 800, "input_a=1", "", "\0{}", "12", " 12 ", "é", "\ud800", "null", "-"),
    ]
)
_VALUES = st.one_of(_JSON, _TEXTS, _TIMES)
_MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["name", "event_type", "event", "data", "time", "timestamp", "x"]),
        st.one_of(_VALUES, st.sampled_from(["play_video", "é", "page_close", "2024-05-01T10:00:00+00:00"])),
    ),
    max_size=7,
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON of events and of what is near to them: repeated keys, keys in any order, and damages too."""
    if draw(st.booleans()):
        members: list[tuple[str, Any]] = [
            ("name", draw(st.sampled_from(["play_video", "é", "page_close", "", 1]))),
            ("event", draw(_VALUES)),
            (draw(st.sampled_from(["time", "timestamp"])), draw(_TIMES)),
        ]
        members += draw(_MEMBERS)[:1]
    else:
        members = draw(_MEMBERS)
    text = "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members) + "}"
    return text.encode()[: draw(st.one_of(st.none(), st.integers(0, 40)))]


@given(st.one_of(bodies(), st.binary(max_size=30), _TEXTS.map(lambda text: text.encode(errors="replace"))))
@settings(max_examples=3000, deadline=None)
def test_usual_events_are_read_alike_and_as_the_exact_reader_reads_them(body: bytes) -> None:
    in_c = native.usual_event(body, _EVENT_NAMES, orjson.loads)
    in_python = events._usual_event(body, _EVENT_NAMES, orjson.loads)
    assert repr(in_c) == repr(in_python)  # 1 is not 1.0 nor True, and 0.0 is not -0.0
    if in_c is None:
        return
    event = events.parse_event(body, exactly=False)
    if isinstance(in_c, str):
        assert in_c == event["name"] not in _EVENT_NAMES
    else:
        assert repr(in_c) == repr((event, events.event_time(event)[0]))


def test_what_the_parser_raises_is_passed_on_unless_it_is_about_the_text() -> None:
    def raising(error: BaseException) -> Any:
        def loads(text: bytes | str) -> Any:
            raise error

        return native.usual_event(b'{"name": "play_video", "event": "{}"}', _EVENT_NAMES, loads)

    assert raising(ValueError()) is None
    assert raising(orjson.JSONDecodeError("", "", 0)) is None
    for error in (MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            raising(error)


@given(
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=80),
    st.datetimes(events.datetime(1970, 1, 1), events.datetime(2105, 12, 31)),
    st.booleans(),
    st.lists(st.binary(max_size=90), max_size=8),
)
@settings(deadline=None)
def test_statements_are_put_together_alike(
    namespace: bytes, actor: bytes, at: events.datetime, whole: bool, rest: list[bytes]
) -> None:
    text = f"{at:%Y-%m-%dT%H:%M:%S}{'' if whole and at.microsecond % 2 else f'.{at.microsecond:06}'}+00:00"
    text = f"{at:%Y-%m-%dT%H:%M:%S}.000000+00:00" if whole and not at.microsecond % 2 else text
    moment = native.canonical_micros(text)
    assert moment is not None
    pieces = (namespace, b"name" + actor, text, moment, actor, b"verb", tuple(rest), "http://verb")
    found = native.assembled(built.BuiltStatement, *pieces)
    assert found == built._assembled(built.BuiltStatement, *pieces)
    assert type(found) is built.BuiltStatement


def test_wrong_arguments_are_errors_and_not_crashes() -> None:
    untyped: Any = native
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
            untyped.scan(*arguments)
    assert untyped.scan(data, len(data), starts, KNOWN, lines.Line, 1) == ([], len(data), 0)
    assert untyped.scan(data, 0, starts, KNOWN, lines.Line, 0) == ([], 0, 0)
    for values in (
        (b"{}", _EVENT_NAMES),
        ("{}", _EVENT_NAMES, orjson.loads),
        (b"{}", ["play_video"], orjson.loads),
        (b"{}", _EVENT_NAMES, None),
    ):
        with pytest.raises(TypeError):
            untyped.usual_event(*values)
    good = (
        built.BuiltStatement,
        b"n",
        b"a",
        "2024-05-01T10:00:00+00:00",
        0,
        b"b",
        b"v",
        (b"c",),
        "http://verb",
    )
    assert untyped.assembled(*good)
    for number, wrong in enumerate(
        (list, "n", None, b"2024-05-01T10:00:00+00:00", 0.5, "b", "v", (b"c",) * 9)
    ):
        with pytest.raises(TypeError):
            untyped.assembled(*good[:number], wrong, *good[number + 1 :])
    with pytest.raises(ValueError, match="canonical"):
        untyped.assembled(*good[:3], "2024", *good[4:])
    with pytest.raises(TypeError):
        untyped.assembled(*good[:3], "é" * 25, *good[4:])
    with pytest.raises(TypeError):
        untyped.assembled(*good[:7], ("text",), good[8])
    for function in (untyped.found, untyped.absent):
        with pytest.raises(TypeError):
            function([], "name")


def test_nothing_is_leaked() -> None:
    line = _EVENT % (b"play_video", b"x" * 1000, b"play_video") + b"\n"
    data = (line + line.replace(b"play_video", b"page_close")) * 50

    def once() -> None:
        list(lines.unwrap(data, passes_over=names.PassedOver(KNOWN)))
        native.may_be_in(data, KNOWN)
        native.statement_id(b"n" * 16, data)
        moment = 2**40
        statement = native.assembled(
            built.BuiltStatement,
            *(b"n" * 16, b"a", "2024-05-01T10:00:00+00:00", moment, b"b", b"v", (data,) * 8, "http://verb"),
        )
        native.add_statements(bytearray(), [statement] * 3, 0, 2**41, b"f", 2**40, [])
        for error in ([statement, None], [(b"i" * 16, 5, "text", "verb")]):
            with suppress(TypeError):
                native.add_statements(bytearray(), error, 0, 2**41, b"f", 2**40, [])  # type: ignore[arg-type]
        event = b'{"name": "%b", "event": "%b", "time": "%b", "b": {"c": {"user_id": 7}}}'
        for name, nested, time in (
            (b"play_video", rb"{\"a\": [1]}", b"2024-05-01T10:00:00+00:00"),
            (b"play_video", b"{", b"2024-05-01T10:00:00+00:00"),
            (b"play_video", b"a=b", b"yesterday"),
            (b"page_close", b"", b""),
        ):
            found = native.usual_event(event % (name, nested, time), _EVENT_NAMES, orjson.loads)
            if isinstance(found, tuple):
                native.found(found[0], "user_id")
                native.absent(found[0], frozenset({"x"}))
        native.canonical_micros("2024-05-01T10:00:00.123456+00:00")

    once()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        once()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100

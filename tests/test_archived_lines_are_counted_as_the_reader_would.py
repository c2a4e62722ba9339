"""What a manifest says of lines (how many, of which months, first and last) is what the reader of logs says of them.

Most lines are counted on a quick way of their own; it is held against the reader here, over every shape and damage.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lines_are_never_lost import EVENT, FILES, LOGGER, LOST, SHAPES, STAMP, TEXT, docker, split_anywhere

from aspects_orchestration.archive.line_facts import LineFacts, facts_of
from aspects_orchestration.samples import SampleSpec, generate_lines
from aspects_orchestration.samples.damage import DAMAGES
from aspects_orchestration.samples.spec import STYLES
from aspects_orchestration.tracking.chunks import Chunk, HalfLine, OversizePart, line_ends, read_chunks
from aspects_orchestration.tracking.events import UnreadableEventError, event_time, parse_event
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.wrapped import SKIP_REASONS

TIMES = (
    "2024-05-01T10:00:00.123456+00:00",
    "2024-05-31T23:59:59.999999+00:00",
    "2024-06-01T00:00:00+00:00",
    "2024-06-01T01:30:00+02:00",  # still May
    "2024-05-31T20:00:00-05:00",  # June already
    "2024-05-31T23:59:59",
    "2024-06-01T00:00:00Z",
    "20240601T000000Z",
    "2024-05-01 10:00:00.5",
    "1969-12-31T23:59:59+00:00",
    "1970-01-01T00:00:00+00:00",
    "2106-03-01T00:00:00+00:00",
    "0001-01-01T00:00:00+05:00",
    "2024-13-01T00:00:00+00:00",
    "2024-02-30T00:00:00+00:00",
    "yesterday",
    "",
    "\ud83d",
    1714557600,
    1714557600.25,
    1e20,
    -1,
    True,
    None,
    ["2024-05-01T10:00:00+00:00"],
)


def told_by_reader(data: bytes) -> LineFacts:
    """The facts, one line after the other, by nothing but the reader of logs."""
    facts = LineFacts()
    moments = []
    for item in read_chunks([data]):
        if isinstance(item, OversizePart):
            facts.lines += item.source_lines
            facts.undated += item.last
            continue
        assert isinstance(item, Chunk)
        facts.lines += line_ends(item.data) if item.data else 0
        for line in unwrap(item.data):
            if line.body is None:
                facts.undated += 0 if line.reason in SKIP_REASONS else line.source_lines
                continue
            try:
                event = parse_event(line.body)
            except UnreadableEventError as failure:
                facts.undated += 0 if failure.reason == "not_an_event" else line.source_lines
                continue
            try:
                moments.append(event_time(event)[0])
            except UnreadableEventError:
                facts.undated += 1
    facts.months = Counter(
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=one)).strftime("%Y-%m") for one in moments
    )
    if moments:
        facts.first_micros, facts.last_micros = min(moments), max(moments)
    half = [one.offset for one in read_chunks([data], live=True) if isinstance(one, HalfLine)]
    facts.whole_to = half[0] if half else len(data)
    return facts


def in_blocks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("style", STYLES)
def test_over_every_wrapping_and_damage_of_the_samples(style: str) -> None:
    damaged = SampleSpec(lines=3_000, style=style, damage=0.2)
    assert damaged.lines * damaged.damage > 10 * len(DAMAGES)
    data = b"".join(generate_lines(damaged))
    expected = told_by_reader(data)
    assert set(expected.months) == {"2024-04", "2024-05", "2024-06"}
    assert expected.undated > 100
    for size in (len(data), 1_000_000, 4_093):
        assert facts_of(in_blocks(data, size)) == expected


@given(
    st.lists(
        st.sampled_from([*SHAPES.values(), *(text for text, _ in LOST.values())]), min_size=1, max_size=20
    ),
    st.booleans(),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_over_every_shape_of_line(shapes: list[str], ended: bool, draw: st.DataObject) -> None:
    data = ("\n".join(shapes) + ("\n" if ended else "")).encode()
    assert facts_of(split_anywhere(data, draw)) == told_by_reader(data)


@given(FILES, st.data())
@settings(max_examples=300, deadline=None)
def test_over_any_bytes(data: bytes, draw: st.DataObject) -> None:
    assert facts_of(split_anywhere(data, draw)) == told_by_reader(data)


@given(
    st.sampled_from([b"", LOGGER.encode(), f"{STAMP} stderr F ".encode()]),
    st.integers(0, len(TEXT) + 1),
    st.binary(max_size=4)
    | st.sampled_from([b'"', b"{", b"}", b"\\", b",", b"\n", b"\xff", b"\0", TEXT.encode()]),
    st.integers(0, 4),
)
@settings(max_examples=1_000, deadline=None)
def test_over_an_event_of_which_some_bytes_are_others(
    prefix: bytes, at: int, noise: bytes, gone: int
) -> None:
    line = TEXT.encode() + b"\n"
    data = prefix + line[:at] + noise + line[at + gone :] + line
    assert facts_of([data]) == told_by_reader(data)


@given(st.lists(st.sampled_from(TIMES), min_size=1, max_size=5), st.sampled_from(["time", "timestamp"]))
@settings(max_examples=300, deadline=None)
def test_over_every_form_of_time(times: list[object], key: str) -> None:
    data = b"".join(json.dumps({**EVENT, key: time}).encode() + b"\n" for time in times)
    assert facts_of([data]) == told_by_reader(data)


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": ""},
        {"name": 7},
        {"name": "", "event_type": ""},
        {"event_type": None},
        {"event_type": 7, "name": ""},
        {"event": None},
        {"event": 1e308},
        {"event_source": None},
        {"data": {}},
        {"log": "x", "logtag": "P"},
        {"event": "\ud83d"},
    ],
)
@pytest.mark.parametrize("left_out", [None, "event", "name", "event_source", "event_type", "time"])
@pytest.mark.parametrize("prefix", ["", LOGGER])
def test_over_events_that_lack_or_twist_a_field(
    change: dict[str, object], left_out: str | None, prefix: str
) -> None:
    event = {key: value for key, value in {**EVENT, **change}.items() if key != left_out}
    data = f"{prefix}{json.dumps(event)}\n{TEXT}\n".encode()
    assert facts_of([data]) == told_by_reader(data)


def test_a_field_that_stands_twice_counts_as_its_last() -> None:
    data = TEXT.replace('"page":', '"time": "2023-01-01T00:00:00+00:00", "page":', 1).encode() + b"\n"
    assert facts_of([data]).months == {"2023-01": 1} == told_by_reader(data).months


def test_a_line_too_long_to_be_held_is_undated() -> None:
    data = TEXT.encode() + b"\n" + b'{"name": "' + b"x" * 17_000_000 + b'"}\n' + TEXT.encode() + b"\n"
    found = facts_of(in_blocks(data, 4_000_000))
    assert (found.lines, found.undated, found.months) == (3, 1, {"2024-05": 2})
    assert found == told_by_reader(data)


def test_pieces_of_which_the_last_is_missing_are_no_whole_line() -> None:
    whole = docker(TEXT + "\n").encode() + b"\n"
    data = whole + docker(TEXT[:100]).encode() + b"\n"
    assert facts_of([data]).whole_to == len(whole)

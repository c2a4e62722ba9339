"""A line is passed over unparsed only if no transformer knows its event, however its JSON is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspects_orchestration.tracking.events import UnreadableEventError, parse_event
from aspects_orchestration.tracking.names import KnownNames

KNOWN = ("play_video", "problem_check", "edx.grades.problem.submitted")
NAMES = KnownNames(KNOWN)
TEXTS = st.sampled_from([*KNOWN, "", "page_close", "/courses/x/about", "nothing", 'a"b', "play_vide\u00f6"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "event_type", "event", "id"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def escaped(text: str, which: list[bool]) -> str:
    """A JSON text in which some letters stand as escapes."""
    return "".join(
        f"\\u{ord(letter):04x}" if hide and letter.isalnum() else letter
        for letter, hide in zip(text, which, strict=True)
    )


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Objects that may be events: keys in any order, twice, spaced and escaped in any way."""
    keys = draw(
        st.lists(st.sampled_from(["name", "event_type", "event", "time", "context"]), min_size=1, max_size=6)
    )
    colon, comma = draw(st.sampled_from([(": ", ", "), (":", ","), (" :  ", " ,")]))
    parts = []
    for key in keys:
        value = json.dumps(draw(TEXTS if key in {"name", "event_type"} else VALUES))
        parts.append(f'"{key}"{colon}{value}')
    text = "{" + comma.join(parts) + "}"
    if draw(st.booleans()):
        text = escaped(text, draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text))))
    return text.encode()


@given(bodies())
@settings(max_examples=1000, deadline=None)
def test_what_is_passed_over_has_no_known_name(body: bytes) -> None:
    if NAMES.may_be_in(body) and not NAMES.passing()(body):
        return
    try:
        event = parse_event(body)
    except UnreadableEventError:
        return  # no event at all: nothing is lost by either word for it
    assert event["name"] not in KNOWN


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "page_close", "event_type": "page_close", "event": "{}"}',
        b'{"name": "", "event_type": "/courses/x", "event": "{}"}',
        b'{"event_type":"nothing","event":"{}"}',
    ],
)
def test_the_usual_lines_of_unknown_events_are_not_parsed(body: bytes) -> None:
    assert not NAMES.may_be_in(body)


def test_lines_as_the_lms_writes_them_are_passed_over_and_counted() -> None:
    passing = NAMES.passing()
    assert passing(b'{"name": "page_close", "context": {}, "event_type": "page_close", "event": "{}"}\n')
    assert passing(b'{"name": "/courses/x", "event_type": "problem_check", "event": "{}"}\n')
    assert not passing(b'{"name": "play_video", "event_type": "play_video", "event": "{}"}\n')
    assert passing.lines == 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "play_video", "event": "{}"}',
        b'{"name": "page_close", "event": "{}", "name": "play_video"}',
        b'{"name": "page_close", "event": "{}", "n\\u0061me": "play_video"}',
        b'{"name": "", "event_type": "play_video", "event": "{}"}',
        b'{"name" : "play_video", "event": "{}"}',
        b'{"event_type": "problem_check", "event": "{}"}',
    ],
)
def test_a_known_name_is_never_overlooked(body: bytes) -> None:
    assert NAMES.may_be_in(body)
    assert not NAMES.passing()(body)
    assert parse_event(body)["name"] in KNOWN

"""However deep a line is nested, it is one line: read as any other up to a depth, and refused by one name beyond it."""

from __future__ import annotations

import time

import pytest

from aspects_orchestration.tracking.events import UnreadableEventError, parse_event

#: Over 64 bits: the quick parser and the exact one read it in two ways.
LONG = b"12345678901234567890123"


def line(payload: bytes) -> bytes:
    return b'{"name": "play_video", "event_type": "play_video", "event": ' + payload + b"}"


def deep(levels: int, opening: bytes, closing: bytes) -> bytes:
    return opening * levels + LONG + closing * levels


@pytest.mark.parametrize("exactly", [True, False])
@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]"), (b'[{"\\"}]":', b"}]")])
def test_both_parsers_go_as_deep(*, exactly: bool, opening: bytes, closing: bytes) -> None:
    most = 799 // len(closing)
    assert parse_event(line(deep(most, opening, closing)), exactly=exactly)["name"] == "play_video"
    for levels in (most + 1, 950, 1_020, 5_000):
        with pytest.raises(UnreadableEventError, match="nested_too_deep"):
            parse_event(line(deep(levels, opening, closing)), exactly=exactly)


@pytest.mark.parametrize("exactly", [True, False])
def test_a_payload_that_is_text_stays_text_where_it_is_too_deep(*, exactly: bool) -> None:
    for levels, kind in ((799, dict), (900, str), (1_020, str), (2_000, str)):
        text = deep(levels, b'{\\"a\\":', b"}")
        assert type(parse_event(line(b'"' + text + b'"'), exactly=exactly)["data"]) is kind


@pytest.mark.parametrize("payload", [b'"' + b"{[" * 5_000 + b'"', b"[" + b"{}," * 5_000 + b"[]]"])
def test_many_brackets_are_not_deep(payload: bytes) -> None:
    assert parse_event(line(payload))["name"] == "play_video"


def test_a_text_without_an_end_takes_no_longer_than_its_length() -> None:
    began = time.process_time()
    with pytest.raises(UnreadableEventError):
        parse_event(line(b'[{"":' * 790 + b"[" * 20 + b'"' + b'\\"' * 3_000_000))
    assert time.process_time() - began < 5

"""The fast engine gives stock's statements and stock's reasons: over 50,000 events, every name, every actor type."""

from __future__ import annotations

import pytest
from services.comparing import compared

from aspects_orchestration.samples import known_event_names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("actor_type", "stride", "at_least"),
    [("external_id", 1, 50_000), ("mbox", 12, 4_000), ("mbox_sha1sum", 12, 4_000)],
)
def test_statements_ids_and_reasons_are_stocks(actor_type: str, stride: int, at_least: int) -> None:
    found = compared("compare_engines", actor_type, str(stride))
    assert found["events"] > at_least
    assert found["off"] == []
    assert found["different"] == []
    assert set(found["names"]) == known_event_names()
    # An event as the LMS writes it is never left to the transformers; only an unknown user or the like may be.
    assert found["usual_left"] == []
    # Builders answered a good part of it, and left the odd ones to the transformers.
    assert found["events"] / 5 < found["built"] < found["events"] * 4 / 5
    nameless = "no_external_id" if actor_type == "external_id" else "no_email"
    expected = {"missing_user", "unknown_user", "unknown_course", "unreadable_time", nameless}
    assert expected <= found["reasons"].keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("actor_type", "lines", "compiled"),
    [("external_id", 5_000, True), ("external_id", 5_000, False), ("mbox_sha1sum", 1_000, True)],
)
def test_lines_with_several_oddities_at_once_become_the_same(
    actor_type: str, lines: int, compiled: bool
) -> None:
    # The whole way of a load, names that are passed over and the quick parse included, from the bytes of a line.
    found = compared("compare_lines", actor_type, str(lines), "7", compiled=compiled)
    assert found["compiled"] == compiled
    assert found["different"] == found["accounts"] == found["off"] == []
    assert found["lines"] == lines
    assert found["lines"] / 2 < found["built"] < found["lines"] * 4 / 5
    expected = {
        "invalid_json",
        "unreadable_time",
        "nested_too_deep",
        "number_without_json",
        "error_TypeError",
    }
    assert expected <= found["reasons"].keys()

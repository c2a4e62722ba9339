"""The substrate gives stock's statements and stock's reasons, and stays off where it cannot know that it does."""

from __future__ import annotations

from typing import Any

import pytest
from services import comparing

#: Every so many-th of 60,000 mutations; fewer where only the actor is another.
STRIDE = 12
STRIDES = {"external_id": STRIDE, "mbox": 37, "mbox_sha1sum": 41}
SPARSE = 200


def compared(scenario: str, actor_type: str = "external_id", stride: int = STRIDE) -> dict[str, Any]:
    """What a process of its own found, with stock and substrate side by side."""
    return comparing.compared("compare_substrate", scenario, actor_type, str(stride))


@pytest.mark.slow
@pytest.mark.parametrize("actor_type", STRIDES)
def test_statements_and_reasons_are_stocks_for_every_kind_and_mutation(actor_type: str) -> None:
    found = compared("all", actor_type, STRIDES[actor_type])
    assert found["events"] > 40_000 / STRIDES[actor_type]
    assert found["off"] == []
    assert found["different"] == []
    assert found["different_again"] == []
    seen = found["outcomes"]
    assert {"0 statements", "1 statements", "3 statements", "4 statements"} <= seen.keys()
    reasons = {"missing_user", "unknown_user", "unknown_course", "number_without_json", "text_without_utf8"}
    assert reasons | {"error_TypeError", "error_ValueError", "error_AttributeError"} <= seen.keys()
    # What was kept of one site's users and courses is not told of another's.
    assert found["different_elsewhere"] == []
    assert found["same_elsewhere"] < found["events"] / 4
    assert found["different_after"] == []


def test_each_patch_holds_without_each_other() -> None:
    found = compared("without", stride=SPARSE)
    assert len(found["without"]) == 8
    for left_out, sides in found["without"].items():
        assert sides["different"] == [], left_out
        assert sides["off"] == []
        assert sides["on"] == [name for name in found["without"] if name != left_out]


def test_a_changed_function_turns_just_its_patch_off_and_statements_stay_stocks() -> None:
    found = compared("changed", stride=SPARSE)
    assert len(found["changed"]) == 8
    for patch, sides in found["changed"].items():
        assert len(sides["off"]) == 1, sides["off"]
        name, _, functions = sides["off"][0].partition(": ")
        assert name == patch
        assert sides["name"].startswith(functions)
        assert sides["different"] == [], patch


def test_filters_run_as_configured_and_may_change_what_they_are_given() -> None:
    found = compared("filters", stride=SPARSE)
    assert found["different"] == found["different_again"] == found["different_elsewhere"] == []
    off = dict(one.split(": ", 1) for one in found["off"])
    assert off.keys() == {"quick_objects", "event_data", "shared_objects"}
    assert all("get_actor is configured" in why and "get_object is configured" in why for why in off.values())
    assert found["different_after"] == []


def test_objects_made_in_unforeseen_ways_are_tincans_own() -> None:
    found = compared("objects", stride=SPARSE)["objects"]
    assert len(found) > 30
    for use, (stock, ours) in found.items():
        assert stock == ours, use

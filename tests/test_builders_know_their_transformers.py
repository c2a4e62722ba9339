"""Each builder stands on what was read: its event's transformer, with all that is made of, known by fingerprint."""

from __future__ import annotations

import inspect
import random
from typing import Any

import pytest
from services.comparing import compared

from aspects_orchestration.samples import known_event_names
from aspects_orchestration.xapi.fast import builders_known, known
from aspects_orchestration.xapi.fast.builders import common
from aspects_orchestration.xapi.fast.fingerprints import Known, renewed


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What a process of its own found out about the builders."""
    return compared("what_builders_know")


def test_every_event_that_becomes_a_statement_has_a_builder(found: dict[str, Any]) -> None:
    assert set(found["built"]) == set(found["known"]) == known_event_names()


def test_every_class_that_a_transformer_is_made_of_has_a_fingerprint(found: dict[str, Any]) -> None:
    assert found["unread"] == []


def test_another_transformer_for_an_event_turns_builders_off(found: dict[str, Any]) -> None:
    assert found["off_same_class"] == []
    assert found["off_another_class"] == ["builders: the transformer of play_video"]


def test_what_was_kept_of_users_and_courses_can_be_forgotten(found: dict[str, Any]) -> None:
    assert found["wrong_before"] == found["wrong_after"] == []
    assert found["unchanged"] == []  # another site's users are other actors in every statement


@pytest.mark.parametrize("module", [builders_known, known])
def test_fingerprints_are_renewed_where_they_stand(module: Any) -> None:
    source = inspect.getsource(module)
    listed = (
        list(builders_known.BUILDERS)
        if module is builders_known
        else [one for several in known.KNOWN.values() for one in several]
    )
    old, new = listed[0].text, listed[-1].text
    before = source.replace(old, "0123456789abcdef").replace(f'"{new}"', '""')
    assert before != source
    texts = {old: "0123456789abcdef", new: ""}
    differing = [
        (Known(one.module, one.qualname, texts[one.text]), one.text) for one in listed if one.text in texts
    ]
    assert renewed(before, differing) == source
    assert renewed(source, []) == source


def test_caches_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "MOST", 3)
    kept: common.Kept[int, str] = common.Kept()
    sizes = []
    for number in range(10):
        assert kept.keep(number, str(number)) == str(number)
        assert kept[number] == str(number)
        sizes.append(len(kept))
    assert max(sizes) == 3


def test_seconds_are_rounded_as_the_transformers_round_them() -> None:
    chosen = random.Random(7)  # noqa: S311
    values: list[float] = [0, -0.0, 1, 7_200, 0.0005, 2.0005, 1e-9, 123456789.0005, 999_999_999_999_999]
    values += [chosen.uniform(0, 20_000) for _ in range(20_000)]
    values += [chosen.randrange(20_000_000) / 10_000 for _ in range(20_000)]
    for value in values:
        assert common.seconds(value) == repr(float(f"{float(value):.3f}")).encode()


@pytest.mark.parametrize("value", [None, "7", True, float("nan"), float("inf"), 1e15, 10**400, [1.0]])
def test_what_is_no_time_in_a_video_is_left_to_the_transformers(value: object) -> None:
    with pytest.raises(common.UnknownShape):
        common.seconds(value)

"""A signal's state follows its readings and neither flaps nor hides: entered and left after several, unknown never ok."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspects_orchestration.monitoring.model import Reading, Rule, Standing, State, judge

START = datetime(2024, 5, 1, tzinfo=UTC)
LAG = Rule(warn=900, critical=3600, for_ticks=2, clear_ticks=2, margin=0.1)


def states(rule: Rule, values: list[float | None]) -> str:
    """The first letters of the states over some readings, a minute apart."""
    return "".join(one.state[0] for one in standings(rule, values))


def standings(rule: Rule, values: list[float | None]) -> list[Standing]:
    found: list[Standing] = []
    for minute, value in enumerate(values):
        at = START + timedelta(minutes=minute)
        found.append(judge(rule, Reading("lag", value, at, 1.0), found[-1] if found else None))
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([10, 1000, 10, 1000, 10], "ooooo"),
        ([10, 1000, 1000, 1000], "ooww"),
        ([10, 5000, 5000], "ooc"),
        ([10, 1000, 5000, 5000, 1000, 1000, 10, 10], "oocccwwo"),
        ([1000, 1000, 850, 850, 850], "owwww"),
        ([1000, 1000, 800, 800], "owwo"),
        ([1000, 1000, 800, 1000, 800, 1000], "owwwww"),
        ([1000, 1000, None, None, None], "owwuu"),
        ([10, None, None, 10, 10], "oouuo"),
        ([None, 10, 10], "uuo"),
    ],
)
def test_a_state_is_entered_and_left_after_several_readings(
    values: list[float | None], expected: str
) -> None:
    assert states(LAG, values) == expected


def test_low_values_may_be_the_bad_ones() -> None:
    rule = Rule(worse="below", warn=0.2, critical=0.1, clear_ticks=1, margin=0.1)
    assert states(rule, [0.5, 0.2, 0.1, 0.105, 0.15, 0.21, 0.23]) == "owccwwo"


def test_thresholds_count_from_what_is_usual() -> None:
    def state(value: float, usual: float) -> State:
        return judge(
            Rule(warn=900, critical=3600), Reading("lag", value, START, 1.0, usual=usual), None
        ).state

    assert [state(value, 7200) for value in (7200, 8099, 8100, 10_800)] == ["ok", "ok", "warn", "critical"]
    assert state(8099, 0) == "critical"


def test_of_a_counter_the_increase_counts() -> None:
    rule = Rule(warn=1, of="increase", clear_ticks=1)
    found = standings(rule, [500, 500, 503, 503, 2])
    assert [one.state[0] for one in found] == list("oowow")
    assert [one.value for one in found] == [0, 0, 3, 0, 2], "a counter that was reset shows what came since"


def test_growth_counts_while_it_lasts() -> None:
    rule = Rule(warn=100, of="growing", for_ticks=3, clear_ticks=2)
    assert states(rule, [200, 300, 400, 500, 500, 600]) == "ooowww"
    assert states(rule, [200, 300, 250, 300, 350, 300]) == "oooooo"
    assert states(rule, [200, 300, 400, 500, 400, 300]) == "ooowwo"
    assert states(rule, [1, 2, 3, 4, 5, 6]) == "oooooo", "small queues may grow"


def test_when_it_began_and_the_last_good_value_are_kept() -> None:
    last = standings(LAG, [10, 20, 5000, 5000, 5000])[-1]
    assert (last.since, last.good_value) == (START + timedelta(minutes=3), 20)
    assert last.good_at == START + timedelta(minutes=1)


VALUES = st.lists(st.none() | st.integers(0, 10_000).map(float), max_size=60)
RULES = st.builds(
    Rule,
    worse=st.sampled_from(["above", "below"]),
    warn=st.none() | st.integers(1, 5_000),
    critical=st.none() | st.integers(1, 9_000),
    of=st.sampled_from(["value", "increase", "growing"]),
    for_ticks=st.integers(1, 4),
    clear_ticks=st.integers(1, 4),
    margin=st.sampled_from([0.0, 0.1, 0.5]),
)


@given(RULES, VALUES)
def test_what_is_remembered_survives_its_writing_down(rule: Rule, values: list[float | None]) -> None:
    for one in standings(rule, values):
        assert Standing.from_json(json.loads(json.dumps(one.as_json()))) == one


@given(RULES, VALUES)
def test_the_unknown_is_never_ok_for_long(rule: Rule, values: list[float | None]) -> None:
    blind = [*values, *[None] * max(rule.for_ticks, rule.clear_ticks)]
    assert standings(rule, blind)[-1].state is State.UNKNOWN


@given(RULES, VALUES, st.integers(0, 10_000))
def test_what_stays_the_same_comes_to_rest(rule: Rule, values: list[float | None], value: int) -> None:
    settled = standings(rule, [*values, *[float(value)] * 12])[-6:]
    assert len({one.state for one in settled}) == 1


@given(RULES, VALUES)
def test_a_change_takes_the_readings_it_is_said_to_take(rule: Rule, values: list[float | None]) -> None:
    found = standings(rule, values)
    last_change = -1
    for at in range(1, len(found)):
        before, after = found[at - 1].state, found[at].state
        if before is after:
            continue
        needed = rule.for_ticks if after.rank > before.rank else rule.clear_ticks
        if rule.of != "growing":
            assert at - last_change >= needed or last_change == -1
        last_change = at

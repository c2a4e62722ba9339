"""Looks to messages: one for what becomes bad, fewer and fewer while it stays so, one when it is over; nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspects_orchestration.alerts.incidents import Kept, after_delivery, follow
from aspects_orchestration.alerts.message import Message, Where
from aspects_orchestration.errors import SettingsError
from aspects_orchestration.monitoring.memory import read, written
from aspects_orchestration.monitoring.model import Reading, Standing, labels_of
from aspects_orchestration.monitoring.rules import Rules, load_rules
from aspects_orchestration.monitoring.watch import Reader, look

START = datetime(2024, 5, 6, tzinfo=UTC)  # a Monday
MINUTE = timedelta(minutes=1)
WHERE = Where("lms.example.org", "http://127.0.0.1:3000")
#: Of a signal, its value in the minutes after the start; None: it cannot be read.
Script = Callable[[int], float | None]


class Days:
    """Ticks of a sensor, a minute each, on a clock of their own; what they remember goes through JSON, as in a cursor."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.cursor = "{}"
        self.told: list[tuple[int, Message]] = []
        self.minute = 0
        self.takes: Callable[[int], bool] = lambda _: True

    def tick(self, values: Mapping[str, float | None], labels: Mapping[str, str] | None = None) -> None:
        now = START + self.minute * MINUTE
        found = [
            Reading(name, value, now, 1.0, labels_of(labels or {}), "" if value is not None else "it is down")
            for name, value in values.items()
        ]
        kept = json.loads(self.cursor)
        before: dict[str, Standing] = read(kept.get("standings"))
        reader = Reader("script", tuple(values), lambda _: found)
        seen = look([reader], rules=self.rules, before=before, now=now)
        alerts = follow(seen, Kept.from_json(kept.get("alerts")), self.rules, WHERE)
        if self.takes(self.minute):
            self.told += [(self.minute, one) for one in alerts.waiting]
            alerts = after_delivery(alerts, [()] * len(alerts.waiting))
        self.cursor = json.dumps({"standings": written(seen, before), "alerts": alerts.as_json()})
        self.minute += 1

    def run(self, minutes: int, **scripts: Script) -> Days:
        for _ in range(minutes):
            self.tick({name: script(self.minute) for name, script in scripts.items()})
        return self

    @property
    def titles(self) -> list[tuple[int, str]]:
        return [(minute, one.title.removeprefix("lms.example.org: ")) for minute, one in self.told]


def outage(start: int, end: int, bad: float | None, good: float | None) -> Script:
    return lambda minute: bad if start <= minute < end else good


def test_a_week_of_ticks_gives_exactly_the_messages_that_matter() -> None:
    def lag(minute: int) -> float | None:
        if 1000 <= minute < 1400:  # an outage of 400 minutes: a warning, then critical
            return 60.0 * (minute - 1000) + 60
        if 3000 <= minute < 3300:  # to and fro around the threshold of 15 minutes
            return 890.0 if minute % 3 == 2 else 905.0
        if minute in {5000, 5500}:  # one bad reading
            return 10_000.0
        return 120.0

    def disk(minute: int) -> float | None:
        if 7000 <= minute < 7003:  # not readable for three minutes: a hiccup
            return None
        if 8000 <= minute < 8060:  # for an hour
            return None
        return 0.5

    days = Days().run(7 * 24 * 60, clickhouse_lag=lag, clickhouse_disk_free=disk)
    assert days.titles == [
        (1015, "WARN: Age of the newest statement: 16 min"),
        (1060, "CRITICAL: Age of the newest statement: 61 min"),
        (1120, "STILL CRITICAL after 60 min: Age of the newest statement: 2 h"),
        (1240, "STILL CRITICAL after 3 h: Age of the newest statement: 4 h"),
        (1401, "OK again: Age of the newest statement: 2 min"),
        (3001, "WARN: Age of the newest statement: 15.1 min"),
        (3061, "STILL WARN after 60 min: Age of the newest statement: 15.1 min"),
        (3181, "STILL WARN after 3 h: Age of the newest statement: 15.1 min"),
        (3301, "OK again: Age of the newest statement: 2 min"),
        (8006, "UNKNOWN: Free space of a disk: cannot be read"),
        (8061, "OK again: Free space of a disk: 50%"),
    ]


def test_a_message_has_all_that_it_takes_in_the_night() -> None:
    days = Days().run(20, clickhouse_lag=outage(10, 99, 4000.0, 120.0))
    ((_, one),) = days.told
    assert one.kind == "failure"
    assert one.title == "lms.example.org: CRITICAL: Age of the newest statement: 66.7 min"
    assert "Since 2024-05-06 00:11 UTC" in one.text
    assert "Worry: warn from 15 min; critical from 1 h, 2 readings in a row." in one.text
    assert "Last good: 2 min at 2024-05-06 00:09 UTC." in one.text
    assert "What to do: Look at the queues" in one.text
    assert one.text.endswith("http://127.0.0.1:3000/assets/pipeline_health/clickhouse_lag")


def test_many_at_once_are_one_message() -> None:
    names = (
        "clickhouse_lag",
        "clickhouse_max_parts",
        "clickhouse_delayed_inserts",
        "clickhouse_stuck_replication",
    )
    days = Days()
    days.run(10, **dict.fromkeys(names, outage(2, 6, 10**6, 0.0)))
    days.run(20, **dict.fromkeys(names, outage(0, 99, None, 0.0)))
    (begun, recovered), unknown = days.titles[:2], days.titles[2:]
    assert begun == (3, "4 incidents at once")
    assert recovered == (7, "4 recoveries at once")
    text = days.told[0][1].text
    assert text.startswith("- CRITICAL: Age of the newest statement")
    assert "- WARN: Inserts that are being slowed down" in text
    assert len(unknown) == 1, "what cannot be read any more is told of in one message"


def test_what_could_not_be_delivered_comes_later_once_and_in_order() -> None:
    days = Days()
    days.takes = lambda minute: minute >= 30
    days.run(40, clickhouse_lag=outage(5, 20, 4000.0, 60.0))
    assert days.titles == [
        (30, "CRITICAL: Age of the newest statement: 66.7 min"),
        (30, "OK again: Age of the newest statement: 60 s"),
    ]
    days.takes = lambda _: False
    for minute in range(40, 2000):
        days.run(1, clickhouse_lag=outage(0, 0, 0.0, 4000.0 if minute % 20 < 10 else 60.0))
    assert len(days.cursor) < 40_000, "however long nobody takes a message"


def test_maintenance_is_quiet_and_what_still_holds_at_its_end_is_told_then(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(
        "maintenance:\n"
        "  - {from: 2024-05-06T00:10:00Z, until: 2024-05-06T00:40:00Z, signals: [clickhouse_*], why: upgrade}\n"
        "  - {every: monday, at: '01:00', minutes: 30}\n"
    )
    days = Days(load_rules(path)).run(
        120,
        clickhouse_lag=outage(12, 50, 4000.0, 60.0),  # begins in the first window, ends behind it
        clickhouse_disk_free=outage(15, 30, 0.01, 0.5),  # begins and ends in it
        celery_queue_length=outage(62, 80, 10**6, 0.0),  # begins and ends in the second one
    )
    assert days.titles == [
        (40, "CRITICAL: Age of the newest statement: 66.7 min"),
        (51, "OK again: Age of the newest statement: 60 s"),
    ]


def test_something_that_is_gone_is_over() -> None:
    days = Days()
    for minute in range(20):
        shown = {"dead_queue_length": 5.0} if minute < 8 else {"clickhouse_lag": 60.0}
        days.tick(shown, {"backend": "xapi"} if minute < 8 else None)
    assert [title.partition(":")[0] for _, title in days.titles] == ["WARN", "Over"]


NODE = {"disk": "default", "node": "ch-1"}


@pytest.mark.parametrize("blind", [1, 2, 20])
def test_looks_that_fail_end_no_incident_and_begin_none_anew(blind: int) -> None:
    days = Days()
    for minute in range(60):
        read_it = not 10 <= minute < 10 + blind
        bad = 4 <= minute < 40
        days.tick(
            {"clickhouse_disk_free": (0.01 if bad else 0.5) if read_it else None}, NODE if read_it else None
        )
    named = "Free space of a disk (disk default, node ch-1)"
    told = [(5, f"CRITICAL: {named}: 1%"), (41, f"OK again: {named}: 50%")]
    if blind > 5:
        told[1:1] = [
            (15, "UNKNOWN: Free space of a disk: cannot be read"),
            (30, "Can be read again: Free space of a disk"),
        ]
    assert days.titles == told


def test_a_counter_that_could_not_be_read_for_a_while_has_lost_nothing() -> None:
    days = Days()
    for value in (7.0, 7.0, None, 9.0):
        days.tick({"clickhouse_rejected_inserts": value}, None if value is None else {"node": "ch-1"})
    assert [title.partition(":")[0] for _, title in days.titles] == ["WARN"]


EPISODES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8)


@given(EPISODES, st.sets(st.integers(0, 600), max_size=300))
@settings(max_examples=60, deadline=None)
def test_each_incident_begins_and_ends_once_whatever_is_not_delivered(
    episodes: list[tuple[int, int]], refused: set[int]
) -> None:
    values = [value for good, bad in episodes for value in (*[60.0] * good, *[4000.0] * bad)] + [60.0] * 3
    days = Days()
    days.takes = lambda minute: minute not in refused
    days.run(len(values), clickhouse_lag=lambda minute: values[minute])
    days.takes = lambda _: True
    days.run(1, clickhouse_lag=lambda _: 60.0)
    kinds = [title.partition(" ")[0] for _, title in days.titles if not title.startswith("STILL")]
    assert kinds == ["CRITICAL:", "OK"] * incidents_in(values)


def incidents_in(values: list[float]) -> int:
    """Incidents of a signal that is entered and left after two readings in a row, counted by hand."""
    bad, row, found = False, 0, 0
    for value in values:
        row = row + 1 if (value > 3600) is not bad else 0
        if row == 2:
            bad, row = not bad, 0
            found += bad
    return found


def test_rules_of_the_file_are_in_force(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(
        "signals:\n"
        "  clickhouse_lag: {warn: 60, critical: 120, for_ticks: 1}\n"
        "  clickhouse_disk_free: off\n"
        "reminders: {first_minutes: 5, factor: 3, longest_minutes: 30}\n"
    )
    days = Days(load_rules(path)).run(
        60, clickhouse_lag=outage(2, 99, 90.0, 1.0), clickhouse_disk_free=outage(0, 99, 0.0, 0.0)
    )
    assert [minute for minute, _ in days.titles] == [2, 7, 22, 52]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("signals: {clickhouse_lagg: off}", "Did you mean clickhouse_lag?"),
        ("signals: {clickhouse_lag: {warm: 3}}", "did you mean warn?"),
        ("signals: {clickhouse_lag: {warn: 9000}}", "critical (3600) is reached before warn (9000)"),
        ("signals: {clickhouse_lag: {for_ticks: 0}}", "signals.clickhouse_lag.for_ticks"),
        ("maintenance: [{every: monday}]", "give `from` and `until`"),
        ("maintenance: [{every: monday, at: '25:00', minutes: 3}]", "no time of day"),
        ("maintenance: [{from: 2024-05-01T00:00:00, until: 2024-05-02T00:00:00}]", "timezone"),
        ("maintenance: [{every: day, at: '02:00', minutes: 3, signals: [klick*]}]", "no signal is named"),
        ("[1, 2]", "holds no settings"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_what_would_do(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_rules(path)
    assert said in str(refused.value)
    assert "ASPECTS_ALERTS_FILE" in str(refused.value)


def test_a_message_survives_the_cursor() -> None:
    one = Message("failure", "title", "text", ("1 (Slack)",))
    assert Message.from_json(json.loads(json.dumps(one.as_json()))) == one
    assert Kept.from_json({"incidents": 3}) == Kept.from_json(None) == Kept()
    assert replace(one, left=None).as_json() == {"kind": "failure", "title": "title", "text": "text"}

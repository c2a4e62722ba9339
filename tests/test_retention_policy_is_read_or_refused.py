"""The policy: what is written is read as it is meant, or refused or warned of with the nearest good value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.retention import RAW, chain, engine_of, policy, seen, server_of_the_module, site
from services.site import Site

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.retention.policy import Policy, goes_at, read_policy
from aspects_orchestration.retention.rules import rules_of, settings_of
from aspects_orchestration.retention.verify import QUESTIONS
from aspects_orchestration.warehouse.ttl import DataTtl, parse_ttl

__all__ = ["server_of_the_module", "site"]

YEAR = "toDateTime(emission_time) + INTERVAL 1 YEAR"


def written(tmp_path: Path, text: str, expression: str = YEAR) -> Policy:
    file = tmp_path / "retention.yaml"
    file.write_text(text)
    return read_policy(expression, file)


def test_upstreams_expression_alone_is_a_policy() -> None:
    assert read_policy(YEAR, None) == Policy(12)
    assert read_policy("", None) == Policy(None), "empty is for ever"


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        """
        raw: {keep_months: 18}
        tables:
          - {name: reporting.fact_*, keep_months: 36}
          - {name: reporting.*, keep_months: forever}
        event_sink: {keep_months: forever}
        system_logs: {keep_months: 1, drop_leftovers_after_months: 2, share_of_disk: 0.2}
        staging: {keep_days: 3}
        quarantine: {keep_months: 24}
        require_archive: false
        holds:
          - {partitions: [2023-05, 2023-11...2024-02], reason: a lawsuit, until: 2027-06-30}
          - {partitions: 2022-01, tables: [xapi.*], reason: an audit, until: 2026-12-31}
        """,
    )
    assert found.months == 18
    assert found.exception_for("reporting.fact_x") == found.tables[0]
    assert found.exception_for("reporting.dim_x") == found.tables[1]
    assert found.tables[1].months is None
    assert found.exception_for(RAW) is None
    assert (found.manages_event_sink, found.event_sink_months) == (True, None)
    assert found.system_logs is not None
    assert (found.system_logs.months, found.system_logs.leftover_months, found.system_logs.share) == (
        1,
        2,
        0.2,
    )
    assert (found.staging_days, found.quarantine_months, found.require_archive) == (3, 24, False)
    assert found.holds[0].months == ("2023-05", "2023-11", "2023-12", "2024-01", "2024-02")
    assert found.holds[1].until == date(2026, 12, 31)
    assert "18 months" in found.warnings[0], "upstream creates its tables by the setting, which says 12"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raw: {keep_months: 90 days}", "raw.keep_months is counted in months: write 3, or forever"),
        ("raw: {keep_months: 1 year}", "write 12"),
        ("raw: {keep_months: 0}", "can be from 1 to 960 months: write 1"),
        ("raw: {keep_months: 9999}", "write 960"),
        ("raw: {keep_months: 1.5}", "is no whole number of months"),
        ("raw: {keep_months: true}", "is no whole number of months"),
        ("raw: {months: 3}", "raw.months is not known: write keep_months"),
        ("tabels: []", "tabels is not known: write tables"),
        ("tables: [{name: fact, keep_months: 3}]", "'fact' names no table: write database.table"),
        (
            "holds: [{partitions: [202305], reason: x, until: 2027-01-01}]",
            "202305 is no month: write 2023-05",
        ),
        (
            "holds: [{partitions: ['2023-08...2023-05'], reason: x, until: 2027-01-01}]",
            "ends before it begins",
        ),
        ("holds: [{partitions: [2023-05], until: 2027-01-01}]", "holds.0.reason is missing"),
        ("holds: [{partitions: [2023-05], reason: x}]", "holds.0.until is missing"),
        ("holds: [{partitions: [], reason: x, until: 2027-01-01}]", "names no month"),
        ("system_logs: {share_of_disk: 3}", "system_logs.share_of_disk cannot be so"),
        ("- a\n- b", "the file cannot be so"),
        ("a: [", "is no YAML in line"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        written(tmp_path, text)
    assert said in str(refused.value)
    assert "docs/retention.md" in refused.value.do


#: What an operator might write, why it hurts, and the nearest that does not.
HURTING = {
    "now() + INTERVAL 1 YEAR": ("depends on no column", "INTERVAL 12 MONTH"),
    "INTERVAL 2 YEAR": ("depends on no column", "INTERVAL 24 MONTH"),
    "toStartOfMonth(emission_time) + INTERVAL 12 MONTH": ("up to a month too early", "INTERVAL 12 MONTH"),
    "toDate(emission_time) + INTERVAL 3 MONTH": ("a day too early", "INTERVAL 3 MONTH"),
    f"{YEAR} DELETE WHERE event = ''": ("deletes some rows of a partition", "INTERVAL 12 MONTH"),
    f"{YEAR}, toDateTime(emission_time) + INTERVAL 2 YEAR": ("several rules", "INTERVAL 12 MONTH"),
    f"{YEAR} TO VOLUME 'cold'": ("moves rows to other storage", "INTERVAL 12 MONTH"),
    f"{YEAR} TO DISK 'cold', {YEAR}": ("moves rows to other storage", "INTERVAL 12 MONTH"),
    f"{YEAR} RECOMPRESS CODEC(ZSTD(9))": ("deletes none", "INTERVAL 12 MONTH"),
    "toDateTime(timestamp) + INTERVAL 1 YEAR": ("no column timestamp", "INTERVAL 12 MONTH"),
    "toDateTime(event_time) + toIntervalDay(45)": ("no column event_time", "INTERVAL 2 MONTH"),
}


@pytest.mark.parametrize("expression", list(HURTING))
def test_expressions_that_hurt_are_refused_with_the_nearest_good_one(expression: str) -> None:
    why, nearest = HURTING[expression]
    with pytest.raises(SettingsError) as refused:
        parse_ttl(expression)
    assert why in refused.value.what
    assert f"`toDateTime(emission_time) + {nearest}`" in refused.value.do
    assert parse_ttl(f"toDateTime(emission_time) + {nearest}"), "what is advised is read"


@pytest.mark.parametrize(
    ("expression", "months"),
    [
        ("toDateTime(emission_time) + INTERVAL 90 DAY", 3),
        ("toDateTime(emission_time) + INTERVAL 365 DAY", 12),
        ("toDateTime(emission_time) + INTERVAL 40 DAY", 2),
        ("toDateTime(emission_time) + INTERVAL 1 DAY", 1),
        ("toDateTime(emission_time) + INTERVAL 26 WEEK", 6),
    ],
)
def test_days_and_weeks_are_read_as_the_nearest_months_and_warned_of(expression: str, months: int) -> None:
    found = read_policy(expression, None)
    assert found.months == months
    assert f"`toDateTime(emission_time) + INTERVAL {months} MONTH`" in found.warnings[0]


@given(st.integers(1, 25_000))
def test_months_for_days_keep_no_less_but_for_three_days(days: int) -> None:
    months = DataTtl(days, "day").whole_months
    assert months * 365.25 / 12 >= days - 3
    assert months == 1 or (months - 1) * 365.25 / 12 < days - 3


@given(st.integers(1970 * 12, 2090 * 12), st.integers(1, 960))
def test_a_month_is_due_when_its_last_row_has_expired(number: int, months: int) -> None:
    month = f"{number // 12:04d}-{number % 12 + 1:02d}"
    due = goes_at(month, months)
    last = goes_at(month, 0).replace(tzinfo=UTC)
    assert due.day == 1
    assert (due.year * 12 + due.month) - (last.year * 12 + last.month) == months
    second = datetime.fromtimestamp(last.timestamp() - 1, UTC)
    assert DataTtl(months, "month").expires(second) < due


def test_a_hold_ends_after_its_last_day(tmp_path: Path) -> None:
    found = written(tmp_path, "holds: [{partitions: [2023-05], reason: x, until: 2027-06-30}]")
    assert found.hold_of(RAW, "2023-05", datetime(2027, 6, 30, 23, 59, tzinfo=UTC))
    assert not found.hold_of(RAW, "2023-05", datetime(2027, 7, 1, tzinfo=UTC))
    assert not found.hold_of(RAW, "2023-06", datetime(2026, 6, 1, tzinfo=UTC))


TABLE_TTLS = [
    "toDateTime(emission_time) + INTERVAL 90 DAY",
    "emission_time + INTERVAL 3 WEEK",
    "toStartOfMonth(emission_time) + INTERVAL 12 MONTH",
    f"{YEAR} DELETE WHERE event = 'a, TTL b'",
    f"{YEAR} TO DISK 'default'",
    f"{YEAR} RECOMPRESS CODEC(ZSTD(9)), toDateTime(emission_time) + INTERVAL 2 YEAR",
    f"{YEAR}, toDateTime(emission_time) + INTERVAL 2 YEAR DELETE WHERE event = ''",
    "if(event = '', toDateTime(emission_time), toDateTime(emission_time) + INTERVAL 1 YEAR)",
]


def test_what_tables_have_is_read_judged_and_mended_or_left_alone(site: Site) -> None:
    """Each on the real engine: what hurts is found by the check; another's rule is not taken away in passing."""
    policy(site, "raw: {keep_months: 12}")
    chain(site)
    for expression in TABLE_TTLS:
        site.sql(f"ALTER TABLE {RAW} MODIFY TTL {expression}", admin=True)
        world = seen(site)
        raw = world.observed.raw
        assert raw is not None
        foreign = any(rule.kind not in {"delete", "unreadable"} for rule in raw.rules)
        statements = [step.statement for step in world.plan.steps if step.target == RAW]
        left = [one for one in world.plan.left_alone if one.what == RAW]
        assert ("retention_modify_ttl" in statements) != foreign, expression
        assert bool(left) == foreign, expression
        assert not QUESTIONS["ttl_equals_policy"](site.warehouse(), world).passed
        moves_alone = expression == f"{YEAR} TO DISK 'default'"
        aligned = moves_alone or "RECOMPRESS" in expression
        assert QUESTIONS["ttl_is_month_aligned"](site.warehouse(), world).passed == aligned, expression


def test_the_shapes_of_engines_are_read() -> None:
    full = (
        "ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, event_id)"
        " TTL if((toYYYYMM(emission_time) IN (202401, 202403)), toDateTime('2106-01-01 00:00:00'),"
        " toDateTime(emission_time) + toIntervalMonth(12)) SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1"
    )
    (rule,) = rules_of(full)
    assert (rule.kind, rule.months, rule.kept) == ("delete", 12, {"202401", "202403"})
    assert settings_of(full) == {"index_granularity": "8192", "ttl_only_drop_parts": "1"}
    assert rules_of("MergeTree ORDER BY a SETTINGS index_granularity = 8192") == ()
    (odd,) = rules_of(
        "MergeTree ORDER BY a TTL b + toIntervalYear(1) WHERE c = '\\' SETTINGS (' SETTINGS d = 1"
    )
    assert odd.kind == "delete where"
    (years,) = rules_of("MergeTree ORDER BY `TTL a` TTL toDateTime(`b`) + toIntervalQuarter(2)")
    assert years.months == 6


def test_an_engine_is_what_clickhouse_shows(site: Site) -> None:
    chain(site, ttl=YEAR)
    (rule,) = rules_of(engine_of(site, "reporting.by_event"))
    assert rule.months == 12

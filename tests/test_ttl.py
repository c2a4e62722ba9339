"""The TTL setting is read as ClickHouse would read it, or refused by name."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.warehouse.ttl import DataTtl, TtlUnit, parse_ttl

UNITS: list[TtlUnit] = ["day", "week", "month", "quarter", "year"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("toDateTime(emission_time) + INTERVAL 1 YEAR", DataTtl(1, "year")),
        ("toDateTime(emission_time) + INTERVAL 90 DAY", DataTtl(90, "day")),
        ("  todatetime( emission_time )+interval 18 months ", DataTtl(18, "month")),
        ("toDateTime(`emission_time`, 'UTC') + INTERVAL '2' QUARTER DELETE", DataTtl(2, "quarter")),
        ("toDateTime(emission_time) + INTERVAL '26 WEEK'", DataTtl(26, "week")),
        ("emission_time + toIntervalYear(3)", DataTtl(3, "year")),
        ("toDateTime(emission_time) + toIntervalDay( 30 )", DataTtl(30, "day")),
    ],
)
def test_the_forms_that_aspects_documents_are_read(expression: str, expected: DataTtl) -> None:
    assert parse_ttl(expression) == expected


@pytest.mark.parametrize("expression", ["", "  ", "\n"])
def test_nothing_keeps_rows_for_ever(expression: str) -> None:
    assert parse_ttl(expression) is None


@pytest.mark.parametrize(
    "expression",
    [
        "1 YEAR",
        "toDateTime(timestamp) + INTERVAL 1 YEAR",
        "toDateTime(emission_time) - INTERVAL 1 YEAR",
        "toDateTime(emission_time) + INTERVAL 1.5 YEAR",
        "toDateTime(emission_time) + INTERVAL 1 FORTNIGHT",
        "toDateTime(emission_time) + INTERVAL 1 YEAR; DROP TABLE xapi_events_all",
        "toDateTime(emission_time) + INTERVAL 0 DAY",
        "toDateTime(emission_time) + INTERVAL 200 YEAR",
        "toDateTime(emission_time) + INTERVAL 99999999999999999999 DAY",
    ],
)
def test_any_other_form_is_refused_with_the_name_of_the_setting(expression: str) -> None:
    with pytest.raises(SettingsError, match="ASPECTS_DATA_TTL_EXPRESSION") as refused:
        parse_ttl(expression)
    assert refused.value.do


def test_only_calendar_intervals_have_months() -> None:
    assert [DataTtl(2, unit).months for unit in UNITS] == [None, None, 2, 6, 24]


@pytest.mark.parametrize(
    ("ttl", "now", "cutoff"),
    [
        (DataTtl(1, "year"), datetime(2024, 2, 29, 6, tzinfo=UTC), datetime(2023, 2, 28, 6, tzinfo=UTC)),
        (DataTtl(1, "month"), datetime(2024, 3, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)),
        (DataTtl(1, "quarter"), datetime(2024, 1, 15, tzinfo=UTC), datetime(2023, 10, 15, tzinfo=UTC)),
        (DataTtl(90, "day"), datetime(2024, 3, 31, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        (DataTtl(2, "week"), datetime(2024, 1, 1, tzinfo=UTC), datetime(2023, 12, 18, tzinfo=UTC)),
    ],
)
def test_the_cutoff_lies_one_interval_back(ttl: DataTtl, now: datetime, cutoff: datetime) -> None:
    assert ttl.cutoff(now) == cutoff


def test_times_of_other_zones_are_compared_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert DataTtl(1, "month").cutoff(datetime(2024, 5, 1, 8, tzinfo=tokyo)) == datetime(
        2024, 3, 30, 23, tzinfo=UTC
    )


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        DataTtl(1, "day").cutoff(datetime(2024, 1, 1))  # noqa: DTZ001


TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2023, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.sampled_from(UNITS), st.integers(1, 40), TIMES)
def test_the_cutoff_agrees_with_expiry_up_to_the_end_of_a_month(
    unit: TtlUnit, count: int, now: datetime
) -> None:
    ttl = DataTtl(count, unit)
    cutoff = ttl.cutoff(now)
    slack = timedelta(days=0 if ttl.months is None else 3)
    assert ttl.expires(cutoff - slack) <= now
    assert ttl.expires(cutoff + slack + timedelta(seconds=1)) >= now.replace(microsecond=0)


def test_a_row_expires_when_clickhouse_says_so() -> None:
    times = [datetime(2024, 1, day, 12, 30, 15, 500_000, tzinfo=UTC) for day in range(27, 32)]
    times += [datetime(2024, 2, 29, tzinfo=UTC), datetime(2023, 11, 30, 23, 59, 59, tzinfo=UTC)]
    cases = [(DataTtl(count, unit), time) for unit in UNITS for count in (1, 5) for time in times]
    query = " UNION ALL ".join(
        f"SELECT {number} AS n, toUnixTimestamp(toDateTime(fromUnixTimestamp64Micro({int(time.timestamp() * 1e6)}, 'UTC'))"
        f" + INTERVAL {ttl.count} {ttl.unit.upper()})"
        for number, (ttl, time) in enumerate(cases)
    )
    # In a process of its own: the in-process engine and the embedded server cannot both run in one.
    program = "import sys, chdb; sys.stdout.write(str(chdb.query(sys.stdin.read(), 'TSV')))"
    answer = subprocess.run(
        [sys.executable, "-c", program], input=query, capture_output=True, text=True, check=True, timeout=120
    ).stdout
    expected = {int(n): int(expires) for n, expires in (line.split("\t") for line in answer.splitlines())}
    assert {n: int(ttl.expires(time).timestamp()) for n, (ttl, time) in enumerate(cases)} == expected

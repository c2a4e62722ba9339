"""Drift behind the raw table: no false alarm while a site writes, or by how a table keeps rows, and no false "complete"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from services.dashboards import add_dictionary, hang, write_statements
from services.site import Site

from aspects_orchestration.dashboards.compare import compare_month
from aspects_orchestration.dashboards.verify import Sources, dictionaries_are_loaded, sources_are_complete
from aspects_orchestration.replay.plan import lock_name
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.lock import locked
from aspects_orchestration.warehouse.statements import Statement
from aspects_orchestration.warehouse.verify import Finding

MONTH = "2024-05"
DROPPED = ("reporting", "xapi", "event_sink", "aspects_orchestration")

#: Tables whose merges keep other rows than their views give, in lawful ways.
_KINDS = """
CREATE TABLE reporting.latest_event (event_id UUID, emission_time DateTime64(6), actor String)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY actor;

CREATE MATERIALIZED VIEW reporting.latest_event_mv TO reporting.latest_event AS
SELECT event_id, emission_time, actor FROM xapi.parsed;

CREATE TABLE reporting.once (event_id UUID, emission_time DateTime64(6), part UInt8)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY event_id;

CREATE MATERIALIZED VIEW reporting.once_mv TO reporting.once AS
SELECT event_id, emission_time, arrayJoin([1, 2]) AS part FROM xapi.parsed;

CREATE TABLE reporting.scores (emission_time DateTime, actor String, score Int64, version UInt64)
ENGINE = SummingMergeTree((score)) PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, actor);

CREATE MATERIALIZED VIEW reporting.scores_mv TO reporting.scores AS
SELECT toDateTime(toStartOfMonth(emission_time)) AS emission_time, actor,
    sum(if(actor = '2', 0, 1)) AS score, count() AS version
FROM xapi.parsed GROUP BY emission_time, actor;

CREATE TABLE reporting.by_due (event_id UUID, emission_time DateTime, due DateTime)
ENGINE = MergeTree PARTITION BY toYYYYMM(due) ORDER BY due;

CREATE MATERIALIZED VIEW reporting.by_due_mv TO reporting.by_due AS
SELECT event_id, toDateTime(emission_time) AS emission_time, emission_time + toIntervalDay(14) AS due FROM xapi.parsed
"""


class WrittenMeanwhile(Warehouse):
    """A connection behind whose first comparison an insert comes to its end."""

    meanwhile: Callable[[], object] | None = None

    def rows_of(
        self, statement: Statement, *, settings: Mapping[str, object] | None = None, **more: Any
    ) -> list[tuple[Any, ...]]:
        found = super().rows_of(statement, settings=settings, **more)
        if self.meanwhile is not None and settings:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return found


@pytest.fixture
def bare(shared_site: Site) -> Iterator[Site]:
    """A site whose databases are dropped afterwards."""
    yield shared_site
    for database in DROPPED:
        shared_site.sql(f"DROP DATABASE IF EXISTS {database} SYNC", admin=True)


@pytest.fixture
def chained(bare: Site) -> Site:
    """A site with a chain of views, and 400 statements of May 2024, half of them about videos."""
    hang(bare)
    write_statements(bare, 400)
    return bare


def sources(site: Site) -> Sources:
    return Sources(
        site.warehouse(), schema_names(site.settings), datetime.now(UTC), partial(lock_name, site.settings)
    )


def complete(site: Site) -> Finding:
    return sources_are_complete(sources(site), MONTH)


def drift(found: Finding) -> dict[str, int]:
    return {name: number for name, number in found.numbers.items() if "(" in name}


def test_a_month_that_is_still_written_is_compared_up_to_what_has_settled(chained: Site) -> None:
    asked = replace(sources(chained), now=datetime(2024, 5, 20, 12, tzinfo=UTC))
    for table in ("xapi.played", "reporting.two_rows"):  # the views have not got so far
        chained.sql(f"DELETE FROM {table} WHERE emission_time >= '2024-05-20 11:50:00'", admin=True)
    found = sources_are_complete(asked, MONTH)
    assert found.passed, found.lines
    assert any("only what is missing is looked for" in line for line in found.lines)

    # What should stand by now, and does not, is told of tables of events and of sums.
    chained.sql("DELETE FROM xapi.played WHERE emission_time < '2024-05-02'", admin=True)
    chained.sql("DELETE FROM reporting.by_day WHERE emission_time = '2024-05-03'", admin=True)
    told = drift(sources_are_complete(asked, MONTH))
    assert told == {"missing (xapi.played)": 7, "missing (reporting.by_day)": 2}
    before = replace(asked, now=datetime(2024, 5, 1, 0, 5, tzinfo=UTC))
    young = sources_are_complete(before, MONTH)
    assert not young.passed
    assert "nothing of the month has settled yet" in young.summary


def test_an_insert_that_is_under_way_is_no_drift(chained: Site) -> None:
    chained.sql("CREATE TABLE xapi.later AS xapi.played", admin=True)
    chained.sql("INSERT INTO xapi.later SELECT * FROM xapi.played LIMIT 5", admin=True)
    chained.sql(
        "DELETE FROM xapi.played WHERE event_id IN (SELECT event_id FROM xapi.later)"
        " SETTINGS lightweight_deletes_sync = 2",
        admin=True,
    )
    chained.sql("DELETE FROM reporting.two_rows WHERE emission_time < '2024-05-02'", admin=True)
    known = sources(chained)
    connection = WrittenMeanwhile(known.warehouse.address, run_id="looks")
    played = next(view for view in known.chain().views if view.known_as == "xapi.played_mv")
    connection.meanwhile = partial(
        chained.sql, "INSERT INTO xapi.played SELECT * FROM xapi.later", admin=True
    )
    found = compare_month(connection, known.chain(), played, MONTH, now=known.now)
    assert connection.meanwhile is None
    assert (found.state, found.missing) == ("complete", 0)
    assert drift(complete(chained)) == {"missing (reporting.two_rows)": 7}


def test_a_load_that_is_under_way_is_named(chained: Site) -> None:
    chained.sql("DELETE FROM xapi.played WHERE emission_time < '2024-05-02'", admin=True)
    loads = Warehouse(chained.warehouse().address, run_id="load-of-may")
    with locked(loads, "aspects_orchestration", lock_name(chained.settings, MONTH)):
        found = complete(chained)
    assert not found.passed
    assert found.summary.endswith("Run load-of-may is loading the month: ask again when it is done")
    assert "rebuild" in complete(chained).summary


def test_what_merges_take_away_by_right_is_not_missing(bare: Site) -> None:
    hang(bare)
    hang(bare, _KINDS)
    write_statements(bare, 400)
    write_statements(bare, 200, since="2024-05-02")
    for table in ("latest_event", "once", "scores"):
        bare.sql(f"OPTIMIZE TABLE reporting.{table} FINAL", admin=True)
    assert bare.sql("SELECT count() FROM reporting.scores WHERE actor = '2' FORMAT TSV", admin=True) == b"0\n"
    found = complete(bare)
    assert found.passed, found.lines
    assert any(line.startswith("reporting.by_due") and "the months of due" in line for line in found.lines), (
        found.lines
    )

    bare.sql("DELETE FROM reporting.latest_event WHERE actor = '4'", admin=True)
    bare.sql("DELETE FROM reporting.scores WHERE actor = '6'", admin=True)
    bare.sql(
        "DELETE FROM reporting.once WHERE event_id IN (SELECT event_id FROM reporting.once LIMIT 3)",
        admin=True,
    )
    assert drift(complete(bare)) == {
        "missing (reporting.latest_event)": 1,
        "missing (reporting.scores)": 1,
        "missing (reporting.once)": 3,
    }


def test_a_ttl_that_counts_from_another_time_takes_nothing_for_drift(chained: Site) -> None:
    chained.sql(
        "ALTER TABLE xapi.played MODIFY TTL toStartOfMonth(emission_time) + toIntervalYear(1)"
        " SETTINGS mutations_sync = 2",
        admin=True,
    )
    chained.sql(
        "ALTER TABLE reporting.by_hour MODIFY TTL emission_hour + toIntervalYear(1) SETTINGS mutations_sync = 2",
        admin=True,
    )
    asked = replace(sources(chained), now=datetime(2025, 5, 10, tzinfo=UTC))
    found = sources_are_complete(asked, MONTH)
    by_table = {line.split(" ")[0].rstrip(":"): line for line in found.lines}
    assert "has dropped the month" in by_table["xapi.played"]
    assert "has begun to drop the month, by another time" in by_table["reporting.by_hour"]


def test_where_nothing_could_be_compared_nothing_is_called_complete(bare: Site) -> None:
    bare.warehouse()
    hang(
        bare,
        "CREATE TABLE xapi.latest (event_id UUID) ENGINE = ReplacingMergeTree ORDER BY event_id;"
        "CREATE MATERIALIZED VIEW xapi.latest_mv TO xapi.latest AS SELECT event_id FROM xapi.xapi_events_all",
    )
    write_statements(bare, 10)
    found = complete(bare)
    assert not found.passed
    assert "cannot be told, because none could be compared: xapi.latest" in found.summary


def test_an_empty_month_is_said_to_be_empty(chained: Site) -> None:
    found = sources_are_complete(sources(chained), "2024-06")
    assert found.passed
    assert "nothing of it stands, in the raw table or behind it" in found.summary


def test_values_of_statements_stay_out_of_what_is_told(chained: Site) -> None:
    hang(
        chained,
        "CREATE TABLE reporting.graded (event_id UUID, emission_time DateTime64(6)) ENGINE = MergeTree"
        " PARTITION BY toYYYYMM(emission_time) ORDER BY event_id;"
        "CREATE MATERIALIZED VIEW reporting.graded_mv TO reporting.graded AS SELECT event_id, emission_time"
        " FROM xapi.parsed WHERE toUInt32(concat('learner-', actor)) > 1",
    )
    found = complete(chained)
    assert not found.passed
    assert "whether the dashboards' sources are complete for 2024-05 cannot be told" in found.summary
    assert "its SELECT fails with ClickHouse's error 6;" in found.summary
    assert "learner-" not in f"{found.summary}{found.lines}"


def test_a_dictionary_that_asks_its_source_is_neither_empty_nor_old(chained: Site) -> None:
    add_dictionary(chained, "LAYOUT(COMPLEX_KEY_DIRECT())")
    chained.sql(
        "INSERT INTO event_sink.course_overviews (org, course_key, display_name) VALUES ('o', 'course-v1:o+c+r', 'Name')",
        admin=True,
    )
    named = chained.sql(
        "SELECT dictGet('event_sink.course_names', 'course_name', tuple('course-v1:o+c+r')) FORMAT TSV",
        admin=True,
    )
    assert named == b"Name\n"
    found = dictionaries_are_loaded(sources(chained))
    assert found.passed, found.summary

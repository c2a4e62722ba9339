"""What hangs behind the raw table holds of a month what its views give: what is missing or doubled is told, and mended."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from services.dashboards import TABLES, UNPARTITIONED, add_dictionary, hang, write_statements
from services.site import Site
from services.watched import settings_of, start_with_users

from aspects_orchestration.dashboards.verify import (
    Sources,
    dictionaries_are_loaded,
    sources_are_complete,
    views_can_follow,
)
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.replay.plan import lock_name
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.publish import Target
from aspects_orchestration.warehouse.rebuild import plan_rebuild
from aspects_orchestration.warehouse.schema import pipeline_grants
from aspects_orchestration.warehouse.verify import Finding

MONTH = "2024-05"
DROPPED = ("reporting", "xapi", "event_sink", "aspects_orchestration")


@pytest.fixture
def chained(shared_site: Site) -> Iterator[Site]:
    """A site with a chain of views, and 400 statements of May 2024, half of them about videos."""
    hang(shared_site)
    write_statements(shared_site, 400)
    yield shared_site
    for database in DROPPED:
        shared_site.sql(f"DROP DATABASE IF EXISTS {database} SYNC", admin=True)


def sources(site: Site) -> Sources:
    return Sources(
        site.warehouse(), schema_names(site.settings), datetime.now(UTC), partial(lock_name, site.settings)
    )


def complete(site: Site, month: str = MONTH) -> Finding:
    return sources_are_complete(sources(site), month)


def drift(found: Finding) -> dict[str, int]:
    """What is told of tables."""
    return {name: number for name, number in found.numbers.items() if "(" in name}


def count(site: Site, table: str) -> int:
    return int(site.sql(f"SELECT count() FROM {table} FORMAT TSV", admin=True))


def test_whole_tables_are_complete_and_their_kinds_are_known(chained: Site) -> None:
    found = complete(chained)
    assert found.passed, found.summary
    assert found.numbers["tables_compared"] == len(TABLES)
    assert [line.split(":")[0] for line in found.lines] == list(TABLES)
    by_table = dict(zip(TABLES, found.lines, strict=True))
    assert by_table["xapi.parsed"] == "xapi.parsed: complete, 400 events"
    assert by_table["xapi.played"] == "xapi.played: complete, 200 events"
    assert by_table["reporting.two_rows"] == "reporting.two_rows: complete, 200 events"
    assert "complete, 10 keys" in by_table["reporting.last_visit"]
    assert "doubled ones cannot be seen" in by_table["reporting.last_visit"]
    assert complete(chained, "2024-06").passed  # nothing there, nothing lacking


@pytest.mark.slow
def test_every_drift_is_told_by_table_and_the_command_that_is_named_mends_it(site: Site) -> None:
    site.write_samples(SampleSpec(lines=1_500), files=2)
    hang(site)
    hang(site, UNPARTITIONED)
    site.load(MONTH)
    assert complete(site).passed
    played = count(site, "xapi.played WHERE toYYYYMM(emission_time) = 202405")

    site.sql(
        "DELETE FROM xapi.played WHERE event_id IN (SELECT event_id FROM xapi.played LIMIT 3)", admin=True
    )
    site.sql("INSERT INTO reporting.two_rows SELECT * FROM reporting.two_rows LIMIT 2", admin=True)
    site.sql("INSERT INTO reporting.by_day SELECT * FROM reporting.by_day LIMIT 1", admin=True)
    site.sql(
        "INSERT INTO reporting.two_rows VALUES (generateUUIDv4(), '2024-05-09 01:02:03', 1)",
        admin=True,
    )
    hang(
        site,
        "CREATE TABLE reporting.late AS xapi.played;"
        "CREATE MATERIALIZED VIEW reporting.late_mv TO reporting.late AS"
        " SELECT event_id, cast(emission_time AS DateTime) AS emission_time, actor, object FROM xapi.parsed"
        " WHERE verb LIKE '%video%'",
    )

    found = complete(site)
    assert not found.passed
    told = drift(found)
    doubled = told.pop("doubled (reporting.by_day)")
    assert doubled >= 1  # events of that day and verb
    # Whoever has no other visit in the month: the table that the visits are taken from lacks him.
    told.pop("strange (reporting.last_visit)", 0)
    assert told == {
        "missing (xapi.played)": 3,
        "doubled (reporting.two_rows)": 2,
        "strange (reporting.two_rows)": 1,
        "missing (reporting.late)": played,
    }
    assert f"xapi.played: 3 of {played} events are missing" in found.summary

    command, refresh = found.summary.split("fills the whole chain: ")[1].split("; then ")
    assert refresh == "dbt run --full-refresh --select latest"
    latest = site.sql("SELECT * FROM reporting.latest FINAL ORDER BY ALL FORMAT TSV", admin=True)
    process = site.popen(*shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()
    # As docs/dashboards.md asks it.
    asked = (
        "dagster",
        "job",
        "execute",
        "-j",
        "check_dashboards",
        "--tags",
        '{"dagster/partition": "2024-05"}',
    )
    checked = site.popen(*asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = checked.communicate(timeout=300)
    assert checked.returncode == 0, said.decode()
    after = complete(site)
    assert after.passed, after.summary
    assert after.numbers["tables_compared"] == len(TABLES) + 1
    assert site.sql("SELECT * FROM reporting.latest FINAL ORDER BY ALL FORMAT TSV", admin=True) == latest
    assert b"rebuild leaves reporting.latest, which has no partitions" in output


def test_rows_that_only_wait_for_a_merge_are_told_apart_and_the_statement_merges_them(chained: Site) -> None:
    chained.sql("SYSTEM STOP MERGES xapi.played", admin=True)
    chained.sql("INSERT INTO xapi.played SELECT * FROM xapi.played LIMIT 7", admin=True)
    found = complete(chained)
    assert drift(found) == {"doubled (xapi.played)": 7}
    assert "7 rows too many, 7 of them until their parts are merged" in found.summary
    assert "rebuild" not in found.summary
    statement = found.summary.split("An administrator runs: ")[1]
    assert statement == "OPTIMIZE TABLE xapi.played PARTITION ID '202405' FINAL"
    chained.sql("SYSTEM START MERGES xapi.played", admin=True)
    chained.sql(statement, admin=True)
    assert complete(chained).passed


def test_statements_that_came_twice_are_doubled_behind_and_never_missing(chained: Site) -> None:
    for table in ("xapi.xapi_events_all", "xapi.parsed", "xapi.played"):
        chained.sql(f"SYSTEM STOP MERGES {table}", admin=True)
    chained.sql("INSERT INTO xapi.xapi_events_all SELECT * FROM xapi.xapi_events_all LIMIT 50", admin=True)
    videos = count(chained, "xapi.played") - 200
    assert videos > 0
    # Whether or not the table before has been merged already.
    for merged in ("", "xapi.xapi_events_all", "xapi.parsed"):
        if merged:
            chained.sql(f"SYSTEM START MERGES {merged}", admin=True)
            chained.sql(f"OPTIMIZE TABLE {merged} FINAL", admin=True)
        found = complete(chained)
        assert found.numbers["missing"] == found.numbers["strange"] == 0, found.lines
        expected = {
            "doubled (xapi.parsed)": 50,
            "doubled (xapi.played)": videos,
            "doubled (reporting.two_rows)": 2 * videos,
            "doubled (reporting.by_day)": 50,
        }
        if merged == "xapi.parsed":
            del expected["doubled (xapi.parsed)"]
        assert drift(found) == expected
        assert "--partition 2024-05 --config-json" in found.summary


def test_a_part_of_an_events_rows_that_is_missing_is_told(chained: Site) -> None:
    chained.sql(
        "DELETE FROM reporting.two_rows WHERE part = 2 AND event_id IN"
        " (SELECT event_id FROM reporting.two_rows WHERE part = 2 ORDER BY event_id LIMIT 5)",
        admin=True,
    )
    assert complete(chained).numbers["missing (reporting.two_rows)"] == 5


def test_a_month_that_a_ttl_has_dropped_is_no_drift(chained: Site) -> None:
    chained.sql(
        "ALTER TABLE reporting.two_rows MODIFY TTL toDateTime(emission_time) + INTERVAL 1 YEAR", admin=True
    )
    chained.sql("OPTIMIZE TABLE reporting.two_rows FINAL", admin=True)
    assert count(chained, "reporting.two_rows") == 0
    found = complete(chained)
    assert found.passed
    assert found.numbers["tables_not_compared"] == 1
    assert any("no drift: the TTL of reporting.two_rows" in line for line in found.lines)

    # One that drops the first half of the month: the other half is compared, and missing rows are told of it.
    days = (datetime.now(UTC) - datetime(2024, 5, 15, tzinfo=UTC)).days
    chained.sql(
        f"ALTER TABLE xapi.played MODIFY TTL emission_time + INTERVAL {days} DAY SETTINGS mutations_sync = 2",
        admin=True,
    )
    chained.sql("OPTIMIZE TABLE xapi.played FINAL", admin=True)
    left = count(chained, "xapi.played")
    assert 0 < left < 200
    found = complete(chained)
    assert drift(found) == {}, found.lines
    assert any(
        "xapi.played: complete" in line and "has dropped what is older than" in line for line in found.lines
    )
    chained.sql("DELETE FROM xapi.played WHERE emission_time >= '2024-05-30'", admin=True)
    assert drift(complete(chained)) == {"missing (xapi.played)": left - count(chained, "xapi.played")}


def test_a_target_that_was_renamed_is_told_and_renaming_it_back_mends_it(chained: Site) -> None:
    assert views_can_follow(sources(chained)).passed
    chained.sql("RENAME TABLE reporting.two_rows TO reporting.two_rows_old", admin=True)
    found = views_can_follow(sources(chained))
    assert "reporting.two_rows_mv writes to reporting.two_rows, which is not there" in found.summary
    month = complete(chained)
    assert not month.passed
    assert "reporting.two_rows is not there" in month.summary
    assert month.numbers["tables_compared"] == len(TABLES) - 1
    chained.sql("RENAME TABLE reporting.two_rows_old TO reporting.two_rows", admin=True)
    assert views_can_follow(sources(chained)).passed
    assert complete(chained).passed


def test_dictionaries_that_cannot_be_loaded_or_are_empty_are_told_with_the_statement_that_mends(
    chained: Site,
) -> None:
    add_dictionary(chained)
    found = dictionaries_are_loaded(sources(chained))
    assert found.passed
    assert found.lines == ("event_sink.course_names is not loaded yet: the first question loads it",)
    chained.sql(
        "INSERT INTO event_sink.course_overviews (org, course_key, display_name) VALUES ('o', 'course-v1:o+c+r', 'Name')",
        admin=True,
    )
    reload = "SYSTEM RELOAD DICTIONARY event_sink.course_names"
    chained.sql(reload, admin=True)
    found = dictionaries_are_loaded(sources(chained))
    assert found.passed, found.summary
    assert found.numbers["elements"] == 1

    rename = "ALTER TABLE event_sink.course_overviews RENAME COLUMN {} TO {}"
    chained.sql(rename.format("display_name", "name"), admin=True)
    with pytest.raises(Exception, match="display_name"):
        chained.sql(reload, admin=True)
    found = dictionaries_are_loaded(sources(chained))
    assert (
        "event_sink.course_names cannot be loaded again (UNKNOWN_IDENTIFIER, code 47); what it"
        in found.summary
    )
    chained.sql(rename.format("name", "display_name"), admin=True)
    mend = found.summary.split("once the cause is mended: ")[1]
    assert mend == reload
    chained.sql(mend, admin=True)
    assert dictionaries_are_loaded(sources(chained)).passed

    copy = "CREATE TABLE event_sink.kept AS event_sink.course_overviews"
    for statement in (copy, "INSERT INTO event_sink.kept SELECT * FROM event_sink.course_overviews"):
        chained.sql(statement, admin=True)
    chained.sql("TRUNCATE TABLE event_sink.course_overviews", admin=True)
    chained.sql(reload, admin=True)
    assert dictionaries_are_loaded(sources(chained)).passed  # empty, and so is what it is made of
    chained.sql("INSERT INTO event_sink.course_overviews SELECT * FROM event_sink.kept", admin=True)
    found = dictionaries_are_loaded(sources(chained))
    assert "event_sink.course_names is empty, and its source holds 1 rows" in found.summary
    chained.sql(found.summary.split("once the cause is mended: ")[1], admin=True)
    assert dictionaries_are_loaded(sources(chained)).passed


def test_a_view_that_is_refreshed_by_the_clock_is_told_when_its_refresh_fails(chained: Site) -> None:
    hang(
        chained,
        "CREATE TABLE reporting.hourly (events UInt64) ENGINE = MergeTree ORDER BY ();"
        "CREATE MATERIALIZED VIEW reporting.hourly_mv REFRESH EVERY 1 YEAR TO reporting.hourly AS"
        " SELECT count() AS events FROM xapi.played;"
        "SYSTEM WAIT VIEW reporting.hourly_mv",
    )
    found = views_can_follow(sources(chained))
    assert found.passed, found.summary
    assert found.numbers["refreshed_views"] == 1
    chained.sql("RENAME TABLE reporting.hourly TO reporting.hourly_old", admin=True)
    chained.sql("SYSTEM REFRESH VIEW reporting.hourly_mv", admin=True)
    with pytest.raises(Exception, match="hourly"):
        chained.sql("SYSTEM WAIT VIEW reporting.hourly_mv", admin=True)
    found = views_can_follow(sources(chained))
    assert "reporting.hourly_mv: its refresh fails (" in found.summary


def test_only_the_month_is_read_whatever_else_the_tables_hold(chained: Site) -> None:
    for year in (2021, 2022, 2023):
        write_statements(chained, 20_000, since=f"{year}-05-01")
    asked = sources(chained)
    assert sources_are_complete(asked, MONTH).passed
    chained.sql("SYSTEM FLUSH LOGS", admin=True)
    read = chained.sql(
        "SELECT count(), max(read_rows) FROM system.query_log WHERE type = 'QueryFinish'"
        " AND position(log_comment, 'dashboards/by_') > 0"
        f" AND JSONExtractString(log_comment, 'run_id') = '{asked.warehouse.run_id}' FORMAT TSV",
        admin=True,
    )
    queries, most = map(int, read.split())
    assert queries == len(TABLES) + 1  # two_rows gives each event twice, which is looked at once more
    assert most <= 400 * 4


def test_what_cannot_be_told_by_month_says_so_and_stops_nothing_else(chained: Site) -> None:
    hang(chained, UNPARTITIONED)
    # Names and texts of a view are another project's: whatever they hold, they stay names and texts.
    hang(
        chained,
        "CREATE TABLE reporting.`odd name {a:String} DROP` (event_id UUID, emission_time DateTime64(6)) ENGINE = MergeTree"
        " PARTITION BY toYYYYMM(emission_time) ORDER BY event_id;"
        "CREATE MATERIALIZED VIEW reporting.`view {x:String} '` TO reporting.`odd name {a:String} DROP` AS"
        " SELECT event_id, emission_time FROM xapi.parsed WHERE actor != '--) /*' AND actor != '{a:String}'",
    )
    found = complete(chained)
    assert not found.passed
    assert drift(found) == {"missing (reporting.odd name {a:String} DROP)": 400}
    assert any("reporting.latest is not partitioned by month" in line for line in found.lines)
    assert '"leave_unpartitioned": true' in found.summary
    assert found.summary.endswith("; then dbt run --full-refresh --select latest")
    # Without consent nothing is rebuilt over a table that would keep what it holds.
    target = Target("xapi", "xapi_events_all", "202405", "aspects_orchestration", "")
    with pytest.raises(WarehouseError, match=r"reporting\.latest .*`leave_unpartitioned: true`"):
        plan_rebuild(chained.warehouse(), target)


def test_a_site_without_views_is_not_called_complete(shared_site: Site) -> None:
    for found in (complete(shared_site), views_can_follow(sources(shared_site))):
        assert not found.passed
        assert "ASPECTS_DASHBOARDS=false" in found.summary


@pytest.mark.slow
def test_a_missing_grant_is_named(site: Site) -> None:
    hang(site)
    add_dictionary(site)
    write_statements(site, 10)
    names = schema_names(site.settings)
    all_of_them = pipeline_grants(names)
    users = {
        "enough": all_of_them,
        "no_dictionaries": [one for one in all_of_them if "SHOW DICTIONARIES" not in one],
        "no_refreshes": [one for one in all_of_them if "view_refreshes" not in one],
        "no_reporting": [one for one in all_of_them if "SELECT ON `reporting`" not in one],
    }
    address = start_with_users(site, users)

    def as_user(name: str) -> Sources:
        connection = Warehouse(settings_of(address, name).clickhouse, run_id=name)  # type: ignore[arg-type]
        return Sources(connection, names, datetime.now(UTC), partial(lock_name, site.settings))

    enough = as_user("enough")
    assert sources_are_complete(enough, MONTH).passed
    assert views_can_follow(enough).passed
    assert dictionaries_are_loaded(enough).passed
    # None seen is not the same as none there.
    with pytest.raises(
        WarehouseError, match=r"GRANT SHOW DICTIONARIES ON event_sink\.\*.* \(sql/grants\.sql\)"
    ):
        dictionaries_are_loaded(as_user("no_dictionaries"))
    with pytest.raises(WarehouseError, match=r"system\.view_refreshes.*sql/grants\.sql"):
        views_can_follow(as_user("no_refreshes"))
    told = sources_are_complete(as_user("no_reporting"), MONTH)
    assert not told.passed
    assert "ON reporting.two_rows" in told.summary
    assert "sql/grants.sql" in told.summary
    assert "xapi.played: complete, 5 events" in told.lines


def test_ages_are_judged_by_a_dictionarys_own_lifetime() -> None:
    from aspects_orchestration.dashboards.dictionaries import Dictionary

    def of(age: timedelta, lifetime: timedelta) -> str:
        now = datetime(2024, 6, 1, tzinfo=UTC)
        return Dictionary("a", "b", "LOADED", 5, 5, now - age, age, lifetime, "").trouble

    minute = timedelta(minutes=1)
    assert of(13 * minute, 2 * minute) == ""
    assert of(15 * minute, 2 * minute) == "was loaded 15 min ago, and is to be loaded every 2 min"
    assert of(timedelta(days=300), timedelta()) == ""

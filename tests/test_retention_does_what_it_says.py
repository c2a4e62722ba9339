"""Retention on the real engine: what the policy says goes goes whole, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from services.retention import (
    RAW,
    Archive,
    applied,
    as_admin,
    chain,
    due,
    engine_of,
    fill,
    months_around,
    months_back,
    parts,
    policy,
    rows_by_month,
    seen,
    server_of_the_module,
    settle,
    site,
)
from services.site import Site

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.replay.plan import lock_name
from aspects_orchestration.retention.apply import ChangedWorldError, only_one
from aspects_orchestration.retention.verify import QUESTIONS
from aspects_orchestration.warehouse.lock import LockedError, locked
from aspects_orchestration.warehouse.schema import EVENT_SINK_TABLES

__all__ = ["server_of_the_module", "site"]

NOW = datetime.now(UTC)
BEHIND = ("reporting.by_event", "xapi.parsed", "reporting.by_day")
KEEP = 12


def test_due_months_go_from_the_raw_table_and_all_behind_it_and_the_others_stay(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    months = months_around(NOW, KEEP, 3)
    fill(site, months)
    gone = due(months, KEEP, NOW)
    assert len(gone) == 3
    before = {table: rows_by_month(site, table) for table in (RAW, *BEHIND)}
    assert {table: set(found) for table, found in before.items()} == {table: set(months) for table in before}

    done = applied(site)

    after = {table: rows_by_month(site, table) for table in (RAW, *BEHIND)}
    assert after == {
        table: {month: rows for month, rows in found.items() if month not in gone}
        for table, found in before.items()
    }
    drops = [(step.partition_id, step.target) for step in done.done if step.statement == "partition_drop"]
    assert len(drops) == len(gone) * 4
    for number in range(0, len(drops), 4):
        assert len({partition for partition, _ in drops[number : number + 4]}) == 1
        assert drops[number + 3][1] == RAW, "the raw table last: a run cut off before finds the month again"
    settle(site)
    assert {table: rows_by_month(site, table) for table in (RAW, *BEHIND)} == after
    mutations = site.sql("SELECT count() FROM system.mutations FORMAT TSV", admin=True)
    assert int(mutations) == 0


def test_bringing_a_table_to_the_policy_rewrites_nothing(site: Site) -> None:
    policy(site, "raw: {keep_months: 600}")
    chain(site)
    fill(site, months_back(NOW, 5))
    before = parts(site)

    done = applied(site)

    assert parts(site) == before
    for table in (RAW, *BEHIND[:1], BEHIND[2]):
        engine = engine_of(site, table)
        assert "TTL toDateTime(emission_time) + toIntervalMonth(600) SETTINGS" in engine
        assert "ttl_only_drop_parts = 1" in engine
    assert {step.target.split(".")[0] for step in done.done} == {"xapi", "reporting"}
    assert len(done.done) == 8, "a setting and a TTL for each of four tables"
    assert all(
        "materialize_ttl_after_modify = 0" in one
        for one in map(str, (s.described() for s in done.done))
        if "TTL to" in one
    )
    assert seen(site).plan.steps == (), "and then there is nothing left to do"


def test_ttl_merges_take_whole_months_and_leave_the_rest(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    applied(site)
    months = months_around(NOW, KEEP, 3)
    site.sql("SYSTEM STOP TTL MERGES", admin=True)
    fill(site, months)
    assert set(rows_by_month(site)) == set(months), "rows before"
    site.sql("SYSTEM START TTL MERGES", admin=True)
    settle(site)
    left = set(months) - set(due(months, KEEP, NOW))
    for table in (RAW, *BEHIND):
        assert set(rows_by_month(site, table)) == left, "rows after"


def test_a_longer_ttl_is_not_undone_by_the_marks_of_the_shorter_one(site: Site) -> None:
    chain(site, ttl="toDateTime(emission_time) + INTERVAL 1 YEAR")
    site.sql("SYSTEM STOP TTL MERGES", admin=True)
    months = months_back(NOW, 30, 14)
    fill(site, months)
    policy(site, "raw: {keep_months: 60}")
    before = rows_by_month(site, "reporting.by_event")

    done = applied(site)

    marks = [step for step in done.done if step.statement == "retention_recalculate_all"]
    assert len(marks) == 3, "one mutation a table"
    site.sql("SYSTEM START TTL MERGES", admin=True)
    settle(site)
    assert rows_by_month(site, "reporting.by_event") == before
    assert rows_by_month(site, "xapi.parsed") == before


def test_a_hold_survives_the_policy_and_ttl_merges_until_it_ends(site: Site) -> None:
    months = months_around(NOW, KEEP, 5)
    held = months[1]
    file = policy(
        site,
        f"raw: {{keep_months: {KEEP}}}\n"
        f"holds: [{{partitions: ['{held}'], reason: a lawsuit, until: {NOW.year + 1}-12-31}}]",
    )
    chain(site, ttl="toDateTime(emission_time) + INTERVAL 1 YEAR")
    site.sql("SYSTEM STOP TTL MERGES", admin=True)
    fill(site, months)
    world = seen(site)
    assert {fate.partition.month for fate in world.plan.of_state("held")} == {held}
    assert all("a lawsuit" in fate.why for fate in world.plan.of_state("held"))

    applied(site)
    site.sql("SYSTEM START TTL MERGES", admin=True)
    settle(site)

    for table in (RAW, *BEHIND):
        found = rows_by_month(site, table)
        assert held in found
        assert months[0] not in found
        assert months[2] not in found
    assert QUESTIONS["held_partitions_stand"](site.warehouse(), seen(site)).passed

    file.write_text(f"raw: {{keep_months: {KEEP}}}")
    applied(site)
    assert all(held not in rows_by_month(site, table) for table in (RAW, *BEHIND))


def test_a_held_partition_that_is_lost_is_noticed(site: Site) -> None:
    months = months_around(NOW, KEEP, 3)
    policy(
        site,
        f"raw: {{keep_months: {KEEP}}}\n"
        f"holds: [{{partitions: ['{months[0]}'], reason: a lawsuit, until: {NOW.year + 1}-12-31}}]",
    )
    chain(site)
    fill(site, months)
    applied(site)
    site.sql(f"ALTER TABLE {RAW} DROP PARTITION ID '{months[0].replace('-', '')}'", admin=True)
    lost = QUESTIONS["held_partitions_stand"](site.warehouse(), seen(site))
    assert not lost.passed
    assert lost.lines == (f"{months[0]} of {RAW} is gone; it had 10 rows, and is held: a lawsuit",)


def test_without_an_archive_no_month_of_raw_statements_goes_and_it_is_said_why(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    months = months_around(NOW, KEEP, 3)
    fill(site, months)
    before = {table: rows_by_month(site, table) for table in (RAW, *BEHIND)}
    world = seen(site, archive=None)
    waiting = world.plan.of_state("unarchived")
    assert {fate.partition.month for fate in waiting} == set(due(months, KEEP, NOW))
    assert {fate.table.full_name for fate in waiting} >= {RAW, "reporting.by_event"}
    assert all("no archive yet" in fate.why for fate in waiting)

    done = applied(site, archive=None)
    settle(site)

    assert not any(step.statement == "partition_drop" for step in done.done)
    assert {table: rows_by_month(site, table) for table in (RAW, *BEHIND)} == before
    found = QUESTIONS["ttl_equals_policy"](site.warehouse(), seen(site, archive=None))
    assert found.passed, found.lines

    sealed = Archive(frozenset(due(months, KEEP, NOW)[:1]))
    applied(site, archive=sealed)
    assert set(rows_by_month(site)) == set(months[1:]), "only what is sealed goes"
    policy(site, f"{{raw: {{keep_months: {KEEP}}}, require_archive: false}}")
    applied(site, archive=None)
    assert set(rows_by_month(site)) == set(months) - set(due(months, KEEP, NOW))


def test_a_plan_is_refused_once_the_world_has_changed(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    months = months_around(NOW, KEEP, 3)
    fill(site, months)
    printed = seen(site).plan
    assert seen(site).plan.id == printed.id, "the same world, the same plan"
    with pytest.raises(ChangedWorldError, match="none was named"):
        applied(site, asked="")
    fill(site, months[:1], rows=1)
    before = rows_by_month(site)

    with pytest.raises(ChangedWorldError, match=f"since plan {printed.id} was made") as refused:
        applied(site, asked=printed.id)

    assert rows_by_month(site) == before
    assert "dry_run" in refused.value.do
    now = seen(site).plan
    assert now.id != printed.id
    assert applied(site, asked=now.id).done == now.steps, "what was printed is what is done"


def test_rows_that_come_in_the_last_moment_stop_the_drop(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    months = months_around(NOW, KEEP, 3)
    site.sql("SYSTEM STOP TTL MERGES", admin=True)
    fill(site, months)

    class AtFirstDrop(list[str]):
        def append(self, line: str, /) -> None:
            super().append(line)
            if f"DROP PARTITION ID '{months[0].replace('-', '')}'" in line and RAW in line:
                fill(site, months[1:2], rows=1)

    with pytest.raises(ChangedWorldError, match="rows have come into partition"):
        applied(site, said=AtFirstDrop())
    assert set(rows_by_month(site)) == set(months[1:])


def test_a_month_that_is_being_loaded_is_not_dropped_meanwhile(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    months = months_around(NOW, KEEP, 2)
    fill(site, months)
    load = site.warehouse()
    with (
        locked(load, "aspects_orchestration", lock_name(site.settings, months[1])),
        pytest.raises(LockedError, match="is loading this month"),
    ):
        applied(site)
    assert set(rows_by_month(site)) == set(months[1:])
    applied(site)
    assert set(rows_by_month(site)) == set(months[2:])


def test_two_runs_never_apply_at_once(site: Site) -> None:
    chain(site)
    with (
        only_one(site.settings, site.warehouse(), say=lambda _: None),
        pytest.raises(LockedError, match="is applying retention"),
    ):
        applied(site)


def test_a_user_without_alter_gets_the_missing_grant_named(site: Site) -> None:
    chain(site)
    site.sql(
        "CREATE TABLE reporting.kept (t DateTime) ENGINE = MergeTree PARTITION BY toYYYYMM(t) ORDER BY t",
        admin=True,
    )
    site.sql("CREATE DATABASE elsewhere", admin=True)
    site.sql(
        "CREATE TABLE elsewhere.kept (t DateTime) ENGINE = MergeTree PARTITION BY toYYYYMM(t) ORDER BY t",
        admin=True,
    )
    policy(site, "{raw: {keep_months: forever}, tables: [{name: elsewhere.kept, keep_months: 3}]}")
    with pytest.raises(WarehouseError, match=r"lacks the grant ALTER SETTINGS ON elsewhere\.kept") as refused:
        applied(site)
    assert "sql/grants.sql" in refused.value.do
    policy(site, "{raw: {keep_months: forever}, tables: [{name: 'reporting.kept', keep_months: 3}]}")
    assert [step.statement for step in applied(site).done] == [
        "retention_modify_settings",
        "retention_modify_ttl",
    ]


def test_120_months_are_planned_and_what_is_due_of_them_dropped(site: Site) -> None:
    policy(site, "raw: {keep_months: 90}")
    chain(site)
    months = months_back(NOW, 119)
    fill(site, months, rows=2)
    world = seen(site)
    gone = due(months, 90, NOW)
    assert len(world.plan.fates) >= 120 * 4
    assert len(world.plan.of_state("due")) == len(gone) * 4 == 29 * 4
    done = applied(site, asked=world.plan.id)
    assert sum(step.statement == "partition_drop" for step in done.done) == len(gone) * 4
    assert set(rows_by_month(site)) == set(months) - set(gone)


def test_tables_by_name_keep_their_own_months_and_what_has_no_months_is_left_alone(site: Site) -> None:
    policy(
        site,
        f"raw: {{keep_months: {KEEP}}}\n"
        "tables: [{name: xapi.pars*, keep_months: 36}, {name: reporting.by_day, keep_months: 3}]\n"
        "event_sink: {keep_months: 6}",
    )
    chain(site)
    months = months_around(NOW, KEEP, 3)
    fill(site, months)

    applied(site)

    assert set(rows_by_month(site, "xapi.parsed")) == set(months), "a view's own storage, by the view's name"
    assert set(rows_by_month(site, "reporting.by_day")) == set(months) - set(due(months, 3, NOW))
    assert set(rows_by_month(site)) == set(months) - set(due(months, KEEP, NOW))
    left = {one.what: one.why for one in seen(site).plan.left_alone}
    assert set(left) == {f"event_sink.{name}" for name in EVENT_SINK_TABLES}
    assert "the newest of a key counts" in left["event_sink.course_overviews"]
    assert "user_id" in left["event_sink.external_id"]


def test_for_ever_takes_ttls_away(site: Site) -> None:
    policy(site, "raw: {keep_months: forever}")
    chain(site, ttl="toDateTime(emission_time) + INTERVAL 1 YEAR")
    site.sql("SYSTEM STOP TTL MERGES", admin=True)
    months = months_back(NOW, 20, 15)
    fill(site, months)
    applied(site)
    site.sql("SYSTEM START TTL MERGES", admin=True)
    settle(site)
    for table in (RAW, *BEHIND):
        assert set(rows_by_month(site, table)) == set(months)
        assert table == "xapi.parsed" or "TTL" not in engine_of(site, table)


def test_leftovers_of_system_logs_and_of_loads_go(site: Site) -> None:
    chain(site)
    admin = as_admin(site)
    site.sql(
        "CREATE TABLE system.text_log_0 (event_date Date, m String) ENGINE = MergeTree"
        " PARTITION BY toYYYYMM(event_date) ORDER BY event_date",
        admin=True,
    )
    site.sql(
        "CREATE TABLE system.text_log_1 (event_date Date, m String) ENGINE = MergeTree"
        " PARTITION BY toYYYYMM(event_date) ORDER BY event_date",
        admin=True,
    )
    site.sql("INSERT INTO system.text_log_0 SELECT '2024-01-01', 'x'", admin=True)
    site.sql("INSERT INTO system.text_log_1 SELECT today(), 'x'", admin=True)
    site.sql(
        "CREATE TABLE aspects_orchestration.staging_xapi_xapi_events_all_202401_0123456789abcdef (a Int8)"
        " ENGINE = MergeTree ORDER BY a",
        admin=True,
    )
    policy(
        site,
        "{raw: {keep_months: forever}, system_logs: {keep_months: 1, drop_leftovers_after_months: 2},"
        " staging: {keep_days: 1}}",
    )
    site.sql("SYSTEM FLUSH LOGS", admin=True)
    quiet = seen(site, warehouse=admin)
    assert [step.target for step in quiet.plan.steps if step.statement == "table_drop"] == [
        "system.text_log_0"
    ]
    applied(site, warehouse=admin)
    left = site.sql("SELECT name FROM system.tables WHERE name LIKE 'text_log%' FORMAT TSV", admin=True)
    assert left == b"text_log_1\n"
    assert "toDateTime(event_date) + toIntervalMonth(1)" in engine_of(site, "system.query_log")

    policy(site, "{raw: {keep_months: forever}, staging: {keep_days: 1}}")
    world = seen(site, warehouse=admin)
    assert [one.name for one in world.observed.staging] == [
        "staging_xapi_xapi_events_all_202401_0123456789abcdef"
    ]

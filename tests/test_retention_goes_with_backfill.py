"""Loading and retention: expired months are refused, or stay while they are wanted; dropped months come back whole."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from services.retention import (
    RAW,
    Archive,
    applied,
    engine_of,
    policy,
    rows_by_month,
    seen,
    server_of_the_module,
    settle,
    site,
)
from services.site import Site
from services.views import chain_views, counts

from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.retention.expired import ExpiredError, keep_loaded
from aspects_orchestration.retention.verify import QUESTIONS
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.window import month_window

__all__ = ["server_of_the_module", "site"]

MONTH = "2024-05"


@pytest.fixture
def loaded(site: Site) -> Site:
    """A site whose month is loaded, with views behind the raw table and a policy under which it has expired."""
    site.write_samples(SampleSpec(lines=1_500), files=2)
    chain_views(site)
    site.load(MONTH)
    policy(site, "raw: {keep_months: 12}")
    return site


def test_a_month_that_went_comes_back_with_the_same_reporting_counts(loaded: Site) -> None:
    before, rows = counts(loaded), loaded.rows()
    reported = loaded.sql("SELECT * FROM reporting.by_day FINAL ORDER BY ALL FORMAT TSV", admin=True)

    done = applied(loaded)

    assert {step.target for step in done.done if step.statement == "partition_drop"} == {
        RAW,
        "reporting.by_event",
        "reporting.by_day",
    }
    assert counts(loaded) == (0, 0, 0, 0)
    with pytest.raises(ExpiredError, match="keeps \\(12 months\\)") as refused:
        loaded.load(MONTH)
    assert "allow_expired" in refused.value.do
    policy(loaded, "raw: {keep_months: forever}")
    applied(loaded)
    loaded.load(MONTH)
    settle(loaded)
    assert counts(loaded) == before
    assert loaded.rows() == rows
    assert loaded.sql("SELECT * FROM reporting.by_day FINAL ORDER BY ALL FORMAT TSV", admin=True) == reported
    missing = QUESTIONS["no_month_is_missing"](loaded.warehouse(), seen(loaded))
    assert not any(line.startswith(MONTH) for line in missing.lines)
    for line in missing.lines:  # the samples' neighbouring months, of which the logs hold some events
        loaded.load(line.partition(":")[0])
    assert QUESTIONS["no_month_is_missing"](loaded.warehouse(), seen(loaded)).passed


def test_a_month_whose_logs_exist_and_that_is_kept_is_missed(loaded: Site) -> None:
    applied(loaded)
    policy(loaded, "raw: {keep_months: forever}")
    missing = QUESTIONS["no_month_is_missing"](loaded.warehouse(), seen(loaded))
    assert not missing.passed
    assert any(line.startswith(f"{MONTH}: ") for line in missing.lines)


def test_an_expired_month_loaded_all_the_same_stays_until_retention_is_applied(loaded: Site) -> None:
    applied(loaded)
    said: list[str] = []
    warehouse, window = loaded.warehouse(), month_window(MONTH)
    keep_loaded(loaded.settings, warehouse, window, MONTH, utc_now(), dry_run=True, say=said.append)
    assert any(f"TTL merges of {RAW} would be stopped" in line for line in said)
    assert seen(loaded).observed.stopped == {}

    keep_loaded(loaded.settings, warehouse, window, MONTH, utc_now(), dry_run=False, say=said.append)
    result = loaded.load(MONTH, allow_expired=True)

    assert result.statements is not None
    assert result.statements.inserted == counts(loaded)[0] > 0
    assert any("was due to go on 2025-06-01" in line for line in said), "when the rows go"
    assert any("start again with the next real run of apply_retention" in line for line in said)
    assert set(seen(loaded).observed.stopped) == {RAW, "reporting.by_event", "reporting.by_day"}
    unsealed = Archive(frozenset())
    applied(loaded, archive=unsealed)
    assert seen(loaded, archive=unsealed).observed.stopped == {}
    settle(loaded)
    assert counts(loaded)[0] == result.statements.inserted, (
        "not archived, so it stays, though TTL merges run again"
    )
    applied(loaded)
    assert counts(loaded) == (0, 0, 0, 0)


def test_who_may_not_stop_ttl_merges_is_told_that_the_rows_go(loaded: Site) -> None:
    loaded.sql("CREATE DATABASE elsewhere", admin=True)
    loaded.sql(
        "CREATE TABLE elsewhere.expiring (emission_time DateTime64(6)) ENGINE = MergeTree"
        " PARTITION BY toYYYYMM(emission_time) ORDER BY emission_time TTL toDateTime(emission_time) + INTERVAL 1 MONTH",
        admin=True,
    )
    loaded.sql(
        "CREATE MATERIALIZED VIEW elsewhere.expiring_mv TO elsewhere.expiring AS"
        " SELECT emission_time FROM xapi.xapi_events_all",
        admin=True,
    )
    policy(loaded, "raw: {keep_months: forever}")
    with pytest.raises(ExpiredError, match=r"elsewhere\.expiring has the TTL") as refused:
        loaded.load(MONTH)
    assert "apply_retention" in refused.value.do
    said: list[str] = []
    keep_loaded(
        loaded.settings,
        loaded.warehouse(),
        month_window(MONTH),
        MONTH,
        utc_now(),
        dry_run=False,
        say=said.append,
    )
    assert any(
        "SYSTEM TTL MERGES ON elsewhere.expiring" in line and "goes within a second" in line for line in said
    )


def test_a_month_on_hold_is_no_expired_month(loaded: Site) -> None:
    year = datetime.now(UTC).year + 1
    policy(
        loaded,
        f"raw: {{keep_months: 12}}\nholds: [{{partitions: [{MONTH}], reason: a study, until: {year}-12-31}}]",
    )
    before = counts(loaded)
    applied(loaded)
    assert "IN (202405)" in engine_of(loaded, RAW)
    loaded.sql(f"ALTER TABLE {RAW} DROP PARTITION ID '202405'", admin=True)
    lost = QUESTIONS["held_partitions_stand"](loaded.warehouse(), seen(loaded))
    assert not lost.passed
    loaded.load(MONTH, mode=Mode.REBUILD)
    settle(loaded)
    assert counts(loaded) == before
    assert rows_by_month(loaded)[MONTH] == before[0]


def test_quarantine_goes_with_its_month(site: Site) -> None:
    site.write_samples(SampleSpec(lines=1_500, damage=0.05), files=2)
    site.load(MONTH)
    folder = site.folder / "archive" / "quarantine" / "xapi_events_all" / MONTH
    objects = [path for path in folder.rglob("*") if path.is_file()]
    assert objects
    policy(site, "{raw: {keep_months: forever}, quarantine: {keep_months: 6}}")
    blocked = seen(site, archive=None)
    assert [one.why for one in blocked.plan.left_alone if MONTH in one.what]
    assert not any(not step.statement for step in blocked.plan.steps)
    (step,) = [one for one in seen(site).plan.steps if not one.statement]
    assert f"{len(objects)} objects of {MONTH}" in step.why

    applied(site)

    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert rows_by_month(site)[MONTH] > 0

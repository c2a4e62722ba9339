"""What operators see and launch: the asset with its tables and picture, the job with its plan, checks, sensor, schedules."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from services.receivers import web_hook
from services.retention import (
    RAW,
    chain,
    due,
    fill,
    months_around,
    months_back,
    policy,
    rows_by_month,
    seen,
    server_of_the_module,
    site,
)
from services.site import Site

from aspects_orchestration.definitions import defs
from aspects_orchestration.retention.plan import Step
from aspects_orchestration.retention.verify import QUESTIONS, expiring_unarchived
from aspects_orchestration.sensors.retention import unarchived_months_expire

__all__ = ["server_of_the_module", "site"]

NOW = datetime.now(UTC)
KEEP = 12


@pytest.fixture
def months(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three due months and those that are kept, with views behind, and the site's settings in the environment."""
    policy(site, f"{{raw: {{keep_months: {KEEP}}}, require_archive: false}}")
    chain(site)
    made = months_around(NOW, KEEP, 3)
    fill(site, made)
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    return made


def run(job: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
    ops = {"ops": {"bring_tables_to_policy": {"config": config}}} if config else {}
    found = defs().get_job_def(job)
    return found.execute_in_process(run_config=ops, raise_on_error=False)


def observation(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [one for one in result.all_events if one.event_type_value == "ASSET_OBSERVATION"]
    return {name: one.value for name, one in event.asset_observation_data.asset_observation.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [one for one in result.all_events if one.event_type_value == "STEP_FAILURE"]
    return str(event.step_failure_data.user_failure_data.description)


def test_the_dry_run_is_the_default_and_the_real_run_does_its_plan(site: Site, months: list[str]) -> None:
    before = rows_by_month(site)
    dry = run("apply_retention")
    assert dry.success
    shown = observation(dry)
    assert rows_by_month(site) == before
    assert shown["partitions_due"] == 3 * 4
    for month in due(months, KEEP, NOW):
        assert f"ALTER TABLE {RAW} DROP PARTITION ID '{month.replace('-', '')}'" in shown["plan"]
    assert (
        f"ALTER TABLE {RAW} MODIFY TTL toDateTime(emission_time) + toIntervalMonth(12) SETTINGS"
        " materialize_ttl_after_modify = 0"
    ) in shown["plan"]
    assert f"ALTER TABLE {RAW} MODIFY SETTING ttl_only_drop_parts = 1" in shown["plan"]
    none = run("apply_retention", {"dry_run": False})
    assert not none.success
    assert f"it would be plan {shown['plan_id']}" in failure(none)
    fill(site, months[-1:], rows=1)
    real = run("apply_retention", {"dry_run": False, "plan": shown["plan_id"]})
    assert real.success, "rows of a month that stays change no plan"
    done = observation(real)
    assert done["applied_plan"] == shown["plan_id"]
    assert done["steps_done"] == shown["steps"]
    assert done["dropped_rows"][RAW] == 3 * 10
    assert set(rows_by_month(site)) == set(months) - set(due(months, KEEP, NOW))
    again = run("apply_retention", {"dry_run": False, "plan": "unseen"})
    assert again.success
    assert observation(again)["steps_done"] == 0


def test_a_plan_of_yesterday_is_refused_in_one_sentence(site: Site, months: list[str]) -> None:
    asked = observation(run("apply_retention"))["plan_id"]
    fill(site, months[:1], rows=1)
    refused = run("apply_retention", {"dry_run": False, "plan": asked})
    assert not refused.success
    assert f"since plan {asked} was made" in failure(refused)
    assert set(rows_by_month(site)) == set(months)


def test_the_asset_shows_tables_partitions_plan_and_a_picture(site: Site, months: list[str]) -> None:
    result = run("observe_retention")
    assert result.success
    (event,) = result.asset_materializations_for_node("retention_policies")
    shown = {name: one.value for name, one in event.metadata.items()}
    assert f"| {RAW} | raw | 12 months | none | no | {len(months)} |" in shown["tables"]
    for month in due(months, KEEP, NOW):
        assert f"| {month} | {RAW} | due | " in shown["partitions"]
    png = base64.b64decode(re.findall(r"base64,([A-Za-z0-9+/=]+)\)", shown["timeline"])[0])
    assert png.startswith(b"\x89PNG\r\n")
    assert shown["plan_id"] in shown["summary"]
    checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert set(checks) == set(QUESTIONS)
    assert not checks["ttl_equals_policy"]
    assert not checks["raw_table_has_a_ttl"]
    assert not checks["nothing_outlives_its_policy"]
    assert checks["held_partitions_stand"]
    assert run("apply_retention", {"dry_run": False, "plan": "unseen"}).success
    after = {one.check_name: one.passed for one in run("observe_retention").get_asset_check_evaluations()}
    assert after == dict.fromkeys(QUESTIONS, True)


def test_nothing_is_late_before_a_month_is_over(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    fill(site, months_back(NOW, KEEP + 1))
    ask = QUESTIONS["nothing_outlives_its_policy"]
    assert ask(site.warehouse(), seen(site)).passed, "due, and no month late"
    fill(site, months_back(NOW, KEEP + 2, KEEP + 2))
    late = ask(site.warehouse(), seen(site))
    assert not late.passed
    assert late.numbers["late"] == 4


def test_system_logs_are_held_to_their_share(site: Site) -> None:
    chain(site)
    site.sql("SYSTEM FLUSH LOGS", admin=True)
    ask = QUESTIONS["system_logs_within_their_share"]
    policy(site, "system_logs: {share_of_disk: 0.5}")
    within = ask(site.warehouse(), seen(site))
    assert within.passed
    assert within.numbers["bytes"] > 0
    policy(site, "system_logs: {share_of_disk: 0.000000000001}")
    assert not ask(site.warehouse(), seen(site)).passed


def test_the_sensor_raises_an_alert_once_a_day_for_months_that_go_unarchived(
    site: Site, months: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    resources = defs().get_repository_def().get_top_level_resources()
    watch = unarchived_months_expire()
    with web_hook() as hook:
        monkeypatch.setenv("ASPECTS_ALERT_URLS", hook.url)
        hook.status = 500
        refused = watch.evaluate_tick(dg.build_sensor_context(resources=resources))
        assert json.loads(refused.cursor) == {}, "nobody took it: it is told of again"
        hook.status = 200
        found = watch.evaluate_tick(dg.build_sensor_context(resources=resources, cursor=refused.cursor))

        (event,) = found.asset_events
        assert event.asset_key == dg.AssetKey("retention_policies")
        assert event.metadata["months_expiring_unarchived"].value == 3
        (told,) = hook.got
        assert "3 months" in told["title"]
        assert all(month in told["message"] for month in due(months, KEEP, NOW))
        assert set(json.loads(found.cursor)) == set(due(months, KEEP, NOW))
        again = watch.evaluate_tick(dg.build_sensor_context(resources=resources, cursor=found.cursor))
        assert again.skip_message
        assert len(hook.got) == 1
        yesterday = json.dumps(dict.fromkeys(due(months, KEEP, NOW), "2020-01-01"))
        assert watch.evaluate_tick(
            dg.build_sensor_context(resources=resources, cursor=yesterday)
        ).asset_events
        assert len(hook.got) == 2


def test_fourteen_days_and_a_verified_archive_are_what_counts(site: Site) -> None:
    policy(site, f"raw: {{keep_months: {KEEP}}}")
    chain(site)
    fill(site, ["2024-05", "2024-06"])

    def at(moment: datetime, **how: Any) -> list[str]:
        return [one.month for one in expiring_unarchived(seen(site, now=moment, **how))]

    assert at(datetime(2025, 5, 17, tzinfo=UTC), archive=None) == []
    assert at(datetime(2025, 5, 18, 1, tzinfo=UTC), archive=None) == ["2024-05"]
    assert at(datetime(2025, 7, 1, tzinfo=UTC), archive=None) == ["2024-05", "2024-06"]
    assert at(datetime(2025, 7, 1, tzinfo=UTC)) == [], "every month is in this archive"


def test_the_weekly_schedule_applies_whatever_the_plan_is() -> None:
    schedules = {one.name: one for one in defs().get_repository_def().schedule_defs}
    tick = schedules["apply_retention_weekly"].evaluate_tick(
        dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 23, 4, tzinfo=UTC))
    )
    (request,) = tick.run_requests or ()
    assert request.run_config == {
        "ops": {"bring_tables_to_policy": {"config": {"dry_run": False, "plan": "unseen"}}}
    }
    assert schedules["observe_retention_weekly"].job_name == "observe_retention"


def test_on_a_cluster_every_statement_says_so_and_can_be_parsed(site: Site) -> None:
    steps = [
        _step("retention_modify_settings"),
        _step("retention_modify_ttl", {"months": [12]}, column="emission_time"),
        _step(
            "retention_modify_ttl_keeping", {"months": [12], "kept": [202405, 202406]}, column="emission_time"
        ),
        _step("retention_remove_ttl"),
        _step("retention_recalculate", partition_id="202405"),
        _step("retention_recalculate_all"),
        _step("partition_drop", partition_id="202405"),
        _step("table_drop"),
        _step("ttl_merges_start"),
        _step("ttl_merges_stop"),
    ]
    site.warehouse()
    for step in steps:
        text = step.sql("{cluster}").shown()
        assert " ON CLUSTER '{cluster}'" in text
        formatted = site.sql(f"SELECT formatQuery($sql${text}$sql$) FORMAT TSVRaw", admin=True).decode()
        assert "ON CLUSTER" in formatted
        assert " ON CLUSTER" not in step.sql().shown()


def _step(statement: str, numbers: dict[str, list[int]] | None = None, **parameters: str) -> Step:
    bound = {"database": "xapi", "table": ".inner_id.5e9f", **parameters}
    return Step(statement, "xapi..inner_id.5e9f", "", bound, numbers or {}, "", "")

"""All that the code location holds, by name: what changes here changes what operators see and what their scripts call."""

from __future__ import annotations

import dagster as dg
import pytest

from aspects_orchestration.definitions import defs
from aspects_orchestration.retention.verify import QUESTIONS as RETENTION_QUESTIONS
from aspects_orchestration.warehouse.verify import QUESTIONS

ASSETS = {
    "tracking_logs": {"group": "tracking", "kinds": {"json", "s3"}, "deps": set(), "partitioned": False},
    "xapi_events_all": {
        "group": "xapi",
        "kinds": {"clickhouse", "python"},
        "deps": {"tracking_logs"},
        "partitioned": True,
    },
    "retention_policies": {
        "group": "retention",
        "kinds": {"clickhouse"},
        "deps": {"xapi_events_all"},
        "partitioned": False,
    },
}
CHECKS = {
    "account_adds_up",
    "logs_readable",
    "no_duplicate_ids",
    "rows_in_their_month",
    "statements_are_whole",
    "expected_ids_present",
    "schema_is_upstreams",
    "views_have_followed",
}
RETENTION_CHECKS = {
    "ttl_equals_policy",
    "ttl_is_month_aligned",
    "raw_table_has_a_ttl",
    "nothing_outlives_its_policy",
    "no_month_is_missing",
    "system_logs_within_their_share",
    "held_partitions_stand",
}
JOBS = {
    "backfill_xapi_events_all",
    "check_xapi_events_all",
    "observe_tracking_logs",
    "observe_retention",
    "apply_retention",
}
SCHEDULES = {
    "load_current_month_nightly": ("backfill_xapi_events_all", "0 2 * * *"),
    "observe_tracking_logs_nightly": ("observe_tracking_logs", "30 1 * * *"),
    "observe_retention_weekly": ("observe_retention", "0 3 * * 1"),
    "apply_retention_weekly": ("apply_retention", "0 4 * * 1"),
}
SENSORS = {"unarchived_months_expire"}
RESOURCES = {"clickhouse", "log_storage"}
CONFIG = {"mode", "since", "until", "dry_run", "source", "allow_expired", "allow_loss", "verify"}
APPLY_CONFIG = {"dry_run", "plan"}


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs().get_repository_def()


@pytest.fixture(scope="module")
def statements(repository: dg.RepositoryDefinition) -> dg.AssetsDefinition:
    return repository.assets_defs_by_key[dg.AssetKey("xapi_events_all")]


def test_assets_are_these(repository: dg.RepositoryDefinition) -> None:
    found = {
        spec.key.to_user_string(): {
            "group": spec.group_name,
            "kinds": set(spec.kinds),
            "deps": {dep.asset_key.to_user_string() for dep in spec.deps},
            "partitioned": spec.partitions_def is not None,
        }
        for definition in repository.assets_defs_by_key.values()
        for spec in definition.specs
    }
    assert found == ASSETS


def test_every_asset_and_job_says_what_it_is(repository: dg.RepositoryDefinition) -> None:
    specs = [spec for definition in repository.assets_defs_by_key.values() for spec in definition.specs]
    jobs = [job for job in repository.get_all_jobs() if job.name in JOBS]
    schedules = repository.schedule_defs
    assert all(one.description for one in (*specs, *jobs, *schedules))


def test_checks_jobs_schedules_sensors_and_resources_are_these(repository: dg.RepositoryDefinition) -> None:
    checks = {key.name for key in repository.asset_checks_defs_by_key}
    assert checks == set(QUESTIONS) | set(RETENTION_QUESTIONS)
    assert set(QUESTIONS) == CHECKS
    assert set(RETENTION_QUESTIONS) == RETENTION_CHECKS
    assert {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")} == JOBS
    schedules = {one.name: (one.job_name, one.cron_schedule) for one in repository.schedule_defs}
    assert schedules == SCHEDULES
    assert {one.name for one in repository.sensor_defs} == SENSORS
    assert set(repository.get_top_level_resources()) == RESOURCES


def test_partitions_are_the_months_from_the_first_to_the_running_one(
    statements: dg.AssetsDefinition,
) -> None:
    keys = statements.partitions_def.get_partition_keys() if statements.partitions_def else []
    assert keys[0] == "2020-01"
    assert "2024-05" in keys
    assert len(keys) == len(set(keys))
    assert isinstance(statements.partitions_def, dg.MonthlyPartitionsDefinition)
    assert statements.partitions_def.timezone == "UTC"


def test_a_load_takes_this_config_and_queues_in_its_pool(statements: dg.AssetsDefinition) -> None:
    assert isinstance(statements.op, dg.OpDefinition)
    assert statements.op.pool == "clickhouse_insert"
    assert set(statements.op.config_schema.config_type.fields) == CONFIG  # type: ignore[union-attr]


def test_applying_retention_takes_this_config(repository: dg.RepositoryDefinition) -> None:
    (op,) = repository.get_job("apply_retention").graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    assert set(op.config_schema.config_type.fields) == APPLY_CONFIG  # type: ignore[union-attr]


def test_no_sensor_watches_until_it_is_switched_on(repository: dg.RepositoryDefinition) -> None:
    assert {one.default_status for one in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}


def test_no_schedule_runs_until_it_is_switched_on(repository: dg.RepositoryDefinition) -> None:
    assert {one.default_status for one in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}

"""All that the code location holds, by name: what changes here changes what operators see and what their scripts call."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from aspects_orchestration.checks.personal_data import QUESTIONS as OF_PEOPLE
from aspects_orchestration.checks.tracking_logs import QUESTIONS as OF_LOGS
from aspects_orchestration.definitions import defs
from aspects_orchestration.lms.compare import QUESTIONS as OF_COPIES
from aspects_orchestration.retention.verify import QUESTIONS as RETENTION_QUESTIONS
from aspects_orchestration.warehouse.verify import QUESTIONS

LMS_TABLES = (
    "course_overviews",
    "external_id",
    "user_profile",
    "course_enrollment",
    "tag",
    "taxonomy",
    "object_tag",
)
ASSETS = {
    "tracking_logs": {"group": "tracking", "kinds": {"json", "s3"}, "deps": set(), "partitioned": False},
    "xapi_events_all": {
        "group": "xapi",
        "kinds": {"clickhouse", "python"},
        "deps": {"tracking_logs"},
        "partitioned": True,
    },
    **{
        table: {"group": "event_sink", "kinds": {"clickhouse", "mysql"}, "deps": set(), "partitioned": False}
        for table in LMS_TABLES
    },
    "course_blocks": {
        "group": "event_sink",
        "kinds": {"clickhouse", "json"},
        "deps": set(),
        "partitioned": False,
    },
    "retention_policies": {
        "group": "retention",
        "kinds": {"clickhouse"},
        "deps": {"xapi_events_all"},
        "partitioned": False,
    },
}
COPY_CHECKS = {"row_counts_match_lms", "rows_gone_from_lms", "copied_lately", "no_repeated_newest_rows"}
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
    "apply_retention",
    "backfill_xapi_events_all",
    "check_lms_tables",
    "check_tracking_logs",
    "check_xapi_events_all",
    "copy_lms_tables",
    "delete_retired_users",
    "empty_personal_data",
    "observe_retention",
    "observe_tracking_logs",
    "rotate_tracking_logs",
}
SCHEDULES = {
    "copy_lms_tables_daily": ("copy_lms_tables", "0 1 * * *"),
    "delete_retired_users_daily": ("delete_retired_users", "30 4 * * *"),
    "load_current_month_nightly": ("backfill_xapi_events_all", "0 2 * * *"),
    "observe_tracking_logs_nightly": ("observe_tracking_logs", "30 1 * * *"),
    "observe_retention_weekly": ("observe_retention", "0 3 * * 1"),
    "rotate_tracking_logs_when_due": ("rotate_tracking_logs", "55 * * * *"),
    "apply_retention_weekly": ("apply_retention", "0 4 * * 1"),
}
SENSORS = {"replay_quarantine_when_they_arrive", "unarchived_months_expire"}
RESOURCES = {"clickhouse", "log_storage"}
COPY_CONFIG = {
    "mode",
    "ids",
    "ids_to_skip",
    "limit",
    "start_after",
    "batch_size",
    "sleep_between_batches",
    "rows_per_second",
    "dry_run",
}
CONFIG = {"mode", "since", "until", "dry_run", "source", "allow_expired", "allow_loss", "verify"}
ROTATE_CONFIG = {"dry_run", "force", "wait_s"}
LOG_CHECKS = {"live_log_is_rotated"}
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
    checks: dict[str, set[str]] = {}
    for key in repository.asset_checks_defs_by_key:
        checks.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert checks["xapi_events_all"] == set(QUESTIONS) == CHECKS
    assert set(OF_COPIES) == COPY_CHECKS
    for table in LMS_TABLES:
        assert checks[table] == COPY_CHECKS | set(OF_PEOPLE.get(table, {}))
    assert checks["course_blocks"] == {"copied_lately", "no_repeated_newest_rows"}
    assert checks["retention_policies"] == set(RETENTION_QUESTIONS) == RETENTION_CHECKS
    assert checks["tracking_logs"] == set(OF_LOGS) == LOG_CHECKS
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


def test_copies_take_this_config_and_are_expected_daily(repository: dg.RepositoryDefinition) -> None:
    for table in (*LMS_TABLES, "course_blocks"):
        definition = repository.assets_defs_by_key[dg.AssetKey(table)]
        assert isinstance(definition.op, dg.OpDefinition)
        assert set(definition.op.config_schema.config_type.fields) == COPY_CONFIG  # type: ignore[union-attr]
        (spec,) = definition.specs
        assert spec.freshness_policy is not None
        assert definition.op.pool == (None if table == "course_blocks" else "lms_database")


def test_course_blocks_are_observed_where_the_cms_writes_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASPECTS_TRACKING_LOGS", str(tmp_path))
    monkeypatch.delenv("ASPECTS_COURSE_BLOCKS", raising=False)
    repository = defs().get_repository_def()
    assert not repository.assets_defs_by_key[dg.AssetKey("course_blocks")].is_executable
    assert "observe_course_blocks" in {job.name for job in repository.get_all_jobs()}
    schedules = {one.name: one.job_name for one in repository.schedule_defs}
    assert schedules["observe_course_blocks_daily"] == "observe_course_blocks"


def test_applying_retention_takes_this_config(repository: dg.RepositoryDefinition) -> None:
    (op,) = repository.get_job("apply_retention").graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    assert set(op.config_schema.config_type.fields) == APPLY_CONFIG  # type: ignore[union-attr]


def test_rotating_takes_this_config(repository: dg.RepositoryDefinition) -> None:
    (op,) = repository.get_job("rotate_tracking_logs").graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    assert set(op.config_schema.config_type.fields) == ROTATE_CONFIG  # type: ignore[union-attr]


def test_no_sensor_watches_until_it_is_switched_on(repository: dg.RepositoryDefinition) -> None:
    assert {one.default_status for one in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}


def test_no_schedule_runs_until_it_is_switched_on(repository: dg.RepositoryDefinition) -> None:
    assert {one.default_status for one in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}

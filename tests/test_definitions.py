"""All that the code location holds, by name: what changes here changes what operators see and what their scripts call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from aspects_orchestration.archive.questions import QUESTIONS as SEALED_DAYS_QUESTIONS
from aspects_orchestration.checks.personal_data import QUESTIONS as OF_PEOPLE
from aspects_orchestration.checks.pipeline_health import NAME as HEALTHY
from aspects_orchestration.checks.sealing import QUESTIONS as SEALING_QUESTIONS
from aspects_orchestration.checks.tracking_logs import QUESTIONS as OF_LOGS
from aspects_orchestration.dashboards.verify import (
    DICTIONARY_QUESTIONS,
    MONTH_QUESTIONS,
    SOURCE_QUESTIONS,
)
from aspects_orchestration.definitions import defs
from aspects_orchestration.doctor.production import DIAGNOSES
from aspects_orchestration.drill.verify import QUESTIONS as DRILL_QUESTIONS
from aspects_orchestration.lms.compare import QUESTIONS as OF_COPIES
from aspects_orchestration.monitoring.signals import SIGNALS
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
    "production_readiness": {"group": "monitoring", "kinds": set(), "deps": set(), "partitioned": False},
    "operator_report": {"group": "monitoring", "kinds": {"clickhouse"}, "deps": set(), "partitioned": False},
    "tracking_logs": {"group": "tracking", "kinds": {"json", "s3"}, "deps": set(), "partitioned": False},
    "tracking_log_archive": {
        "group": "archive",
        "kinds": {"s3"},
        "deps": {"tracking_logs"},
        "partitioned": True,
    },
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
    "dashboards/sources": {
        "group": "dashboards",
        "kinds": {"clickhouse", "dbt"},
        "deps": {"xapi_events_all"},
        "partitioned": True,
    },
    "dashboards/dictionaries": {
        "group": "dashboards",
        "kinds": {"clickhouse", "dbt"},
        "deps": {"course_overviews", "course_blocks", "user_profile"},
        "partitioned": False,
    },
    "restore_drill": {"group": "archive", "kinds": {"clickhouse"}, "deps": set(), "partitioned": False},
    **{
        f"pipeline_health/{signal.name}": {
            "group": "monitoring",
            "kinds": {"clickhouse"} if signal.group == "clickhouse" else set(),
            "deps": set(),
            "partitioned": False,
        }
        for signal in SIGNALS.values()
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
SEALED_DAYS_CHECKS = {
    "manifest_is_unchanged",
    "chain_holds",
    "no_object_is_missing",
    "no_object_is_extra",
    "objects_are_unchanged",
}
DASHBOARD_CHECKS = {"sources_are_complete", "views_can_follow"}
SEALING_CHECKS = {"day_is_sealed", "closed_files_are_sealed"}
JOBS = {
    "apply_retention",
    "archive_tracking_logs",
    "backfill_xapi_events_all",
    "check_dashboards",
    "check_lms_tables",
    "check_pipeline_health",
    "check_production_readiness",
    "check_tracking_logs",
    "check_restore_drill",
    "check_xapi_events_all",
    "check_xapi_gaps",
    "copy_lms_tables",
    "delete_retired_users",
    "empty_personal_data",
    "observe_dashboards",
    "observe_retention",
    "observe_tracking_logs",
    "rotate_tracking_logs",
    "rebuild_all",
    "replay_window",
    "restore_drill",
    "release_archived_logs",
    "verify_archive",
}
SCHEDULES = {
    "check_xapi_gaps_daily": ("check_xapi_gaps", "0 5 * * *"),
    "archive_tracking_logs_nightly": ("archive_tracking_logs", "15 6 * * *"),
    "copy_lms_tables_daily": ("copy_lms_tables", "0 1 * * *"),
    "delete_retired_users_daily": ("delete_retired_users", "30 4 * * *"),
    "load_current_month_nightly": ("backfill_xapi_events_all", "0 2 * * *"),
    "observe_tracking_logs_nightly": ("observe_tracking_logs", "30 1 * * *"),
    "observe_dashboards_daily": ("observe_dashboards", "30 5 * * *"),
    "observe_retention_weekly": ("observe_retention", "0 3 * * 1"),
    "operator_report_hourly": ("__anonymous_asset_job_operator_report_hourly", "5 * * * *"),
    "verify_archive_weekly": ("verify_archive", "0 8 * * 0"),
    "rotate_tracking_logs_when_due": ("rotate_tracking_logs", "55 * * * *"),
    "apply_retention_weekly": ("apply_retention", "0 4 * * 1"),
    "restore_drill_monthly": ("restore_drill", "0 5 3 * *"),
    "check_restore_drill_daily": ("check_restore_drill", "30 6 * * *"),
    "check_pipeline_health_hourly": ("check_pipeline_health", "20 * * * *"),
}
SENSORS = {
    "replay_quarantine_when_they_arrive",
    "unarchived_months_expire",
    "xapi_gaps",
    "clickhouse_health",
    "queue_health",
    "service_health",
    "run_failed",
    "new_tracking_logs",
    "act_on_health",
}
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
DESTINATION_CONFIG = {"destination", "resend", "statements_per_second", "max_refused"}
CONFIG = {
    *(
        "mode",
        "since",
        "until",
        "dry_run",
        "source",
        "allow_expired",
        "allow_loss",
        "leave_unpartitioned",
        "verify",
    ),
    *DESTINATION_CONFIG,
}
ROTATE_CONFIG = {"dry_run", "force", "wait_s"}
LOG_CHECKS = {"live_log_is_rotated"}
REPLAY_CONFIG = {"since", "until", "source", "dry_run", "allow_expired", "allow_loss", *DESTINATION_CONFIG}
REBUILD_CONFIG = {"source", "dry_run", "again", "allow_expired", "allow_loss", "lms_tables"}
DRILL_CHECKS = {"drill_passed", "drill_is_recent", "rpo_within_bounds"}
DRILL_CONFIG = {"day", "turn", "max_raw_gb", "dry_run"}
VERIFY_CONFIG = {"read_data_subset", "day"}
APPLY_CONFIG = {"dry_run", "plan"}
GAPS_CONFIG = {"days", "lag_hours", "until", "tolerance", "at_least", "read_new"}
SEAL_CONFIG = {"dry_run", "lateness_hours"}


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
    assert checks["tracking_log_archive"] >= set(SEALED_DAYS_QUESTIONS) == SEALED_DAYS_CHECKS
    assert checks["tracking_log_archive"] >= set(SEALING_QUESTIONS) == SEALING_CHECKS
    assert checks["production_readiness"] == {one.name for one in DIAGNOSES}
    assert checks["tracking_logs"] == {*LOG_CHECKS, "xapi_gaps"}
    assert set(OF_LOGS) == LOG_CHECKS
    for signal in SIGNALS:
        assert checks[f"pipeline_health/{signal}"] == {HEALTHY}
    assert checks["restore_drill"] == set(DRILL_QUESTIONS) == DRILL_CHECKS
    assert checks["dashboards/sources"] == {*MONTH_QUESTIONS, *SOURCE_QUESTIONS} == DASHBOARD_CHECKS
    assert checks["dashboards/dictionaries"] == set(DICTIONARY_QUESTIONS) == {"dictionaries_are_loaded"}
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


def test_sealing_takes_this_config_and_a_partition_is_a_day_that_is_over(
    repository: dg.RepositoryDefinition,
) -> None:
    archive = repository.assets_defs_by_key[dg.AssetKey("tracking_log_archive")]
    assert isinstance(archive.op, dg.OpDefinition)
    assert archive.op.pool == "tracking_log_archive"
    assert set(archive.op.config_schema.config_type.fields) == SEAL_CONFIG  # type: ignore[union-attr]
    assert isinstance(archive.partitions_def, dg.DailyPartitionsDefinition)
    keys = archive.partitions_def.get_partition_keys()
    assert keys[0] == "2020-01-01"
    assert keys[-1] == (datetime.now(UTC).date() - timedelta(days=1)).isoformat()


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


def test_a_site_without_dashboards_sees_nothing_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASPECTS_DASHBOARDS", "false")
    repository = defs().get_repository_def()
    assert not [key for key in repository.assets_defs_by_key if key.path[0] == "dashboards"]
    names = {one.name for one in (*repository.get_all_jobs(), *repository.schedule_defs)}
    assert not [name for name in names if "dashboards" in name]


def test_applying_retention_takes_this_config(repository: dg.RepositoryDefinition) -> None:
    (op,) = repository.get_job("apply_retention").graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    assert set(op.config_schema.config_type.fields) == APPLY_CONFIG  # type: ignore[union-attr]


def test_looking_for_gaps_takes_this_config(repository: dg.RepositoryDefinition) -> None:
    (op,) = repository.get_job("check_xapi_gaps").graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    assert set(op.config_schema.config_type.fields) == GAPS_CONFIG  # type: ignore[union-attr]


def test_rotating_takes_this_config(repository: dg.RepositoryDefinition) -> None:
    (op,) = repository.get_job("rotate_tracking_logs").graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    assert set(op.config_schema.config_type.fields) == ROTATE_CONFIG  # type: ignore[union-attr]


def test_recovery_takes_this_config_and_queues_where_loads_do(repository: dg.RepositoryDefinition) -> None:
    for job, config in (("replay_window", REPLAY_CONFIG), ("rebuild_all", REBUILD_CONFIG)):
        (op,) = repository.get_job(job).graph.node_defs
        assert isinstance(op, dg.OpDefinition)
        assert op.pool == "clickhouse_insert"
        assert set(op.config_schema.config_type.fields) == config  # type: ignore[union-attr]


def test_verifying_and_releasing_take_this_config(repository: dg.RepositoryDefinition) -> None:
    for job, config in (("verify_archive", VERIFY_CONFIG), ("release_archived_logs", APPLY_CONFIG)):
        (op,) = repository.get_job(job).graph.node_defs
        assert isinstance(op, dg.OpDefinition)
        assert set(op.config_schema.config_type.fields) == config  # type: ignore[union-attr]


def test_no_sensor_watches_until_it_is_switched_on(repository: dg.RepositoryDefinition) -> None:
    assert {one.default_status for one in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}


def test_no_schedule_runs_until_it_is_switched_on(repository: dg.RepositoryDefinition) -> None:
    assert {one.default_status for one in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}


def test_a_drill_takes_this_config(repository: dg.RepositoryDefinition) -> None:
    (op,) = repository.get_job("restore_drill").graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    assert set(op.config_schema.config_type.fields) == DRILL_CONFIG  # type: ignore[union-attr]

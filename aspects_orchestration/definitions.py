"""The code location: all that exists, wired in one place."""

import warnings

import dagster as dg

from aspects_orchestration.assets.dashboards import dashboard_assets
from aspects_orchestration.assets.event_sink import course_blocks, event_sink_assets
from aspects_orchestration.assets.operator_report import operator_report
from aspects_orchestration.assets.pipeline_health import pipeline_health
from aspects_orchestration.assets.restore_drill import restore_drill_asset
from aspects_orchestration.assets.retention_policies import retention_policies
from aspects_orchestration.assets.tracking_log_archive import tracking_log_archive
from aspects_orchestration.assets.tracking_logs import tracking_logs
from aspects_orchestration.assets.xapi_events_all import xapi_events_all
from aspects_orchestration.checks.dashboards import dashboard_checks, dashboard_month_checks
from aspects_orchestration.checks.event_sink import event_sink_checks
from aspects_orchestration.checks.personal_data import personal_data_checks
from aspects_orchestration.checks.pipeline_health import pipeline_health_checks
from aspects_orchestration.checks.production import production_checks, production_readiness
from aspects_orchestration.checks.restore_drill import restore_drill_checks
from aspects_orchestration.checks.retention_policies import retention_policies_checks
from aspects_orchestration.checks.sealed_days import sealed_days_checks
from aspects_orchestration.checks.sealing import sealing_checks
from aspects_orchestration.checks.tracking_logs import tracking_logs_checks
from aspects_orchestration.checks.xapi_events_all import xapi_events_all_checks
from aspects_orchestration.checks.xapi_gaps import xapi_gaps_check
from aspects_orchestration.jobs.archive_tracking_logs import archive_tracking_logs
from aspects_orchestration.jobs.backfill import backfill_xapi_events_all, check_xapi_events_all
from aspects_orchestration.jobs.dashboards import dashboards_jobs
from aspects_orchestration.jobs.disaster_recovery import rebuild_all, replay_window
from aspects_orchestration.jobs.gaps import check_xapi_gaps
from aspects_orchestration.jobs.lms_tables import lms_tables_jobs
from aspects_orchestration.jobs.personal_data import delete_retired_users, empty_personal_data
from aspects_orchestration.jobs.pipeline_health import check_pipeline_health
from aspects_orchestration.jobs.production import check_production_readiness
from aspects_orchestration.jobs.release import release_archived_logs
from aspects_orchestration.jobs.restore_drill import check_restore_drill, restore_drill
from aspects_orchestration.jobs.retention import apply_retention, observe_retention
from aspects_orchestration.jobs.rotate import rotate_tracking_logs
from aspects_orchestration.jobs.tracking_logs import check_tracking_logs, observe_tracking_logs
from aspects_orchestration.jobs.verify_archive import verify_archive
from aspects_orchestration.partitions import days, months
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.schedules.archive import archive_tracking_logs_nightly
from aspects_orchestration.schedules.dashboards import observe_dashboards_daily
from aspects_orchestration.schedules.gaps import check_xapi_gaps_daily
from aspects_orchestration.schedules.lms_tables import lms_tables_schedules
from aspects_orchestration.schedules.nightly import load_current_month_nightly, observe_nightly
from aspects_orchestration.schedules.operator_report import operator_report_hourly
from aspects_orchestration.schedules.pipeline_health import check_pipeline_health_hourly
from aspects_orchestration.schedules.restore_drill import check_restore_drill_daily, restore_drill_monthly
from aspects_orchestration.schedules.retention import apply_retention_weekly, observe_retention_weekly
from aspects_orchestration.schedules.retirement import delete_retired_users_daily
from aspects_orchestration.schedules.rotation import rotate_when_due
from aspects_orchestration.schedules.verify_archive import verify_archive_weekly
from aspects_orchestration.sensors.act_on_health import act_on_health
from aspects_orchestration.sensors.clickhouse_health import clickhouse_health
from aspects_orchestration.sensors.new_tracking_logs import new_tracking_logs
from aspects_orchestration.sensors.quarantine import replay_quarantine
from aspects_orchestration.sensors.queue_health import queue_health
from aspects_orchestration.sensors.retention import unarchived_months_expire
from aspects_orchestration.sensors.run_failed import run_failed
from aspects_orchestration.sensors.service_health import service_health
from aspects_orchestration.sensors.xapi_gaps import xapi_gaps_sensor
from aspects_orchestration.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    """All definitions, for the settings in force when the code location is loaded."""
    settings = load_settings()
    every_month, every_day = months(settings.first_month), days(settings.first_month)
    with_blocks = settings.course_blocks_uri is not None
    # What dashboards read is another project's: who does not run that is shown nothing of it.
    dashboards = settings.dashboards
    with warnings.catch_warnings():
        # Partitions of asset checks are a preview feature; a check of a month or day needs them.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        partitioned_checks = [
            xapi_events_all_checks(every_month),
            sealing_checks(every_day),
            sealed_days_checks(every_day),
            *([dashboard_month_checks(every_month)] if dashboards else []),
        ]
    return dg.Definitions(
        assets=[
            tracking_logs(),
            tracking_log_archive(every_day),
            xapi_events_all(every_month),
            *event_sink_assets(),
            course_blocks(settings),
            retention_policies(),
            restore_drill_asset(),
            operator_report(),
            *pipeline_health(),
            production_readiness(),
            *(dashboard_assets(every_month) if dashboards else []),
        ],
        asset_checks=[
            *partitioned_checks,
            *event_sink_checks(with_blocks=with_blocks),
            personal_data_checks(),
            retention_policies_checks(),
            xapi_gaps_check(),
            tracking_logs_checks(),
            restore_drill_checks(),
            pipeline_health_checks(),
            production_checks(),
            *([dashboard_checks()] if dashboards else []),
        ],
        jobs=[
            apply_retention,
            archive_tracking_logs,
            backfill_xapi_events_all,
            check_tracking_logs,
            check_restore_drill,
            check_pipeline_health,
            check_production_readiness,
            check_xapi_events_all,
            check_xapi_gaps,
            delete_retired_users,
            empty_personal_data,
            observe_retention,
            observe_tracking_logs,
            rotate_tracking_logs,
            rebuild_all,
            replay_window,
            restore_drill,
            release_archived_logs,
            verify_archive,
            *lms_tables_jobs(with_blocks=with_blocks),
            *(dashboards_jobs(every_month) if dashboards else []),
        ],
        schedules=[
            observe_nightly(),
            archive_tracking_logs_nightly(settings.archive_lateness_hours),
            load_current_month_nightly(),
            delete_retired_users_daily(),
            observe_retention_weekly(),
            apply_retention_weekly(),
            check_xapi_gaps_daily(),
            rotate_when_due(),
            restore_drill_monthly(),
            check_restore_drill_daily(),
            check_pipeline_health_hourly(),
            verify_archive_weekly(),
            operator_report_hourly(),
            *lms_tables_schedules(with_blocks=with_blocks),
            *([observe_dashboards_daily()] if dashboards else []),
        ],
        sensors=[
            replay_quarantine(),
            unarchived_months_expire(),
            xapi_gaps_sensor(),
            queue_health(),
            service_health(),
            clickhouse_health(),
            run_failed(),
            new_tracking_logs(),
            act_on_health(),
        ],
        resources={
            "clickhouse": ClickHouseResource(),
            "log_storage": LogStorageResource(region=None, endpoint_url=None),
        },
        # A step is cheap here and an interpreter is not; work spreads over runs and over worker processes.
        executor=dg.in_process_executor,
    )

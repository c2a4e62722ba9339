"""Sealing a day of tracking logs: what the nightly schedule launches, and an operator for a day of his own choice."""

import dagster as dg

from aspects_orchestration.assets.tracking_log_archive import TRACKING_LOG_ARCHIVE

archive_tracking_logs = dg.define_asset_job(
    "archive_tracking_logs",
    selection=dg.AssetSelection.assets(TRACKING_LOG_ARCHIVE),
    description="Seal a day of tracking logs, and every day before it that is missing, and check it. Safe to run again.",
)

"""Loading and checking months of statements: what an operator launches for one partition or for many."""

import dagster as dg

from aspects_orchestration.assets.xapi_events_all import XAPI_EVENTS_ALL

backfill_xapi_events_all = dg.define_asset_job(
    "backfill_xapi_events_all",
    selection=dg.AssetSelection.assets(XAPI_EVENTS_ALL),
    description="Load a month of tracking logs into xapi_events_all and check it; a backfill over many months is one run"
    " a month. Safe to run again.",
)

check_xapi_events_all = dg.define_asset_job(
    "check_xapi_events_all",
    selection=dg.AssetSelection.checks_for_assets(XAPI_EVENTS_ALL),
    description="Check a month of xapi_events_all again, without loading anything.",
)

"""Loading and checking months of statements: what an operator launches for one partition or for many."""

from __future__ import annotations

from typing import Any

import dagster as dg

from aspects_orchestration.assets.xapi_events_all import XAPI_EVENTS_ALL


def backfill_month() -> Any:  # dagster keeps the type of an unresolved job to itself
    """Loads a month and checks it; a backfill over many months is one run a month."""
    return dg.define_asset_job(
        "backfill_xapi_events_all",
        selection=dg.AssetSelection.assets(XAPI_EVENTS_ALL),
        description="Load a month of tracking logs into xapi_events_all and check it. Safe to run again.",
    )


def check_months() -> Any:  # dagster keeps the type of an unresolved job to itself
    """Checks a month that was loaded before, and loads nothing."""
    return dg.define_asset_job(
        "check_xapi_events_all",
        selection=dg.AssetSelection.checks_for_assets(XAPI_EVENTS_ALL),
        description="Check a month of xapi_events_all again, without loading anything.",
    )

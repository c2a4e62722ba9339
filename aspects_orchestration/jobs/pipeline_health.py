"""Is the pipeline healthy? One look at every signal, as checks."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.assets.pipeline_health import health_key
from aspects_orchestration.checks.pipeline_health import NAME
from aspects_orchestration.monitoring.signals import SIGNALS

check_pipeline_health = dg.define_asset_job(
    "check_pipeline_health",
    selection=dg.AssetSelection.checks(*(dg.AssetCheckKey(health_key(name), NAME) for name in SIGNALS)),
    description="Take one look at every signal of the pipeline: a check for each. Fails where one is critical; loads and"
    " changes nothing.",
)

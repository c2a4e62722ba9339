"""Is the site ready for production? Every question of upstream's guide, as checks."""

from __future__ import annotations

import dagster as dg

from aspects_orchestration.checks.production import PRODUCTION

check_production_readiness = dg.define_asset_job(
    "check_production_readiness",
    selection=dg.AssetSelection.checks_for_assets(PRODUCTION),
    description="Hold the site's configuration against upstream's guide to production: a check for each of its questions."
    " Looks only.",
)

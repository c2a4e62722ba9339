"""What must hold of the tracking logs; run by the job `check_tracking_logs`, and with each rotation and observation."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from aspects_orchestration.archive.live_check import live_log_is_rotated
from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS
from aspects_orchestration.checks.result import check_result
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse.verify import Finding

QUESTIONS: Final = {"live_log_is_rotated": live_log_is_rotated}


def tracking_logs_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step. They warn: the logs are the site's."""

    @dg.multi_asset_check(
        specs=[
            dg.AssetCheckSpec(name, asset=TRACKING_LOGS, description=question.__doc__)
            for name, question in QUESTIONS.items()
        ],
        can_subset=True,
    )
    def check_tracking_logs_as_they_are(
        context: dg.AssetCheckExecutionContext,
    ) -> Iterator[dg.AssetCheckResult]:
        asked = {key.name for key in context.selected_asset_check_keys}
        for name in (one for one in QUESTIONS if one in asked):
            yield check_result(TRACKING_LOGS, name, _asked(name), dg.AssetCheckSeverity.WARN)

    return check_tracking_logs_as_they_are


def evaluation(name: str) -> dg.AssetCheckEvaluation:
    """One of them asked in a job that has another purpose."""
    result = check_result(TRACKING_LOGS, name, _asked(name), dg.AssetCheckSeverity.WARN)
    return dg.AssetCheckEvaluation(
        asset_key=TRACKING_LOGS,
        check_name=name,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def _asked(name: str) -> Finding:
    try:
        return QUESTIONS[name](load_settings(), utc_now())
    except AspectsError as error:
        return Finding(False, str(error))

"""What must hold of the tracking logs; run by the job `check_tracking_logs`, and with each rotation and observation."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from aspects_orchestration.archive.live_check import live_log_is_rotated
from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS
from aspects_orchestration.checks.result import answered, check_specs, evaluation, selected, told
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings

QUESTIONS: Final = {"live_log_is_rotated": live_log_is_rotated}


def tracking_logs_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step. They warn: the logs are the site's."""

    @dg.multi_asset_check(
        specs=check_specs(TRACKING_LOGS, QUESTIONS),
        can_subset=True,
    )
    def check_tracking_logs_as_they_are(
        context: dg.AssetCheckExecutionContext,
    ) -> Iterator[dg.AssetCheckResult]:
        found = answered(
            selected(context, QUESTIONS), lambda key: QUESTIONS[key.name](load_settings(), utc_now())
        )
        yield from told(found, warnings=QUESTIONS)

    return check_tracking_logs_as_they_are


def evaluations() -> Iterator[dg.AssetCheckEvaluation]:
    """The same answers, in a job that has another purpose."""
    keys = [dg.AssetCheckKey(TRACKING_LOGS, name) for name in QUESTIONS]
    for key, finding in answered(keys, lambda key: QUESTIONS[key.name](load_settings(), utc_now())):
        yield evaluation(key.asset_key, key.name, finding, dg.AssetCheckSeverity.WARN)

"""Whether a site is ready for production, as asset checks: one for each section's question of `doctor --production`."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from aspects_orchestration.assets.pipeline_health import GROUP
from aspects_orchestration.doctor.examine import examine
from aspects_orchestration.doctor.model import Patient, Verdict
from aspects_orchestration.doctor.production import DIAGNOSES
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.sensors.switched_on import switched_on
from aspects_orchestration.settings import load_settings

PRODUCTION: Final = dg.AssetKey("production_readiness")


def production_readiness() -> dg.AssetSpec:
    """What the checks are about: the site's configuration, which others make."""
    return dg.AssetSpec(
        PRODUCTION,
        group_name=GROUP,
        description="The configuration of the site's Aspects (Tutor config.yml, ClickHouse, Superset, Ralph), held against"
        ' upstream\'s guide "Configure Aspects for Production". It is only looked at.',
    )


def production_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step; a danger fails, advice warns."""

    @dg.multi_asset_check(
        specs=[
            dg.AssetCheckSpec(one.name, asset=PRODUCTION, description=f"{one.ask.__doc__} ({one.section})")
            for one in DIAGNOSES
        ],
        can_subset=True,
    )
    def hold_the_site_against_the_guide(
        context: dg.AssetCheckExecutionContext, log_storage: LogStorageResource
    ) -> Iterator[dg.AssetCheckResult]:
        asked = {key.name for key in context.selected_asset_check_keys}
        patient = Patient(
            load_settings(),
            log_storage.s3(),
            utc_now(),
            sensors_on=switched_on(context.instance),
        )
        for one, answer in examine(patient, [one for one in DIAGNOSES if one.name in asked]):
            yield dg.AssetCheckResult(
                passed=answer.verdict is Verdict.OK,
                severity=dg.AssetCheckSeverity.ERROR
                if answer.verdict is Verdict.DANGER
                else dg.AssetCheckSeverity.WARN,
                asset_key=PRODUCTION,
                check_name=one.name,
                description=answer.found,
                metadata={
                    "verdict": answer.verdict.value,
                    "section": one.section,
                    **({"do": answer.do} if answer.do else {}),
                    **({"details": "\n".join(answer.lines)} if answer.lines else {}),
                },
            )

    return hold_the_site_against_the_guide

"""What must hold of restore drills; told at the end of each, and asked by the job `check_restore_drill`."""

from collections.abc import Iterator

import dagster as dg

from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.assets.restore_drill import RESTORE_DRILL
from aspects_orchestration.checks.result import check_result
from aspects_orchestration.drill.choose import newest_sealed_line
from aspects_orchestration.drill.record import last_drill
from aspects_orchestration.drill.verify import QUESTIONS, Drilled
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.client import Warehouse

#: What can be made good by launching the drill is a warning; a restore that does not bring back what stands is none.
_ERRORS = {"drill_passed"}


def restore_drill_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step."""

    @dg.multi_asset_check(
        specs=[
            dg.AssetCheckSpec(name, asset=RESTORE_DRILL, description=question.__doc__)
            for name, question in QUESTIONS.items()
        ],
        can_subset=True,
    )
    def check_restore_drills(
        context: dg.AssetCheckExecutionContext,
        clickhouse: ClickHouseResource,
        log_storage: LogStorageResource,
    ) -> Iterator[dg.AssetCheckResult]:
        try:
            warehouse = clickhouse.warehouse(run_id=context.run.run_id)
            drilled = look(load_settings(), warehouse, s3=log_storage.s3())
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        failed = []
        asked = {key.name for key in context.selected_asset_check_keys}
        for name in (one for one in QUESTIONS if one in asked):
            finding = QUESTIONS[name](drilled)
            if not finding.passed and name in _ERRORS:
                failed.append(f"{name}: {finding.summary}")
            yield check_result(RESTORE_DRILL, name, finding, severity(name))
        if failed:
            raise dg.Failure(description="; ".join(failed), allow_retries=False)

    return check_restore_drills


def evaluations(
    settings: Settings, warehouse: Warehouse, *, s3: S3Options
) -> Iterator[dg.AssetCheckEvaluation]:
    """The same answers, as a job that is no check tells of them."""
    drilled = look(settings, warehouse, s3=s3)
    for name, question in QUESTIONS.items():
        result = check_result(RESTORE_DRILL, name, question(drilled), severity(name))
        yield dg.AssetCheckEvaluation(
            asset_key=RESTORE_DRILL,
            check_name=name,
            passed=result.passed,
            severity=result.severity,
            description=result.description,
            metadata=result.metadata,
        )


def severity(name: str) -> dg.AssetCheckSeverity:
    """How bad it is if a question is answered with no."""
    return dg.AssetCheckSeverity.ERROR if name in _ERRORS else dg.AssetCheckSeverity.WARN


def look(settings: Settings, warehouse: Warehouse, *, s3: S3Options) -> Drilled:
    """What the questions are asked of.

    Raises:
        AspectsError: the archive or its record cannot be read.
    """
    index = index_of(settings, s3=s3)
    sealed = index.update()
    now = utc_now()
    return Drilled(
        last_drill(warehouse, settings.orchestration_database),
        newest_sealed_line(index, sealed, now),
        sealed[-1].day if sealed else None,
        settings.rpo_hours,
        now,
    )

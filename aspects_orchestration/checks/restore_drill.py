"""What must hold of restore drills; told at the end of each, and asked by the job `check_restore_drill`."""

from collections.abc import Iterator

import dagster as dg

from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.assets.restore_drill import RESTORE_DRILL
from aspects_orchestration.checks.result import answered, check_specs, evaluation, selected, severity, told
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
_WARNINGS = QUESTIONS.keys() - {"drill_passed"}


def restore_drill_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step."""

    @dg.multi_asset_check(
        specs=check_specs(RESTORE_DRILL, QUESTIONS),
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
        found = answered(selected(context, QUESTIONS), lambda key: QUESTIONS[key.name](drilled))
        yield from told(found, warnings=_WARNINGS)

    return check_restore_drills


def evaluations(
    settings: Settings, warehouse: Warehouse, *, s3: S3Options
) -> Iterator[dg.AssetCheckEvaluation]:
    """The same answers, as a job that is no check tells of them."""
    drilled = look(settings, warehouse, s3=s3)
    for name, question in QUESTIONS.items():
        yield evaluation(RESTORE_DRILL, name, question(drilled), severity(name, _WARNINGS))


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

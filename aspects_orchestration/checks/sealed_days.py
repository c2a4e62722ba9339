"""What must hold of a sealed day in storage; run with the asset tracking_log_archive, and by hand for any day."""

from collections.abc import Iterator
from datetime import date

import dagster as dg

from aspects_orchestration.archive.questions import QUESTIONS, WARNINGS
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.archive.verify import verify
from aspects_orchestration.assets.tracking_log_archive import TRACKING_LOG_ARCHIVE
from aspects_orchestration.checks.result import answered, check_specs, selected, told
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.settings import load_settings


def sealed_days_checks(days: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """All checks of a day, as one step with one look at the archive; bytes are read by the job `verify_archive`."""

    @dg.multi_asset_check(
        specs=check_specs(TRACKING_LOG_ARCHIVE, QUESTIONS, partitions_def=days),
        can_subset=True,
    )
    def check_sealed_day(
        context: dg.AssetCheckExecutionContext, log_storage: LogStorageResource
    ) -> Iterator[dg.AssetCheckResult]:
        settings, s3 = load_settings(), log_storage.s3()
        try:
            found = verify(
                settings.archive_uri,
                s3=s3,
                day=date.fromisoformat(context.partition_key),
                known=index_of(settings, s3=s3).remembered(),
            )
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        findings = answered(selected(context, QUESTIONS), lambda key: QUESTIONS[key.name](found))
        yield from told(findings, warnings=WARNINGS)

    return check_sealed_day

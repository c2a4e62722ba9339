"""What must hold of a day of tracking_log_archive once it is sealed; run with the asset, and by hand for any day."""

from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise

import dagster as dg

from aspects_orchestration.archive.manifest import ManifestError
from aspects_orchestration.archive.seal import index_of, unsealed
from aspects_orchestration.assets.tracking_log_archive import TRACKING_LOG_ARCHIVE
from aspects_orchestration.checks.result import answered, check_specs, selected, told
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.verify import Finding

_LISTED = 20


def day_is_sealed(settings: Settings, s3: S3Options, day: date) -> Finding:
    """The day has a manifest, and all manifests of the archive follow from each other without a gap."""
    try:
        days = index_of(settings, s3=s3).update()
    except ManifestError as error:
        return Finding(False, str(error))
    found = next((one for one in days if one.day == day), None)
    gaps = [
        f"nothing is sealed between {before.day} and {after.day}"
        for before, after in pairwise(days)
        if (after.day - before.day).days != 1
    ]
    if found is None:
        return Finding(False, f"{day} is not sealed: materialize this partition")
    if gaps:
        return Finding(False, f"days are missing: {gaps[0]}. Bring their manifests back", lines=tuple(gaps))
    return Finding(
        True, f"{day} is sealed with {found.objects:,} objects", {"objects": found.objects, "days": len(days)}
    )


def closed_files_are_sealed(settings: Settings, s3: S3Options, day: date) -> Finding:
    """No log file that was last written by the end of the day is missing in the archive."""
    count = 0
    shown: list[str] = []
    for file in unsealed(settings, day, s3=s3):
        count += 1
        if len(shown) < _LISTED:
            shown.append(file.uri)
    if count:
        return Finding(
            False,
            f"{count:,} files are not in the archive as they are: they were left out for a reason that the run's log"
            " tells, or came late; the next seal takes them once they can be read",
            {"files": count},
            tuple(shown),
        )
    return Finding(True, "every file is in the archive as it is", {"files": 0})


QUESTIONS: dict[str, Callable[[Settings, S3Options, date], Finding]] = {
    one.__name__: one for one in (day_is_sealed, closed_files_are_sealed)
}
#: A file that came late is no fault of the day.
_WARNINGS = {"closed_files_are_sealed"}


def sealing_checks(days: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """The checks of a day, as one step."""

    @dg.multi_asset_check(
        specs=check_specs(TRACKING_LOG_ARCHIVE, QUESTIONS, partitions_def=days),
        can_subset=True,
    )
    def check_sealing(
        context: dg.AssetCheckExecutionContext, log_storage: LogStorageResource
    ) -> Iterator[dg.AssetCheckResult]:
        settings, s3, day = load_settings(), log_storage.s3(), date.fromisoformat(context.partition_key)
        found = answered(selected(context, QUESTIONS), lambda key: QUESTIONS[key.name](settings, s3, day))
        yield from told(found, warnings=_WARNINGS)

    return check_sealing

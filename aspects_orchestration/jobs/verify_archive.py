"""Verifying the archive: structure and chain, and as many of its bytes as asked for. Only reads."""

from collections.abc import Iterator
from datetime import date

import dagster as dg
from pydantic import Field

from aspects_orchestration.archive.faults import Fault
from aspects_orchestration.archive.questions import QUESTIONS, WARNINGS, of_day
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.archive.subset import parse_subset
from aspects_orchestration.archive.verify import Verified, verify
from aspects_orchestration.assets.tracking_log_archive import TRACKING_LOG_ARCHIVE
from aspects_orchestration.checks.result import evaluation, severity
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.markdown import cell
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.settings import load_settings

#: So many days with faults get the results of their checks; of more, the archive as a whole is the matter.
_DAYS_MARKED = 31


class VerifyConfig(dg.Config):
    """What to read besides structure and chain."""

    read_data_subset: str = Field(
        "",
        description="Also read this part of the objects to their last byte: a share such as 5%, a group such as 1/7 (2/7 the"
        " next time, and so on), or all. Empty: none.",
    )
    day: str = Field(
        "", description="One day only, such as 2024-05-01; its checks get new results. Empty: all days."
    )


# What is yielded stands although the step fails afterwards; what a context is given to log would go with it.
@dg.op(out={})
def verify_sealed_days(
    context: dg.OpExecutionContext, config: VerifyConfig, log_storage: LogStorageResource
) -> Iterator[dg.AssetObservation]:
    """Verify, show what was found, and fail if anything is wrong."""
    settings, s3 = load_settings(), log_storage.s3()
    try:
        day = _day(config.day)
        found = verify(
            settings.archive_uri,
            s3=s3,
            subset=parse_subset(config.read_data_subset),
            seed=context.run_id,
            day=day,
            known=index_of(settings, s3=s3).remembered(),
            say=context.log.info,
        )
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    context.log.info(found.summary)
    for one in found.faults:
        context.log.error(str(one))
    yield dg.AssetObservation(TRACKING_LOG_ARCHIVE, partition=config.day or None, metadata=_metadata(found))
    for bad in [day] if day else found.bad_days[:_DAYS_MARKED]:
        _mark(context, found if day else of_day(found, bad), bad)
    if not found.passed:
        raise dg.Failure(description=found.summary, allow_retries=False)


@dg.job(
    description="Verify the archive: every manifest, the chain of their hashes, every object by name and size, and of as"
    " many as `read_data_subset` says the bytes. Names what is missing, extra, changed or swapped, and gaps. Only reads.",
)
def verify_archive() -> None:
    """Verify."""
    verify_sealed_days()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise AspectsError(f"config day: {text!r} is no day", do="Write it as 2024-05-01.") from None


def _mark(context: dg.OpExecutionContext, found: Verified, day: date) -> None:
    """Give the day's checks the results of this verification."""
    for name, question in QUESTIONS.items():
        context.instance.report_runless_asset_event(
            evaluation(
                TRACKING_LOG_ARCHIVE,
                name,
                question(found),
                severity(name, WARNINGS),
                partition=day.isoformat(),
            )
        )


def _metadata(found: Verified) -> dict[str, dg.MetadataValue | int | float | str]:
    return {
        "verified": dg.MetadataValue.md(found.summary),
        "verified_days": found.days,
        "verified_objects": found.objects,
        "verified_subset": str(found.subset),
        "read_objects": found.read_objects,
        "read_bytes": found.read_bytes,
        "verification_seconds": found.seconds,
        "faults": sum(found.counts.values()),
        "faults_by_kind": dg.MetadataValue.json({str(kind): count for kind, count in found.counts.items()}),
        "faults_listed": dg.MetadataValue.md(_table(found.faults)),
        "chain_hash": found.head,
    }


def _table(faults: tuple[Fault, ...]) -> str:
    if not faults:
        return "none"
    rows = ["| fault | day | what | what to do |", "|---|---|---|---|"]
    return "\n".join(
        [*rows, *(f"| {one.kind} | {one.day or ''} | {cell(one.what)} | {cell(one.do)} |" for one in faults)]
    )

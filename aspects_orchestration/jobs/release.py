"""Releasing source files that the archive holds: a dry run prints a plan with an id, a real run does that plan or none."""

from collections.abc import Iterator
from itertools import islice

import dagster as dg
from pydantic import Field

from aspects_orchestration.archive.live import live_files
from aspects_orchestration.archive.release import Released, release
from aspects_orchestration.archive.release_plan import KEPT, ReleasePlan, plan_release
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.assets.tracking_log_archive import TRACKING_LOG_ARCHIVE
from aspects_orchestration.errors import AspectsError, one_line
from aspects_orchestration.markdown import cell
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.settings import load_settings

_LISTED = 50


class ReleaseConfig(dg.Config):
    """What to do of the plan."""

    dry_run: bool = Field(True, description="Print the plan and its id; remove nothing.")
    plan: str = Field(
        "",
        description="For a real run: the id that a dry run printed. If the world has changed since, nothing is done. The"
        " word `unseen` does whatever the plan is now.",
    )


# What is yielded stands although the step fails afterwards; what a context is given to log would go with it.
@dg.op(out={})
def release_source_files(
    context: dg.OpExecutionContext, config: ReleaseConfig, log_storage: LogStorageResource
) -> Iterator[dg.AssetObservation]:
    """Make the plan, print it, and, in a real run, do it."""
    settings, s3, now = load_settings(), log_storage.s3(), utc_now()
    try:
        live = live_files(settings, now=now, idle_too=True)
        plan = plan_release(settings, index_of(settings, s3=s3), s3=s3, now=now, live=live)
        _print(context, plan)
        if config.dry_run:
            context.log.info(f"dry run: nothing was removed; a real run of this plan needs `plan: {plan.id}`")
            yield dg.AssetObservation(TRACKING_LOG_ARCHIVE, metadata=_metadata(plan, None))
            return
        done = release(
            settings,
            plan,
            asked=config.plan.strip(),
            s3=s3,
            live=lambda: live_files(settings, idle_too=True),
            run_id=context.run_id,
            now=now,
            say=context.log.info,
        )
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    context.log.info(done.summary)
    yield dg.AssetObservation(TRACKING_LOG_ARCHIVE, metadata=_metadata(plan, done))
    if done.bad:
        raise dg.Failure(
            description=f"{done.summary}: {done.bad[0]}. The job verify_archive with read_data_subset all names every one;"
            " bring them back from a replica or an older version.",
            allow_retries=False,
        )


@dg.job(
    description="Remove tracking logs from their source once the archive holds every byte of them: only files older than"
    " ASPECTS_RELEASE_KEEP_DAYS, never a live one, each only after its copies were read back in this run. Prints its plan"
    " and removes nothing unless dry_run is false and `plan` names the plan that was printed."
)
def release_archived_logs() -> None:
    """Print or do the plan."""
    release_source_files()


def _print(context: dg.OpExecutionContext, plan: ReleasePlan) -> None:
    context.log.info(plan.summary)
    for one in islice(plan, _LISTED):
        copies = " and ".join(copy.name for copy in one.copies)
        context.log.info(
            f"plan {plan.id}: {one_line(one.file.uri)} ({one.file.size:,} bytes), held by {copies}"
        )
    if plan.files > _LISTED:
        context.log.info(f"plan {plan.id}: and {plan.files - _LISTED:,} more")


def _metadata(plan: ReleasePlan, done: Released | None) -> dict[str, dg.MetadataValue | int | float | str]:
    stays = [
        f"| {why} | {count:,} | {size:,} | {KEPT[why]} | {', '.join(map(cell, plan.examples[why][:3]))} |"
        for why, (count, size) in sorted(plan.kept.items())
    ]
    found: dict[str, dg.MetadataValue | int | float | str] = {
        "release_plan": dg.MetadataValue.md(plan.summary),
        "release_plan_id": plan.id,
        "releasable_files": plan.files,
        "releasable_bytes": plan.bytes,
        "stays": dg.MetadataValue.md(
            "\n".join(["| why | files | bytes | each | such as |", "|---|--:|--:|---|---|", *stays])
        ),
    }
    if done is not None:
        found |= {
            "released": dg.MetadataValue.md(done.summary),
            "released_files": done.files,
            "released_bytes": done.bytes,
            "copies_read_back": done.read_objects,
            "bad_copies": dg.MetadataValue.json(list(done.bad[:_LISTED])),
        }
    return found

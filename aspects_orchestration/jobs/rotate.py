"""Rotating live logs, as a job and from a shell or cron: `python -m aspects_orchestration.jobs.rotate`."""

import argparse
import sys
from collections.abc import Iterator, Sequence

import dagster as dg
from pydantic import Field

from aspects_orchestration.archive.rotate import WAIT_S, Rotated, RotationPlan, plan_rotation, rotate, said_of
from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS
from aspects_orchestration.checks.tracking_logs import evaluations
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.markdown import cell
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings


class RotateConfig(dg.Config):
    """How to rotate."""

    dry_run: bool = Field(False, description="Say what would be renamed, and rename nothing.")
    force: bool = Field(False, description="Rotate every live log that holds a line, due or not.")
    wait_s: float = Field(
        WAIT_S,
        description="Seconds to wait at most until writers have moved on. What is open then counts as live, and is waited"
        " for by the next rotation.",
    )


# What is yielded stands although the step fails afterwards; what a context is given to log would go with it.
@dg.op(out={})
def rename_live_logs(
    context: dg.OpExecutionContext, config: RotateConfig
) -> Iterator[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """Rename the live logs that are due, and wait for their writers."""
    settings = load_settings()
    try:
        plan = plan_rotation(settings, now=utc_now(), force=config.force)
        for line in plan.described():
            context.log.info(f"plan: {line}")
        if config.dry_run:
            return
        done = rotate(plan, say=context.log.info, wait_s=config.wait_s)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    for one in done.waiting:
        context.log.warning(said_of(one, done.now))
    yield dg.AssetObservation(TRACKING_LOGS, metadata=_shown(done))
    yield from evaluations()
    if plan.refused or done.failed:
        raise dg.Failure(description=" ".join(map(str, (*plan.refused, *done.failed))), allow_retries=False)


@dg.job(
    description="Rename each live log (ASPECTS_LIVE_LOG) that is due by ASPECTS_ROTATE, and wait until its writers have"
    " moved on. Nothing is truncated, copied or deleted, so this needs no dry run first; dry_run says what it would do."
)
def rotate_tracking_logs() -> None:
    """Rotate."""
    rename_live_logs()


def _shown(done: Rotated) -> dict[str, dg.MetadataValue | int]:
    rows = ["| rotated | bytes | last line | state |", "|---|--:|---|---|"]
    rows += [
        f"| {cell(one.path)} | {one.size:,} | {one.modified:%Y-%m-%d %H:%M:%SZ} | {one.state(done.now)} |"
        for one in done.renamed
    ]
    return {
        "rotated": dg.MetadataValue.md("\n".join(rows)),
        "rotated_files": len(done.renamed),
        "rotated_bytes": sum(one.size for one in done.renamed),
        "rotated_and_still_open": len(done.waiting),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Rotate from a shell; returns the exit code: 0 if all that was due was renamed."""
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.jobs.rotate",
        description="Rename the live logs that are due (ASPECTS_LIVE_LOG, ASPECTS_ROTATE), and wait until their writers have"
        " moved on. Nothing is truncated, copied or deleted.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be renamed, and rename nothing"
    )
    parser.add_argument(
        "--force", action="store_true", help="rotate every live log that holds a line, due or not"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT_S,
        metavar="SECONDS",
        help="how long to wait for writers (default: %(default)g)",
    )
    options = parser.parse_args(arguments)
    try:
        plan = plan_rotation(load_settings(), now=utc_now(), force=options.force)
        return _described(plan) if options.dry_run else _rotated(plan, options.wait)
    except AspectsError as error:
        print(error, file=sys.stderr)
        return 1


def _described(plan: RotationPlan) -> int:
    for line in plan.described():
        print(line)
    return 1 if plan.refused else 0


def _rotated(plan: RotationPlan, wait_s: float) -> int:
    for line in plan.left:
        print(f"left {line}")
    done = rotate(plan, say=print, wait_s=wait_s)
    for one in done.renamed:
        if one not in done.waiting:
            print(f"{one.path}: {one.size:,} bytes, left by its writers")
    for one in done.waiting:
        print(said_of(one, done.now), file=sys.stderr)
    errors = (*plan.refused, *done.failed)
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

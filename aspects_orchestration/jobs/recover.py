"""Getting statements back from a shell, without Dagster: `python -m aspects_orchestration.jobs.recover window|all`."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.recovery import everything, months
from aspects_orchestration.recovery.everything import Ask
from aspects_orchestration.recovery.months import Outcome
from aspects_orchestration.replay import report
from aspects_orchestration.replay.destinations import MAX_REFUSED, Destination
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import connect, schema_names
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.verify import Month, answers


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a window, or restore everything.

    Returns:
        The exit code: 0 if every month was loaded and every check of it passed.
    """
    given = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        warehouse = connect(settings, run_id=f"recover-{uuid.uuid4().hex[:12]}")
        passed = (_window if given.command == "window" else _all)(settings, warehouse, given)
    except AspectsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.jobs.recover",
        description="Load statements again from the tracking logs or the sealed archive. Nothing is ever inserted twice:"
        " whatever was cut off, run the same command again.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    window = commands.add_parser("window", help="what happened between two moments")
    window.add_argument("--since", required=True, type=datetime.fromisoformat, help="ISO 8601, UTC")
    window.add_argument("--until", type=datetime.fromisoformat, help="ISO 8601, UTC; default: now")
    window.add_argument("--source", choices=("live", "archive", "both"), default="both")
    window.add_argument("--dry-run", action="store_true", help="read, transform and count; write nothing")
    window.add_argument(
        "--destination",
        choices=[one.value for one in Destination],
        default="clickhouse",
        help="where statements go: into the raw table, through Ralph, or as files of whole days (%(default)s)",
    )
    window.add_argument(
        "--resend", action="store_true", help="ralph: statements too that stand in the raw table"
    )
    window.add_argument("--statements-per-second", type=int, metavar="N", help="ralph: at most so many")
    window.add_argument(
        "--max-refused",
        type=int,
        default=MAX_REFUSED,
        metavar="N",
        help="ralph: stop when it refuses more statements of a month (%(default)s)",
    )
    whole = commands.add_parser("all", help="everything, into an empty ClickHouse")
    whole.add_argument("--source", choices=("archive", "both"), default="archive")
    whole.add_argument("--dry-run", action="store_true", help="list months, bytes and time; load nothing")
    whole.add_argument("--again", action="store_true", help="months too that were restored before")
    whole.add_argument("--no-lms-tables", action="store_true", help="leave event_sink as it is")
    for one in (window, whole):
        one.add_argument("--allow-expired", action="store_true", help="months too that a TTL would drop")
        one.add_argument(
            "--allow-loss", action="store_true", help="without objects that are missing or changed"
        )
    return parser


def _window(settings: Settings, warehouse: Warehouse, given: argparse.Namespace) -> bool:
    now = utc_now()
    requests = [
        replace(
            part,
            sources=(given.source,),
            dry_run=given.dry_run,
            allow_expired=given.allow_expired,
            allow_loss=given.allow_loss,
            destination=Destination(given.destination),
            resend=given.resend,
            per_second=given.statements_per_second,
            max_refused=given.max_refused,
        )
        for part in months.parts_of(
            given.since, given.until or now, first_month=settings.first_month, now=now
        )
    ]
    outcomes = []
    passed = True
    for outcome in months.replay_window(settings, requests, warehouse, s3=S3Options(), say=_say):
        passed &= _told(settings, warehouse, outcome)
        outcomes.append(outcome)
    months.require_all(outcomes)
    return passed


def _all(settings: Settings, warehouse: Warehouse, given: argparse.Namespace) -> bool:
    s3 = S3Options()
    ask = Ask(
        source=given.source,
        again=given.again,
        allow_expired=given.allow_expired,
        allow_loss=given.allow_loss,
        lms_tables=not given.no_lms_tables,
    )
    _say("the schema is in place")
    if ask.lms_tables and not given.dry_run:
        for copied in everything.copy_lms_tables(
            settings, schema_names(settings), warehouse, s3=s3, say=_say
        ):
            _say(
                f"{copied.table}: {copied.inserted:,} rows inserted, {copied.unchanged:,} left as they stand"
            )
    plan = everything.plan_everything(settings, ask, warehouse, s3=s3, say=_say, measure=given.dry_run)
    for line in plan.described():
        print(line, flush=True)
    if given.dry_run:
        return True
    outcomes = []
    passed = True
    for outcome in everything.rebuild_all(settings, ask, plan, warehouse, s3=s3, say=_say):
        passed &= _told(settings, warehouse, outcome)
        outcomes.append(outcome)
    months.require_all(outcomes)
    return passed


def _told(settings: Settings, warehouse: Warehouse, outcome: Outcome) -> bool:
    """Print what became of a month; False if a check of it failed."""
    if outcome.result is None:
        print(f"{outcome.month}: not loaded: {outcome.why}", flush=True)
        return not outcome.failed
    print(f"{outcome.month}: {report.summary(outcome.result)}", flush=True)
    if outcome.result.dry_run or not outcome.result.stands_here:
        return True
    passed = True
    for name, finding in answers(warehouse, Month(schema_names(settings), outcome.month)):
        if not finding.passed:
            passed = False
            print(f"{outcome.month}: check {name} failed: {finding.summary}", flush=True)
    return passed


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

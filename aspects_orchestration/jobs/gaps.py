"""Looking for gaps: the job `check_xapi_gaps`, and `python -m aspects_orchestration.jobs.gaps` for a shell."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict

import dagster as dg
from pydantic import ValidationError

from aspects_orchestration.checks.xapi_gaps import XAPI_GAPS, GapsConfig
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.gaps import report
from aspects_orchestration.gaps.look import DAYS, LAG_HOURS, Look, hour_start, look
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options

check_xapi_gaps = dg.define_asset_job(
    "check_xapi_gaps",
    selection=dg.AssetSelection.checks(XAPI_GAPS),
    description="Read logs that are new, then compare the newest days hour by hour with ClickHouse: the check xapi_gaps."
    " Loads nothing.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Look for gaps; returns 0 if there are none, 1 if there are, 2 if it could not be found out."""
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.jobs.gaps",
        description="Hours of which the tracking logs hold more than stands in ClickHouse, and the commands that replay"
        " them. Loads nothing. Exits with 1 if there are any.",
    )
    parser.add_argument("--days", type=int, default=DAYS, help="so many days back (%(default)s)")
    parser.add_argument("--until", help="hours before this time (ISO 8601, UTC); left out: now")
    parser.add_argument(
        "--lag-hours", type=int, default=LAG_HOURS, help="leave hours younger than that alone (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures and hours as JSON")
    options = parser.parse_args(arguments)
    try:
        config = GapsConfig.model_validate(
            {"days": options.days, "until": options.until, "lag_hours": options.lag_hours}
        )
        settings = load_settings()
        seen = look(
            settings,
            connect(settings, run_id=f"gaps-{uuid.uuid4().hex[:12]}"),
            s3=S3Options(),
            now=utc_now(),
            request=config.request(),
            read_new=lambda text: print(text, file=sys.stderr),  # noqa: T201
        )
    except ValidationError as error:
        print("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors()), file=sys.stderr)  # noqa: T201
        return 2
    except AspectsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    print(_as_json(seen) if options.json else _as_text(seen))  # noqa: T201
    return 1 if seen.comparison.gaps else 0


def _as_text(seen: Look) -> str:
    parts = [f"{report.summary(seen)}.", f"{seen.comparison.usual}."]
    if seen.comparison.gaps:
        parts += [report.gaps_table(seen), report.replays(seen)]
    return "\n\n".join(parts)


def _as_json(seen: Look) -> str:
    gaps = [
        {**asdict(one), "hour": f"{hour_start(one.hour):%Y-%m-%dT%H:00:00Z}", "missing": one.missing}
        for one in seen.comparison.gaps
    ]
    return json.dumps({**report.numbers(seen), "gaps": gaps}, indent=2)


if __name__ == "__main__":
    sys.exit(main())

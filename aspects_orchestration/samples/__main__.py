"""Write sample logs from the command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.samples import (
    COMPRESSIONS,
    STYLES,
    SampleSpec,
    lines_for_size,
    write_courses,
    write_identities,
    write_logs,
)

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def _size(text: str) -> int:
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", text.strip().upper())
    if not matched or (matched[3] and not matched[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB, 5GB or 2GiB")
    unit = 1024 ** "KMGT".index(matched[2]) * 1024 if matched[3] else _UNITS[matched[2]]
    return int(float(matched[1]) * unit)


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a date such as 2024-04-20 or 2024-04-20T06:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = SampleSpec(lines=0)
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.samples",
        description="Write realistic tracking logs of an invented site, with its learners and courses: "
        "DIR/logs/, DIR/identities.csv and DIR/courses.csv. The same arguments always give the same lines.",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where to write; made if need be"
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--lines", type=int, default=20_000, help="how many log records (default: %(default)s)"
    )
    amount.add_argument(
        "--size", type=_size, help="how many bytes before compression instead, such as 5GB (to about 2%%)"
    )
    parser.add_argument(
        "--seed", type=int, default=default.seed, help="another seed, another site (default: %(default)s)"
    )
    parser.add_argument("--files", type=int, default=12, help="how many log files (default: %(default)s)")
    parser.add_argument(
        "--compression", choices=COMPRESSIONS, default="mixed", help="of rotated files (default: %(default)s)"
    )
    parser.add_argument(
        "--style",
        choices=STYLES,
        default=default.style,
        help="what stands around events (default: %(default)s)",
    )
    parser.add_argument(
        "--damage", type=float, default=default.damage, help="share of damaged records (default: %(default)s)"
    )
    parser.add_argument(
        "--transformable",
        type=float,
        default=default.transformable,
        help="share of records that become xAPI statements (default: %(default)s)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=_time,
        default=default.start,
        help="first event, UTC (default: 2024-04-20)",
    )
    parser.add_argument(
        "--to", dest="end", type=_time, default=default.end, help="all before this, UTC (default: 2024-06-10)"
    )
    parser.add_argument("--users", type=int, default=default.users, help="learners (default: %(default)s)")
    parser.add_argument(
        "--courses",
        type=int,
        default=default.courses,
        help="courses, a third of them CCX (default: %(default)s)",
    )
    parser.add_argument(
        "--lms-root-url",
        default=default.lms_root_url,
        help="the invented site's address (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the arguments ask for and say what was written.

    Args:
        arguments: of the command line; None takes the process's own.

    Returns:
        The exit code: 0, or 1 where something cannot be written or generated.
    """
    given = _arguments(arguments)
    try:
        spec = SampleSpec(
            lines=given.lines,
            seed=given.seed,
            start=given.start,
            end=given.end,
            users=given.users,
            courses=given.courses,
            transformable=given.transformable,
            damage=given.damage,
            style=given.style,
            lms_root_url=given.lms_root_url.rstrip("/"),
        )
        if given.size is not None:
            spec = replace(spec, lines=lines_for_size(spec, given.size))
        logs = write_logs(spec, given.out / "logs", files=given.files, compression=given.compression)
        write_identities(spec, given.out / "identities.csv")
        write_courses(spec, given.out / "courses.csv")
    except AspectsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    total = sum(path.stat().st_size for path in logs)
    sys.stdout.write(
        f"{spec.lines:,} log records from {spec.start:%Y-%m-%d} to {spec.end:%Y-%m-%d} in {len(logs)} files, "
        f"{total / 1e6:,.1f} MB on disk, in {given.out / 'logs'}\n"
        f"{spec.users:,} learners in {given.out / 'identities.csv'}\n"
        f"{spec.courses:,} courses in {given.out / 'courses.csv'}\n"
        "Load them with ASPECTS_TRACKING_LOGS, ASPECTS_IDENTITIES and ASPECTS_COURSES set to these.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

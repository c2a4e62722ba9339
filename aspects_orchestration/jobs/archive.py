"""The archive from a shell: `python -m aspects_orchestration.jobs.archive verify|status`; ClickHouse is not needed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.archive.status import status_of
from aspects_orchestration.archive.subset import SubsetError, parse_subset
from aspects_orchestration.archive.verify import verify
from aspects_orchestration.errors import AspectsError, SettingsError
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import S3Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the archive, or sum it up.

    Returns:
        The exit code: 0; 1 if something is wrong with the archive or storage; 2 if a setting or argument cannot be used.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        return _verify(settings, options) if options.command == "verify" else _status(settings, options)
    except AspectsError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError | SubsetError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.jobs.archive",
        description="The sealed archive of tracking logs (ASPECTS_TRACKING_LOG_ARCHIVE). Both commands only read.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "verify",
        help="compare manifests, their chain and the objects with what was sealed; exit code 1 if anything is wrong",
    )
    check.add_argument(
        "--read-data-subset",
        default="",
        metavar="PART",
        help="also read this part of the objects to their last byte: 5%%, 1/7 (then 2/7, and so on), all; default none",
    )
    check.add_argument("--day", type=date.fromisoformat, help="one day only, such as 2024-05-01")
    check.add_argument(
        "--threads", type=_at_least_one, help="objects read at once; default: as many as suit the storage"
    )
    check.add_argument("--seed", default="", help="draws the same share again; default another each time")
    check.add_argument("--json", action="store_true", help="print JSON")
    status = commands.add_parser("status", help="days, bytes, newest line, RPO")
    status.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def _verify(settings: Settings, options: argparse.Namespace) -> int:
    subset = parse_subset(options.read_data_subset)
    s3 = S3Options()
    found = verify(
        settings.archive_uri,
        s3=s3,
        subset=subset,
        seed=options.seed or datetime.now(UTC).isoformat(),
        day=options.day,
        known=index_of(settings, s3=s3).remembered(),
        threads=options.threads,
        say=lambda line: _write(sys.stderr, line),
    )
    if options.json:
        _print_json({**asdict(found), "subset": str(subset), "passed": found.passed})
    else:
        _write(sys.stdout, found.summary)
        for fault in found.faults:
            _write(sys.stdout, str(fault))
        if (more := sum(found.counts.values()) - len(found.faults)) > 0:
            _write(sys.stdout, f"and {more:,} more of these kinds")
    return 0 if found.passed else 1


def _status(settings: Settings, options: argparse.Namespace) -> int:
    found = status_of(index_of(settings, s3=S3Options()), datetime.now(UTC))
    if options.json:
        _print_json(asdict(found))
    else:
        _write(sys.stdout, "\n".join(found.lines_of_text))
    return 0


def _print_json(values: dict[str, Any]) -> None:
    _write(
        sys.stdout,
        orjson.dumps(values, default=_jsonable, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode(),
    )


def _jsonable(value: object) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError


def _write(stream: Any, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())

"""The catalog of tracking logs from a shell: `python -m aspects_orchestration.jobs.catalog show|update|rebuild`."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Sequence

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.observe import forget, observe, summed_up
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Show, update or rebuild the catalog; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.jobs.catalog",
        description="What each tracking log holds, so that a month reads only the files that touch it. The catalog is a"
        " cache: emptied, it only costs a reading of the logs.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("show", help="sum the catalog up by store and month; reads no log")
    commands.add_parser("update", help="read the logs that are new or have changed, then show")
    commands.add_parser("rebuild", help="forget what is known, read every log, then show")
    command = parser.parse_args(arguments).command
    try:
        settings = load_settings()
        warehouse = connect(settings, run_id=f"catalog-{uuid.uuid4().hex[:12]}")
        if command == "rebuild":
            forget(settings, warehouse)
        if command == "show":
            found = summed_up(settings, warehouse)
        else:
            found = observe(
                settings, warehouse, s3=S3Options(), say=lambda text: print(text, file=sys.stderr)
            )
    except AspectsError as error:
        print(error, file=sys.stderr)
        return 1
    print(found.stores_table(), found.months_table(), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

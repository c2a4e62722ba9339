"""`python -m aspects_orchestration.settings`: print every setting in force."""

import argparse
import json
import sys
from collections.abc import Sequence

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings import effective_settings, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the settings in force. Returns the exit code: 0, or 2 if a setting cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.settings",
        description="Print every setting in force and where it came from. Secrets are masked.",
    )
    parser.add_argument("--json", action="store_true", help="print a list of {name, value, source}")
    options = parser.parse_args(arguments)
    try:
        rows = effective_settings(load_settings())
    except SettingsError as refused:
        print(refused, file=sys.stderr)  # noqa: T201
        return 2
    if options.json:
        print(json.dumps([vars(row) for row in rows], indent=2))  # noqa: T201
        return 0
    widths = [max(len(row.name) for row in rows), min(64, max(len(row.value) for row in rows))]
    for row in rows:
        value = row.value if row.value.isprintable() else ascii(row.value)
        print(f"{row.name:<{widths[0]}}  {value:<{widths[1]}}  {row.source}".rstrip())  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

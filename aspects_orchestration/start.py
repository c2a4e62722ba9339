"""Before the web UI starts: what the settings name is brought up, and the operator is told where everything is.

python -m aspects_orchestration.start
"""

from __future__ import annotations

import sys

from aspects_orchestration.errors import AspectsError, SettingsError
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import Settings, load_settings


def bring_up(settings: Settings) -> list[str]:
    """Start the embedded server if it is the one to use, create what tables are absent, write the sample logs.

    Returns:
        Lines that say where everything is.

    Raises:
        AspectsError: ClickHouse or a folder cannot be used.
    """
    if settings.uses_sample_logs and settings.is_embedded:
        write_sample(settings.home)
    warehouse = connect(settings, run_id="start")
    kind = "embedded, " if settings.is_embedded else ""
    logs = ", ".join(settings.tracking_log_prefixes)
    return [
        f"ClickHouse:     {kind}{warehouse.address.url}, table {settings.xapi_database}.{settings.raw_xapi_table}",
        f"Tracking logs:  {logs}" + (" (the demo's sample)" if settings.uses_sample_logs else ""),
        f"Quarantine:     {settings.quarantine_uri}",
        f"State:          {settings.home}",
    ]


def main() -> int:
    """Bring up what can be. Returns the exit code: 0, or 2 if a setting cannot be used."""
    try:
        lines = bring_up(load_settings())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except AspectsError as error:
        # The web UI is of use without ClickHouse too: it holds what happened until now.
        lines = [f"Not ready yet: {error}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Copy one LMS table in a process of its own, in small slices, so that a test can end it anywhere.

    python tests/services/copy_once.py TABLE ROWS_A_SLICE ROWS_A_PAGE

Says what the copy says, a line each, then `done` and what was inserted. Settings come from the environment.
"""

from __future__ import annotations

import sys
import uuid

from aspects_orchestration.lms import copy
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import SINK_TABLES
from aspects_orchestration.resources.clickhouse import connect, schema_names
from aspects_orchestration.settings import load_settings


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(table: str, slice_rows: int, page_rows: int) -> None:
    """Copy the table as the asset does, but with small slices."""
    copy.SLICE_ROWS = slice_rows
    settings = load_settings()
    assert settings.lms_database_url is not None
    done = copy.copy_table(
        LmsDatabase(settings.lms_database_url),
        connect(settings, run_id=uuid.uuid4().hex),
        schema_names(settings),
        SINK_TABLES[table],
        copy.CopyRequest(batch_size=page_rows),
        enable_pii=True,
        say=say,
    )
    say(f"done {done.inserted} inserted {done.account.read} read")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

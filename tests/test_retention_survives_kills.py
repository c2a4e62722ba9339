"""A real run that is killed in the middle is run again, under the plan that was seen, and ends where one run would have."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from services import retain_once
from services.retention import (
    RAW,
    chain,
    due,
    fill,
    months_around,
    policy,
    rows_by_month,
    seen,
    server_of_the_module,
    site,
)
from services.runs import assert_gone, said
from services.site import Site

__all__ = ["server_of_the_module", "site"]

NOW = datetime.now(UTC)
KEEP = 12
TABLES = (RAW, "reporting.by_event", "xapi.parsed", "reporting.by_day")


def start(site: Site, asked: str) -> subprocess.Popen[bytes]:
    return site.popen(
        "-u", str(Path(retain_once.__file__)), asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.parametrize(
    "words", ["MODIFY SETTING", "MODIFY TTL", "reporting.by_event DROP PARTITION", f"{RAW} DROP PARTITION"]
)
def test_killed_anywhere_and_run_again_with_the_same_plan(site: Site, words: str) -> None:
    policy(site, f"{{raw: {{keep_months: {KEEP}}}, require_archive: false}}")
    chain(site)
    months = months_around(NOW, KEEP, 5)
    fill(site, months)
    left = set(months) - set(due(months, KEEP, NOW))
    asked = seen(site, archive=None).plan
    process = start(site, asked.id)
    assert said(process, words)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    assert_gone(process, within_s=10)
    rest = seen(site, archive=None).plan
    assert 0 < len(rest.steps) < len(asked.steps), "killed in the middle"
    assert rest.id != asked.id

    again = start(site, asked.id)
    output, _ = again.communicate(timeout=120)

    assert again.returncode == 0, output.decode()
    assert b"took over the lock" in output
    assert all(set(rows_by_month(site, table)) == left for table in TABLES)
    assert seen(site, archive=None).plan.steps == ()

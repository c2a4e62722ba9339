"""docs/disaster-recovery.md, command by command: three months, from the archive and the LMS, into an empty ClickHouse."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from services.sealed_site import machine_with_the_archive, write_sealed_site
from services.site import Site, stop_server

from aspects_orchestration.samples import SampleSpec

RUNBOOK = Path(__file__).resolve().parents[1] / "docs/disaster-recovery.md"
_STEP = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def test_three_months_come_back_to_the_row(tmp_path_factory: pytest.TempPathFactory, site: Site) -> None:
    original, _ = write_sealed_site(
        tmp_path_factory.mktemp("lost"), SampleSpec(lines=4_000, damage=0.01), files=12
    )
    lost = original.rows()
    stop_server(original.home)
    machine_with_the_archive(original, site)
    site.environ |= {
        "ASPECTS_LMS_DATABASE_URL": f"sqlite:///{site.folder}/lms.sqlite",
        "ASPECTS_IDENTITIES": "lms",
        "ASPECTS_COURSES": "lms",
    }
    steps = _STEP.findall(RUNBOOK.read_text())
    assert len(steps) >= 6
    said = [run(site, step) for step in steps]
    assert site.rows() == lost != b""
    assert "3 of 3 months to load" in said[2]
    assert "0 of 3 months to load" in said[4]
    assert said[5].count("every statement stood in the table already") == 1
    courses = site.sql("SELECT count() FROM event_sink.course_overviews", admin=True)
    assert int(courses) > 0


def run(site: Site, commands: str) -> str:
    """A step in the shell of an operator; it has to succeed."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("ASPECTS_", "CLICKHOUSE_"))
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={
            **environ,
            **site.variables,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        cwd=site.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-5000:]}"
    return done.stdout

"""`make demo`: loads a month through the real command line, shows it, and changes nothing when it is run again."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from services.site import stop_server

from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.verify import QUESTIONS

ROWS = "SELECT event_id, emission_time, event FROM xapi.xapi_events_all ORDER BY ALL FORMAT TSV"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "home"
    yield made
    stop_server(made)


def _demo(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    names = ("ASPECTS_", "CLICKHOUSE_", "DAGSTER_", "AWS_", "LMS_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    environ |= {
        "ASPECTS_HOME": str(home),
        "DAGSTER_MODULE_NAME": "aspects_orchestration.definitions",
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-m", "aspects_orchestration.demo"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_demo_loads_a_month_shows_it_and_doubles_nothing(home: Path) -> None:
    first = _demo(home)
    assert first.returncode == 0, first.stdout
    for said in (
        "$ ASPECTS_ENABLE_PII=true dagster asset materialize --select group:event_sink",
        "$ dagster asset materialize --select xapi_events_all --partition 2024-05",
        "user_profile",
        "The account of 2024-05",
        "quarantined: unknown_user",
        "https://w3id.org/xapi/video/verbs/played",
        f"All {len(QUESTIONS)} checks passed",
        "make dev",
    ):
        assert said in first.stdout
    rows = _rows(home)
    second = _demo(home)
    assert second.returncode == 0, second.stdout
    assert "nothing was inserted twice" in second.stdout
    assert _rows(home) == rows
    assert rows.count(b"\n") > 5_000


def test_the_demo_keeps_its_invented_events_out_of_a_site(home: Path, tmp_path: Path) -> None:
    for variables in (
        {"ASPECTS_TRACKING_LOGS": str(tmp_path)},
        {"ASPECTS_CLICKHOUSE_URL": "http://127.0.0.1:1"},
    ):
        refused = _demo(home, **variables)
        assert refused.returncode == 2
        assert "make dev" in refused.stdout
    assert not home.exists()


def test_a_demo_whose_load_fails_says_so_and_fails(home: Path) -> None:
    (home / "sample").mkdir(parents=True)  # a sample that somebody has emptied
    failed = _demo(home)
    assert failed.returncode == 1
    assert "That failed" in failed.stdout
    assert "checks passed" not in failed.stdout


def test_a_sample_that_many_write_at_once_is_there_once_and_whole(home: Path) -> None:
    spec = SampleSpec(lines=500)
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda _: write_sample(home, spec), range(8)))
    assert any(wrote)
    assert [one.name for one in home.iterdir()] == ["sample"]
    assert {one.name for one in (home / "sample").iterdir()} == {
        "course_blocks.ndjson",
        "courses.csv",
        "identities.csv",
        "lms.sqlite",
        "logs",
    }
    assert write_sample(home, spec) is False


def test_a_sample_of_an_earlier_release_gets_its_lms_database(home: Path) -> None:
    spec = SampleSpec(lines=100, users=7, courses=3)
    write_sample(home, spec)
    with closing(sqlite3.connect(home / "sample/lms.sqlite")) as lms:
        found = lms.execute(
            "SELECT u.id, username, external_user_id, email, 'xapi' FROM auth_user u"
            " JOIN external_user_ids_externalid e ON e.user_id = u.id ORDER BY u.id"
        ).fetchall()
    lines = (home / "sample/identities.csv").read_text().splitlines()[1:]
    assert [",".join(map(str, row)) for row in found] == [line.replace("-", "") for line in lines]
    for name in ("lms.sqlite", "course_blocks.ndjson"):
        (home / "sample" / name).unlink()
    assert write_sample(home, spec) is False
    assert (home / "sample/lms.sqlite").stat().st_size > 10_000
    assert (home / "sample/course_blocks.ndjson").exists()
    assert [one.name for one in home.iterdir()] == ["sample"]


def _rows(home: Path) -> bytes:
    return b"".join(server.query(server.ensure_running(home), ROWS))

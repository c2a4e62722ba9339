"""The docs are a site: it is built without a warning, holds all that the code defines, and fetches nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aspects_orchestration.definitions import defs
from aspects_orchestration.monitoring.signals import SIGNALS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def _leaves(nav: Any) -> Iterable[str]:
    for one in nav.values() if isinstance(nav, dict) else nav:
        yield from [one] if isinstance(one, str) else _leaves(one)


def test_every_page_has_a_place_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    pages = {one.name for one in (ROOT / "docs").glob("*.md")}
    assert pages <= set(_leaves(nav))


def test_all_that_is_defined_stands_in_the_reference(built: Path) -> None:
    repository = defs().get_repository_def()
    graph = repository.asset_graph

    def page(name: str) -> str:
        return (built / "reference" / f"{name}.html").read_text()

    names = {
        "assets": {key.to_user_string() for key in graph.get_all_asset_keys()},
        "checks": {key.name for key in graph.asset_check_keys},
        "jobs": {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")},
        "automation": {one.name for one in (*repository.schedule_defs, *repository.sensor_defs)},
        "alerts-and-signals": set(SIGNALS),
    }
    for name, wanted in names.items():
        text = page(name)
        assert wanted
        assert {one for one in wanted if one not in text} == set(), name
    assert "allow_expired" in page("assets")  # a field of a load's configuration


def test_nothing_is_fetched_from_elsewhere(built: Path) -> None:
    for page in built.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(https?:)?//[^\"]+", page.read_text()
        )
        assert fetched == [], page


def test_commands_that_no_test_runs_are_marked(built: Path) -> None:
    page = (built / "tutor.html").read_text()
    assert "Shown only" in page.split("pip install ./deploy/tutor")[0][-400:]
    # What is run as it stands bears no mark.
    front = (built / "index.html").read_text()
    before = front.split("DAGSTER_MODULE_NAME")[0]
    assert "Shown only" not in before[before.rindex("<h2") :].split("<div")[-1]


def test_files_that_pages_link_to_are_on_the_site(built: Path) -> None:
    assert "GRANT" in (built / "files" / "sql" / "grants.sql.html").read_text()
    assert "worker" in (built / "files" / "deploy" / "celery" / "index.html").read_text()

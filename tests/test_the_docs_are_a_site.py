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
from playwright.sync_api import expect, sync_playwright
from services.documents import blocks
from services.web import ARGUMENTS, require_chromium

from aspects_orchestration.definitions import defs
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.settings import documented_settings

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
    assert [part for one in nav for part in one] == ["Start", "How to", "Reference", "Explanation"]
    pages = {one.relative_to(ROOT / "docs").as_posix() for one in (ROOT / "docs").glob("**/*.md")}
    leaves = list(_leaves(nav))
    assert pages <= set(leaves)
    assert len(leaves) == len(set(leaves))


def test_every_picture_is_shown_and_taken_by_the_browsers_tests() -> None:
    pictures = {one.stem for one in (ROOT / "docs/images").glob("*.png")}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]
    shown = {
        name
        for one in pages
        for name in re.findall(r"!\[[^]]+\]\([^)]*images/([\w-]+)\.png\)", one.read_text())
    }
    taken = re.findall(r'keep_picture\(\w+, "([\w-]+)"', (ROOT / "tests/test_ui_in_a_browser.py").read_text())
    assert pictures == shown == set(taken)


def test_the_table_of_settings_is_made_of_the_code() -> None:
    program = (
        "import sys; sys.path.insert(0, 'docs/site')\n"
        "from types import SimpleNamespace as N\n"
        "import pages\n"
        "table = '| setting | default | meaning |\\n|---|---|---|\\n| `OLD` | none | gone |\\n'\n"
        "print(pages.on_page_markdown(f'before\\n\\n{table}\\nbehind', N(file=N(src_uri='settings.md'))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\| `(\w+)` \|", done.stdout, re.MULTILINE) == [
        one.name for one in documented_settings()
    ]
    assert done.stdout.startswith("before\n\n| setting")
    assert done.stdout.rstrip().endswith("\n\nbehind")


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
    # What is there only for a site with logs of its own, too.
    assert "observe_course_blocks" in page("jobs")
    assert "observe_course_blocks_daily" in page("automation")
    for text in ("jobs.recover window", "warehouse.server sql", "--production"):
        assert text in page("commands")
    assert "GRANT INSERT ON xapi.xapi_events_all" in page("grants")


def test_nothing_is_fetched_from_elsewhere(built: Path) -> None:
    for page in built.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"((?:https?:)?//[^\"]+)", page.read_text()
        )
        assert fetched == [], page


def test_commands_that_no_test_runs_are_set_apart(built: Path) -> None:
    notes = {
        name: re.findall(r'<em class="not-run">(.*?)</em>', (built / name).read_text())
        for name in ("tutor.html", "index.html")
    }
    shown = [one for one in blocks(ROOT / "docs/tutor.md") if one.why_not_run]
    assert len(notes["tutor.html"]) == len(shown) > 2
    assert notes["index.html"] == []


@pytest.mark.browser
def test_pages_are_read_and_searched_without_a_network(built: Path) -> None:
    """Opened as files, on a desk and on a phone: nothing is asked for elsewhere, nothing sticks out, the search finds."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_chromium(), args=list(ARGUMENTS))
        page = browser.new_page()
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        for width in (1400, 390):
            page.set_viewport_size({"width": width, "height": 850})
            for name in ("index", "settings", "tutor", "reference/jobs", "reference/alerts-and-signals"):
                page.goto((built / f"{name}.html").as_uri(), wait_until="networkidle")
                assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (name, width)
        page.set_viewport_size({"width": 1400, "height": 850})
        page.get_by_placeholder("Search").click()
        page.keyboard.type("allow_expired")
        expect(page.locator(".md-search-result__meta")).to_contain_text("matching documents", timeout=30_000)
        expect(page.locator(".md-search-result__list").get_by_text("Retention").first).to_be_visible()
        browser.close()
    assert [one for one in asked if not one.startswith(("file:", "data:", "blob:", "about:"))] == []
    assert wrong == []


def test_files_that_pages_link_to_are_on_the_site(built: Path) -> None:
    assert "GRANT" in (built / "files" / "sql" / "grants.sql.html").read_text()
    assert "worker" in (built / "files" / "deploy" / "celery" / "index.html").read_text()

"""What an operator sees and does in the web UI: a real `dagster dev`, a real Chromium, a real ClickHouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from services.pictures import keep_picture
from services.site import Site, stop_server
from services.web import ARGUMENTS, Web, require_chromium, until, web_of

from aspects_orchestration.samples import SampleSpec, write_logs
from aspects_orchestration.warehouse.verify import QUESTIONS

expect.set_options(timeout=30_000)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

#: A month large enough that its load can be caught in the act.
LARGE = "2023-03"
MONTHS = (LARGE, "2024-04", "2024-05", "2024-06")
_PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def chromium() -> str:
    return require_chromium()


@contextmanager
def _browser(chromium: str, web: Web) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1500, "height": 950}, base_url=web.url)
        page.set_default_timeout(_PATIENCE_MS)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # The engine that is slow: the fast one is done with a month before a hand is at the mouse.
    made = Site(tmp_path_factory.mktemp("site"), environ={"ASPECTS_TRANSFORM_ENGINE": "stock"})
    made.logs.mkdir()
    made.write_samples(SampleSpec(lines=6_000, damage=0.002), files=6)
    yield made
    stop_server(made.home)


@pytest.fixture(scope="module")
def web(chromium: str, site: Site) -> Iterator[Web]:
    with web_of(site) as found:
        yield found


@dataclass(frozen=True)
class Terminated:
    """What became of a run that was terminated, and the commands of those of its processes that live on."""

    status: str
    left: list[str]


@pytest.fixture(scope="module")
def terminated(chromium: str, site: Site, web: Web) -> Terminated:
    """A load of a large month, terminated in the UI while its workers are busy."""
    march = SampleSpec(
        lines=60_000, start=datetime(2023, 3, 1, tzinfo=UTC), end=datetime(2023, 4, 1, tzinfo=UTC)
    )
    write_logs(march, site.logs / "march", files=1, compression="none")
    before = _processes(web)
    with _browser(chromium, web) as page:
        _materialize(page, LARGE)
        run_id = until(lambda: _run_of(web, LARGE), within_s=90, what="the run is launched", log=web.log)
        until(lambda: _workers_are_busy(web, before), within_s=90, what="workers are busy", log=web.log)
        started = _spawned(web, before)
        page.goto(f"/runs/{run_id}")
        page.get_by_role("button", name="Terminate").click()
        page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
        ended = {"SUCCESS", "FAILURE", "CANCELED"}
        until(lambda: _status(web, run_id) in ended, within_s=90, what="the run has ended", log=web.log)
    _, left = psutil.wait_procs(started, timeout=20)
    return Terminated(_status(web, run_id), [" ".join(one.cmdline()) for one in left])


@pytest.fixture(scope="module")
def backfilled(chromium: str, web: Web, terminated: Terminated) -> Web:
    """A backfill of several months, launched by hand as an operator does it, and done.

    The month that was terminated is one of them: a check of a month that did not run is no passed check.
    """
    earlier = _backfills(web)
    with _browser(chromium, web) as page:
        _materialize(page, f"{LARGE}, [{MONTHS[1]}...{MONTHS[-1]}]")
        until(
            lambda: len(_backfills(web)) > len(earlier),
            within_s=60,
            what="the backfill is launched",
            log=web.log,
        )
    until(
        lambda: not set(_backfills(web).values()) & {"REQUESTED", "CANCELING"},
        within_s=400,
        what="the backfill is done",
        log=web.log,
    )
    new = [status for backfill, status in _backfills(web).items() if backfill not in earlier]
    assert new == ["COMPLETED_SUCCESS"], web.log.read_text(errors="replace")[-4000:]
    return web


@pytest.fixture
def page(chromium: str, web: Web, tmp_path: Path) -> Iterator[Page]:
    """A page; what it shows in the end is kept as a picture, for whoever looks into a failure."""
    with _browser(chromium, web) as found:
        yield found
        found.screenshot(path=tmp_path / "page.png")


def test_a_backfill_is_one_successful_run_a_month(backfilled: Web) -> None:
    runs = backfilled.ask("{ runsOrError { ... on Runs { results { status tags { key value } } } } }")
    found = {
        next(tag["value"] for tag in run["tags"] if tag["key"] == "dagster/partition"): run["status"]
        for run in runs["runsOrError"]["results"]
        if any(tag["key"] == "dagster/backfill" for tag in run["tags"])
    }
    assert found == dict.fromkeys(MONTHS, "SUCCESS")


def test_a_backfill_shows_its_months(backfilled: Web, page: Page) -> None:
    (backfill,) = [one for one, status in _backfills(backfilled).items() if status == "COMPLETED_SUCCESS"]
    page.goto(f"/runs/b/{backfill}")
    expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
    expect(page.get_by_text("100% completed")).to_be_visible()
    # Partitions that were asked for, and those that succeeded.
    expect(page.get_by_text(str(len(MONTHS)), exact=True)).to_have_count(2)
    keep_picture(page, "backfill", height=420)


def test_the_asset_graph_shows_the_logs_and_the_statements_that_come_of_them(
    backfilled: Web, page: Page
) -> None:
    # Nodes outside of it are not drawn.
    page.set_viewport_size({"width": 1500, "height": 950})
    page.goto("/asset-groups")
    for group, asset in (("tracking", "tracking_logs"), ("xapi", "xapi_events_all")):
        graph = page.locator("foreignObject")
        graph.get_by_text(group, exact=True).filter(visible=True).click()
        expect(graph.get_by_text(asset, exact=True).filter(visible=True)).to_be_visible()
    expect(page.get_by_text(f"{len(QUESTIONS)} / {len(QUESTIONS)} Passed")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)  # no welcome in the way
    # What is opened stays open, and stands in the middle after a reload: the README's picture is one of these.
    page.reload()
    expect(page.get_by_text("ClickHouse", exact=True)).to_be_visible()
    expect(page.get_by_text(f"{len(QUESTIONS)} / {len(QUESTIONS)} Passed")).to_be_visible()
    keep_picture(page, "asset-graph")


def test_a_month_shows_its_account_and_its_picture(backfilled: Web, page: Page) -> None:
    page.goto("/assets/xapi_events_all?view=partitions&partition=2024-05")
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile(r"[\d,]+ lines in \d+ files: [\d,]+ gave statements"))).to_be_visible()
    expect(page.get_by_text("no_transformer").first).to_be_visible()
    keep_picture(page, "a-month")
    row = page.get_by_role("row").filter(has=page.get_by_text("heat_map", exact=True))
    row.get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("img", name="statements of 2024-05 by day and hour")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300


def test_every_check_of_a_month_is_there_and_passed(backfilled: Web, page: Page) -> None:
    page.goto("/assets/xapi_events_all?view=checks")
    for name, question in QUESTIONS.items():
        page.get_by_text(name, exact=True).first.click()
        expect(page.get_by_text(str(question.__doc__), exact=True)).to_be_visible()
        expect(page.get_by_text("Passed", exact=True).first).to_be_visible()
    keep_picture(page, "checks")


def test_the_tracking_logs_say_what_they_hold(backfilled: Web, page: Page) -> None:
    page.goto("/assets/tracking_logs")
    expect(page.get_by_text("External Asset")).to_be_visible()
    expect(page.get_by_text("first event")).to_be_visible()
    expect(page.get_by_text("transformable lines")).to_be_visible()


def test_the_operators_page_is_written_and_tells_of_today(site: Site, backfilled: Web, page: Page) -> None:
    now = datetime.now(UTC)
    week = SampleSpec(lines=1_500, seed=7, start=now - timedelta(days=6), end=now - timedelta(minutes=2))
    write_logs(week, site.logs / "week", files=2)
    for month in sorted({f"{one:%Y-%m}" for one in (week.start, week.end)}):
        site.load(month)
    page.goto("/assets/operator_report")
    page.get_by_role("button", name="Materialize").first.click()
    written = site.home / "report/operator_report.html"
    until(lambda: _last_report(backfilled), within_s=120, what="the page is written", log=backfilled.log)
    page.goto("/assets/operator_report?view=overview")
    expect(page.get_by_text(str(written)).first).to_be_visible()
    page.goto(written.as_uri())
    expect(page.get_by_text("Statements by hour").first).to_be_visible()
    expect(page.get_by_text(f"{now:%Y-%m}").first).to_be_visible()
    keep_picture(page, "operators-page", height=1000)


def test_a_load_terminated_in_the_ui_leaves_no_worker_behind(terminated: Terminated) -> None:
    assert terminated == Terminated("CANCELED", [])


def _materialize(page: Page, months: str) -> None:
    page.goto("/assets/xapi_events_all")
    page.get_by_role("button", name="Materialize").first.click()
    field = page.get_by_placeholder(re.compile("^ex: "))
    field.fill(months)
    field.press("Enter")
    page.get_by_role("button", name="Launch").click()


def _backfills(web: Web) -> dict[str, str]:
    """Status by id."""
    found = web.ask("{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }")
    return {one["id"]: one["status"] for one in found["partitionBackfillsOrError"]["results"]}


def _run_of(web: Web, month: str) -> str | None:
    found = web.ask("{ runsOrError { ... on Runs { results { runId tags { key value } } } } }")
    for run in found["runsOrError"]["results"]:
        if {"key": "dagster/partition", "value": month} in run["tags"]:
            return str(run["runId"])
    return None


def _last_report(web: Web) -> list[Any]:
    asked = (
        "query($key: AssetKeyInput!) { assetOrError(assetKey: $key)"
        " { ... on Asset { assetMaterializations(limit: 1) { runId } } } }"
    )
    found: list[Any] = web.ask(asked, key={"path": ["operator_report"]})["assetOrError"][
        "assetMaterializations"
    ]
    return found


def _status(web: Web, run_id: str) -> str:
    found = web.ask("query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run_id)
    return str(found["runOrError"]["status"])


def _processes(web: Web) -> dict[int, psutil.Process]:
    return {one.pid: one for one in psutil.Process(web.pid).children(recursive=True)}


def _spawned(web: Web, before: dict[int, psutil.Process]) -> list[psutil.Process]:
    """The run and its workers; not what the code server keeps for itself once it has started a run."""
    found = []
    for pid, one in _processes(web).items():
        with suppress(psutil.NoSuchProcess):
            if pid not in before and "spawn_main" in " ".join(one.cmdline()):
                found.append(one)
    return found


def _workers_are_busy(web: Web, before: dict[int, psutil.Process]) -> bool:
    busy = 0
    for one in _spawned(web, before):
        with suppress(psutil.NoSuchProcess):
            busy += one.cpu_times().user > 1
    return busy >= 3  # the run itself, and both workers

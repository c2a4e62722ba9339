"""The page: everything on it, whatever is down, whatever names contain; readable on a phone, light and dark, offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from playwright.sync_api import Page, sync_playwright
from services.ports import free_port
from services.seaweedfs import S3Server
from services.site import Site
from services.web import require_chromium

from aspects_orchestration.assets.operator_report import lag_by_hour, operator_report
from aspects_orchestration.assets.pipeline_health import health_key
from aspects_orchestration.definitions import defs
from aspects_orchestration.drill.record import RecordedDay
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.monitoring.clickhouse import readers
from aspects_orchestration.monitoring.clickhouse_questions import SlowQuery
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.report.gather import Month, Part, Report, Row, gather
from aspects_orchestration.report.page import markdown, page, write
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.client import Warehouse

NOW = datetime(2024, 5, 8, 12, 30, tzinfo=UTC)
FIRST = int((NOW - timedelta(days=6)).timestamp() // 3600)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}|\\`"


def made(text: str = "plain") -> Report:
    """A report in which every text that comes from elsewhere is this one."""
    return Report(
        site="lms.example.org",
        at=NOW,
        took_ms=1234.0,
        rows=(
            Row("clickhouse_lag", text, State.CRITICAL, "2 h", "warn from 15 min", text, text),
            Row("kafka_lag", text, State.UNKNOWN, "not read", "warn from 9", text, ""),
            Row("ralph_up", "Ralph's heartbeats", State.OK, "yes", "critical down to 0", "", ""),
        ),
        lag={FIRST + hour: 60.0 + 30 * hour for hour in range(140)},
        volume=Part({FIRST + hour: 1000 + hour for hour in range(140)}),
        months=Part([Month("2024-05", 1_234_567, 9_000_000, NOW), Month("2024-04", 5, 9, None)]),
        archive=Part([text]),
        drills=Part([RecordedDay("2024-05", "2024-04-03", "differs", text, 7200.0, 3600.0, NOW)]),
        slow=Part([SlowQuery(1.5, text, 10)]),
    )


def test_all_parts_of_a_site_are_on_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.write_samples(SampleSpec(lines=600))
    site.load("2024-05")
    site.sql("SYSTEM FLUSH LOGS", admin=True)  # the slowest queries are read from query_log
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        for value in (30.0, 90.0, 60.0):
            observed = dg.AssetObservation(health_key("clickhouse_lag"), metadata={"value": value})
            instance.report_runless_asset_event(observed)
        resources = defs().get_repository_def().get_top_level_resources()
        done = dg.materialize([operator_report()], instance=instance, resources=resources)
        assert set(lag_by_hour(instance, utc_now()).values()) == {90.0}
    assert done.success
    (event,) = done.asset_materializations_for_node("operator_report")
    path = Path(str(event.metadata["page"].value))
    html = path.read_text()
    assert path == site.home / "report" / "operator_report.html"
    assert oct(path.parent.stat().st_mode)[-3:] == "700"
    assert "2024-05" in html
    assert "Lag of the newest statement; most: 1.5 min at" in html
    assert "nothing yet: materialize tracking_log_archive" in html
    assert "INSERT INTO" in html or "SELECT" in html
    assert "CRITICAL" in str(event.metadata["report"].value), "the newest statement is of May"
    assert "data:image/png;base64," in str(event.metadata["week"].value)
    assert event.metadata["signals_critical"].value >= 1


def test_a_part_that_cannot_be_read_says_why_and_the_rest_is_there(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.environ["ASPECTS_CLICKHOUSE_URL"] = f"http://operator:hidden-word@127.0.0.1:{free_port()}"
    settings = site.settings

    def connect() -> Warehouse:
        raise WarehouseError("ClickHouse is down", do="Start it.")

    found = gather(
        settings, readers(settings), Rules(), connect, site="x", lag={}, s3=S3Options(), now=utc_now()
    )
    html = page(found)
    assert found.worst is State.CRITICAL
    assert html.count("ClickHouse is down") == 3, "volume, months and drills"
    assert "What is bad" in html
    assert "nothing yet: materialize tracking_log_archive" in html
    assert "hidden-word" not in html


def test_nothing_that_comes_from_elsewhere_is_markup() -> None:
    html = page(made(HOSTILE))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "{{ 7*7 }}" in html
    table = markdown(made(HOSTILE), "/x")
    assert "<script" not in table
    assert all(line.replace("\\|", "").count("|") == 5 for line in table.splitlines() if line.startswith("|"))


def test_it_is_written_where_the_setting_says(s3: S3Server) -> None:
    uri = write("<html>", f"{s3.uri}/report/", S3Options())
    assert uri == f"{s3.uri}/report/operator_report.html"
    found = s3.client().get_object(Bucket=s3.bucket, Key=f"{s3.prefix}/report/operator_report.html")
    assert found["ContentType"] == "text/html", "a browser shows it instead of saving it"
    assert found["Body"].read() == b"<html>"


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=[(360, "dark"), (360, "light"), (1100, "dark"), (1100, "light")], ids=str)
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Page, list[str], list[str]]]:
    width, scheme = request.param
    path = Path(write(page(made("a_very_long_name_without_any_space_" * 8)), str(tmp_path), S3Options()))
    asked: list[str] = []
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_chromium(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        tab = context.new_page()
        tab.on("request", lambda one: asked.append(one.url))
        tab.on("console", lambda one: said.append(one.text))
        tab.goto(path.as_uri())
        yield tab, asked, said
        browser.close()


@pytest.mark.browser
def test_it_needs_no_network_fits_a_phone_and_can_be_read(
    shown: tuple[Page, list[str], list[str]],
) -> None:
    tab, asked, said = shown
    assert asked == [tab.url]
    assert said == []
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.locator("svg[role=img]").count() == 2
    assert tab.locator("svg rect").count() == 280
    for selector in ("body", ".critical .state", ".ok .state", "small", "td.number"):
        assert contrast(tab, selector) >= 4.5, selector


def contrast(tab: Page, selector: str) -> float:
    """WCAG's contrast of a text with what is behind it."""
    colours = tab.evaluate(
        """selector => {
            const numbers = text => text.match(/[\\d.]+/g).map(Number);
            let one = document.querySelector(selector);
            const text = numbers(getComputedStyle(one).color);
            let back = numbers(getComputedStyle(one).backgroundColor);
            while (back.length === 4 && back[3] === 0 && one.parentElement) {
                one = one.parentElement;
                back = numbers(getComputedStyle(one).backgroundColor);
            }
            return [text.slice(0, 3), back.slice(0, 3)];
        }""",
        selector,
    )
    lighter, darker = sorted((luminance(one) for one in colours), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: list[float]) -> float:
    """WCAG's relative luminance."""
    parts = [value / 255 for value in colour]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_an_empty_week_is_said_to_be_one() -> None:
    html = page(replace(made(), lag={}, volume=Part({})))
    assert "Statements by hour: nothing in this week." in html
    assert "<svg" not in html

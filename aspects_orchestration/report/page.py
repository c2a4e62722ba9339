"""The page: one HTML file that needs no network, and the same in few words for Dagster's UI."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aspects_orchestration.markdown import cell
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.words import duration, moment, shown
from aspects_orchestration.report.charts import bars, picture
from aspects_orchestration.report.gather import Report
from aspects_orchestration.tracking.stores import S3Options, open_store

_HOUR_US: Final = 3_600_000_000
_NAME: Final = "operator_report.html"


def page(report: Report) -> str:
    """The page as HTML. All that comes from elsewhere is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    first, end = _hours(report)
    lag = bars(
        report.lag, first, end, title="Lag of the newest statement", shown=lambda value: shown(value, "s")
    )
    volume = bars(
        report.volume.value or {}, first, end, title="Statements by hour", shown=lambda value: f"{value:,.0f}"
    )
    return environment.get_template("page.html").render(
        r=report,
        bad=[one for one in report.rows if one.state is not State.OK],
        counts=counts(report),
        # Markup: these were made by `bars`, which escapes what it is given.
        lag_chart=Markup(lag),  # noqa: S704
        volume_chart=Markup(volume),  # noqa: S704
        version=_version(),
        moment=moment,
        duration=lambda seconds: duration(timedelta(seconds=seconds)),
    )


def counts(report: Report) -> str:
    """How many readings are in which state."""
    found = Counter(one.state for one in report.rows)
    return (
        ", ".join(f"{found[state]} {state}" for state in reversed(State) if found[state])
        or "nothing is watched"
    )


def week(report: Report) -> bytes:
    """Lag and volume of the week as a PNG."""
    return picture(report.lag, report.volume.value or {}, *_hours(report))


def markdown(report: Report, path: str) -> str:
    """The report in few words, for the UI: what is bad, and where the page is."""
    lines = [f"**{report.worst.upper()}**: {counts(report)}. The page: `{path}`", ""]
    bad = [one for one in report.rows if one.state is not State.OK]
    if bad:
        lines += ["| state | signal | value | what to do |", "|---|---|---|---|"]
        lines += [
            f"| {one.state} | {cell(one.title)} | {cell(one.value)} | {cell(one.do or one.why)} |"
            for one in bad
        ]
    return "\n".join(lines)


def write(html: str, prefix: str, s3: S3Options) -> str:
    """Put the page where it is looked for, whole or not at all.

    Args:
        html: the page.
        prefix: ASPECTS_REPORT.
        s3: how to reach S3.

    Returns:
        Its path or URI.
    """
    store = open_store(prefix, s3=s3, setting="ASPECTS_REPORT")
    uri = f"{prefix.rstrip('/')}/{_NAME}"
    store.put(uri, html.encode())
    return uri.removeprefix("file://")


def _hours(report: Report) -> tuple[int, int]:
    return report.window.start_micros // _HOUR_US, report.window.end_micros // _HOUR_US


def _version() -> str:
    try:
        return version("aspects-orchestration")
    except PackageNotFoundError:
        return ""

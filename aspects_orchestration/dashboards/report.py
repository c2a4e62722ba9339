"""What the sources of dashboards look like, for people: tables, rows by month, and how each month compares."""

from __future__ import annotations

from collections.abc import Sequence

from aspects_orchestration.dashboards.chain import Chain
from aspects_orchestration.dashboards.compare import Compared
from aspects_orchestration.dashboards.dictionaries import Dictionary, Refresh, shown_age
from aspects_orchestration.markdown import cell

#: The newest months that are shown.
_MONTHS = 36


def tables(chain: Chain) -> str:
    """Every table: what fills it, its rows, and its newest one."""
    sources = {view.target: view for view in chain.views}
    lines = ["| table | filled by | of | rows | newest (UTC) | TTL |", "|---|---|---|---:|---|---|"]
    for one in chain.in_order:
        view = sources.get((one.database, one.name))
        newest = f"{one.newest:%Y-%m-%d %H:%M:%S}" if one.newest else "not known by partition"
        ttl = ", ".join(rule.text for rule in one.rules) or "none"
        filled = (view.known_as, ".".join(view.source)) if view else ("inserts", "")
        lines.append(
            f"| {cell(one.known_as)} | {cell(filled[0])} | {cell(filled[1])} | {one.rows:,} | {newest} | {cell(ttl)} |"
        )
    lines += [
        f"| {cell('.'.join(view.target))} | {cell(view.known_as)} | | not there | | |"
        for view in chain.views
        if view.target not in chain.tables
    ]
    return "\n".join(lines)


def months(chain: Chain) -> str:
    """Rows by month of every table that is partitioned by month, newest month first."""
    shown = [one for one in chain.in_order if one.is_monthly]
    lines = [
        "| month | " + " | ".join(cell(one.known_as) for one in shown) + " |",
        "|---|" + "---:|" * len(shown),
    ]
    lines += [
        f"| {month} | " + " | ".join(f"{one.rows_of(month):,}" for one in shown) + " |"
        for month in reversed(chain.months[-_MONTHS:])
    ]
    return "\n".join(lines)


def comparison(found: Sequence[Compared]) -> str:
    """One month of every table against what its view gives."""
    lines = [
        "| table | state | expected | stand | missing | doubled | strange | remarks |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for one in found:
        numbers = (one.expected, one.stand, one.missing, one.doubled, one.strange)
        counts = (
            " | ".join(f"{number:,}" for number in numbers)
            if one.state in {"complete", "drifted"}
            else " | ".join("" for _ in numbers)
        )
        lines.append(f"| {cell(one.target)} | {one.state} | {counts} | {cell(one.why)} |")
    return "\n".join(lines)


def dictionaries(found: Sequence[Dictionary]) -> str:
    """Every dictionary: status, elements, age, what its sources hold."""
    lines = [
        "| dictionary | status | elements | rows of its sources | loaded | trouble |",
        "|---|---|---:|---:|---|---|",
    ]
    for one in found:
        rows = "not in ClickHouse" if one.source_rows is None else f"{one.source_rows:,}"
        age = f"{shown_age(one.age)} ago" if one.age is not None else "never"
        lines.append(
            f"| {cell(one.known_as)} | {one.status} | {one.elements:,} | {rows} | {age} | {cell(one.trouble)} |"
        )
    return "\n".join(lines)


def refreshes(found: Sequence[Refresh]) -> str:
    """Every view that is refreshed by the clock."""
    lines = ["| view | status | last good refresh (UTC) | trouble |", "|---|---|---|---|"]
    for one in found:
        success = f"{one.success:%Y-%m-%d %H:%M:%S}" if one.success else "never"
        lines.append(f"| {cell(one.known_as)} | {one.status} | {success} | {cell(one.trouble)} |")
    return "\n".join(lines)

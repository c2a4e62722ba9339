"""A drilled day as people look at it."""

from __future__ import annotations

from collections.abc import Sequence

from aspects_orchestration.drill.compare import MonthComparison
from aspects_orchestration.drill.run import DrillPlan

#: So many ids are listed for each month; the record has more.
LISTED_IDS = 100


def months_table(months: Sequence[MonthComparison]) -> str:
    """What was compared, by month, as a Markdown table."""
    rows = [
        "| month | restored | missing | different | expired | written otherwise | another event's | quarantined | new |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {one.month} | {one.restored:,} | {one.missing:,} | {one.different:,} | {one.expired:,} | {one.rewritten:,}"
        f" | {one.of_another_event:,} | {one.quarantined.total():,} | {one.newly_quarantined.total():,} |"
        for one in months
    ]
    return "\n".join(rows)


def differences(months: Sequence[MonthComparison]) -> str:
    """Ids of the statements that are missing or different, and where these differ, as Markdown; never a statement."""
    parts = []
    for one in months:
        for kind, count, ids in (
            ("missing", one.missing, one.missing_ids),
            ("different", one.different, one.different_ids),
        ):
            if count:
                more = f"\n- and {count - LISTED_IDS:,} more" if count > LISTED_IDS else ""
                listed = "\n".join(f"- `{found}`" for found in ids[:LISTED_IDS])
                parts.append(f"**{one.month}, {kind}: {count:,}**\n\n{listed}{more}")
        if one.places:
            places = "\n".join(f"- `{place}`: {count:,}" for place, count in one.places.most_common(20))
            parts.append(f"**{one.month}, where they differ**\n\n{places}")
    return "\n\n".join(parts)


def plan_lines(plan: DrillPlan) -> list[str]:
    """The plan for people, a line each."""
    newest = f"{plan.newest_line:%Y-%m-%d %H:%M:%S} UTC" if plan.newest_line else "none"
    return [
        (
            f"drill of {plan.request.turn} in {plan.archive}: sealed up to {plan.sealed_until}, newest sealed line"
            f" {newest}, {plan.archive_raw_bytes:,} bytes of raw lines"
        ),
        *(day.described() for day in plan.days),
    ]

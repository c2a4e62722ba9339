"""A look at gaps as people see it: one sentence, tables in Markdown, and a picture by hour."""

from __future__ import annotations

import io

from aspects_orchestration.gaps.heal import stretches
from aspects_orchestration.gaps.look import Look, hour_start
from aspects_orchestration.tracking.catalog import hour_range

#: So many hours are listed one by one; the rest is summed up.
LISTED = 100
_LABELS = 16
#: Gaps in which more than this share of all statements is missing are severe.
SEVERE_SHARE = 0.01


def is_severe(seen: Look) -> bool:
    """Whether more is missing than a hundredth of what should stand in all hours that were looked at."""
    return seen.comparison.missing_share > SEVERE_SHARE


def summary(seen: Look) -> str:
    """One sentence of what was seen."""
    if seen.window is None:
        return (
            "there are no hours to look at: retention keeps none of them, or ASPECTS_FIRST_MONTH comes later"
        )
    one, unread = seen.comparison, ""
    if seen.unread:
        unread = f"; {seen.unread} logs are not read yet, so what they hold is not counted"
    if not one.hours:
        return f"the logs hold nothing of {_span(seen)}{unread}"
    checked = f"{len(one.hours)} hours with lines from {_span(seen)}"
    if not one.gaps:
        return f"{checked}: none falls short{unread}"
    return (
        f"{checked}: {len(one.gaps)} fall short, in which {one.missing:,} of {one.expected:,} statements are missing"
        f" ({one.missing_share:.2%}){unread}"
    )


def gaps_table(seen: Look) -> str:
    """The hours that fall short, the newest first."""
    rows = [
        "| hour (UTC) | lines in the logs | expected | found | missing | expected because |",
        "|---|--:|--:|--:|--:|---|",
    ]
    gaps = sorted(seen.comparison.gaps, key=lambda one: -one.hour)
    for one in gaps[:LISTED]:
        why = "a load left so many" if one.known else f"{seen.comparison.usual.ratio:.3f} a line are usual"
        rows.append(
            f"| {hour_start(one.hour):%Y-%m-%d %H:00} | {one.lines:,} | {one.expected:,.0f} | {one.found:,}"
            f" | {one.missing:,} | {why} |"
        )
    if len(gaps) > LISTED:
        rest = sum(one.missing for one in gaps[LISTED:])
        rows.append(f"| {len(gaps) - LISTED} more hours | | | | {rest:,} | |")
    return "\n".join(rows)


def replays(seen: Look) -> str:
    """The commands that replay the gaps, the largest first; empty where there are none."""
    found = stretches(seen.comparison.hours)
    commands = [stretch.command() for stretch in found[:LISTED]]
    if not commands:
        return ""
    more = [f"# and {len(found) - LISTED} more"] if len(found) > LISTED else []
    return "\n".join(["```", *commands, *more, "```"])


def numbers(seen: Look) -> dict[str, int | float]:
    """The figures that are worth following over time."""
    one = seen.comparison
    return {
        "hours_with_lines": len(one.hours),
        "hours_short": len(one.gaps),
        "lines": sum(hour.lines for hour in one.hours),
        "statements_expected": one.expected,
        "statements_found": sum(hour.found for hour in one.hours),
        "statements_missing": one.missing,
        "statements_a_line": round(one.usual.ratio, 4),
        "learned_from_hours": one.usual.hours,
        "files": seen.files,
        "files_left_out_as_copies": seen.copies,
        "files_not_read": seen.unread,
        "live_files_not_read": seen.unread_live,
    }


def picture(seen: Look) -> bytes | None:
    """Expected and found statements by hour, gaps marked; a PNG. None where there are no hours."""
    if seen.window is None:
        return None
    from matplotlib.figure import Figure

    first, end = hour_range(seen.window)
    hours = {one.hour: one for one in seen.comparison.hours}
    across = list(range(first, end))
    expected = [hours[hour].expected if hour in hours else 0.0 for hour in across]
    found = [seen.found.get(hour, 0) for hour in across]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(expected, [*across, end], fill=True, color="#c9d6df", label="expected from the logs")
    axes.stairs(found, [*across, end], color="#30475e", linewidth=0.9, label="found in ClickHouse")
    label = "falls short"
    for start, stop in _runs([gap.hour for gap in seen.comparison.gaps]):
        axes.axvspan(start, stop, color="#d1495b", alpha=0.35, linewidth=0, label=label)
        label = "_"  # a legend names it once
    axes.set_ylim(bottom=0)
    axes.set_xlim(first, end)
    axes.set_title("statements by hour (UTC)", fontsize=10)
    midnights = [hour for hour in across if hour % 24 == 0] or across[:1]
    shown = midnights[:: -(-len(midnights) // _LABELS)]
    axes.set_xticks(shown, [f"{hour_start(hour):%m-%d}" for hour in shown])
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="upper left")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=90)
    return drawn.getvalue()


def _runs(hours: list[int]) -> list[tuple[int, int]]:
    """Ascending hours as stretches: the first hour of each, and the one behind its last."""
    found: list[tuple[int, int]] = []
    for hour in hours:
        if found and found[-1][1] == hour:
            found[-1] = (found[-1][0], hour + 1)
        else:
            found.append((hour, hour + 1))
    return found


def _span(seen: Look) -> str:
    assert seen.window is not None  # noqa: S101  callers have looked
    return f"{seen.window.start:%Y-%m-%d %H:00} to {seen.window.end:%Y-%m-%d %H:00} UTC"

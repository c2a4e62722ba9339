"""Retention as people look at it: tables in Markdown, and a timeline of partitions."""

from __future__ import annotations

import io
from collections.abc import Sequence

from aspects_orchestration.retention.plan import Fate, RetentionPlan, State, managed
from aspects_orchestration.retention.policy import shown_months
from aspects_orchestration.retention.world import World

#: So many partitions are listed one by one, and so many tables drawn; the rest is summed up.
LISTED = 240
DRAWN = 40

_COLOURS: dict[State | str, str] = {
    "kept": "#4c9f70",
    "soon": "#f2c14e",
    "due": "#d1495b",
    "held": "#3d5a80",
    "unarchived": "#9d4edd",
}
_SOON_DAYS = 31


def tables(world: World) -> str:
    """What each table has and what the policy says of it, as a Markdown table."""
    rows = [
        "| table | role | policy | TTL | whole parts | partitions | rows | MB | first event | last event | next goes |",
        "|---|---|---|---|---|--:|--:|--:|---|---|---|",
    ]
    fates: dict[str, list[Fate]] = {}
    for fate in world.plan.fates:
        fates.setdefault(fate.table.full_name, []).append(fate)
    for table in world.observed.tables:
        is_managed, months = managed(world.policy, table)
        own = fates.get(table.full_name, [])
        first = min((one.partition.first for one in own if one.partition.first), default=None)
        last = max((one.partition.last for one in own if one.partition.last), default=None)
        goes = min((one.goes_at for one in own if one.goes_at and one.state != "held"), default=None)
        keep = shown_months(months) if is_managed else "–"
        whole = "yes" if table.drops_whole_parts else "no"
        rows.append(
            f"| {table.full_name} | {table.role} | {keep} | {_code(table.ttl)} | {whole}"
            f" | {len(own)} | {sum(one.partition.rows for one in own):,} | {table.bytes / 1e6:,.1f}"
            f" | {_day(first)} | {_day(last)} | {_day(goes)} |"
        )
    return "\n".join(rows)


def partitions(world: World) -> str:
    """The partitions of the raw table and of those with another fate, as a Markdown table; the oldest first."""
    rows = [
        "| month | table | state | goes on | archived | rows | MB | first event | last event | ClickHouse's own mark |",
        "|---|---|---|---|---|--:|--:|---|---|---|",
    ]
    shown = [fate for fate in world.plan.fates if fate.table.role == "raw" or fate.state != "kept"]
    shown.sort(key=lambda fate: (fate.partition.id, fate.table.full_name))
    for fate in shown[:LISTED]:
        one = fate.partition
        archived = "–" if fate.archived is None else "yes" if fate.archived else "no"
        mark = f"{one.first_mark:%Y-%m-%d}" if one.first_mark else "none"
        rows.append(
            f"| {one.month or one.id} | {fate.table.full_name} | {fate.state}{': ' + fate.why if fate.why else ''}"
            f" | {_day(fate.goes_at)} | {archived} | {one.rows:,} | {one.bytes / 1e6:,.1f} | {_day(one.first)}"
            f" | {_day(one.last)} | {mark} |"
        )
    if len(shown) > LISTED:
        rows.append(f"| … | {len(shown) - LISTED} more | | | | | | | | |")
    return "\n".join(rows)


def plan(one: RetentionPlan) -> str:
    """A plan: its id, its steps, what stays and why, as Markdown."""
    lines = [summary(one), ""]
    if one.steps:
        lines += ["```sql", *one.described()[:LISTED]]
        if len(one.steps) > LISTED:
            lines.append(f"-- and {len(one.steps) - LISTED} more steps")
        lines.append("```")
    stays: dict[str, list[str]] = {}
    for fate in [*one.of_state("unarchived"), *one.of_state("held")]:
        stays.setdefault(fate.why, []).append(f"{fate.partition.month} of {fate.table.full_name}")
    lines += [f"- stays: {_some(which)} ({why})" for why, which in stays.items()]
    lines += [f"- left alone: {left.what}: {left.why}" for left in one.left_alone]
    lines += [f"- note: {warning}" for warning in one.warnings]
    return "\n".join(lines)


def summary(one: RetentionPlan) -> str:
    """A plan in one sentence."""
    drops = sum(step.statement == "partition_drop" for step in one.steps)
    marks = sum(step.statement.startswith("retention_recalculate") for step in one.steps)
    return (
        f"plan {one.id}: {len(one.steps)} steps, {drops} partitions go, frees {one.frees_rows:,} rows and"
        f" {one.frees_bytes / 1e6:,.1f} MB, rewrites no rows ({marks} tables get new TTL marks);"
        f" {len(one.of_state('held'))} partitions held, {len(one.of_state('unarchived'))} due but not archived"
    )


def timeline(world: World) -> bytes:
    """A picture: tables down, months across; what is kept, goes soon, is due, held, or waits for the archive.

    Returns:
        A PNG.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    fates = [fate for fate in world.plan.fates if fate.partition.month is not None]
    names = list(dict.fromkeys(fate.table.full_name for fate in fates))[:DRAWN]
    keys = sorted({str(fate.partition.month) for fate in fates if fate.table.full_name in names})
    months = _all_months(keys)
    kinds = list(_COLOURS)
    grid = [[float("nan")] * max(1, len(months)) for _ in range(max(1, len(names)))]
    archived: set[tuple[int, int]] = set()
    for fate in fates:
        if fate.table.full_name not in names:
            continue
        row, column = names.index(fate.table.full_name), months.index(str(fate.partition.month))
        soon = (
            fate.state == "kept" and fate.goes_at is not None and (fate.goes_at - world.now).days < _SOON_DAYS
        )
        grid[row][column] = kinds.index("soon" if soon else fate.state)
        if fate.archived:
            archived.add((column, row))
    figure = Figure(figsize=(11, 1.6 + 0.24 * max(3, len(names))), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        grid,
        aspect="auto",
        cmap=ListedColormap(list(_COLOURS.values())),
        vmin=0,
        vmax=len(kinds) - 1,
        interpolation="nearest",
    )
    if archived:
        axes.scatter([x for x, _ in archived], [y for _, y in archived], s=9, color="white", marker="s")
    every = max(1, len(months) // 24)
    axes.set_xticks(range(0, len(months), every), months[::every], rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=7)
    axes.set_title(f"Partitions by month, {world.now:%Y-%m-%d} (white mark: archived)", fontsize=10)
    patches = [Patch(color=colour, label=kind) for kind, colour in _COLOURS.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()


def _all_months(keys: Sequence[str]) -> list[str]:
    if not keys:
        return ["no partition"]
    first, last = (int(key[:4]) * 12 + int(key[5:]) - 1 for key in (keys[0], keys[-1]))
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(first, last + 1)]


def _some(which: Sequence[str]) -> str:
    return ", ".join(which[:6]) + (f" and {len(which) - 6} more" if len(which) > 6 else "")


def _short(name: str) -> str:
    return name if len(name) <= 42 else name[:40] + "…"


def _code(text: str) -> str:
    return f"`{text}`" if text else "none"


def _day(moment: object) -> str:
    return f"{moment:%Y-%m-%d}" if moment is not None else "–"

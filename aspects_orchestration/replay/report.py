"""A load's account as people look at it: tables in Markdown, and a picture of the month."""

from __future__ import annotations

import base64
import calendar
import io
import os
from collections.abc import Iterable, Mapping

from aspects_orchestration.markdown import cell
from aspects_orchestration.replay.result import LISTED_FILES, LoadAccount, LoadResult
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.window import month_window


def account_by_file(account: LoadAccount) -> str:
    """The lines of each file and where they went, as a Markdown table; the largest files first, then the sum.

    Names are shown below the folder that all files share.
    """
    shared = _shared_folder(account.files)
    rows = [
        f"Files below `{shared}`\n" if shared else "",
        "| file | lines | loaded | skipped | quarantined | statements | why |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    files = sorted(account.files.items(), key=lambda item: (-item[1].lines, item[0]))
    rows += [_file_row(uri.removeprefix(shared), one) for uri, one in files[:LISTED_FILES]]
    rest = LineAccount()
    for _, one in files[LISTED_FILES:]:
        rest += one
    if len(files) > LISTED_FILES:
        rows.append(_file_row(f"{len(files) - LISTED_FILES} more files", rest))
    rows.append(_file_row("**all**", account.total))
    return "\n".join(rows)


def account_by_reason(account: LineAccount, refused: Mapping[str, int] | None = None) -> str:
    """Why lines were skipped or quarantined, and statements refused by Ralph, as a Markdown table."""
    rows = ["| lines | reason | count |", "|---|---|--:|"]
    rows += [f"| skipped | {reason} | {count:,} |" for reason, count in account.skipped.most_common()]
    rows += [f"| quarantined | {reason} | {count:,} |" for reason, count in account.quarantined.most_common()]
    rows += [f"| statements refused | {reason} | {count:,} |" for reason, count in (refused or {}).items()]
    return "\n".join(rows)


def by_verb(account: LineAccount) -> str:
    """Statements by verb, as a Markdown table."""
    rows = ["| verb | statements |", "|---|--:|"]
    rows += [f"| {cell(verb)} | {count:,} |" for verb, count in account.verbs.most_common()]
    return "\n".join(rows)


def summary(result: LoadResult) -> str:
    """One sentence of what a load did."""
    total = result.account.total
    head = f"{total.lines:,} lines in {len(result.account.files)} files: {total.with_statements:,} gave statements"
    lines = f"{head}, {total.skipped_lines:,} skipped, {total.quarantined_lines:,} quarantined"
    if result.statements is None:
        return f"{lines}; {total.statements:,} statements would be staged (dry run: nothing was written){_whither(result)}"
    one = result.statements
    again = ""
    if one.statements and not one.inserted and not one.refused:
        where = "in the table" if result.stands_here else "there"
        again = f"; every statement stood {where} already, nothing was inserted twice"
    refused = f", {one.refused:,} refused" if one.refused else ""
    return (
        f"{lines}; {one.statements:,} statements: {one.inserted:,} {_DONE[result.destination]}, {one.already_there:,}"
        f" already there, {one.duplicates:,} duplicates, {one.collisions:,} collisions, {one.outside_window:,} outside"
        f" the window{refused}{again}{_whither(result)}"
    )


#: What became of statements that were new, by destination.
_DONE = {"clickhouse": "inserted", "ralph": "new to Ralph", "files": "written"}


def _whither(result: LoadResult) -> str:
    if result.destination == "clickhouse":
        return ""
    notes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result.notes.items())
    return f" ({result.place}{f'; {notes}' if notes else ''})"


def heat_map(month: str, hours: Iterable[tuple[int, int, int]]) -> bytes:
    """A picture of a month: statements by day (across) and hour (down), UTC.

    Args:
        month: its key.
        hours: (day of the month, hour of the day, statements).

    Returns:
        A PNG.
    """
    from matplotlib.figure import Figure

    window = month_window(month)
    days = calendar.monthrange(window.start.year, window.start.month)[1]
    grid = [[0] * days for _ in range(24)]
    for day, hour, statements in hours:
        grid[hour][day - 1] += statements
    # A Figure of its own, not pyplot: no global state in a process that runs several loads.
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(grid, aspect="auto", cmap="viridis", interpolation="nearest")
    axes.set_title(f"{month}: statements by day and hour (UTC)", fontsize=10)
    axes.set_xticks(range(0, days, 2), [str(day + 1) for day in range(0, days, 2)], fontsize=8)
    axes.set_yticks(range(0, 24, 6), [f"{hour:02d}h" for hour in range(0, 24, 6)], fontsize=8)
    figure.colorbar(image, ax=axes, pad=0.01).ax.tick_params(labelsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return picture.getvalue()


def inline_picture(png: bytes, text: str) -> str:
    """A PNG as Markdown that carries it inside."""
    return f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})"


def numbers(result: LoadResult) -> Mapping[str, int | float]:
    """The figures of a load that are worth following over time."""
    total = result.account.total
    seconds = max(result.duration_s, 0.001)
    found: dict[str, int | float] = {
        "lines": total.lines,
        "lines_with_statements": total.with_statements,
        "lines_skipped": total.skipped_lines,
        "lines_quarantined": total.quarantined_lines,
        "statements": total.statements,
        "assumed_utc": total.assumed_utc,
        "files": len(result.account.files),
        "bytes": total.bytes,
        "bytes_stored": result.stored_bytes,
        "duration_s": round(result.duration_s, 3),
        "lines_per_s": round(total.lines / seconds, 1),
        "statements_per_s": round(total.statements / seconds, 1),
        "chunks_taken_over": result.resumed_chunks,
        "damaged_parts": len(result.account.damages),
    }
    if result.statements is not None:
        found |= {
            "inserted": result.statements.inserted,
            "already_there": result.statements.already_there,
            "duplicates": result.statements.duplicates,
            "collisions": result.statements.collisions,
            "outside_window": result.statements.outside_window,
            "refused": result.statements.refused,
            "missing_users": result.account.missing["users"],
            "missing_courses": result.account.missing["courses"],
        }
    return found


def _shared_folder(uris: Iterable[str]) -> str:
    """The longest prefix of all URIs that ends with a slash."""
    # Characters, not path components: the parts of a URI are no path of this machine.
    folder, slash, _ = os.path.commonprefix(list(uris)).rpartition("/")  # noqa: RUF071
    return folder + slash


def _file_row(name: str, one: LineAccount) -> str:
    why = "; ".join(
        ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        for reasons in (one.skipped, one.quarantined)
        if reasons
    )
    return (
        f"| {cell(name)} | {one.lines:,} | {one.with_statements:,} | {one.skipped_lines:,} | {one.quarantined_lines:,}"
        f" | {one.statements:,} | {why} |"
    )

"""Charts of a week: as SVG, which follows the page's colours, light and dark, and reads aloud what it shows; and as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape

_WIDTH, _HEIGHT = 680, 150
_LEFT, _BOTTOM, _TOP = 64, 22, 10


def bars(
    values: Mapping[int, float],
    first_hour: int,
    end_hour: int,
    *,
    title: str,
    shown: Callable[[float], str],
) -> str:
    """A bar for each hour.

    Args:
        values: by hour since 1970-01-01 UTC; hours without one have no bar.
        first_hour, end_hour: of the chart; the end is not in it.
        title: what it shows, for those who do not see it.
        shown: a value in words.
    """
    found = {hour: value for hour, value in values.items() if first_hour <= hour < end_hour}
    if not found:
        return f'<p class="nothing">{escape(title)}: nothing in this week.</p>'
    top = max(*found.values(), 1e-9)
    step = (_WIDTH - _LEFT) / (end_hour - first_hour)
    drawn = []
    for hour, value in sorted(found.items()):
        height = max(value / top * (_HEIGHT - _BOTTOM - _TOP), 0.8)
        x = _LEFT + (hour - first_hour) * step
        said = f"{_moment(hour):%a %d %b %H:00} UTC: {shown(value)}"
        drawn.append(
            f'<rect x="{x:.1f}" y="{_HEIGHT - _BOTTOM - height:.1f}" width="{max(step - 0.6, 0.6):.1f}"'
            f' height="{height:.1f}"><title>{escape(said)}</title></rect>'
        )
    largest = max(found, key=lambda hour: found[hour])
    summary = f"{title}; most: {shown(found[largest])} at {_moment(largest):%a %d %b %H:00} UTC"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(summary)}">'
        f"{_frame(first_hour, end_hour, step, shown(top))}<g class='bars'>{''.join(drawn)}</g></svg>"
    )


def picture(lag_s: Mapping[int, float], volume: Mapping[int, float], first_hour: int, end_hour: int) -> bytes:
    """Both charts as one PNG, for where SVG is not shown.

    Args:
        lag_s: worst lag by hour since 1970-01-01 UTC, in seconds.
        volume: statements by hour.
        first_hour, end_hour: of the charts; the end is not in them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, values, label in zip(
        figure.subplots(2, 1, sharex=True), (lag_s, volume), ("lag (s)", "statements an hour"), strict=True
    ):
        hours = [hour for hour in sorted(values) if first_hour <= hour < end_hour]
        axes.bar([_moment(hour) for hour in hours], [values[hour] for hour in hours], width=1 / 26)
        axes.set_ylabel(label)
        axes.set_xlim(_moment(first_hour), _moment(end_hour))
    figure.autofmt_xdate()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return data.getvalue()


def _frame(first_hour: int, end_hour: int, step: float, top: str) -> str:
    base = _HEIGHT - _BOTTOM
    lines = [
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{base}" y2="{base}"/>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{escape(top)}</text>',
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">0</text>',
    ]
    for hour in range(first_hour, end_hour):
        if hour % 24 == 0:
            x = _LEFT + (hour - first_hour) * step
            lines.append(f'<line class="day" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base}"/>')
            lines.append(f'<text x="{x + 3:.1f}" y="{_HEIGHT - 6}">{_moment(hour):%a %d}</text>')
    return "".join(lines)


def _moment(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)

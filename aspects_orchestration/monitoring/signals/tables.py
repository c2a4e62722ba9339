"""The catalogue for people: what each signal is, when to worry, and what to do then."""

from collections.abc import Iterator

from aspects_orchestration.monitoring.model import Rule, Signal
from aspects_orchestration.monitoring.signals import SIGNALS

_GROUPS = {
    "clickhouse": "ClickHouse",
    "queues": "Queues",
    "services": "Services",
    "pipeline": "This project itself",
}


def tables() -> Iterator[str]:
    """A heading and a table in Markdown for each group that has signals."""
    for group, heading in _GROUPS.items():
        found = [one for one in SIGNALS.values() if one.group == group]
        if found:
            rows = "\n".join(_row(one) for one in found)
            yield (
                f"### {heading}\n\n| signal | what it is, and why it matters | worry when | what to do |\n"
                f"|---|---|---|---|\n{rows}\n"
            )


def worry(signal: Signal, rule: Rule) -> str:
    """When a rule makes a signal bad, in words; `never` if it has no threshold."""
    side = "from" if rule.worse == "above" else "down to"
    of = {"value": "", "increase": " more than at the reading before", "growing": " and growing"}[rule.of]
    levels = [
        f"{level} {side} {_amount(threshold, signal.unit)}{of}"
        for level, threshold in (("warn", rule.warn), ("critical", rule.critical))
        if threshold is not None
    ]
    if not levels:
        return "never"
    ticks = f", {rule.for_ticks} readings in a row" if rule.for_ticks > 1 else ""
    return "; ".join(levels) + ticks


def _amount(value: float, unit: str) -> str:
    if unit == "s" and value >= 600:
        return f"{value / 60:g} min" if value < 3600 else f"{value / 3600:g} h"
    if unit.startswith("share"):
        return f"{value:.0%}"
    return f"{value:g}" if unit == "1 or 0" else f"{value:g} {unit}"


def _row(signal: Signal) -> str:
    cells = (f"`{signal.name}`", f"{signal.title}. {signal.meaning}", worry(signal, signal.rule), signal.do)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

"""The reference, made of the code: assets, checks, jobs, schedules, sensors, and what alerts are about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from aspects_orchestration.definitions import defs
from aspects_orchestration.monitoring.signals.tables import tables


def pages() -> dict[str, str]:
    """The pages by name, as Markdown."""
    repository = defs().get_repository_def()
    return {
        "assets": "\n".join(_assets(repository)),
        "checks": "\n".join(_checks(repository)),
        "jobs": "\n".join(_jobs(repository)),
        "automation": "\n".join(_automation(repository)),
        "alerts-and-signals": "\n".join(_signals()),
    }


def _assets(repository: dg.RepositoryDefinition) -> Iterator[str]:
    yield "# Assets\n\nWhat stands, by group. Select one by name: `dagster asset materialize --select xapi_events_all …`."
    nodes = repository.asset_graph.asset_nodes
    for group in sorted({node.group_name for node in nodes}):
        yield f"\n## {group}"
        several = sorted((node for node in nodes if node.group_name == group), key=lambda one: one.key)
        for node in several:
            if len(node.key.path) > 1:
                continue
            yield f"\n### {node.key.to_user_string()}\n\n{(node.description or '').strip()}\n"
            partitions = type(node.partitions_def).__name__.removesuffix("PartitionsDefinition").lower()
            facts = {
                "kinds": ", ".join(sorted(node.kinds)),
                "after": ", ".join(sorted(key.to_user_string() for key in node.parent_keys)),
                "partitions": partitions if node.partitions_def else "",
                "pool": ", ".join(sorted(node.pools or ())),
                "made": "by a run"
                if node.is_executable and node.is_materializable
                else "elsewhere, and observed",
            }
            yield " · ".join(f"*{name}:* {value}" for name, value in facts.items() if value) + "\n"
            definition = repository.assets_defs_by_key.get(node.key)
            if definition is not None and node.is_materializable:
                yield from _config(definition.op)
        rows = [
            [f"`{one.key.to_user_string()}`", _line(one.description)]
            for one in several
            if len(one.key.path) > 1
        ]
        if rows:
            yield f"\n{table(['observed only', 'what it is'], rows)}"


def _checks(repository: dg.RepositoryDefinition) -> Iterator[str]:
    yield "# Asset checks\n\nWhat must hold. In pytest: `result.get_asset_check_evaluations()`; in the UI on an asset."
    graph = repository.asset_graph
    by_asset: dict[str, list[list[str]]] = {}
    for key in graph.asset_check_keys:
        node = graph.get(key)
        told = " ".join((node.description or "").split())
        by_asset.setdefault(key.asset_key.to_user_string(), []).append([f"`{key.name}`", told])
    for asset in sorted(by_asset):
        yield f"\n## {asset}\n\n{table(['check', 'what it asks'], sorted(by_asset[asset]))}"


def _jobs(repository: dg.RepositoryDefinition) -> Iterator[str]:
    yield "# Jobs\n\nWhat an operator launches: in the UI under *Jobs*, or `dagster job execute -j NAME`."
    for job in sorted(repository.get_all_jobs(), key=lambda one: one.name):
        if job.name.startswith("__"):
            continue
        yield f"\n## {job.name}\n\n{(job.description or '').strip()}\n"
        for node in job.graph.node_defs:
            if isinstance(node, dg.OpDefinition) and len(job.graph.node_defs) == 1:
                yield from _config(node)


def _automation(repository: dg.RepositoryDefinition) -> Iterator[str]:
    yield "# Schedules and sensors\n\nAll are off until they are switched on, in the UI under *Automation*. Times are UTC."
    rows = [
        [f"`{one.name}`", f"`{one.cron_schedule}`", one.job_name, _line(one.description)]
        for one in sorted(repository.schedule_defs, key=lambda one: one.name)
    ]
    yield f"\n## Schedules\n\n{table(['schedule', 'cron', 'job', 'what it is for'], rows)}"
    rows = [
        [f"`{one.name}`", f"{one.minimum_interval_seconds or 30} s", _line(one.description)]
        for one in sorted(repository.sensor_defs, key=lambda one: one.name)
    ]
    yield f"\n## Sensors\n\n{table(['sensor', 'at least every', 'what it watches'], rows)}"


def _signals() -> Iterator[str]:
    yield (
        "# Alerts and signals\n\nWhat alerts are about, from which values on, and what to do then. Thresholds are those"
        " without an `alerts.yaml`: [alerts](../alerts.md). An alert is sent when a signal is *warn* or *critical*, when"
        " it is *unknown* for five minutes, and when a run fails.\n"
    )
    yield from (line.replace("](", "](../") if "](" in line else line for line in tables())


def _config(op: Any) -> Iterator[str]:
    """The fields of an op's run configuration."""
    schema = op.config_schema.config_type if op.config_schema else None
    fields = getattr(schema, "fields", None)
    if not fields:
        return
    rows = [
        [f"`{name}`", _default(field), _line(field.description)] for name, field in sorted(fields.items())
    ]
    yield f"\nRun configuration:\n\n{table(['field', 'default', 'meaning'], rows)}"


def _default(field: Any) -> str:
    if field.default_provided:
        return f"`{field.default_value!r}`"
    return "must be given" if field.is_required else ""


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def table(heads: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *([str(one).replace("|", "\\|") for one in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

"""The reference, made of the code: settings, assets, checks, jobs, schedules, sensors, signals, commands, grants."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
from commands import commands

from aspects_orchestration.definitions import defs
from aspects_orchestration.monitoring.signals.tables import tables
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.settings import documented_settings, load_settings
from aspects_orchestration.warehouse.schema import needed_grants


@dataclass(frozen=True)
class Reference:
    """Of a code location: everything by name.

    Attributes:
        repository: what it holds without any setting.
        elsewhere: what it holds for a site with logs of its own, of which some things are different.
    """

    repository: dg.RepositoryDefinition
    elsewhere: dg.RepositoryDefinition

    @property
    def jobs(self) -> list[dg.JobDefinition]:
        """Those that an operator may launch, by name."""
        return _by_name(
            [
                job
                for one in (self.repository, self.elsewhere)
                for job in one.get_all_jobs()
                if not job.name.startswith("__")
            ]
        )

    @property
    def schedules(self) -> list[Any]:
        """By name."""
        return _by_name([*self.repository.schedule_defs, *self.elsewhere.schedule_defs])

    @property
    def sensors(self) -> list[Any]:
        """By name."""
        return _by_name([*self.repository.sensor_defs, *self.elsewhere.sensor_defs])

    @cached_property
    def launched_by(self) -> dict[str, list[str]]:
        """The schedules and sensors that launch a job, by the job's name."""
        found: dict[str, list[str]] = {}
        for schedule in self.schedules:
            found.setdefault(schedule.job_name, []).append(schedule.name)
        for sensor in self.sensors:
            for job in _jobs_of(sensor):
                found.setdefault(job, []).append(sensor.name)
        return found

    def is_only_elsewhere(self, name: str) -> bool:
        """Whether a job or schedule is there only where the logs are a site's own."""
        here = [one.name for one in (*self.repository.get_all_jobs(), *self.repository.schedule_defs)]
        return name not in here


def pages() -> dict[str, str]:
    """The pages by name, as Markdown."""
    found = Reference(defs().get_repository_def(), _elsewhere())
    return {
        "assets": "\n".join(_assets(found)),
        "checks": "\n".join(_checks(found)),
        "jobs": "\n".join(_jobs(found)),
        "automation": "\n".join(_automation(found)),
        "alerts-and-signals": "\n".join(_signals()),
        "commands": "\n".join(commands()),
        "grants": "\n".join(_grants()),
    }


def _elsewhere() -> dg.RepositoryDefinition:
    with _set("ASPECTS_TRACKING_LOGS", "/nowhere"):
        return defs().get_repository_def()


@contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _assets(found: Reference) -> Iterator[str]:
    yield (
        "# Assets\n\nWhat stands, by group. `dagster asset materialize --select NAME` makes those that a run makes;"
        " what must hold of each is among the [checks](checks.md).\n"
    )
    graph = found.repository.asset_graph
    for group in sorted({node.group_name for node in graph.asset_nodes}):
        yield f"\n## {group}\n"
        nodes = sorted((one for one in graph.asset_nodes if one.group_name == group), key=lambda one: one.key)
        for node in nodes:
            if len(node.key.path) > 1:
                continue
            yield f"\n### {node.key.to_user_string()}\n\n{_line(node.description)}\n"
            yield " · ".join(f"*{name}:* {value}" for name, value in _facts(node).items() if value) + "\n"
            definition = found.repository.assets_defs_by_key.get(node.key)
            if definition is not None and node.is_materializable:
                yield from _config(definition.op)
        rows = [
            [f"`{one.key.to_user_string()}`", _line(one.description)]
            for one in nodes
            if len(one.key.path) > 1
        ]
        if rows:
            yield f"\n{table(['observed', 'what it is'], rows)}"


def _facts(node: Any) -> dict[str, str]:
    partitions = type(node.partitions_def).__name__.removesuffix("PartitionsDefinition")
    return {
        "made": "by a run" if node.is_executable and node.is_materializable else "elsewhere, and observed",
        "partitions": {"Monthly": "months", "Daily": "days"}.get(partitions, partitions.lower())
        if node.partitions_def
        else "",
        "after": ", ".join(f"`{key.to_user_string()}`" for key in sorted(node.parent_keys)),
        "kinds": ", ".join(sorted(node.kinds)),
        "pool": ", ".join(f"`{pool}`" for pool in sorted(node.pools or ())),
    }


def _checks(found: Reference) -> Iterator[str]:
    yield (
        "# Asset checks\n\nWhat must hold, by asset. When they run, and what it means that one fails:"
        " [accounts and checks](../accounts-and-checks.md).\n"
    )
    graph = found.repository.asset_graph
    by_asset: dict[str, list[list[str]]] = {}
    for key in graph.asset_check_keys:
        asset = key.asset_key.to_user_string()
        told = _line(graph.get(key).description)
        if len(key.asset_key.path) > 1:
            # One check each of many alike: a row each in one table.
            by_asset.setdefault(f"{key.asset_key.path[0]}/…", []).append(
                [f"`{asset}`", f"`{key.name}`", told]
            )
        else:
            by_asset.setdefault(asset, []).append([f"`{key.name}`", told])
    for asset, rows in sorted(by_asset.items()):
        heads = ["check", "what holds"] if len(rows[0]) == 2 else ["asset", "check", "what holds"]
        yield f"\n## {asset}\n\n{table(heads, sorted(rows))}"


def _jobs(found: Reference) -> Iterator[str]:
    yield (
        "# Jobs\n\nWhat an operator launches: in the UI under *Jobs*, or with"
        " `dagster job execute -m aspects_orchestration.definitions -j NAME`.\n"
    )
    for job in found.jobs:
        yield f"\n## {job.name}\n\n{_line(job.description)}\n"
        if found.is_only_elsewhere(job.name):
            yield "*Only where ASPECTS_COURSE_BLOCKS is not set.*\n"
        if by := found.launched_by.get(job.name):
            names = ", ".join(f"`{one}`" for one in sorted(by))
            yield f"*launched by:* {names} ([schedules and sensors](automation.md))\n"
        several = len(job.graph.node_defs) > 1
        for node in job.graph.node_defs:
            if isinstance(node, dg.OpDefinition) and not several:
                yield from _config(node)


def _automation(found: Reference) -> Iterator[str]:
    yield (
        "# Schedules and sensors\n\nAll are off until they are switched on, in the UI under *Automation*. Times are UTC.\n"
    )
    rows = [
        [f"`{one.name}`", _in_one_piece(one.cron_schedule), _job_of(one.job_name), _line(one.description)]
        for one in found.schedules
    ]
    yield f"\n## Schedules\n\n{table(['schedule', 'cron', 'launches', 'what it is for'], rows)}"
    rows = [
        [
            f"`{one.name}`",
            _every(one.minimum_interval_seconds or 30),
            ", ".join(map(_job_of, _jobs_of(one))) or "nothing",
            _line(one.description),
        ]
        for one in found.sensors
    ]
    yield f"\n## Sensors\n\n{table(['sensor', 'every', 'may launch', 'what it watches'], rows)}"


def _job_of(name: str) -> str:
    if name.startswith("__anonymous_asset_job_"):
        return "its asset"
    return f"[`{name}`](jobs.md#{name})"


def _jobs_of(sensor: Any) -> list[str]:
    targets = sensor.targets if sensor.has_jobs else []
    return sorted(one.job_name for one in targets or [])


def _every(seconds: int) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _signals() -> Iterator[str]:
    yield (
        "# Alerts and signals\n\nWhat alerts are about, from which values on, and what to do then. Thresholds are those"
        " without an `alerts.yaml` ([alerts](../alerts.md)). An alert is sent when a signal is *warn* or *critical*, when"
        " it has been *unknown* for five minutes, and when a run fails. How a state comes about is told in"
        " [monitoring](../monitoring.md).\n"
    )
    yield from (line.replace("### ", "## ", 1) for line in tables())


def settings_table() -> str:
    """The table of docs/settings.md, of the settings that the code knows."""
    rows = [
        [
            f"`{one.name}`",
            one.default if " " in one.default or one.default == "none" else f"`{one.default}`",
            one.meaning,
        ]
        for one in documented_settings()
    ]
    return table(["setting", "default", "meaning"], rows)


def _grants() -> Iterator[str]:
    yield (
        "# Grants\n\nWhat the pipeline's user needs in ClickHouse and nothing more, with the default names."
        " `python -m aspects_orchestration.doctor --only grants` says which of them your user lacks.\n"
    )
    by_purpose: dict[str, list[str]] = {}
    for one in needed_grants(schema_names(load_settings()), cluster="cluster"):
        by_purpose.setdefault(_line(one.why), []).append(f"`{one.text.replace('`', '')}`")
    rows = [[why, "<br>".join(grants)] for why, grants in by_purpose.items()]
    yield table(["what for", "grants"], rows)


def _config(op: Any) -> Iterator[str]:
    """The fields of an op's run configuration."""
    schema = op.config_schema.config_type if op.config_schema else None
    fields = getattr(schema, "fields", None)
    if not fields:
        return
    rows = [
        [f"`{name}`", _default(field), _line(field.description)] for name, field in sorted(fields.items())
    ]
    yield f"\nRun configuration of `{op.name}`:\n\n{table(['field', 'default', 'meaning'], rows)}"


def _default(field: Any) -> str:
    if field.default_provided and field.default_value is None:
        return "none"
    if field.default_provided:
        return f"`{json.dumps(field.default_value)}`" if field.default_value != "" else "empty"
    return "must be given" if field.is_required else "none"


def _in_one_piece(text: str) -> str:
    return f"`{text.replace(' ', chr(0xA0))}`"


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _by_name(several: list[Any]) -> list[Any]:
    return [one for _, one in sorted({one.name: one for one in reversed(several)}.items())]


def table(heads: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *([str(one).replace("|", "\\|") for one in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

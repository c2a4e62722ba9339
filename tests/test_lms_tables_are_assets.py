"""The LMS's tables as assets: what a run reports, what it refuses, and what it leaves alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.assets.event_sink import course_blocks, event_sink_assets
from aspects_orchestration.jobs.lms_tables import observe_course_blocks
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource

RESOURCES = {
    "clickhouse": ClickHouseResource(),
    "log_storage": LogStorageResource(region=None, endpoint_url=None),
}
BLOCK = {
    "org": "DemoX",
    "course_key": "course-v1:DemoX+STAT101+2024_T1",
    "location": "block-v1:DemoX+STAT101+2024_T1+type@html+block@intro",
    "display_name": 'Intro, "quoted" 🦉',
    "xblock_data_json": {"course": "STAT101", "block_type": "html", "graded": 0, "tags": [1, 2]},
    "order": 4,
    "edited_on": "2024-04-20 00:00:00+00:00",
}


@pytest.fixture
def site(shared_site: Site) -> Site:
    """On a server that these tests share."""
    return shared_site


@pytest.fixture
def ours(site: Site, lms_sqlite: LmsTables, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with an LMS database of a few users, in this process's environment."""
    for user in range(1, 6):
        lms_sqlite.add_user(user)
    site.environ["ASPECTS_LMS_DATABASE_URL"] = lms_sqlite.reader_url.get_secret_value()
    use(site, monkeypatch)
    return site


def use(site: Site, monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    """Make a site's environment this process's own."""
    site.environ |= more
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)


def run(table: str, **config: Any) -> dg.ExecuteInProcessResult:
    """Materialize one table."""
    (asset,) = [one for one in event_sink_assets() if one.key == dg.AssetKey(table)]
    return dg.materialize(
        [asset],
        resources=RESOURCES,
        run_config={"ops": {table: {"config": config}}},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )


def shown(result: dg.ExecuteInProcessResult, table: str) -> dict[str, Any]:
    """The metadata of the one materialization."""
    (event,) = result.asset_materializations_for_node(table)
    return {name: value.value for name, value in event.metadata.items()}


def observed(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the one observation, where nothing was materialized."""
    assert not result.get_asset_materialization_events()
    (event,) = result.get_asset_observation_events()
    found = event.event_specific_data.asset_observation.metadata  # type: ignore[union-attr]
    return {name: value.value for name, value in found.items()}


def test_a_run_reports_what_it_did(ours: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    use(ours, monkeypatch, ASPECTS_ENABLE_PII="true")
    told = shown(run("user_profile"), "user_profile")
    assert (told["read"], told["inserted"], told["not_inserted"]) == (5, 5, 0)
    assert (told["dagster/row_count"], told["dagster/table_name"]) == (5, "event_sink.user_profile")
    again = shown(run("user_profile"), "user_profile")
    assert (again["inserted"], again["not_inserted"]) == (0, 5)
    planned = observed(run("user_profile", dry_run=True, mode="refresh", ids=["1001", "1002"]))
    assert (planned["inserted"], planned["dry_run"]) == (2, "true")
    limited = shown(run("user_profile", mode="refresh", limit=1, start_after="1003"), "user_profile")
    assert (limited["inserted"], limited["rows_in_table"]) == (1, 6)


def test_personal_data_are_not_copied_unless_switched_on(ours: Site) -> None:
    for table in ("external_id", "user_profile"):
        result = run(table)
        assert result.success
        assert "ASPECTS_ENABLE_PII is false" in observed(result)["not_copied"]
        assert (
            ours.sql(f"SELECT count() FROM event_sink.{table}", admin=True) == b"0\n"
            if _there(ours)
            else True
        )


def _there(site: Site) -> bool:
    return b"event_sink" in site.sql("SHOW DATABASES", admin=True)


def test_failures_say_what_to_do(ours: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def failure(table: str, **config: Any) -> str:
        result = run(table, **config)
        (failed,) = result.filter_events(lambda one: one.event_type_value == "STEP_FAILURE")
        return str(failed.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]

    assert "config ids: 'x' is no primary key" in failure("taxonomy", ids=["x"])
    monkeypatch.setenv("ASPECTS_LMS_DATABASE_URL", "sqlite:////nowhere/lms.sqlite")
    assert "cannot be opened" in failure("taxonomy")
    monkeypatch.delenv("ASPECTS_LMS_DATABASE_URL")
    assert "Set ASPECTS_LMS_DATABASE_URL" in failure("taxonomy")


def _write(path: Path, blocks: list[dict[str, Any]]) -> None:
    if path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(one) + "\n" for one in blocks))
        return
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(BLOCK))
        table.writeheader()
        for one in blocks:
            table.writerow({**one, "xblock_data_json": json.dumps(one["xblock_data_json"])})


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_course_blocks_come_from_the_export(ours: Site, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ours.folder / f"blocks.{form}"
    blocks = [
        {**BLOCK, "location": f"{BLOCK['location']}{number}", "order": number} for number in range(1, 8)
    ]
    _write(export, blocks)
    use(ours, monkeypatch, ASPECTS_COURSE_BLOCKS=str(export))
    asset = course_blocks(ours.settings)
    assert isinstance(asset, dg.AssetsDefinition)

    def copied() -> dict[str, Any]:
        result = dg.materialize([asset], resources=RESOURCES, instance=dg.DagsterInstance.ephemeral())
        return shown(result, "course_blocks")

    assert copied()["inserted"] == 7
    found = ours.sql(
        "SELECT display_name, xblock_data_json, `order`, edited_on FROM event_sink.course_blocks WHERE `order` = 3"
        " FORMAT TSVRaw",
        admin=True,
    )
    data = '{"course": "STAT101", "block_type": "html", "graded": 0, "tags": [1, 2]}'
    assert found.decode() == f'Intro, "quoted" 🦉\t{data}\t3\t2024-04-20 00:00:00+00:00\n'
    assert copied()["inserted"] == 0
    _write(export, [{**blocks[0], "display_name": "New"}, *blocks[1:], {**BLOCK, "location": "another"}])
    assert copied()["inserted"] == 2


def test_course_blocks_of_the_cms_are_observed(ours: Site) -> None:
    ours.warehouse()
    ours.sql(
        "INSERT INTO event_sink.course_blocks SELECT 'o', 'k', 'l' || toString(number % 3), 'n', '{}', 1, '',"
        " generateUUIDv4(), toString(now64(6)) || '+00:00' FROM numbers(5)",
        admin=True,
    )
    told = observed(observe_course_blocks.execute_in_process(resources=RESOURCES))
    assert (told["dagster/row_count"], told["rows_in_table"]) == (3, 5)
    assert 0 <= told["newest_row_age_h"] < 1

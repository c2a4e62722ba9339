"""What operators launch and see of the dashboards' sources: the job that looks, the check of a month, their numbers."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from services.dashboards import TABLES, add_dictionary, hang, write_statements
from services.site import Site

from aspects_orchestration.definitions import defs

MONTH = "2024-05"


@pytest.fixture
def chained(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with a chain, statements, a dictionary, and its settings in the environment."""
    hang(site)
    add_dictionary(site)
    write_statements(site, 100)
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    return site


def observations(result: dg.ExecuteInProcessResult) -> list[dg.AssetObservation]:
    return [
        one.asset_observation_data.asset_observation
        for one in result.all_events
        if one.event_type_value == "ASSET_OBSERVATION"
    ]


def values(observation: dg.AssetObservation) -> dict[str, Any]:
    return {name: one.value for name, one in observation.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [one for one in result.all_events if one.event_type_value == "STEP_FAILURE"]
    return str(event.step_failure_data.user_failure_data.description)


def observe(months: list[str]) -> dg.ExecuteInProcessResult:
    config = {"ops": {"look_at_dashboards_sources": {"config": {"months": months}}}}
    return (
        defs().get_job_def("observe_dashboards").execute_in_process(run_config=config, raise_on_error=False)
    )


@pytest.mark.slow
def test_the_job_observes_all_and_the_check_of_the_month_fails_on_drift(chained: Site) -> None:
    well = observe([MONTH])
    assert well.success, failure(well)
    sources, dictionaries, month = observations(well)
    shown = values(sources)
    assert sources.partition is None
    assert shown["views"] == len(TABLES)
    assert shown["rows (xapi.xapi_events_all)"] == shown["rows (xapi.parsed)"] == 100
    assert shown["rows (reporting.two_rows)"] == 100
    assert "| 2024-05 | 100 | 100 |" in shown["rows_by_month"]
    assert shown["newest (xapi.played)"] == shown["newest (xapi.parsed)"] - 25_920
    assert values(dictionaries)["elements (event_sink.course_names)"] == 0
    assert month.partition == MONTH
    assert values(month)["missing"] == values(month)["doubled"] == values(month)["strange"] == 0
    found = checks(well)
    assert set(found) == {"views_can_follow", "dictionaries_are_loaded", "sources_are_complete"}
    assert all(one.passed for one in found.values())
    assert found["sources_are_complete"].partition == MONTH

    chained.sql("DELETE FROM xapi.played WHERE actor = '2'", admin=True)
    lost = 50 - int(chained.sql("SELECT count() FROM xapi.played FORMAT TSV", admin=True))
    assert lost
    bad = observe([MONTH])
    assert not bad.success
    assert values(observations(bad)[2])["missing (xapi.played)"] == lost
    assert f"xapi.played: {lost} of 50 events are missing" in failure(bad)

    job = defs().resolve_job_def("check_dashboards")
    alone = job.execute_in_process(tags={"dagster/partition": MONTH}, raise_on_error=False)
    assert not alone.success
    (check,) = alone.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.severity) == (
        "sources_are_complete",
        False,
        dg.AssetCheckSeverity.ERROR,
    )
    assert check.metadata["missing (xapi.played)"].value == lost
    assert "--partition 2024-05 --config-json" in str(check.description)
    assert job.execute_in_process(tags={"dagster/partition": "2024-06"}).success

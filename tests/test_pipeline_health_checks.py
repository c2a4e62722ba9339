"""The checks of pipeline_health: one for every signal, by one look, as severe as the state."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from services.bad_http import hanging
from services.site import Site, stop_server

from aspects_orchestration.assets.pipeline_health import health_key
from aspects_orchestration.definitions import defs
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.sensors.clickhouse_health import clickhouse_health
from aspects_orchestration.warehouse import server


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def live(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with statements of now, on a disk that is never full: that of a machine that runs tests may well be."""
    rules = site.folder / "alerts.yaml"
    rules.write_text("signals:\n  clickhouse_disk_free: {warn: 0.000002, critical: 0.000001}\n")
    site.environ["ASPECTS_ALERTS_FILE"] = str(rules)
    site.warehouse()
    arrive(site, "now64(6)")
    put_in_environment(site, monkeypatch)
    return site


def put_in_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)


def arrive(site: Site, newest: str) -> None:
    site.sql(
        "INSERT INTO xapi.xapi_events_all"
        f" SELECT generateUUIDv4(), {newest} - number / 100, '{{}}' FROM numbers(1000)",
        admin=True,
    )
    site.sql("SYSTEM FLUSH LOGS", admin=True)


def run(instance: dg.DagsterInstance) -> tuple[bool, dict[str, dg.AssetCheckEvaluation]]:
    """Whether the job succeeded, and its checks by signal."""
    done = (
        defs()
        .get_job_def("check_pipeline_health")
        .execute_in_process(instance=instance, raise_on_error=False)
    )
    found = {one.asset_key.path[-1]: one for one in done.get_asset_check_evaluations()}
    return done.success, found


def test_a_healthy_site_passes_every_check(live: Site, instance: dg.DagsterInstance) -> None:
    _, found = run(instance)
    assert set(found) == set(SIGNALS)
    assert {name for name, one in found.items() if not one.passed} == set()
    assert found["clickhouse_lag"].metadata["value"].value is not None
    missing = found["clickhouse_nodes_missing"]
    assert missing.passed
    assert missing.metadata["state"].value == "not watched"
    assert "not watched" in (missing.description or "")


def test_what_is_critical_is_an_error_and_fails_the_run(
    live: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    arrive(live, "now64(6) - INTERVAL 2 DAY")
    success, found = run(instance)
    assert not success
    lag = found["clickhouse_lag"]
    assert not lag.passed
    assert lag.severity is dg.AssetCheckSeverity.ERROR
    assert "replay_window" in (lag.description or ""), "it says what to do"
    assert found["clickhouse_up"].passed


def test_what_is_worth_a_warning_warns_and_fails_no_run(live: Site, instance: dg.DagsterInstance) -> None:
    live.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    arrive(live, "now64(6) - INTERVAL 20 MINUTE")
    success, found = run(instance)
    assert success
    assert not found["clickhouse_lag"].passed
    assert found["clickhouse_lag"].severity is dg.AssetCheckSeverity.WARN


def test_what_cannot_be_read_warns_with_its_reason(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hanging() as port:
        site.environ["ASPECTS_CLICKHOUSE_URL"] = f"http://someone:secret@127.0.0.1:{port}"
        put_in_environment(site, monkeypatch)
        success, found = run(instance)
    assert not success
    assert found["clickhouse_up"].severity is dg.AssetCheckSeverity.ERROR
    lag = found["clickhouse_lag"]
    assert not lag.passed
    assert lag.severity is dg.AssetCheckSeverity.WARN
    assert "does not answer" in (lag.description or "")
    assert "secret" not in str(found)


def test_an_embedded_server_that_is_stopped_stays_so(live: Site, instance: dg.DagsterInstance) -> None:
    stop_server(live.home)
    success, found = run(instance)
    assert server.status(live.home) is None
    assert success
    assert not found["clickhouse_lag"].passed
    assert "does not run" in (found["clickhouse_lag"].description or "")


def test_of_counters_the_check_takes_what_the_sensor_saw_last(
    live: Site, instance: dg.DagsterInstance
) -> None:
    _, found = run(instance)
    assert found["clickhouse_rejected_inserts"].passed
    assert "clickhouse_health" in (found["clickhouse_rejected_inserts"].description or "")
    cursor = watch(instance, None)
    live.sql(
        "CREATE TABLE xapi.full (n Int8) ENGINE = MergeTree ORDER BY n SETTINGS parts_to_throw_insert = 1",
        admin=True,
    )
    live.sql("SYSTEM STOP MERGES xapi.full", admin=True)
    live.sql("INSERT INTO xapi.full VALUES (1)", admin=True)
    with pytest.raises(Exception, match="TOO_MANY_PARTS"):
        live.sql("INSERT INTO xapi.full VALUES (1)", admin=True)
    watch(instance, cursor)
    success, found = run(instance)
    assert success
    rejected = found["clickhouse_rejected_inserts"]
    assert not rejected.passed
    assert "as the sensor saw it" in (rejected.description or "")
    assert found["clickhouse_replicated_data_loss"].passed


def watch(instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    """A tick of the sensor, whose observations are stored as the daemon stores them."""
    result = clickhouse_health()(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    for event in result.asset_events:
        assert isinstance(event, dg.AssetObservation)
        instance.report_runless_asset_event(event)
    return result.cursor


def test_every_signal_has_an_asset_of_the_group(live: Site) -> None:
    specs = {
        spec.key: spec
        for one in defs().get_repository_def().assets_defs_by_key.values()
        for spec in one.specs
    }
    for name in SIGNALS:
        assert specs[health_key(name)].group_name == "monitoring"

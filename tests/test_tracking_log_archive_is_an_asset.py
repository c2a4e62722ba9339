"""The archive as operators see it in Dagster: partitions, metadata, days sealed along the way, checks, schedule, dry run."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from services.seals import SealSite, events

from aspects_orchestration.assets.tracking_log_archive import TRACKING_LOG_ARCHIVE, tracking_log_archive
from aspects_orchestration.checks.sealing import sealing_checks
from aspects_orchestration.definitions import defs
from aspects_orchestration.partitions import days
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.schedules.archive import archive_tracking_logs_nightly

DAYS = days("2024-05")


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealSite:
    made = SealSite(tmp_path)
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    made.put_days(4, 2)
    return made


def materialize(
    day: str, instance: dg.DagsterInstance, *, raise_on_error: bool = True, **config: Any
) -> dg.ExecuteInProcessResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.materialize(
            [tracking_log_archive(DAYS), sealing_checks(DAYS)],
            partition_key=day,
            instance=instance,
            resources={"log_storage": LogStorageResource(region=None, endpoint_url=None)},
            run_config={"ops": {"tracking_log_archive": {"config": config}}},
            raise_on_error=raise_on_error,
        )


def sealed_days(instance: dg.DagsterInstance) -> set[str]:
    return instance.get_materialized_partitions(TRACKING_LOG_ARCHIVE)


def test_days_are_sealed_and_said(town: SealSite) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        materialize("2024-05-01", instance)
        result = materialize("2024-05-04", instance)
        assert sealed_days(instance) == {f"2024-05-0{day}" for day in (1, 2, 3, 4)}
        (event,) = [
            one
            for one in result.asset_materializations_for_node("tracking_log_archive")
            if one.partition == "2024-05-04"
        ]
        found = {name: one.value for name, one in event.metadata.items()}
        assert (found["files"], found["lines"], found["files_left_out"]) == (2, 40, 0)
        assert (found["days_sealed_now"], found["days_in_archive"], found["lines_in_archive"]) == (3, 4, 160)
        assert found["bytes"] == sum(path.stat().st_size for path in town.logs.glob("*20240504*"))
        assert found["ratio"] == round(found["bytes"] / found["bytes_stored"], 2)
        assert found["follows"] == "2024-05-03"
        newest = datetime(2024, 5, 1, 0, 2, 39, tzinfo=UTC)
        assert found["rpo_hours"] == pytest.approx(
            (datetime.now(UTC) - newest).total_seconds() / 3600, abs=0.1
        )
        assert found["manifest_sha256"] == town.index.update()[-1].sha256
        assert all(one.passed for one in result.get_asset_check_evaluations())
        assert len(result.get_asset_check_evaluations()) == 2


def test_a_dry_run_observes_and_seals_nothing(town: SealSite) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize("2024-05-04", instance, raise_on_error=False, dry_run=True)
        (event,) = result.asset_observations_for_node("tracking_log_archive")
        assert event.metadata["files"].value == 8
        assert not sealed_days(instance)
    assert town.stored() == {}


def test_a_day_that_cannot_be_sealed_fails_and_says_why(town: SealSite) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        materialize("2024-05-03", instance)
        result = materialize("2024-05-02", instance, raise_on_error=False)
        assert not result.success
        (failure,) = [one for one in result.events_for_node("tracking_log_archive") if one.is_step_failure]
        assert "is before the first day of the archive" in str(failure.step_failure_data.user_failure_data)


def test_a_file_that_came_late_is_a_warning_until_it_is_sealed(town: SealSite) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        materialize("2024-05-04", instance)
        town.put("late.log", events(900, 2), datetime(2024, 5, 2, tzinfo=UTC))
        result = materialize("2024-05-04", instance)
        assert result.success
        checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
        assert checks["day_is_sealed"].passed
        assert not checks["closed_files_are_sealed"].passed
        assert checks["closed_files_are_sealed"].metadata["files"].value == 1
        result = materialize("2024-05-05", instance)
        assert all(one.passed for one in result.get_asset_check_evaluations())


@pytest.mark.parametrize(
    ("lateness", "at", "day"),
    [
        (6, "2024-05-03T06:15", "2024-05-02"),
        (0, "2024-05-03T00:15", "2024-05-02"),
        (30, "2024-05-03T06:15", "2024-05-01"),
        (24, "2024-03-01T00:15", "2024-02-28"),
    ],
)
def test_the_schedule_asks_for_the_newest_day_that_can_be_sealed(lateness: int, at: str, day: str) -> None:
    schedule = archive_tracking_logs_nightly(lateness)
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert schedule.cron_schedule == f"15 {moment.hour} * * *"
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=moment,
            repository_def=defs().get_repository_def(),
        )
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert (request.partition_key, request.run_key) == (day, day)

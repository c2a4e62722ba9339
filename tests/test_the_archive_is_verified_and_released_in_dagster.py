"""Verifying and releasing as an operator does it: jobs, checks by day, the schedule, the command line."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from services.archive import TestArchive, by_day, write_archive

from aspects_orchestration.archive.questions import QUESTIONS
from aspects_orchestration.definitions import defs
from aspects_orchestration.jobs.archive import main
from aspects_orchestration.samples import SampleSpec, generate_lines

ARCHIVE = dg.AssetKey("tracking_log_archive")
FIRST = date(2024, 5, 1)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestArchive:
    """Three days, sealed, and the settings that name them."""
    logs = tmp_path / "logs"
    logs.mkdir()
    lines = list(generate_lines(SampleSpec(lines=60)))
    for number in range(3):
        file = logs / f"tracking.log-2024050{number + 1}"
        file.write_bytes(b"".join(lines[number * 20 : number * 20 + 15]))
        closed = datetime(2024, 5, number + 1, 12, tzinfo=UTC).timestamp()
        os.utime(file, (closed, closed))
    monkeypatch.setenv("ASPECTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASPECTS_TRACKING_LOGS", str(logs))
    monkeypatch.setenv("ASPECTS_TRACKING_LOG_ARCHIVE", str(tmp_path / "archive"))
    return write_archive(str(tmp_path / "archive"), by_day(logs.iterdir()))


@pytest.fixture
def repository(archive: TestArchive) -> dg.RepositoryDefinition:
    return defs().get_repository_def()


def object_of(archive: TestArchive, number: int) -> Path:
    (one,) = archive.days[FIRST + timedelta(days=number)]
    return Path(archive.uri) / one.object


def run(
    repository: dg.RepositoryDefinition, job: str, op: str, instance: dg.DagsterInstance, **config: object
) -> tuple[dg.ExecuteInProcessResult, dict[str, dg.MetadataValue]]:
    """Run a job; its result, and the metadata of the observation it made."""
    result = repository.get_job(job).execute_in_process(
        run_config={"ops": {op: {"config": config}}}, instance=instance, raise_on_error=False
    )
    observed = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    (one,) = observed or [None]
    return result, dict(one.asset_observation_data.asset_observation.metadata) if one else {}


def test_the_job_says_that_all_is_well(archive: TestArchive, repository: dg.RepositoryDefinition) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result, found = run(
            repository, "verify_archive", "verify_sealed_days", instance, read_data_subset="all"
        )
    assert result.success
    assert (found["verified_days"].value, found["read_objects"].value, found["faults"].value) == (3, 3, 0)
    assert found["chain_hash"].value == archive.hashes[FIRST + timedelta(days=2)]


def test_the_job_fails_and_marks_the_day(archive: TestArchive, repository: dg.RepositoryDefinition) -> None:
    harmed = object_of(archive, 1)
    content = harmed.read_bytes()
    harmed.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    with dg.DagsterInstance.ephemeral() as instance:
        result, found = run(repository, "verify_archive", "verify_sealed_days", instance)
        assert result.success, "structure and chain alone do not see it"
        result, found = run(
            repository, "verify_archive", "verify_sealed_days", instance, read_data_subset="all"
        )
        assert not result.success
        assert found["faults_by_kind"].value == {"changed_bytes": 1}
        assert "Bring it back" in str(found["faults_listed"].value)
        key = dg.AssetCheckKey(ARCHIVE, "objects_are_unchanged")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        assert record.event is not None
        evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
        assert (evaluation.passed, evaluation.partition) == (False, "2024-05-02")


def test_checks_look_at_their_own_day(archive: TestArchive, repository: dg.RepositoryDefinition) -> None:
    object_of(archive, 1).unlink()
    checks = next(
        one
        for one in repository.asset_checks_defs_by_key.values()
        if dg.AssetCheckKey(ARCHIVE, "chain_holds") in one.check_keys
    )
    asset = repository.assets_defs_by_key[ARCHIVE]
    failed: dict[str, set[str]] = {}
    for day in ("2024-05-01", "2024-05-02", "2024-05-03"):
        result = dg.materialize([asset, checks], partition_key=day, raise_on_error=False)
        evaluations = result.get_asset_check_evaluations()
        assert {one.check_name for one in evaluations} == set(QUESTIONS)
        failed[day] = {one.check_name for one in evaluations if not one.passed}
        assert result.success == (not failed[day])
    assert failed == {"2024-05-01": set(), "2024-05-02": {"no_object_is_missing"}, "2024-05-03": set()}


def test_over_twenty_weeks_the_schedule_reads_every_object_once(
    repository: dg.RepositoryDefinition,
) -> None:
    schedule = repository.get_schedule_def("verify_archive_weekly")
    asked = []
    for week in range(20):
        context = dg.build_schedule_context(
            scheduled_execution_time=datetime(2026, 11, 1, 8, tzinfo=UTC) + timedelta(weeks=week)
        )
        (request,) = schedule.evaluate_tick(context).run_requests or []
        asked.append(request.run_config["ops"]["verify_sealed_days"]["config"]["read_data_subset"])
    assert set(asked) == {f"{number}/20" for number in range(1, 21)}


def test_release_is_a_dry_run_until_it_is_given_its_plan(
    archive: TestArchive, repository: dg.RepositoryDefinition, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"

    def release(instance: dg.DagsterInstance, **config: object) -> tuple[bool, dict[str, dg.MetadataValue]]:
        result, found = run(repository, "release_archived_logs", "release_source_files", instance, **config)
        return result.success, found

    with dg.DagsterInstance.ephemeral() as instance:
        success, found = release(instance)
        assert success
        assert (found["releasable_files"].value, len(list(logs.iterdir()))) == (3, 3)
        plan = found["release_plan_id"].value
        assert not release(instance, dry_run=False)[0]
        assert not release(instance, dry_run=False, plan="0123456789ab")[0]
        assert len(list(logs.iterdir())) == 3
        held = object_of(archive, 2).read_bytes()
        object_of(archive, 2).write_bytes(held[:-1])
        success, found = release(instance, dry_run=False, plan=plan)
        assert not success, "a copy is not what was sealed"
        assert (found["released_files"].value, len(list(logs.iterdir()))) == (2, 1)
        object_of(archive, 2).write_bytes(held)
        success, found = release(instance, dry_run=False, plan=plan)
        assert success
        assert list(logs.iterdir()) == []


def test_the_command_line_verifies(archive: TestArchive, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify"]) == 0
    assert "3 sealed days, 3 objects" in capsys.readouterr().out
    assert main(["verify", "--read-data-subset", "all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["subset"], found["read_objects"]) == (True, "all", 3)
    assert found["head"] == archive.hashes[date(2024, 5, 3)]

    object_of(archive, 0).unlink()
    assert main(["verify"]) == 1
    assert "missing_object: logs/2024-05-01/" in capsys.readouterr().out
    assert main(["verify", "--day", "2024-05-02"]) == 0
    assert main(["verify", "--json"]) == 1
    capsys_out = capsys.readouterr().out
    (fault,) = json.loads(capsys_out[capsys_out.index("{") :])["faults"]
    assert (fault["kind"], fault["day"]) == ("missing_object", "2024-05-01")
    assert main(["verify", "--read-data-subset", "much"]) == 2
    assert "is no part of an archive" in capsys.readouterr().err


def test_the_command_line_sums_up(archive: TestArchive, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    printed = capsys.readouterr().out
    assert "3 days, 2024-05-01 to 2024-05-03" in printed
    assert "RPO:" in printed
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    newest = max(min(one.last_event, one.source_modified) for one in archive.objects if one.last_event)
    assert datetime.fromisoformat(found["newest_line"]) == newest
    assert found["rpo"] == pytest.approx((datetime.now(UTC) - newest).total_seconds(), abs=60)
    assert found["lines"] == sum(one.lines for one in archive.objects)
    shutil.rmtree(Path(archive.uri) / "manifests")
    assert main(["status"]) == 1
    assert "has no manifest of 2024-05-01 any more" in capsys.readouterr().err
    assert main(["verify"]) == 1
    assert "3 missing_manifest" in capsys.readouterr().out


def test_an_archive_of_nothing_is_told(archive: TestArchive, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(archive.uri)
    assert main(["status"]) == 0
    assert "nothing yet" in capsys.readouterr().out
    assert main(["verify"]) == 1
    assert "nothing_sealed" in capsys.readouterr().out

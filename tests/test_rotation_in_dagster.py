"""What operators see and launch: the job, its schedule, the check on the asset, and the command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from services import log_writer
from services.site import Site

from aspects_orchestration.definitions import defs
from aspects_orchestration.jobs.rotate import main

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TRACKING_LOGS = dg.AssetKey("tracking_logs")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A live log of yesterday, to which nobody writes any more."""
    for name in [one for one in os.environ if one.startswith(("ASPECTS_", "CLICKHOUSE_"))]:
        monkeypatch.delenv(name)
    found = tmp_path / "logs" / "tracking.log"
    found.parent.mkdir()
    found.write_text(log_writer.event("learner", 0, YESTERDAY) + "\n")
    os.utime(found, (YESTERDAY.timestamp(),) * 2)
    monkeypatch.setenv("ASPECTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASPECTS_TRACKING_LOGS", str(found.parent))
    monkeypatch.setenv("ASPECTS_LIVE_LOG", str(found))
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(job: str, instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    given = {"ops": {"rename_live_logs": {"config": config}}} if config else None
    found = defs().get_repository_def().get_job(job)
    return found.execute_in_process(run_config=given, instance=instance, raise_on_error=False)


def test_the_job_renames_and_shows_what_it_did(log: Path, instance: dg.DagsterInstance) -> None:
    result = run("rotate_tracking_logs", instance)
    assert result.success
    (rotated,) = log.parent.iterdir()
    assert rotated.name.startswith("tracking.log-")
    (observation,) = result.asset_observations_for_node("rename_live_logs")
    assert observation.asset_key == TRACKING_LOGS
    assert observation.metadata["rotated_files"].value == 1
    assert rotated.name in str(observation.metadata["rotated"].value)
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("live_log_is_rotated", True)


def test_a_dry_run_says_so_and_renames_nothing(log: Path, instance: dg.DagsterInstance) -> None:
    assert run("rotate_tracking_logs", instance, dry_run=True).success
    assert list(log.parent.iterdir()) == [log]


def test_a_writer_that_is_slow_does_not_fail_the_job(log: Path, instance: dg.DagsterInstance) -> None:
    writer = log_writer.start(log, "writer", handler="deaf")
    result = run("rotate_tracking_logs", instance, wait_s=0.0, force=True)
    log_writer.end(writer)
    assert result.success
    (observation,) = result.asset_observations_for_node("rename_live_logs")
    assert observation.metadata["rotated_and_still_open"].value == 1


def test_a_job_that_could_not_rotate_fails_and_says_what_to_do(
    log: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASPECTS_LIVE_LOG", str(log.parent / "gone" / "tracking.log"))
    result = run("rotate_tracking_logs", instance)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "Check ASPECTS_LIVE_LOG" in str(failure.step_failure_data.error_display_string)


def test_the_check_warns_until_the_log_is_rotated(log: Path, instance: dg.DagsterInstance) -> None:
    os.utime(log, (YESTERDAY.timestamp() - 86400,) * 2)
    log.write_text(log_writer.event("learner", 0, YESTERDAY - timedelta(days=1)) + "\n")
    (before,) = run("check_tracking_logs", instance).get_asset_check_evaluations()
    assert not before.passed
    assert before.severity == dg.AssetCheckSeverity.WARN
    assert "should have been rotated" in str(before.description)
    run("rotate_tracking_logs", instance, wait_s=0.0)
    (after,) = run("check_tracking_logs", instance).get_asset_check_evaluations()
    assert after.passed


def test_an_observation_of_the_logs_asks_the_check_too(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not kept from its work by what the check finds."""
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ASPECTS_LIVE_LOG", str(site.logs / "gone" / "tracking.log"))
    site.logs.mkdir(exist_ok=True)
    (site.logs / "tracking.log-1").write_text(log_writer.event("learner", 0, YESTERDAY) + "\n")
    result = run("observe_tracking_logs", instance)
    assert result.success
    (observation,) = result.asset_observations_for_node("catalog_tracking_logs")
    assert observation.metadata["files"].value == 1
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert "Check ASPECTS_LIVE_LOG" in str(evaluation.description)


def tick(at: datetime) -> Any:
    schedule = defs().get_repository_def().get_schedule_def("rotate_tracking_logs_when_due")
    return schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=at))


def test_the_schedule_launches_only_what_is_due(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    found = tick(now)
    assert found.run_requests
    assert found.run_requests[0].run_key
    main(["--wait", "0"])
    assert "there is no such file" in tick(now).skip_message
    monkeypatch.delenv("ASPECTS_LIVE_LOG")
    assert "ASPECTS_LIVE_LOG" in tick(now).skip_message


def test_the_command_rotates_as_the_job_does(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--dry-run"]) == 0
    assert f"rename {log} to tracking.log-" in capsys.readouterr().out
    assert log.exists()
    assert main([]) == 0
    assert f"renamed {log} to tracking.log-" in capsys.readouterr().out
    assert not log.exists()
    assert main([]) == 0
    monkeypatch.delenv("ASPECTS_LIVE_LOG")
    assert main([]) == 1
    assert "Set ASPECTS_LIVE_LOG" in capsys.readouterr().err


def test_the_command_runs_from_a_shell(log: Path) -> None:
    command = [sys.executable, "-m", "aspects_orchestration.jobs.rotate", "--force", "--wait", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "left by its writers" in done.stdout
    assert not log.exists()


def test_the_commands_of_the_document_run(log: Path) -> None:
    """With this log in place of the one that they name."""
    document = (Path(__file__).resolve().parents[1] / "docs/log-rotation.md").read_text()
    blocks = re.findall(r"^```sh\n((?:export|python) .*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    script = (
        "".join(blocks)
        .replace("/openedx/data/logs/tracking.log", str(log))
        .replace("--force", "--force --wait 1")
    )
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()[:2]] == ["rename", "renamed"]
    assert not log.exists()

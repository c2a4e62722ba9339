"""What operators see and launch of drills: the job, its observation, the checks, the schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from services.drills import records, scratches, seal
from services.events import enrolled, who, write_people
from services.retention import RAW, server_of_the_module, site
from services.site import Site

from aspects_orchestration.definitions import defs
from aspects_orchestration.drill.record import RecordedDay
from aspects_orchestration.drill.verify import QUESTIONS, RECENT_DAYS, Drilled

__all__ = ["server_of_the_module", "site"]

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def loaded(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    write_people(site)
    log = site.logs / "may.log.1"
    log.write_bytes(b"".join(enrolled(f"2024-05-10T10:{n:02d}:00Z", learner=who(n)) for n in range(30)))
    site.load("2024-05")
    seal(str(site.folder / "archive"), {date(2024, 5, 10): [log]})
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    return site


def run(config: dict[str, Any] | None = None, job: str = "restore_drill") -> dg.ExecuteInProcessResult:
    ops = {"ops": {"drill_a_restore": {"config": config}}} if config else {}
    return defs().resolve_job_def(job).execute_in_process(run_config=ops, raise_on_error=False)


def observations(result: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    return [
        {name: one.value for name, one in event.asset_observation_data.asset_observation.metadata.items()}
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
    ]


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [one for one in result.all_events if one.event_type_value == "STEP_FAILURE"]
    return str(event.step_failure_data.user_failure_data.description)


def test_a_drill_shows_its_figures_and_answers_the_checks(loaded: Site) -> None:
    result = run({"turn": "2024-06"})
    assert result.success
    (shown,) = observations(result)
    assert shown["statements_restored"] == 30
    assert shown["outcome"] == "passed"
    for figure in ("rto_of_the_day_s", "rto_of_all_hours", "rpo_hours", "verified_in_s", "loaded_in_s"):
        assert isinstance(shown[figure], float), "a number, which the UI plots over time"
    assert "| 2024-05 | 30 | 0 | 0 |" in shown["months"]
    assert checks(result) == {"drill_passed": True, "drill_is_recent": True, "rpo_within_bounds": False}
    assert scratches(loaded) == []


def test_a_difference_fails_the_run_and_the_check_and_names_ids_alone(loaded: Site) -> None:
    (gone,) = (
        loaded.sql(f"SELECT event_id FROM {RAW} ORDER BY event_id LIMIT 1 FORMAT TSVRaw").decode().split()
    )
    loaded.sql(
        f"DELETE FROM {RAW} WHERE event_id = '{gone}' SETTINGS lightweight_deletes_sync = 2", admin=True
    )
    result = run({"turn": "2024-06"})
    assert not result.success
    assert gone in failure(result)
    (shown,) = observations(result)
    assert f"- `{gone}`" in shown["differences"]
    assert "actor" not in str(shown)
    assert not checks(result)["drill_passed"]
    asked = run(job="check_restore_drill")
    assert not asked.success
    assert gone in failure(asked)


def test_a_dry_run_says_the_days_and_replays_nothing(loaded: Site) -> None:
    result = run({"turn": "2024-06", "dry_run": True})
    assert result.success
    assert observations(result) == []
    assert records(loaded, "run_id") == []


def test_a_day_can_be_named_and_what_is_none_is_refused(loaded: Site) -> None:
    assert run({"day": "2024-05-10"}).success
    for config, words in (
        ({"day": "2024-05-11"}, "2024-05-11 is not sealed"),
        ({"day": "may"}, "Write it as 2024-05-03"),
        ({"turn": "2024-13"}, "names no month"),
    ):
        refused = run(config)
        assert not refused.success
        assert words in failure(refused)


def test_an_archive_in_which_nothing_is_sealed_fails_the_drill(
    loaded: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASPECTS_TRACKING_LOG_ARCHIVE", str(loaded.folder / "nothing"))
    refused = run({"turn": "2024-06"})
    assert not refused.success
    assert "nothing could be restored" in failure(refused)
    asked = run(job="check_restore_drill")
    assert checks(asked) == dict.fromkeys(QUESTIONS, False)


def test_the_schedule_drills_the_turn_of_its_month() -> None:
    schedules = {one.name: one for one in defs().get_repository_def().schedule_defs}
    tick = schedules["restore_drill_monthly"].evaluate_tick(
        dg.build_schedule_context(scheduled_execution_time=datetime(2026, 12, 3, 5, tzinfo=UTC))
    )
    (request,) = tick.run_requests or ()
    assert request.run_key == "2026-12"
    assert request.run_config == {"ops": {"drill_a_restore": {"config": {"turn": "2026-12"}}}}
    assert schedules["check_restore_drill_daily"].job_name == "check_restore_drill"


def a_day(outcome: str = "passed", *, days_ago: float = 1) -> RecordedDay:
    return RecordedDay(
        "2026-11", "2025-10-03", outcome, f"it {outcome}", 60.0, 60.0, NOW - timedelta(days=days_ago)
    )


def world(days: Sequence[RecordedDay] = (), **how: Any) -> Drilled:
    return replace(Drilled(days, NOW - timedelta(hours=30), date(2026, 11, 22), 48, NOW), **how)


def test_checks_say_what_is_not_well() -> None:
    ask = QUESTIONS["drill_passed"]
    assert ask(world([a_day()])).passed
    assert not ask(world()).passed
    for outcome in ("differs", "failed"):
        found = ask(world([a_day(outcome), a_day()]))
        assert not found.passed
        assert found.summary == f"it {outcome}"
    recent = QUESTIONS["drill_is_recent"]
    assert recent(world([a_day(days_ago=RECENT_DAYS)])).passed
    assert not recent(world([a_day(days_ago=RECENT_DAYS + 0.1)])).passed
    assert not recent(world()).passed


def test_rpo_counts_from_the_newest_line_or_the_end_of_the_last_sealed_day() -> None:
    ask = QUESTIONS["rpo_within_bounds"]
    quiet = world(newest_line=NOW - timedelta(days=9))
    assert ask(quiet).passed, "a quiet site has nothing newer to lose"
    assert ask(quiet).numbers == {"hours": 12}
    assert not ask(replace(quiet, sealed_until=date(2026, 11, 20))).passed
    assert ask(replace(quiet, sealed_until=date(2026, 11, 20), rpo_hours=60)).passed
    assert not ask(world(sealed_until=None)).passed

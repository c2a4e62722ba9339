"""The production audit goes through upstream's guide: each finding says what is so, why, and the exact setting to change."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from services.site import Site

from aspects_orchestration.checks.production import PRODUCTION, production_checks
from aspects_orchestration.definitions import defs
from aspects_orchestration.doctor.examine import PRODUCTION as EVERYTHING
from aspects_orchestration.doctor.examine import examine
from aspects_orchestration.doctor.model import Answer, Patient, Verdict
from aspects_orchestration.doctor.production import DIAGNOSES, LARGE_A_DAY
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options

SECRET = "k3H9-xWq27LmZ_r4Tb8Vd1Yc"
#: What `tutor config save` writes of the plugin, and a site that has followed the guide.
GOOD: dict[str, Any] = {
    "LMS_HOST": "learn.example.org",
    "ENABLE_HTTPS": True,
    "ASPECTS_XAPI_SOURCE": "ralph",
    "CLICKHOUSE_ADMIN_PASSWORD": SECRET,
    "CLICKHOUSE_HOST": "abc.eu-west-1.aws.clickhouse.cloud",
    "CLICKHOUSE_SECURE_CONNECTION": True,
    "RUN_CLICKHOUSE": False,
    "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": True,
    "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": True,
    "ASPECTS_EVENT_BUS_CONSUMER_REPLICAS": 2,
    "RALPH_LMS_PASSWORD": SECRET,
    "SUPERSET_SECRET_KEY": SECRET,
    "SUPERSET_SENTRY_DSN": "https://key@sentry.example.org/1",
    "SUPERSET_DASHBOARD_LOCALES": ["en", "es_419"],
    "ASPECTS_DATA_TTL_EXPRESSION": "toDateTime(emission_time) + INTERVAL 3 YEAR",
}
_UNSEEN = {"clickhouse_release", "clickhouse_backed_up", "monitoring", "backfilled", "tracking_logs_kept"}


def audit(
    folder: Path, config: dict[str, Any], *, a_day: float | None = None, **ours: str
) -> dict[str, Answer]:
    """All answers that need no server, for a site with this config.yml."""
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    settings = load_settings(
        {"ASPECTS_HOME": str(folder / "home"), "ASPECTS_TUTOR_CONFIG": str(path), **ours}
    )
    patient = Patient(settings, S3Options(), datetime.now(UTC), sensors_on=frozenset())
    patient.__dict__["statements_a_day"] = a_day
    wanted = [one for one in DIAGNOSES if one.name not in _UNSEEN]
    return {one.name: answer for one, answer in examine(patient, wanted)}


def test_a_site_that_follows_the_guide_is_in_no_danger(tmp_path: Path) -> None:
    found = audit(tmp_path, GOOD)
    not_ok = {name: one for name, one in found.items() if one.verdict is not Verdict.OK}
    # How many Ralphs run, no config.yml says.
    assert not_ok.keys() == {"ralph_servers"}, not_ok
    assert found["ralph_servers"].verdict is Verdict.ADVICE


def test_what_the_plugin_installs_unasked_is_told_as_upstream_tells_it(tmp_path: Path) -> None:
    config = {
        "LMS_HOST": "learn.example.org",
        "ASPECTS_XAPI_SOURCE": "ralph",
        "CLICKHOUSE_ADMIN_PASSWORD": SECRET,
    }
    found = audit(tmp_path, {**config, "SUPERSET_SECRET_KEY": SECRET, "RALPH_LMS_PASSWORD": SECRET})
    advised = {name for name, one in found.items() if one.verdict is Verdict.ADVICE}
    assert advised == {
        "ralph_servers",
        "workers",
        "clickhouse_hosting",
        "superset_errors",
        "lifetime",
        "locales",
    }
    # Unasked, Aspects offers languages that Superset cannot write.
    assert found["locales"].found == "Superset does not support writing from right to left: ar, he"
    assert "SUPERSET_DASHBOARD_LOCALES='[da, de_DE," in found["locales"].do
    assert not [one for one in found.values() if one.verdict in {Verdict.DANGER, Verdict.UNKNOWN}]
    assert "after one year" in found["lifetime"].found


@pytest.mark.parametrize(
    ("name", "change", "verdict", "do"),
    [
        (
            "pipeline",
            {"ASPECTS_ENABLE_EVENT_BUS_PRODUCER": False},
            "danger",
            "ASPECTS_ENABLE_EVENT_BUS_PRODUCER=true",
        ),
        ("pipeline", {"RUN_RALPH": False}, "danger", "RALPH_HOST"),
        (
            "pipeline",
            {"ASPECTS_XAPI_SOURCE": "vector", "ASPECTS_VECTOR_STORE_XAPI": False},
            "danger",
            "ASPECTS_VECTOR_STORE_XAPI=true",
        ),
        ("batching", {"EVENT_ROUTING_BACKEND_BATCHING_ENABLED": "false"}, "danger", "BATCHING_ENABLED=true"),
        ("batching", {"EVENT_ROUTING_BACKEND_BATCH_SIZE": 10}, "advice", "BATCH_SIZE=100"),
        ("batching", {"EVENT_ROUTING_BACKEND_BATCH_SIZE": 5000}, "advice", "BATCH_SIZE=1000"),
        ("batching", {"EVENT_ROUTING_BACKEND_BATCH_SIZE": "many"}, "danger", "BATCH_SIZE=100"),
        ("batching", {"EVENT_ROUTING_BACKEND_BATCH_INTERVAL": 600}, "advice", "BATCH_INTERVAL=5"),
        ("event_bus_consumers", {"ASPECTS_EVENT_BUS_CONSUMER_REPLICAS": 1}, "advice", "REPLICAS=2"),
        (
            "clickhouse_hosting",
            {"CLICKHOUSE_HOST": "clickhouse", "RUN_CLICKHOUSE": True},
            "advice",
            "RUN_CLICKHOUSE=false",
        ),
        (
            "clickhouse_hosting",
            {"CLICKHOUSE_HOST": "ch.local", "CLICKHOUSE_CLUSTER_NAME": "c1"},
            "advice",
            "copy",
        ),
        ("clickhouse_secured", {"CLICKHOUSE_SECURE_CONNECTION": False}, "danger", "SECURE_CONNECTION=true"),
        ("clickhouse_secured", {"CLICKHOUSE_ADMIN_PASSWORD": "secret"}, "danger", "long random"),
        ("ralph_public", {"RALPH_ENABLE_PUBLIC_URL": True}, "advice", "RALPH_ENABLE_PUBLIC_URL=false"),
        (
            "ralph_public",
            {"RALPH_ENABLE_PUBLIC_URL": True, "ENABLE_HTTPS": False},
            "danger",
            "ENABLE_HTTPS=true",
        ),
        ("superset_secret", {"SUPERSET_SECRET_KEY": "aaaaaaaaaaaaaaaaaaaaaaaa"}, "danger", "long random"),
        ("superset_secret", {"SUPERSET_ADMIN_PASSWORD": "admin"}, "danger", "long random"),
        (
            "ralph_public",
            {"RALPH_ENABLE_PUBLIC_URL": True, "RALPH_ADMIN_PASSWORD": "ralph"},
            "danger",
            "long random",
        ),
        ("superset_errors", {"SUPERSET_SENTRY_DSN": ""}, "advice", "SUPERSET_SENTRY_DSN"),
        ("personal_data", {"ASPECTS_ENABLE_PII": True}, "advice", "delete_retired_users_daily"),
        ("actor", {"XAPI_AGENT_IFI_TYPE": "mbox"}, "danger", "external_id"),
        ("actor", {"XAPI_AGENT_IFI_TYPE": "mbox_sha1sum"}, "advice", "external_id"),
        (
            "embedded_dashboards",
            {"ASPECTS_INSTRUCTOR_DASHBOARDS": []},
            "danger",
            "ASPECTS_INSTRUCTOR_DASHBOARDS",
        ),
        (
            "embedded_dashboards",
            {"ASPECTS_INSTRUCTOR_DASHBOARDS": [{"name": "A", "slug": "a", "uuid": "not-one"}]},
            "danger",
            "ASPECTS_INSTRUCTOR_DASHBOARDS",
        ),
        (
            "embedded_dashboards",
            {
                "ASPECTS_INSTRUCTOR_DASHBOARDS": [
                    {"name": "A", "slug": "a", "uuid": "c0e64194-33d1-4d5a-8c10-4f51530c5ee9"},
                    {"name": "B", "slug": "a", "uuid": "8661d20c-cee6-4245-9fcc-610daea5fd24"},
                ]
            },
            "danger",
            "ASPECTS_INSTRUCTOR_DASHBOARDS",
        ),
        (
            "embedded_dashboards",
            {
                "ASPECTS_INSTRUCTOR_DASHBOARDS": [
                    {"name": "A", "slug": "a", "uuid": "c0e64194-33d1-4d5a-8c10-4f51530c5ee9"}
                ],
                "SUPERSET_EMBEDDABLE_DASHBOARDS": {"b": "8661d20c-cee6-4245-9fcc-610daea5fd24"},
            },
            "danger",
            "ASPECTS_INSTRUCTOR_DASHBOARDS",
        ),
        ("help_texts", {"ASPECTS_OPERATOR_HELP_MARKDOWN": " "}, "advice", "ASPECTS_OPERATOR_HELP_MARKDOWN"),
        (
            "languages",
            {"SUPERSET_SUPPORTED_LANGUAGES": {"ar": {"flag": "eg", "name": "Arabic"}}},
            "advice",
            "SUPPORTED",
        ),
        ("languages", {"SUPERSET_SUPPORTED_LANGUAGES": {"es": {"flag": "es"}}}, "danger", "name: Español"),
        (
            "languages",
            {"SUPERSET_SUPPORTED_LANGUAGES": {"xx": {"flag": "es", "name": "X"}}},
            "advice",
            "Remove it",
        ),
        ("locales", {"SUPERSET_DASHBOARD_LOCALES": ["en", "he"]}, "advice", "SUPERSET_DASHBOARD_LOCALES"),
        (
            "locales",
            {"SUPERSET_DASHBOARD_LOCALES": ["en", "fr"]},
            "advice",
            "superset-extra-asset-translations",
        ),
        ("locales", {"SUPERSET_DASHBOARD_LOCALES": "en"}, "danger", "SUPERSET_DASHBOARD_LOCALES"),
        (
            "lifetime",
            {"ASPECTS_DATA_TTL_EXPRESSION": "toDateTime(emission_time) + INTERVAL 90 DAY"},
            "advice",
            "ASPECTS_DATA_TTL_EXPRESSION",
        ),
    ],
)
def test_each_departure_is_found_with_the_setting_to_change(
    tmp_path: Path, name: str, change: dict[str, Any], verdict: str, do: str
) -> None:
    found = audit(tmp_path, {**GOOD, **change})[name]
    assert found.verdict.value == verdict, found
    assert do in found.do
    assert SECRET not in repr(found)


def test_what_is_small_enough_for_a_small_site_is_not_for_a_large_one(tmp_path: Path) -> None:
    config = {**GOOD, "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": False, "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": False}
    config |= {"CLICKHOUSE_HOST": "clickhouse", "RUN_CLICKHOUSE": True}
    small, large = (audit(tmp_path, config, a_day=factor * LARGE_A_DAY) for factor in (0.01, 2))
    for name, then in (
        ("pipeline", "advice"),
        ("superset_database", "advice"),
        ("clickhouse_hosting", "danger"),
    ):
        assert large[name].verdict.value == then
        assert small[name].verdict.value != then


def test_a_setting_that_differs_here_is_a_danger(tmp_path: Path) -> None:
    found = audit(tmp_path, GOOD, XAPI_AGENT_IFI_TYPE="mbox", ASPECTS_ENABLE_PII="true")
    assert found["actor"].verdict is Verdict.DANGER
    assert "double every statement" in found["actor"].found
    assert found["personal_data"].verdict is Verdict.DANGER


def test_without_a_config_yml_it_says_which_and_changes_nothing(shared_site: Site) -> None:
    patient = Patient(
        shared_site.settings, S3Options(), datetime.now(UTC), sensors_on=frozenset({"run_failed"})
    )
    found = {one.name: answer for one, answer in examine(patient, DIAGNOSES)}
    assert found["batching"].verdict is Verdict.UNKNOWN
    assert "ASPECTS_TUTOR_CONFIG" in found["batching"].do
    assert found["clickhouse_release"].verdict in {Verdict.OK, Verdict.ADVICE}
    assert "25.8" in found["clickhouse_release"].found
    assert found["clickhouse_backed_up"].verdict is Verdict.ADVICE
    assert "clickhouse_health" in found["monitoring"].found
    assert "run_failed" not in found["monitoring"].found


def test_what_was_there_before_and_where_logs_are_kept_is_asked(shared_site: Site) -> None:
    shared_site.warehouse()
    wanted = [one for one in DIAGNOSES if one.name in {"backfilled", "tracking_logs_kept"}]

    def asked(**variables: str) -> dict[str, Answer]:
        settings = load_settings({**shared_site.variables, **variables})
        return {
            one.name: answer
            for one, answer in examine(Patient(settings, S3Options(), datetime.now(UTC)), wanted)
        }

    found = asked(ASPECTS_ENABLE_PII="true")
    assert found["backfilled"].verdict is Verdict.ADVICE
    for table in ("course_overviews", "external_id", "user_profile"):
        assert f"event_sink.{table}" in found["backfilled"].found
    assert "docs/backfill.md" in str(found["backfilled"].lines)
    assert found["tracking_logs_kept"].verdict is Verdict.DANGER
    assert "ASPECTS_TRACKING_LOGS" in found["tracking_logs_kept"].do
    assert "ASPECTS_TRACKING_LOG_ARCHIVE to s3://" in str(found["tracking_logs_kept"].lines)

    shared_site.sql(
        "INSERT INTO event_sink.course_overviews (org, course_key, dump_id, time_last_dumped)"
        " VALUES ('a', 'course-v1:a+b+c', generateUUIDv4(), '2024-05-01')",
        admin=True,
    )
    shared_site.sql("INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(), now(), '{}'", admin=True)
    log = shared_site.logs / "tracking.log-20240501"
    log.write_text("{}\n")
    found = asked(ASPECTS_TRACKING_LOG_ARCHIVE="s3://bucket/archive")
    log.unlink()
    assert {one.verdict for one in found.values()} == {Verdict.OK}, found


def test_volume_is_that_of_the_last_week(shared_site: Site) -> None:
    shared_site.warehouse()
    shared_site.sql(
        "INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(), now() - number * 86400, '{}' FROM numbers(14)",
        admin=True,
    )
    patient = Patient(shared_site.settings, S3Options(), datetime.now(UTC))
    assert patient.statements_a_day is not None
    assert 0.8 <= patient.statements_a_day <= 1.2


def test_the_command_shows_the_section_and_the_setting(shared_site: Site) -> None:
    path = shared_site.folder / "config.yml"
    # Without the address of ClickHouse: the embedded server is what there is.
    path.write_text(
        yaml.safe_dump({"LMS_HOST": "learn.example.org", "EVENT_ROUTING_BACKEND_BATCHING_ENABLED": False})
    )
    shared_site.environ["ASPECTS_TUTOR_CONFIG"] = str(path)
    process = shared_site.popen(
        "-m", "aspects_orchestration.doctor", "--production", "--only", "batching", stdout=subprocess.PIPE
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "(Configure Aspects for Production: xAPI pipeline)" in output.decode()
    assert "EVENT_ROUTING_BACKEND_BATCHING_ENABLED=true" in output.decode()
    process = shared_site.popen(
        "-m", "aspects_orchestration.doctor", "--production", "--json", stdout=subprocess.PIPE
    )
    output, _ = process.communicate(timeout=120)
    found = json.loads(output)
    assert [one["name"] for one in found] == [one.name for one in EVERYTHING]
    assert {one["section"] for one in found if one["name"] in {d.name for d in DIAGNOSES}} >= {
        "Monitoring",
        "Data lifecycle",
    }


def test_every_answer_is_an_asset_check(
    tmp_path: Path, shared_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        yaml.safe_dump({"LMS_HOST": "learn.example.org", "EVENT_ROUTING_BACKEND_BATCHING_ENABLED": False})
    )
    shared_site.warehouse()
    for name, value in {**shared_site.variables, "ASPECTS_TUTOR_CONFIG": str(path)}.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        resources = defs().get_repository_def().get_top_level_resources()
        done = dg.materialize(
            [production_checks()],
            selection=dg.AssetSelection.checks_for_assets(PRODUCTION),
            instance=instance,
            resources=resources,
        )
        found = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert found.keys() == {one.name for one in DIAGNOSES}
    assert not found["batching"].passed
    assert found["batching"].severity is dg.AssetCheckSeverity.ERROR
    assert "BATCHING_ENABLED=true" in str(found["batching"].metadata["do"].value)
    assert found["embedded_dashboards"].passed


def test_every_section_of_the_guide_is_asked_about_and_described() -> None:
    assert all(one.section and one.ask.__doc__ for one in DIAGNOSES)
    text = (Path(__file__).parents[1] / "docs" / "doctor.md").read_text()
    for one in DIAGNOSES:
        assert f"| `{one.name}` | {one.section} | {one.ask.__doc__} |" in text, one.name
    assert not re.findall(r"\bTODO\b", text)


def test_a_patient_is_asked_once(shared_site: Site) -> None:
    one = Patient(shared_site.settings, S3Options(), datetime.now(UTC))
    assert replace(one).tutor is None

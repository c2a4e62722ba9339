"""The doctor looks at a whole site, finds what is wrong with it, and says what to do; no diagnosis stops the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from services.site import Site

from aspects_orchestration.doctor.clickhouse import judged
from aspects_orchestration.doctor.examine import DIAGNOSES, examine, exit_code
from aspects_orchestration.doctor.model import Answer, Patient, Verdict
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.settings import ClickHouseAddress
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.schema import pipeline_grants


def patient(site: Site, *, write_probes: bool = False) -> Patient:
    return Patient(site.settings, S3Options(), datetime.now(UTC), write_probes=write_probes)


def answers(one: Patient, *names: str) -> dict[str, Answer]:
    wanted = [diagnosis for diagnosis in DIAGNOSES if not names or diagnosis.name in names]
    return {diagnosis.name: answer for diagnosis, answer in examine(one, wanted)}


def test_a_site_that_works_is_not_in_danger(shared_site: Site) -> None:
    shared_site.write_samples(SampleSpec(lines=500))
    shared_site.warehouse()
    found = answers(patient(shared_site, write_probes=True))
    assert {name: one.found for name, one in found.items() if one.verdict is Verdict.DANGER} == {}
    for name in ("connection", "grants", "schema", "clock", "logs", "writable", "identities"):
        assert found[name].verdict in {Verdict.OK, Verdict.ADVICE}, (name, found[name])
    assert found["grants"].verdict is Verdict.OK
    assert found["schema"].verdict is Verdict.OK
    assert not list(shared_site.folder.rglob(".doctor-*"))


def test_a_wrong_password_is_named_and_the_rest_is_looked_at(shared_site: Site) -> None:
    shared_site.write_samples(SampleSpec(lines=100))
    running = server.ensure_running(shared_site.home)
    wrong = ClickHouseAddress(
        running.host, running.http_port, user=running.user, password=SecretStr("not this")
    )
    one = patient(shared_site)
    found = answers(replace(one, settings=replace(one.settings, clickhouse=wrong)))
    assert found["connection"].verdict is Verdict.DANGER
    assert "CLICKHOUSE_ADMIN_PASSWORD" in found["connection"].do
    assert found["grants"].verdict is Verdict.UNKNOWN
    assert found["logs"].verdict is not Verdict.UNKNOWN
    assert "not this" not in repr(found)
    assert exit_code(found.values()) == 1


def test_a_missing_grant_is_given_as_the_statement_to_run(site: Site) -> None:
    grants = [
        one
        for one in pipeline_grants(patient(site).names)
        if "INSERT ON `xapi`" not in one and "TTL" not in one
    ]
    running = server.ensure_running(site.home, grants=grants)
    address = ClickHouseAddress(
        running.host, running.http_port, user=running.user, password=SecretStr(running.password)
    )
    one = patient(site)
    found = answers(replace(one, settings=replace(one.settings, clickhouse=address)), "grants")["grants"]
    assert found.verdict is Verdict.DANGER
    assert "GRANT INSERT ON `xapi`.`xapi_events_all` TO `aspects_pipeline`;" in found.lines
    assert any(line.startswith("GRANT ALTER TTL") and "-- Optional" in line for line in found.lines)


def test_another_schema_is_found(shared_site: Site) -> None:
    shared_site.warehouse()
    shared_site.sql("ALTER TABLE xapi.xapi_events_all ADD COLUMN more Int8", admin=True)
    found = answers(patient(shared_site), "schema")["schema"]
    assert found.verdict is Verdict.DANGER
    assert any("more" in line for line in found.lines)


def test_an_old_ttl_is_found(shared_site: Site) -> None:
    shared_site.warehouse()
    shared_site.sql(
        "ALTER TABLE xapi.xapi_events_all MODIFY TTL toDateTime(emission_time) + INTERVAL 1 MONTH", admin=True
    )
    shared_site.environ["ASPECTS_DATA_TTL_EXPRESSION"] = "toDateTime(emission_time) + INTERVAL 1 YEAR"
    found = answers(patient(shared_site), "ttl")["ttl"]
    assert found.verdict is Verdict.DANGER
    assert "xapi.xapi_events_all" in " ".join(found.lines)


def test_logs_that_are_not_there_are_named(shared_site: Site) -> None:
    shared_site.environ["ASPECTS_TRACKING_LOGS"] = str(shared_site.folder / "nowhere")
    found = answers(patient(shared_site), "logs")["logs"]
    assert found.verdict is Verdict.DANGER
    assert "ASPECTS_TRACKING_LOGS" in found.do


def test_users_that_nobody_knows_are_counted_and_not_named(shared_site: Site) -> None:
    shared_site.write_samples(SampleSpec(lines=500))
    (shared_site.folder / "identities.csv").write_text("user_id,username,external_user_id\n")
    found = answers(patient(shared_site), "identities")["identities"]
    assert found.verdict is Verdict.DANGER
    assert " 0 are found" in found.found


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0.5, Verdict.OK), (-9.0, Verdict.ADVICE), (-3600.0, Verdict.DANGER), (61.0, Verdict.DANGER)],
)
def test_a_clock_that_is_off_is_told(ahead: float, verdict: Verdict) -> None:
    assert judged("ClickHouse", ahead).verdict is verdict


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [(("ok", "advice"), 0), (("ok", "unknown"), 2), (("unknown", "danger"), 1)],
)
def test_the_exit_code_tells_the_worst(verdicts: tuple[str, ...], code: int) -> None:
    make: Callable[[str], Answer] = lambda one: Answer(Verdict(one), "")  # noqa: E731
    assert exit_code(make(one) for one in verdicts) == code

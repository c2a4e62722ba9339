"""`rebuild_all`: from an empty ClickHouse and the archive, every row of every month, however often it is killed."""

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from services.archive import TestArchive
from services.runs import kill, said
from services.sealed_site import MONTHS, machine_with_the_archive, write_sealed_site
from services.site import Site, stop_server

from aspects_orchestration.definitions import defs
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.recovery.everything import Ask, plan_everything, require_identities
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.tracking.stores import S3Options

SPEC = SampleSpec(lines=3_000, damage=0.01)
ALL = ("-m", "aspects_orchestration.jobs.recover", "all")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, TestArchive]]:
    site, archive = write_sealed_site(tmp_path_factory.mktemp("original"), SPEC)
    yield site, archive
    stop_server(site.home)


@pytest.fixture
def original(sealed: tuple[Site, TestArchive]) -> Site:
    return sealed[0]


@pytest.fixture
def elsewhere(site: Site, original: Site) -> Site:
    return machine_with_the_archive(original, site)


def recover(site: Site, *arguments: str, code: int = 0) -> str:
    process = site.popen(*ALL, *arguments, stdout=-1, stderr=-2)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == code, output.decode()
    return output.decode()


def plan(site: Site, ask: Ask | None = None, **how: bool) -> dict[str, str]:
    """What would be done of each month."""
    made = plan_everything(
        site.settings, ask or Ask(), site.warehouse(), s3=S3Options(), say=lambda _: None, **how
    )
    return {one.month: one.passed_over for one in made.months}


def test_a_dry_run_lists_months_bytes_and_time_and_writes_nothing(
    sealed: tuple[Site, TestArchive], elsewhere: Site
) -> None:
    output = recover(elsewhere, "--dry-run")
    archive = sealed[1]
    lines = dict(re.findall(r"^(2024-\d\d): (.*)$", output, re.MULTILINE))
    assert list(lines) == list(reversed(MONTHS))
    for month, said_of_it in lines.items():
        held = [one for one in archive.objects if month in one.months]
        size = sum(one.stored_bytes for one in held) / 1e6
        assert said_of_it.startswith(f"{len(held)} files, {size:.1f} MB: to load, about 0:")
    assert "3 of 3 months to load" in output
    assert "took to read and transform just now" in output
    assert elsewhere.rows() == b""
    assert elsewhere.sql("SELECT count() FROM aspects_orchestration.runs", admin=True) == b"0\n"


def test_killed_anywhere_and_run_again_it_is_the_original_to_the_row(original: Site, elsewhere: Site) -> None:
    elsewhere.warehouse()
    dice = random.Random(20240601)  # noqa: S311  the same points in every run of the test
    for number in range(6):
        process = elsewhere.popen(*ALL, stdout=-1, stderr=-2)
        if number % 2:
            said(process, "counts agree")
            kill(process, dice.uniform(0.0, 0.5))
        else:
            kill(process, dice.uniform(0.5, 8.0))
    output = recover(elsewhere)
    assert elsewhere.rows() == original.rows() != b""
    assert "restored at" in output, "what a killed run had restored is passed over"
    assert (
        elsewhere.sql(
            "SELECT count() FROM system.tables WHERE name LIKE 'staging%' OR name LIKE 'lock%'", admin=True
        )
        == b"0\n"
    )


def test_it_goes_on_where_it_was_and_is_told_to_load_all_again(original: Site, elsewhere: Site) -> None:
    process = elsewhere.popen(*ALL, stdout=-1, stderr=-2)
    assert said(process, "restored 1 of 3 months")
    kill(process, 0.0)
    fates = plan(elsewhere)
    assert list(fates) == list(reversed(MONTHS)), "newest first"
    assert "`again: true` loads it all the same" in fates["2024-06"]
    assert fates["2024-04"] == ""
    output = recover(elsewhere)
    assert re.search(r"restored 2 of 2 months, [\d.]+ of [\d.]+ MB, [\d.]+ MB/s as stored", output)
    assert re.search(r"restored 1 of 2 months, .* left \(until 20\d\d-", output)
    assert elsewhere.rows() == original.rows()
    assert all(plan(elsewhere).values())
    assert not any(plan(elsewhere, Ask(again=True)).values())
    # What is not there any more is not restored, whatever the record says.
    elsewhere.sql("ALTER TABLE xapi.xapi_events_all DROP PARTITION ID '202405'", admin=True)
    assert [month for month, why in plan(elsewhere).items() if not why] == ["2024-05"]
    recover(elsewhere)
    assert elsewhere.rows() == original.rows()


def test_months_that_cannot_be_are_said_and_left(elsewhere: Site) -> None:
    elsewhere.environ["ASPECTS_FIRST_MONTH"] = "2024-05"
    assert "ASPECTS_FIRST_MONTH, 2024-05" in plan(elsewhere)["2024-04"]
    elsewhere.environ["ASPECTS_DATA_TTL_EXPRESSION"] = "toDateTime(emission_time) + INTERVAL 1 MONTH"
    output = recover(elsewhere)
    assert "2024-06: not loaded:" in output
    assert elsewhere.rows() == b""


def test_an_object_that_is_gone_costs_its_month_alone_and_is_told(original: Site, elsewhere: Site) -> None:
    newest = max((elsewhere.folder / "archive/logs").rglob("*.zst"), key=lambda path: path.parent.name)
    kept = newest.rename(elsewhere.folder / "kept")
    output = recover(elsewhere, code=1)
    assert "1 of 3 months were not loaded: 2024-06" in output
    recover(elsewhere, "--allow-loss", code=1)  # the check logs_readable names what is missing
    assert original.rows().count(b"\n") > elsewhere.rows().count(b"\n") > 0
    kept.rename(newest)
    recover(elsewhere)
    assert elsewhere.rows() == original.rows()


def test_nobody_to_ask_who_is_who_is_refused_before_anything_is_quarantined(elsewhere: Site) -> None:
    elsewhere.environ["ASPECTS_IDENTITIES"] = "event_sink"
    with pytest.raises(AspectsError, match=r"external_id, which is empty.*ASPECTS_LMS_DATABASE_URL"):
        require_identities(elsewhere.settings, elsewhere.warehouse())
    assert "which is empty" in recover(elsewhere, code=1)
    assert not (elsewhere.folder / "archive/quarantine").exists()


def test_the_job_restores_the_lms_tables_too_and_tells_of_each(
    original: Site, elsewhere: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.environ |= {
        "ASPECTS_LMS_DATABASE_URL": f"sqlite:///{elsewhere.folder}/lms.sqlite",
        "ASPECTS_ENABLE_PII": "true",
        "ASPECTS_IDENTITIES": "event_sink",
        "ASPECTS_COURSES": "event_sink",
    }
    for name, value in elsewhere.variables.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        done = defs().get_job_def("rebuild_all").execute_in_process(instance=instance)
        told = [one.asset_key.to_user_string() for one in done.all_events if one.is_step_materialization]
    assert told.count("xapi_events_all") == 3
    assert {"course_overviews", "external_id", "user_profile", "tag", "course_enrollment"} <= set(told)
    assert elsewhere.rows() == original.rows()


def test_both_restore_what_is_not_sealed_yet_as_well(
    sealed: tuple[Site, TestArchive], elsewhere: Site
) -> None:
    original, _ = sealed
    newest = max(original.logs.iterdir(), key=lambda path: path.stat().st_mtime)
    extra = Path(elsewhere.logs / "tracking.log")
    extra.write_bytes(newest.read_bytes())
    started = time.monotonic()
    output = recover(elsewhere, "--source", "both")
    assert time.monotonic() - started < 120
    assert "archive" in output
    assert elsewhere.rows() == original.rows()
    assert all(plan(elsewhere, Ask(source="both")).values())
    assert not any(plan(elsewhere).values()), "what was restored from both says nothing of the archive alone"

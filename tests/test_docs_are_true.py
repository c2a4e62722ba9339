"""What the documents say is so: commands run, links lead somewhere, names exist.

Blocks of ```sh are run as they stand, in the order of the document; other blocks are only shown.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aspects_orchestration.archive.faults import KINDS
from aspects_orchestration.archive.questions import QUESTIONS as OF_SEALED_DAYS
from aspects_orchestration.archive.release_plan import KEPT
from aspects_orchestration.assets.event_sink import CopyConfig
from aspects_orchestration.assets.tracking_log_archive import SealConfig
from aspects_orchestration.assets.xapi_events_all import LoadConfig
from aspects_orchestration.checks.personal_data import QUESTIONS as OF_PEOPLE
from aspects_orchestration.checks.sealing import QUESTIONS as OF_SEALING
from aspects_orchestration.checks.tracking_logs import QUESTIONS as OF_LOGS
from aspects_orchestration.checks.xapi_gaps import DESCRIPTION as OF_GAPS
from aspects_orchestration.checks.xapi_gaps import XAPI_GAPS, GapsConfig
from aspects_orchestration.dashboards.verify import (
    DICTIONARY_QUESTIONS,
    MONTH_QUESTIONS,
    SOURCE_QUESTIONS,
)
from aspects_orchestration.drill.verify import QUESTIONS as DRILL_QUESTIONS
from aspects_orchestration.lms.compare import QUESTIONS as OF_COPIES
from aspects_orchestration.lms.course_blocks import COLUMNS as COURSE_BLOCKS_COLUMNS
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.signals.tables import tables as signal_tables
from aspects_orchestration.retention.policy import read_policy
from aspects_orchestration.retention.verify import QUESTIONS as RETENTION_QUESTIONS
from aspects_orchestration.settings import documented_settings
from aspects_orchestration.tracking.wrapped import QUARANTINE_REASONS, SKIP_REASONS
from aspects_orchestration.warehouse.verify import QUESTIONS
from aspects_orchestration.xapi import erb

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
_SETTING = re.compile(r"\b(?:ASPECTS|CLICKHOUSE)_[A-Z0-9_]+[A-Z0-9]\b")


def _named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link in _LINK.findall(document.read_text()) if "://" not in link]
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_settings_and_make_targets_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    known = {one.name for one in documented_settings()}
    assert {name for name in _SETTING.findall(text) if name not in known} == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make((?: [a-z-]+)+)", text, re.MULTILINE)
    assert {target for words in named for target in words.split()} <= targets


def test_every_document_is_reached_from_the_readme() -> None:
    links = set(_LINK.findall((ROOT / "README.md").read_text()))
    assert {_named(one) for one in DOCUMENTS if one.name != "README.md"} <= links


def test_every_check_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check")
    assert rows == {name: question.__doc__ for name, question in QUESTIONS.items()}
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of retention")
    assert rows == {name: question.__doc__ for name, question in RETENTION_QUESTIONS.items()}
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of drills")
    assert rows == {name: question.__doc__ for name, question in DRILL_QUESTIONS.items()}


def test_the_example_of_a_retention_file_is_read(tmp_path: Path) -> None:
    (text,) = [
        body for kind, body in _BLOCK.findall((ROOT / "docs/retention.md").read_text()) if kind == "yaml"
    ]
    file = tmp_path / "retention.yaml"
    file.write_text(text)
    found = read_policy("", file)
    assert found.holds
    assert found.tables
    keys = set(re.findall(r"^([a-z_]+):", text, re.MULTILINE))
    assert keys == {
        *("raw", "tables", "event_sink", "system_logs", "staging", "quarantine", "require_archive", "holds")
    }


def test_the_example_of_an_alerts_file_is_read(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "alerts.yaml").write_text(example)
    rules = load_rules(tmp_path / "alerts.yaml")
    assert rules.off == {"clickhouse_rows_per_insert"}
    assert rules.changed["clickhouse_lag"].for_ticks == 3
    assert len(rules.maintenance) == 2


def test_every_check_of_people_and_courses_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of people")
    found = {
        name: question.__doc__ for questions in OF_PEOPLE.values() for name, question in questions.items()
    }
    assert rows == found


def test_every_check_of_sealed_days_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of sealed days")
    assert rows == {name: question.__doc__ for name, question in OF_SEALED_DAYS.items()}


def test_every_fault_of_an_archive_and_every_reason_to_stay_is_explained() -> None:
    document = ROOT / "docs/archive-verify-and-release.md"
    assert _rows(document, "fault") == {kind: meaning for kind, (meaning, _) in KINDS.items()}
    assert _rows(document, "stays") == KEPT


def test_every_signal_of_queues_and_services_is_described_as_it_describes_itself() -> None:
    text = (ROOT / "docs/monitoring-services.md").read_text()
    for signal in SIGNALS.values():
        if signal.group in {"queues", "services"}:
            assert f"| `{signal.name}` | {signal.title} | {signal.do} |" in text


def test_every_check_of_sealing_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of sealing")
    assert rows == {name: question.__doc__ for name, question in OF_SEALING.items()}


def test_every_check_of_copies_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of copies")
    assert rows == {name: question.__doc__ for name, question in OF_COPIES.items()}


def test_every_check_of_dashboards_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of dashboards")
    questions = {**MONTH_QUESTIONS, **SOURCE_QUESTIONS, **DICTIONARY_QUESTIONS}
    assert rows == {name: question.__doc__ for name, question in questions.items()}


def test_every_check_of_the_logs_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of the logs")
    assert rows == {XAPI_GAPS.name: OF_GAPS}


def test_every_config_of_looking_for_gaps_is_explained() -> None:
    rows = _rows(ROOT / "docs/gaps.md", "gaps config")
    assert {name for cell in rows for name in cell.replace("`", "").split(", ")} == set(
        GapsConfig.model_fields
    )


def test_every_check_of_logs_is_described_as_it_describes_itself() -> None:
    rows = _rows(ROOT / "docs/accounts-and-checks.md", "check of logs")
    assert rows == {name: question.__doc__ for name, question in OF_LOGS.items()}


def test_every_reason_is_explained() -> None:
    text = (ROOT / "docs/accounts-and-checks.md").read_text()
    seams = {erb.MISSING_USER, erb.UNKNOWN_USER, erb.NO_EXTERNAL_ID, erb.NO_EMAIL, erb.UNKNOWN_COURSE}
    assert {
        reason for reason in SKIP_REASONS | QUARANTINE_REASONS | seams if f"`{reason}`" not in text
    } == set()


def test_every_config_of_a_load_is_explained() -> None:
    rows = _rows(ROOT / "docs/backfill.md", "config")
    assert {name for cell in rows for name in cell.replace("`", "").split(", ")} == set(
        LoadConfig.model_fields
    )


def test_every_config_of_a_seal_is_explained() -> None:
    rows = _rows(ROOT / "docs/archive.md", "seal config")
    assert set(rows) == set(SealConfig.model_fields)


def test_every_config_of_a_copy_is_explained() -> None:
    rows = _rows(ROOT / "docs/lms-tables.md", "copy config")
    assert {name for cell in rows for name in cell.replace("`", "").split(", ")} == set(
        CopyConfig.model_fields
    )


def test_the_form_of_the_export_of_course_blocks_is_explained() -> None:
    assert tuple(_rows(ROOT / "docs/lms-tables.md", "column of the export")) == COURSE_BLOCKS_COLUMNS


def test_every_signal_is_explained_with_its_thresholds() -> None:
    text = (ROOT / "docs/monitoring.md").read_text()
    told = "python -m aspects_orchestration.monitoring.signals prints what should stand there"
    assert [one for one in signal_tables() if one not in text] == [], told
    named = set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))
    assert named == set(SIGNALS), told


def test_pictures_are_small_enough_for_a_checkout() -> None:
    pictures = list((ROOT / "docs/images").iterdir())
    assert pictures
    assert all(one.suffix == ".png" and one.stat().st_size <= 300_000 for one in pictures)


def _rows(document: Path, head: str) -> dict[str, str]:
    """Of the table whose first heading is `head`: first cell, without backticks around it, to last cell."""
    lines = iter(document.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    next(lines)
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        found[cells[0].strip("`") if cells[0].count("`") == 2 else cells[0]] = cells[-1]
    return found

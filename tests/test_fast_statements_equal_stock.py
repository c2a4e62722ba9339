"""The fast engine gives stock's statements and stock's reasons: over 50,000 events, every name, every actor type."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aspects_orchestration.samples import known_event_names


def compared(actor_type: str, stride: int) -> dict[str, Any]:
    """What a process of its own found, with both engines side by side."""
    found = subprocess.run(
        [sys.executable, "-m", "services.compare_engines", actor_type, str(stride)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    result: dict[str, Any] = json.loads(found.stdout)
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("actor_type", "stride", "at_least"),
    [("external_id", 1, 50_000), ("mbox", 12, 4_000), ("mbox_sha1sum", 12, 4_000)],
)
def test_statements_ids_and_reasons_are_stocks(actor_type: str, stride: int, at_least: int) -> None:
    found = compared(actor_type, stride)
    assert found["events"] > at_least
    assert found["off"] == []
    assert found["different"] == []
    assert set(found["names"]) == known_event_names()
    # Builders answered a good part of it, and left the odd ones to the transformers.
    assert found["events"] / 5 < found["built"] < found["events"] * 4 / 5
    nameless = "no_external_id" if actor_type == "external_id" else "no_email"
    expected = {"missing_user", "unknown_user", "unknown_course", "unreadable_time", nameless}
    assert expected <= found["reasons"].keys()

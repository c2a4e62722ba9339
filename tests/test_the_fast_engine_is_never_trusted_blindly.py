"""Where a known function has changed, the fast engine stays off and says so; where it is wrong, `verify` stops the load."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from services.site import Site

from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.xapi.verify import EnginesDifferError

SPEC = SampleSpec(lines=2_500)

#: Python runs this first of all in each worker: event-routing-backends is as if one function were another.
CHANGED = """
from aspects_orchestration.xapi.fast import builders_known, fingerprints
first, *others = builders_known.BUILDERS
builders_known.BUILDERS = (fingerprints.Known(first.module, first.qualname, "another"), *others)
"""
#: As if a builder wrote down something else than the transformer gives.
WRONG = """
from aspects_orchestration.xapi.fast.builders.progress import Progress
right = Progress.completion
def wrong(self, *event):
    body, further = right(self, *event)
    return body.replace(b'"completion":', b'"complete":'), further
Progress.completion = wrong
"""


def in_each_worker(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process that is started from now on run some code first."""
    customs = folder / "customs"
    customs.mkdir()
    (customs / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(customs))


def statements(site: Site) -> dict[bytes, tuple[bytes, object]]:
    """The raw table: time and parsed statement by event id."""
    rows = site.sql("SELECT event_id, emission_time, event FROM xapi.xapi_events_all FORMAT TSVRaw")
    cells = (line.split(b"\t", 2) for line in rows.splitlines())
    return {event_id: (time, json.loads(event)) for event_id, time, event in cells}


def test_a_changed_function_turns_builders_off_and_the_load_says_so_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write_samples(SPEC, files=3)
    site.load("2024-05")
    expected = statements(site)
    site.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    in_each_worker(CHANGED, tmp_path, monkeypatch)
    said: list[str] = []
    site.load("2024-05", said)
    off = [text for text in said if "stay off" in text]
    assert len(off) == 1
    assert "builders: event_routing_backends.helpers.get_uuid5" in off[0]
    assert statements(site) == expected


def test_the_stock_engine_gives_the_same_table(site: Site) -> None:
    site.write_samples(SPEC, files=3)
    site.load("2024-05", verify=0.05)
    fast = statements(site)
    site.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    site.environ["ASPECTS_TRANSFORM_ENGINE"] = "stock"
    site.load("2024-05")
    assert len(fast) > 300
    assert statements(site) == fast


def test_a_difference_stops_the_load_with_both_statements_in_quarantine(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write_samples(SPEC, files=1)
    in_each_worker(WRONG, tmp_path, monkeypatch)
    with pytest.raises(EnginesDifferError, match="ASPECTS_TRANSFORM_ENGINE=stock"):
        site.load("2024-05", verify=1.0)
    assert site.rows() == b""
    kept = [
        json.loads(line)
        for path in (site.folder / "archive").rglob("*.ndjson.gz")
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    differing = [json.loads(one["line"]) for one in kept if one["reason"] == "engines_differ"]
    assert differing
    assert all(one["fast"] != one["stock"] for one in differing)
    assert {one["event"]["name"] for one in differing} == {"edx.completion.block_completion.changed"}

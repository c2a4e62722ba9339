"""Promise 4: nothing is deleted before its copy was read back. For a rebuild, the copy is what is staged."""

import os
import signal
from pathlib import Path

import pytest
from services.events import quarantine_records
from services.faults import At
from services.runs import said, start
from services.site import Site
from services.views import chain_views, counts, left_over

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.warehouse import server

MONTH = "2024-05"
SPEC = SampleSpec(lines=3_000, damage=0.02)


@pytest.fixture
def loaded(site: Site) -> Site:
    site.write_samples(SPEC, files=3)
    chain_views(site)
    site.load(MONTH)
    return site


def behind(site: Site) -> bytes:
    """All that stands behind the views, merged."""
    rows = site.sql("SELECT * FROM reporting.by_event ORDER BY ALL FORMAT TSV", admin=True)
    return rows + site.sql("SELECT * FROM reporting.by_day FINAL ORDER BY ALL FORMAT TSV", admin=True)


def test_a_rebuild_replaces_what_was_wrong_and_counts_once_behind_every_view(loaded: Site) -> None:
    rows, views = loaded.rows(), behind(loaded)
    loaded.load("2024-04")
    with_april, views_with_april = loaded.rows(), behind(loaded)
    assert len(with_april) > len(rows)
    # Another writer has put everything in twice, so all of it is counted twice.
    loaded.sql(
        "INSERT INTO xapi.xapi_events_all SELECT * FROM xapi.xapi_events_all"
        " WHERE toYYYYMM(emission_time) = 202405 SETTINGS insert_deduplicate = 0",
        admin=True,
    )
    assert behind(loaded) != views_with_april

    said: list[str] = []
    result = loaded.load(MONTH, said, mode=Mode.REBUILD, allow_loss=True)

    assert loaded.rows() == with_april, "the other month was left alone"
    assert behind(loaded) == views_with_april
    assert len(set(counts(loaded))) == 1
    assert set(result.dropped) == {"reporting.by_day", "reporting.by_event", "xapi.xapi_events_all"}
    assert views


def test_a_rebuild_that_would_lose_rows_drops_nothing(loaded: Site) -> None:
    rows, views = loaded.rows(), behind(loaded)
    lost = min(loaded.logs.iterdir())
    content = lost.read_bytes()
    lost.unlink()

    with pytest.raises(WarehouseError, match="are not in the logs that were read") as refused:
        loaded.load(MONTH, mode=Mode.REBUILD)
    assert refused.value.do.startswith("Nothing was dropped. Find their logs, or set `allow_loss: true`")
    assert loaded.rows() == rows
    assert behind(loaded) == views

    lost.write_bytes(content)
    assert loaded.load(MONTH, mode=Mode.REBUILD).dropped["xapi.xapi_events_all"] == rows.count(b"\n")
    assert loaded.rows() == rows

    lost.unlink()
    result = loaded.load(MONTH, mode=Mode.REBUILD, allow_loss=True)
    assert result.ids == loaded.rows().count(b"\n") < rows.count(b"\n")
    assert len(set(counts(loaded))) == 1


@pytest.mark.parametrize(
    "at",
    [
        "rebuild drops partition",
        "dropped partition 202405 of reporting.by_day",
        "dropped partition 202405 of xapi",
    ],
)
def test_a_rebuild_that_fails_half_way_still_has_what_it_staged_and_is_made_good(
    loaded: Site, at: str
) -> None:
    rows, views = loaded.rows(), behind(loaded)

    def fail() -> None:
        raise KeyboardInterrupt  # as Dagster does to a run that is terminated

    with pytest.raises(KeyboardInterrupt):
        loaded.load(MONTH, At(at, fail), mode=Mode.REBUILD)
    staged = loaded.sql(
        "SELECT sum(total_rows) FROM system.tables WHERE name LIKE 'staging_%' FORMAT TSV", admin=True
    )
    assert int(staged) >= rows.count(b"\n")

    result = loaded.load(MONTH, mode=Mode.REBUILD)
    assert result.resumed_chunks > 0, "it goes on from what is staged"
    assert loaded.rows() == rows
    assert behind(loaded) == views
    assert left_over(loaded) == b""


def test_a_rebuild_survives_a_server_that_is_killed_after_the_drop(loaded: Site) -> None:
    rows, views = loaded.rows(), behind(loaded)

    # In a process of its own: the lock of a run that has ended is free at once.
    loaded.environ["TESTS_PATIENCE_S"] = "3"
    run = start(loaded, MONTH, "20", "rebuild")
    assert said(run, "dropped partition 202405 of xapi")
    os.kill(server.ensure_running(loaded.home).pid, signal.SIGKILL)
    output, _ = run.communicate(timeout=120)
    assert run.returncode != 0
    assert b"ClickHouse at 127.0.0.1" in output
    loaded.load(MONTH, mode=Mode.REBUILD)
    assert loaded.rows() == rows
    assert behind(loaded) == views


def test_loads_leave_logs_and_quarantine_as_they_are(loaded: Site) -> None:
    def content(folder: Path) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    logs, kept = content(loaded.logs), quarantine_records(loaded.folder / "archive")
    assert kept
    loaded.load(MONTH)
    loaded.load(MONTH, mode=Mode.REBUILD)
    loaded.load(MONTH, sources=("quarantine",))
    assert content(loaded.logs) == logs
    later = quarantine_records(loaded.folder / "archive")
    assert all(record in later for record in kept)

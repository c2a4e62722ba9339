"""Promise 7: what deletes or rewrites has a dry run through the same code, whose plan is what the real run does."""

from pathlib import Path

import pytest
from services.site import Site
from services.views import chain_views

from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.tracking.account import LineAccount

MONTH = "2024-05"


def state(site: Site) -> tuple[bytes, dict[str, bytes], dict[Path, bytes]]:
    """All there is: tables with their rows, what is in them, files of logs and archive."""
    tables = site.sql(
        "SELECT database, name, total_rows FROM system.tables"
        " WHERE database NOT IN ('system', 'information_schema', 'INFORMATION_SCHEMA')"
        " ORDER BY ALL FORMAT TSV",
        admin=True,
    )
    contents = {
        name: site.sql(f"SELECT * FROM {name} ORDER BY ALL FORMAT TSV", admin=True)
        for name in (
            "xapi.xapi_events_all",
            "reporting.by_event",
            "reporting.by_day",
            "aspects_orchestration.runs",
            "aspects_orchestration.tracking_log_catalog",
        )
    }
    files = {
        path: path.read_bytes()
        for folder in (site.logs, site.folder / "archive")
        for path in folder.rglob("*")
        if path.is_file()
    }
    return tables, contents, files


def comparable(account: LineAccount) -> dict[str, object]:
    return account.as_json()


@pytest.mark.parametrize("loaded_before", [False, True])
@pytest.mark.parametrize("mode", list(Mode))
def test_a_dry_run_writes_nothing_and_counts_what_the_load_then_does(
    site: Site, mode: Mode, loaded_before: bool
) -> None:
    site.write_samples(SampleSpec(lines=2_000, damage=0.03), files=3)
    chain_views(site)
    if loaded_before:
        site.load(MONTH)
    before = state(site)

    planned: list[str] = []
    dry = site.load(MONTH, planned, mode=mode, dry_run=True)

    assert state(site) == before
    assert dry.dry_run
    assert dry.statements is None
    done: list[str] = []
    real = site.load(MONTH, done, mode=mode)
    assert comparable(dry.account.total) == comparable(real.account.total)
    assert {uri: comparable(one) for uri, one in dry.account.files.items()} == {
        uri: comparable(one) for uri, one in real.account.files.items()
    }
    drops = [line for line in planned if line.startswith("rebuild drops")]
    assert drops == [line for line in done if line.startswith("rebuild drops")]
    assert len(drops) == (3 if mode is Mode.REBUILD else 0)
    described = {
        line.split(" of ")[1].split(": ")[0]: int(line.split(": ")[1].split(" ")[0]) for line in drops
    }
    assert described == real.dropped


def test_the_command_line_says_what_it_would_do_and_makes_no_materialization(site: Site) -> None:
    site.write_samples(SampleSpec(lines=500), files=2)
    chain_views(site)
    site.sql("SELECT count() FROM aspects_orchestration.runs")
    before = state(site)
    config = site.folder / "dry.yaml"
    config.write_text("ops: {xapi_events_all: {config: {dry_run: true}}}\n")
    done = site.materialize(MONTH, "--config", str(config))
    assert done.returncode == 0, done.stdout.decode()
    assert b"would be staged (dry run: nothing was written)" in done.stdout
    assert b"ASSET_MATERIALIZATION" not in done.stdout
    assert state(site) == before

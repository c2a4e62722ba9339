"""A month of raw statements is let go only when the site's own archive holds all that its logs hold of the month."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from services.retention import (
    RAW,
    applied,
    chain,
    fill,
    policy,
    rows_by_month,
    seen,
    server_of_the_module,
    site,
)
from services.seals import NOW, event
from services.site import Site

from aspects_orchestration.archive.seal import seal_day
from aspects_orchestration.retention import archived
from aspects_orchestration.retention.sealed import Sealed
from aspects_orchestration.retention.world import archive_of
from aspects_orchestration.tracking.stores import S3Options

__all__ = ["server_of_the_module", "site"]

MAY, JUNE = "2024-05", "2024-06"


def put(site: Site, name: str, *moments: datetime, written: datetime) -> Path:
    path = site.logs / name
    path.write_bytes(b"".join(event(number, at) for number, at in enumerate(moments)))
    os.utime(path, (written.timestamp(), written.timestamp()))
    return path


def seal(site: Site, day: date) -> None:
    seal_day(site.settings, day, s3=S3Options(), run_id="a test", now=NOW, say=lambda _: None)


def answer(site: Site, month: str = MAY, *, thorough: bool = False) -> Sealed:
    return archive_of(site.settings, site.warehouse(), s3=S3Options(), thorough=thorough).sealed(month)


@pytest.fixture
def town(site: Site) -> Site:
    """Logs of May and June, all sealed up to June 10."""
    put(site, "may.log", datetime(2024, 5, 3, tzinfo=UTC), written=datetime(2024, 5, 4, tzinfo=UTC))
    put(site, "june.log", datetime(2024, 6, 3, tzinfo=UTC), written=datetime(2024, 6, 4, tzinfo=UTC))
    seal(site, date(2024, 6, 10))
    return site


def test_a_month_whose_logs_are_all_sealed_is_sealed(town: Site) -> None:
    assert answer(town) == Sealed(True)
    assert answer(town, thorough=True) == Sealed(True)


def test_what_is_not_over_or_was_never_logged_is_not_sealed(town: Site) -> None:
    assert "the archive reaches to 2024-06-10 only" in answer(town, JUNE).why
    assert "the archive holds no line of it" in answer(town, "2024-03").why


def test_nothing_is_sealed_where_nothing_ever_was(site: Site) -> None:
    put(site, "may.log", datetime(2024, 5, 3, tzinfo=UTC), written=datetime(2024, 5, 4, tzinfo=UTC))
    assert "there is no archive yet below" in answer(site).why


def test_a_live_log_that_holds_a_late_event_of_the_month_keeps_it(town: Site) -> None:
    put(town, "tracking.log", datetime(2024, 6, 11, tzinfo=UTC), written=datetime(2024, 6, 11, tzinfo=UTC))
    assert answer(town).verified, "it is not sealed, and holds nothing of May"
    late = put(
        town,
        "tracking.log",
        datetime(2024, 6, 11, tzinfo=UTC),
        datetime(2024, 5, 31, 23, 59, 59, tzinfo=UTC),
        written=datetime(2024, 6, 11, 1, tzinfo=UTC),
    )
    assert answer(town).why == f"the logs of 2024-05 are not sealed: {late.as_uri()} hold events of it"
    seal(town, date(2024, 6, 11))
    assert answer(town).verified


def test_a_file_that_came_late_or_grew_keeps_its_month(town: Site) -> None:
    grown = put(
        town,
        "may.log",
        datetime(2024, 5, 3, tzinfo=UTC),
        datetime(2024, 5, 9, tzinfo=UTC),
        written=datetime(2024, 5, 9, tzinfo=UTC),
    )
    assert grown.as_uri() in answer(town).why
    seal(town, date(2024, 6, 11))
    assert answer(town).verified


def test_what_the_catalog_knows_is_not_read_again(town: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived, "_MOST_READ_BYTES", 0)
    put(town, "tracking.log", datetime(2024, 6, 11, tzinfo=UTC), written=datetime(2024, 6, 11, tzinfo=UTC))
    assert "job observe_tracking_logs finds out" in answer(town).why
    from aspects_orchestration.replay.observe import observe

    observe(town.settings, town.warehouse(), s3=S3Options(), say=lambda _: None)
    assert answer(town).verified


@pytest.mark.parametrize(
    "harm",
    [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1])],
    ids=["gone", "cut"],
)
def test_before_something_goes_the_objects_are_looked_for(town: Site, harm: Callable[[Path], object]) -> None:
    (may,) = (town.folder / "archive" / "logs").rglob("*-may.log.zst")
    harm(may)
    why = answer(town, thorough=True).why
    assert "run verify_archive" in why
    assert may.name in why


def test_where_the_archive_is_not_whole_no_month_is_sealed(town: Site) -> None:
    (manifest,) = (town.folder / "archive" / "manifests").iterdir()
    manifest.write_bytes(manifest.read_bytes()[:-10])
    (town.home / "archive-index").rename(town.home / f"archive-index-{town.folder.name}")
    assert "is damaged" in answer(town).why


def test_retention_drops_what_is_sealed_and_nothing_else(site: Site) -> None:
    policy(site, "raw: {keep_months: 1}")
    chain(site)
    fill(site, ["2024-04", MAY])
    put(site, "may.log", datetime(2024, 5, 3, tzinfo=UTC), written=datetime(2024, 5, 4, tzinfo=UTC))
    put(site, "april.log", datetime(2024, 4, 3, tzinfo=UTC), written=datetime(2024, 4, 4, tzinfo=UTC))
    seal(site, date(2024, 6, 10))
    put(site, "april.log", datetime(2024, 4, 4, tzinfo=UTC), written=datetime(2024, 5, 4, tzinfo=UTC))
    waiting = seen(site, archive=None).plan.of_state("unarchived")
    assert {fate.partition.month for fate in waiting} == {"2024-04"}
    applied(site, archive=None)
    assert set(rows_by_month(site, RAW)) == {"2024-04"}
    seal(site, date(2024, 6, 11))
    applied(site, archive=None)
    assert rows_by_month(site, RAW) == {}

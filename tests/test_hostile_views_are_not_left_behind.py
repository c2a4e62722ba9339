"""Materialized views behind the raw table follow every insert, or a check says that they did not."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from services.site import Site

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.warehouse import server

MONTH = "2024-05"
COLUMNS = "(event_id UUID, emission_time DateTime64(6), verb String)"
STORED = "ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, event_id)"
PARSED = (
    "SELECT event_id, emission_time, JSONExtractString(event, 'verb', 'id') AS verb FROM xapi.xapi_events_all"
)


def _view(site: Site, name: str, select: str) -> None:
    """A table and the view that fills it, as dbt makes them."""
    site.sql(f"CREATE TABLE IF NOT EXISTS {name} {COLUMNS} {STORED}", admin=True)
    site.sql(f"CREATE MATERIALIZED VIEW {name}_mv TO {name} AS {select}", admin=True)


def _chain(site: Site, where: str = "1") -> None:
    site.warehouse()
    site.sql("CREATE DATABASE IF NOT EXISTS reporting", admin=True)
    _view(site, "reporting.parsed", PARSED)
    _view(site, "reporting.second", f"SELECT * FROM reporting.parsed WHERE {where}")
    _view(site, "reporting.third", "SELECT * FROM reporting.second")


def _count(site: Site, table: str) -> int:
    return int(site.sql(f"SELECT uniqExact(event_id) FROM {table}", admin=True))


def test_a_chain_of_three_views_has_what_the_table_has(site: Site) -> None:
    site.write_samples(SampleSpec(lines=2_000), files=2)
    _chain(site)
    result = site.load(MONTH)
    for table in ("xapi.xapi_events_all", "reporting.parsed", "reporting.second", "reporting.third"):
        assert _count(site, table) == result.ids
    assert site.check(MONTH)["views_have_followed"].passed


def test_a_view_that_raises_is_told_of_until_the_month_is_rebuilt(site: Site) -> None:
    site.write_samples(SampleSpec(lines=2_000), files=2)
    _chain(site, where="throwIf(verb LIKE '%terminated%') = 0")
    with pytest.raises(WarehouseError, match="error 395"):
        site.load(MONTH)
    site.sql("DROP TABLE reporting.second_mv SYNC", admin=True)
    _view(site, "reporting.second", "SELECT * FROM reporting.parsed")

    said: list[str] = []
    again = site.load(MONTH, said)
    assert again.statements is not None
    assert again.statements.inserted == 0, "the table had the rows already"
    assert _count(site, "reporting.third") < again.ids
    assert any("cut off in the middle" in line for line in said)
    assert "mode rebuild" in site.check(MONTH)["views_have_followed"].summary
    site.load(MONTH)
    assert not site.check(MONTH)["views_have_followed"].passed, "a further load does not forget"

    rebuilt = site.load(MONTH, mode=Mode.REBUILD)
    assert _count(site, "reporting.third") == rebuilt.ids
    assert all(finding.passed for finding in site.check(MONTH).values())


def test_a_view_that_may_not_be_read_is_refused_before_anything_is_inserted(site: Site) -> None:
    site.write_samples(SampleSpec(lines=500), files=1)
    _chain(site)
    site.sql("CREATE DATABASE elsewhere", admin=True)
    _view(site, "elsewhere.first", "SELECT * FROM reporting.third")
    _view(site, "elsewhere.last", "SELECT * FROM elsewhere.first")
    with pytest.raises(WarehouseError, match=r"GRANT SELECT ON elsewhere\.first") as refused:
        site.load(MONTH)
    assert "Nothing was published" in refused.value.do
    assert _count(site, "xapi.xapi_events_all") == 0


def test_a_server_killed_between_table_and_views_is_told_of(site: Site) -> None:
    site.write_samples(SampleSpec(lines=1_000), files=1)
    _chain(site, where="sleepEachRow(0.003) = 0")
    failures: list[BaseException] = []

    def load() -> None:
        try:
            site.load(MONTH)
        except BaseException as error:
            failures.append(error)

    running = threading.Thread(target=load)
    running.start()
    deadline = time.monotonic() + 60
    while _count(site, "xapi.xapi_events_all") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    address = server.status(site.home)
    assert address is not None
    os.kill(address.pid, signal.SIGKILL)
    site.sql("SELECT 1", admin=True)  # whoever needs the server next starts it again
    running.join()
    assert failures == []
    rows = _count(site, "xapi.xapi_events_all")
    whole = _count(site, "reporting.third") == rows
    assert rows > 200
    assert whole or not site.check(MONTH)["views_have_followed"].passed
    site.load(MONTH, mode=Mode.REBUILD)
    assert _count(site, "reporting.third") == rows
    assert all(finding.passed for finding in site.check(MONTH).values())

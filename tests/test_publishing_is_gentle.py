"""Publishing looks before each slice: it waits for merges, and stops before a disk is full; slices stay small."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.site import Site

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.warehouse import publish
from aspects_orchestration.warehouse.merges import wait_for_merges
from aspects_orchestration.warehouse.publish import cut_slices

RAW = "xapi.xapi_events_all"
INSERT = (
    "INSERT INTO xapi.xapi_events_all"
    " SELECT generateUUIDv4(), toDateTime64('2024-05-01 00:00:00', 6), '{}' FROM numbers(1)"
)


def test_it_waits_while_a_partition_has_too_many_parts(site: Site) -> None:
    warehouse = site.warehouse()
    site.sql(f"SYSTEM STOP MERGES {RAW}", admin=True)
    for _ in range(5):
        site.sql(INSERT, admin=True)
    said: list[str] = []
    waits = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        waits.set()

    names = ("xapi", "xapi_events_all", "202405")
    waiting = threading.Thread(
        target=wait_for_merges, args=(warehouse, *names), kwargs={"say": say, "limit": 3}
    )
    waiting.start()
    assert waits.wait(30)
    assert "has 5 parts" in said[0]
    assert waiting.is_alive()
    site.sql(f"SYSTEM START MERGES {RAW}", admin=True)
    site.sql(f"OPTIMIZE TABLE {RAW} FINAL", admin=True)
    waiting.join(timeout=60)
    assert not waiting.is_alive()


def test_it_stops_before_the_disk_is_full_and_goes_on_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write_samples(SampleSpec(lines=1_000), files=2)
    with monkeypatch.context() as crowded:
        crowded.setattr(publish, "_SPARE_BYTES", 1 << 60)  # as if a disk had to keep an exabyte free
        with pytest.raises(WarehouseError, match="Free disk space on the ClickHouse server"):
            site.load("2024-05")
    assert site.rows() == b""
    loaded = site.load("2024-05")
    assert loaded.statements is not None
    assert loaded.statements.inserted == loaded.ids > 100


@given(st.dictionaries(st.integers(0, 50_000), st.integers(1, 2_000), max_size=60), st.integers(1, 1_000))
def test_slices_cover_every_minute_once_and_none_is_too_large(minutes: dict[int, int], limit: int) -> None:
    slices = cut_slices(sorted(minutes.items()), limit)
    covered: dict[int, int] = {}
    for one in slices:
        inside = [minute for minute in minutes if one.start <= minute * 60_000_000 < one.end]
        assert sum(minutes[minute] for minute in inside) <= limit * one.modulus
        assert one.modulus == 1 or len(inside) == 1
        for minute in inside:
            covered[minute] = covered.get(minute, 0) + 1
            assert 0 <= one.remainder < one.modulus
    for minute, statements in minutes.items():
        assert covered[minute] == (1 if statements <= limit else -(-statements // limit))

"""Copies of LMS tables keep a cap of rows a second, exactly, without drift and without catching up in a rush."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.lms.copy import CopyRequest, copy_table
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import USER_PROFILE
from aspects_orchestration.lms.throttle import Throttle
from aspects_orchestration.resources.clickhouse import schema_names


@pytest.fixture
def site(shared_site: Site) -> Site:
    """On a server that these tests share."""
    return shared_site


class Clock:
    """A clock that goes on when somebody sleeps or works, and wakes sleepers a little late."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now = 1000.0
        self.late_s = late_s

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds + self.late_s


@given(st.integers(10, 100_000), st.floats(0, 0.05), st.lists(st.floats(0, 0.2), min_size=200, max_size=400))
def test_the_rate_is_exact_however_late_it_wakes_and_however_long_pages_take(
    rate: int, late_s: float, work: list[float]
) -> None:
    clock = Clock(late_s)
    throttle = Throttle(rate, clock=clock, sleep=clock.sleep)
    size = throttle.page(1_000_000)
    assert 1 <= size <= rate / 4 + 1
    started, read = clock.now, 0
    for seconds in work:
        clock.now += min(seconds, size / rate)  # a page is read, no slower than the cap
        read += size
        throttle.pay(size)
        # Never ahead: not one page too early, at any time.
        assert read / rate <= clock.now - started + 1e-6
    assert read / (clock.now - started) == pytest.approx(rate, rel=0.05)


def test_what_was_not_used_is_not_caught_up_in_a_rush() -> None:
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    throttle.pay(250)
    clock.now += 3600  # the replica was away
    started = clock.now
    for _ in range(40):
        throttle.pay(250)
    assert clock.now - started == pytest.approx(10 - 5)


def test_without_a_cap_nothing_waits() -> None:
    clock = Clock()
    throttle = Throttle(0, clock=clock, sleep=clock.sleep)
    assert throttle.page(10_000) == 10_000
    throttle.pay(10**9)
    assert clock.now == 1000


def test_a_copy_keeps_its_cap(site: Site, lms_sqlite: LmsTables) -> None:
    for user in range(1, 301):
        lms_sqlite.add_user(user, external_id=None)
    warehouse = site.warehouse()
    slept: list[float] = []

    def copied(cap: int) -> float:
        done = copy_table(
            LmsDatabase(lms_sqlite.reader_url),
            warehouse,
            schema_names(site.settings),
            USER_PROFILE,
            CopyRequest(rows_per_second=cap, mode="compare"),
            enable_pii=True,
        )
        assert done.account.read == 300
        return done.seconds

    free = copied(0)
    slept.append(copied(100))
    assert 3.0 <= slept[0] <= 3.0 + 2 * free + 1

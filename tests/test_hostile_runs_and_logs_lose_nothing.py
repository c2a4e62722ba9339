"""Logs that change under a load, workers that are killed, runs that sleep, and sites with more users than memory."""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import psutil
import pytest
from services.site import Site

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.load import load_month
from aspects_orchestration.replay.plan import lock_name
from aspects_orchestration.samples import SampleSpec, write_courses, write_identities
from aspects_orchestration.samples.generate import generate
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.lock import LockedError, locked
from aspects_orchestration.warehouse.publish import Target, plan_publish, publish
from aspects_orchestration.xapi.identities_kept import KeptIdentities
from aspects_orchestration.xapi.identities_lookups import EventSinkUsers

MONTH = "2024-05"
MAY = SampleSpec(
    lines=2_000,
    start=datetime(2024, 5, 1, tzinfo=UTC),
    end=datetime(2024, 6, 1, tzinfo=UTC),
    transformable=1.0,
)


def _known(site: Site) -> None:
    write_identities(MAY, site.folder / "identities.csv")
    write_courses(MAY, site.folder / "courses.csv")


def _records(spec: SampleSpec = MAY) -> list[bytes]:
    return [sample.raw for sample in generate(spec)]


def test_a_log_rewritten_behind_a_killed_run_is_loaded_as_it_is_now(site: Site) -> None:
    """What the killed run had staged but not remembered is not published."""
    _known(site)
    log = site.logs / "tracking.log-20240601"
    records = _records()
    log.write_bytes(b"".join(records[:1_000]))
    (site.logs / "other.log-20240601").write_bytes(b"".join(records[1_500:]))
    warehouse = site.warehouse()

    def stop(line: str) -> None:
        if line.startswith("counts agree"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_month(site.settings, site.plan(MONTH, warehouse), warehouse, s3=S3Options(), say=stop)
    (progress,) = site.sql(
        "SELECT name FROM system.tables WHERE database = 'aspects_orchestration' AND name LIKE 'progress_%'"
    ).split()
    forget = f"DELETE FROM aspects_orchestration.{progress.decode()} WHERE file LIKE '%tracking.log%'"
    site.sql(forget, admin=True)
    log.write_bytes(b"".join(records[500:1_500]))
    said: list[str] = []
    result = site.load(MONTH, said)
    assert any("reading them anew" in line for line in said)
    published = site.rows()
    site.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    clean = site.load(MONTH)
    assert site.rows() == published
    assert result.ids == clean.ids


def test_a_live_log_that_grows_behind_a_killed_run_is_loaded_to_its_end(site: Site) -> None:
    _known(site)
    log = site.logs / "tracking.log"
    whole = b"".join(_records())
    log.write_bytes(whole[: len(whole) // 2])
    warehouse = site.warehouse()

    def stop(line: str) -> None:
        if line.startswith("counts agree"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_month(site.settings, site.plan(MONTH, warehouse), warehouse, s3=S3Options(), say=stop)
    with log.open("ab") as live:
        live.write(whole[len(whole) // 2 :])
    grown = site.load(MONTH)
    assert grown.account.total.lines == MAY.lines
    assert grown.statements is not None
    assert grown.statements.inserted == grown.ids


def test_the_last_line_of_a_log_that_was_once_live_is_not_forgotten(site: Site) -> None:
    """It is the only one of June, and without an end: once nobody writes any more, it is a line."""
    _known(site)
    first = _records()[0]
    june = _records(replace(MAY, lines=1, start=MAY.end, end=datetime(2024, 6, 2, tzinfo=UTC)))[0]
    log = site.logs / "tracking.log"
    log.write_bytes(first + june.rstrip(b"\n"))
    assert site.load(MONTH).account.half_lines == [log.as_uri()]
    hours_ago = time.time() - 7_200
    os.utime(log, (hours_ago, log.stat().st_mtime))  # read since, not written
    os.utime(log, (hours_ago, hours_ago))
    assert site.load("2024-06").ids > 0


def _workers() -> list[psutil.Process]:
    """This process's workers; the first forks the others."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return sorted(found, key=lambda one: (one.create_time(), one.pid))


@pytest.mark.parametrize("which", [0, -1], ids=["the first", "one that was forked"])
def test_a_worker_that_is_killed_is_a_clear_error_and_the_load_goes_on_later(site: Site, which: int) -> None:
    site.write_samples(SampleSpec(lines=150_000), files=6, compression="none")
    site.warehouse()
    workers: list[psutil.Process] = []

    def kill_a_worker() -> None:
        deadline = time.monotonic() + 60
        staged = "SELECT sum(rows) FROM system.parts WHERE active AND table LIKE 'staging_%'"
        while not workers and time.monotonic() < deadline:
            if int(site.sql(staged)) > 0 and len(found := _workers()) > 1:
                found[which].send_signal(signal.SIGKILL)
                workers.extend(found)
            time.sleep(0.01)

    hunter = threading.Thread(target=kill_a_worker)
    hunter.start()
    with pytest.raises(AspectsError, match="a worker process was killed"):
        site.load(MONTH)
    hunter.join()
    _, left = psutil.wait_procs(workers, timeout=20)
    assert not left
    assert site.rows() == b""
    result = site.load(MONTH)
    assert result.statements is not None
    assert result.statements.inserted == result.ids > 10_000
    assert all(finding.passed for finding in site.check(MONTH).values())


def test_a_run_that_slept_through_the_loss_of_its_lock_inserts_nothing(site: Site) -> None:
    """Even if it had looked at the lock just before it fell asleep: the insert itself looks again."""
    site.warehouse()
    database = site.settings.orchestration_database
    sleeper = site.warehouse()
    sleeper.run("staging_create", database=database, table="staging_test")
    site.sql(
        f"INSERT INTO {database}.staging_test SELECT generateUUIDv4(), toDateTime64('2024-05-01 00:00:00', 6) + number,"
        " '{}', 'file', number, 0 FROM numbers(100)",
        admin=True,
    )
    target = Target("xapi", "xapi_events_all", "202405", database, "staging_test")
    plan = plan_publish(sleeper, target, step="publish test")
    lock_table = lock_name(site.settings, MONTH)
    with locked(sleeper, database, lock_table) as lock:

        def lose_the_lock(_: object) -> None:
            site.sql(
                f"INSERT INTO {database}.{lock_table} SELECT 'another run', 'host', 1, now64(3) + 100",
                admin=True,
            )

        with pytest.raises(LockedError, match="another run"):
            publish(
                sleeper,
                target,
                plan,
                step="publish test",
                lock=lock,
                say=lambda _: None,
                before_insert=lose_the_lock,
            )
    assert site.rows() == b""


def test_what_another_writer_brings_meanwhile_is_not_counted_as_inserted(site: Site) -> None:
    _known(site)
    (site.logs / "tracking.log-20240601").write_bytes(b"".join(_records()))
    warehouse = site.warehouse()

    def bring(line: str) -> None:
        if line.startswith("counts agree"):
            (staging,) = site.sql(
                "SELECT name FROM system.tables WHERE database = 'aspects_orchestration' AND name LIKE 'staging_%'"
            ).split()
            # As Vector cuts it: to milliseconds.
            site.sql(
                "INSERT INTO xapi.xapi_events_all SELECT event_id, toDateTime64(emission_time, 3), event"
                f" FROM aspects_orchestration.{staging.decode()} ORDER BY event_id LIMIT 100",
                admin=True,
            )

    result = load_month(site.settings, site.plan(MONTH, warehouse), warehouse, s3=S3Options(), say=bring)
    assert result.statements is not None
    assert result.statements.already_there == 100
    assert result.statements.inserted == result.ids - 100
    assert all(finding.passed for finding in site.check(MONTH).values())


def test_more_users_than_are_kept_at_hand_are_still_known(site: Site) -> None:
    warehouse = site.warehouse()
    site.sql(
        "INSERT INTO event_sink.external_id (external_user_id, external_id_type, username, user_id, dump_id,"
        " time_last_dumped) SELECT generateUUIDv4(), 'xapi', concat('user', toString(number)), number,"
        " generateUUIDv4(), now() FROM numbers(1, 50)",
        admin=True,
    )
    identities = KeptIdentities(EventSinkUsers(warehouse, "event_sink", with_email=False), kept=20)
    for first in range(1, 41):
        wanted = set(range(first, first + 10))
        identities.prefetch(wanted, {f"user{number}" for number in wanted})
        for number in wanted:
            assert identities.by_id(number) is not None
            assert identities.by_username(f"user{number}") is not None
    assert identities.by_id(99) is None


def test_an_event_dated_before_the_first_day_does_not_stop_the_load(site: Site) -> None:
    _known(site)
    records = _records(replace(MAY, lines=20, style="plain"))
    odd = []
    for time_of_event in ("0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"):
        event = json.loads(records[0])
        event["time"] = time_of_event
        odd.append(json.dumps(event).encode() + b"\n")
    (site.logs / "tracking.log-20240601").write_bytes(b"".join(records + odd))
    result = site.load(MONTH)
    assert result.account.total.quarantined == {"impossible_time": 3}
    assert result.ids >= 20


def test_a_log_compressed_twice_is_not_taken_for_a_log_without_events(site: Site) -> None:
    _known(site)
    plain = b"".join(_records(replace(MAY, lines=50)))
    (site.logs / "tracking.log-20240601.gz.gz").write_bytes(gzip.compress(gzip.compress(plain)))
    result = site.load(MONTH)
    assert result.ids >= 50 or not site.check(MONTH)["logs_readable"].passed


def test_one_log_under_two_names_and_files_without_a_byte_double_nothing(site: Site) -> None:
    _known(site)
    plain = b"".join(_records(replace(MAY, lines=200)))
    (site.logs / "tracking.log-20240601").write_bytes(plain)
    (site.logs / "copy").mkdir()
    (site.logs / "copy" / "tracking.log.1.gz").write_bytes(gzip.compress(plain))
    for name in ("empty.log", "empty.gz"):
        (site.logs / name).touch()
    (site.logs / "nothing.gz").write_bytes(gzip.compress(b""))
    result = site.load(MONTH)
    assert result.statements is not None
    assert result.statements.duplicates == result.ids == result.statements.inserted
    assert all(finding.passed for finding in site.check(MONTH).values())


def test_many_logs_with_long_names_are_looked_up(site: Site) -> None:
    """More URIs, and longer ones, than fit into one parameter of a query."""
    _known(site)
    folder = site.logs / ("x" * 200) / ("y" * 200) / ("z" * 200)
    folder.mkdir(parents=True)
    for number, record in enumerate(_records(replace(MAY, lines=400))):
        (folder / f"{number}.log-20240601").write_bytes(record)
    first = site.load(MONTH)
    assert first.account.total.lines == 400
    again = site.load(MONTH)
    assert again.statements is not None
    assert again.statements.inserted == 0

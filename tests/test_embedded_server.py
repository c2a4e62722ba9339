"""The embedded server: one for all processes of a home, there again after any crash, restarted only when idle."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from services.embedded import ON_LINUX, answer, daemons_of, kill, refusal
from services.ports import free_port

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.schema import SchemaNames, pipeline_grants
from aspects_orchestration.warehouse.server import (
    ensure_running,
    status,
    stop,
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    yield path
    stop(path)


# --- one server for all ---


def test_it_starts_once_and_is_found_again(home: Path) -> None:
    assert status(home) is None
    first = ensure_running(home)
    assert ensure_running(home) == first
    assert status(home) == first
    assert answer(first, "SELECT currentUser(), timezone()") == "aspects_pipeline\tUTC"
    assert answer(first, "SELECT currentUser()", admin=True) == "aspects_admin"


@ON_LINUX
def test_eight_processes_that_race_get_one_server(home: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from aspects_orchestration.warehouse.server import ensure_running\n"
        "address = ensure_running(pathlib.Path(sys.argv[1]))\n"
        "print(address.pid, address.http_port, address.tcp_port)"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    results = [racer.communicate(timeout=90) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 8, results
    assert len({printed for printed, _ in results}) == 1
    address = status(home)
    assert address is not None
    assert daemons_of(home) == [address.pid]


def test_two_homes_do_not_collide(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    mine = ensure_running(home)
    try:
        theirs = ensure_running(other)
        assert {mine.pid, mine.http_port, mine.tcp_port}.isdisjoint(
            {theirs.pid, theirs.http_port, theirs.tcp_port}
        )
        answer(mine, "CREATE DATABASE only_here", admin=True)
        assert (
            answer(theirs, "SELECT count() FROM system.databases WHERE name = 'only_here'", admin=True) == "0"
        )
        with_my_password = replace(theirs, password=mine.password, admin_password=mine.admin_password)
        assert "AUTHENTICATION_FAILED" in refusal(with_my_password, "SELECT 1")
        assert "AUTHENTICATION_FAILED" in refusal(with_my_password, "SELECT 1", admin=True)
    finally:
        stop(other)
    assert status(home) == mine


def test_a_home_of_any_name_will_do(tmp_path: Path) -> None:
    home = tmp_path / "a b'c\"?&é<x>%20"
    try:
        address = ensure_running(home)
        assert answer(address, "SELECT 1") == "1"
        assert address.path == home / "clickhouse"
    finally:
        assert stop(home)


@ON_LINUX
def test_it_survives_the_run_that_started_it(home: Path) -> None:
    program = (
        "import sys, pathlib, time\n"
        "from aspects_orchestration.warehouse.server import ensure_running\n"
        "print(ensure_running(pathlib.Path(sys.argv[1])).pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        os.killpg(run.pid, signal.SIGKILL)
    address = status(home)
    assert address is not None
    assert address.pid == pid
    assert os.getsid(pid) != run.pid


# --- there again after a crash ---


def test_nothing_acknowledged_is_lost_by_kill_9(home: Path) -> None:
    address = ensure_running(home, http_port=free_port(), tcp_port=free_port())
    answer(address, "CREATE DATABASE durable", admin=True)
    answer(address, "CREATE TABLE durable.t (id UInt64) ENGINE = MergeTree ORDER BY id", admin=True)
    acknowledged: list[list[int]] = [[] for _ in range(4)]
    enough = threading.Event()

    def insert(worker: int) -> None:
        for batch in range(100_000):
            ids = [(worker * 100_000 + batch) * 10 + number for number in range(10)]
            insertion = "INSERT INTO durable.t SELECT arrayJoin({ids:Array(UInt64)})"
            try:
                answer(address, insertion, admin=True, param_ids=str(ids))
            except WarehouseError:
                return
            acknowledged[worker] += ids
            if all(len(done) >= 100 for done in acknowledged):
                enough.set()

    workers = [threading.Thread(target=insert, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    assert enough.wait(60)
    kill(address.pid)
    for worker in workers:
        worker.join()

    again = ensure_running(home)
    assert again.pid != address.pid
    assert (again.http_port, again.tcp_port) == (address.http_port, address.tcp_port)
    assert again.password == address.password
    found = [int(line) for line in answer(again, "SELECT id FROM durable.t", admin=True).splitlines()]
    assert len(found) == len(set(found))
    assert set(found) >= {number for done in acknowledged for number in done}


def test_it_takes_other_ports_where_its_own_are_taken(home: Path) -> None:
    before = ensure_running(home, http_port=free_port(), tcp_port=free_port())
    stop(home)
    with socket.create_server(("127.0.0.1", before.http_port)):
        after = ensure_running(home)
        assert after.http_port != before.http_port
        assert after.tcp_port == before.tcp_port
        assert answer(after, "SELECT 1") == "1"


def test_stale_and_damaged_files_do_not_mislead(home: Path) -> None:
    before = ensure_running(home)
    kill(before.pid)
    place = before.path
    (place / "server.json").write_text("{half a li")
    (place / "credentials.json").write_text("")
    (place / "users.xml").write_text("<clickhouse>")
    after = ensure_running(home)
    assert after.password != before.password
    assert answer(after, "SELECT 1") == "1"
    assert "AUTHENTICATION_FAILED" in refusal(replace(after, password=before.password), "SELECT 1")


def test_stop_ends_it_in_order_and_its_data_stay(home: Path) -> None:
    address = ensure_running(home, http_port=free_port(), tcp_port=free_port())
    answer(address, "CREATE DATABASE kept", admin=True)
    assert stop(home) is True
    assert status(home) is None
    assert stop(home) is False
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address.host, address.http_port))
    again = ensure_running(home)
    assert answer(again, "SELECT count() FROM system.databases WHERE name = 'kept'", admin=True) == "1"


def test_one_that_stops_is_waited_for(home: Path) -> None:
    for _ in range(3):
        address = ensure_running(home)
        os.kill(address.pid, signal.SIGTERM)
        again = ensure_running(home)
        # Either the old one answered a last time, or the new one does; never an error.
        if again.pid != address.pid:
            assert answer(again, "SELECT 1") == "1"
        stop(home)


@ON_LINUX
def test_it_ends_with_its_directory(home: Path) -> None:
    orphan = ensure_running(home)
    descriptor = os.pidfd_open(orphan.pid)
    home.rename(home.with_name("moved"))
    heir = ensure_running(home)
    assert heir.pid != orphan.pid
    assert select.select([descriptor], [], [], 30)[0], "still runs, and nobody can find it"
    os.close(descriptor)
    assert status(home) == heir


# --- grants ---


def test_a_right_that_is_missing_is_added_by_a_restart_when_idle(home: Path) -> None:
    first = ensure_running(
        home, grants=pipeline_grants(SchemaNames()), http_port=free_port(), tcp_port=free_port()
    )
    answer(first, "CREATE DATABASE elsewhere", admin=True)
    answer(first, "CREATE TABLE elsewhere.raw (a UInt8) ENGINE = MergeTree ORDER BY a", admin=True)
    assert "ACCESS_DENIED" in refusal(first, "SELECT * FROM elsewhere.raw")

    # The other site comes from here; the first one's rights stay.
    names = SchemaNames("elsewhere", "raw")
    second = ensure_running(home, grants=pipeline_grants(names))
    assert second.pid != first.pid
    assert second.http_port == first.http_port
    assert answer(second, "SELECT count() FROM elsewhere.raw") == "0"
    assert ensure_running(home, grants=pipeline_grants(SchemaNames())) == second
    assert ensure_running(home, grants=pipeline_grants(names)) == second
    assert ensure_running(home) == second


def test_a_busy_server_is_not_restarted_for_a_right(home: Path) -> None:
    address = ensure_running(home)
    asked = "SELECT sleepEachRow(0.05) FROM numbers(1200) SETTINGS max_block_size = 1"
    ended: list[str] = []
    sleeper = threading.Thread(target=lambda: ended.append(refusal(address, asked, admin=True)))
    sleeper.start()
    busy = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'"
    while answer(address, busy, admin=True) == "0":
        assert sleeper.is_alive()
    with pytest.raises(WarehouseError, match="busy") as caught:
        ensure_running(home, grants=["GRANT SELECT ON system.replicas"])
    assert "SELECT ON system.replicas" in str(caught.value)
    answer(address, "KILL QUERY WHERE query LIKE 'SELECT sleepEachRow%' SYNC", admin=True)
    sleeper.join()
    assert "QUERY_WAS_CANCELLED" in ended[0]
    assert status(home) == address

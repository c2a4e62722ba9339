"""What can go wrong with the embedded server is said with what to do; and its command line."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.embedded import COMMAND, ON_LINUX, answer, run_command
from services.ports import free_port

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.server import (
    ensure_running,
    require_engine,
    status,
    stop,
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    yield path
    stop(path)


# --- a failure says what to do next ---


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(WarehouseError, match="cannot listen on") as caught,
    ):
        ensure_running(home, http_port=port)
    assert str(port) in caught.value.what
    assert "--http-port 0" in caught.value.do
    assert ensure_running(home, http_port=port).http_port == port


def test_a_lock_that_another_process_holds_is_named(home: Path) -> None:
    before = ensure_running(home)
    stop(home)
    lock = before.path / "server.lock"
    lock.write_text(f"{os.getpid()}\n")  # as if the dead server's pid had gone to an innocent process
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert status(home) is None
        with pytest.raises(WarehouseError, match="a process that is no server") as caught:
            ensure_running(home, timeout_s=0.3)
        assert str(lock) in caught.value.do
        with pytest.raises(WarehouseError, match="a process that is no server"):
            stop(home, timeout_s=0.3)


def test_a_server_of_another_machine_is_named(home: Path) -> None:
    before = ensure_running(home)
    stop(home)
    lock = before.path / "server.lock"
    lock.write_text(f"{os.getpid()} another-boot another-host\n")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for attempt in (ensure_running, stop):
            with pytest.raises(WarehouseError, match="another-host") as caught:
                attempt(home)
            assert "CLICKHOUSE_HOST" in caught.value.do
        assert status(home) is None


def test_passwords_lost_under_a_running_server_are_named(home: Path) -> None:
    address = ensure_running(home)
    (address.path / "credentials.json").unlink()
    for attempt in (ensure_running, status):
        with pytest.raises(WarehouseError, match="passwords") as caught:
            attempt(home)
        assert "stop" in caught.value.do
    stop(home)
    assert answer(ensure_running(home), "SELECT 1") == "1"


def test_a_home_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="Not a directory") as caught:
        ensure_running(tmp_path / "file" / "home")
    assert "ASPECTS_HOME" in caught.value.do


@ON_LINUX
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    # A disk of our own in a namespace of our own; where that is not allowed there is nothing to fill.
    mount = 'mount -t tmpfs -o size=200k none "$0"'
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount, tmp_path], check=False).returncode:
        pytest.skip("may not mount a small disk")
    script = f'{mount} && head -c 300k /dev/zero > "$0/full" 2>&1; shift; exec "$@"'
    arguments = [*COMMAND, "start", "--home", str(tmp_path / "home")]
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, str(tmp_path), "-", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert result.returncode == 1
    assert "its disk is full" in result.stderr
    assert "ASPECTS_HOME" in result.stderr


@pytest.mark.parametrize("installed", ["26.5.1", "27.1.0", "26.91.0"])
def test_an_engine_of_another_series_is_named(tmp_path: Path, installed: str) -> None:
    package = tmp_path / f"chdb_core-{installed}.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: chdb-core\nVersion: {installed}\n")
    require_engine()
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(WarehouseError, match=installed) as caught:
            ensure_running(tmp_path / "home")
    finally:
        sys.path.remove(str(tmp_path))
    assert "chdb-core==26.9.*" in caught.value.do
    assert "CLICKHOUSE_HOST" in caught.value.do


def test_impatience_does_no_harm(home: Path) -> None:
    with pytest.raises(WarehouseError, match="does not answer after"):
        ensure_running(home, timeout_s=0.01)
    assert answer(ensure_running(home), "SELECT 1") == "1"


# --- the command line ---


def test_the_command_line_starts_shows_and_stops_it(home: Path) -> None:
    where = ("--home", str(home))
    nothing = run_command("status", *where)
    assert nothing.returncode == 3
    assert json.loads(run_command("status", "--json", *where).stdout) == {
        "running": False,
        "path": str(home / "clickhouse"),
    }

    started = run_command("start", *where)
    assert started.returncode == 0, started.stderr
    address = status(home)
    assert address is not None
    assert address.url in started.stdout
    assert address.password not in started.stdout

    shown = run_command("status", "--json", *where)
    assert shown.returncode == 0
    assert json.loads(shown.stdout) == {
        "running": True,
        "url": address.url,
        "user": "aspects_pipeline",
        "password": address.password,
        "pid": address.pid,
        "path": str(home / "clickhouse"),
        "http_port": address.http_port,
        "tcp_port": address.tcp_port,
    }
    admin = json.loads(run_command("status", "--json", "--admin", *where).stdout)
    assert (admin["user"], admin["password"]) == ("aspects_admin", address.admin_password)

    assert run_command("stop", *where).returncode == 0
    assert run_command("status", *where).returncode == 3
    again = run_command("stop", *where)
    assert again.returncode == 0
    assert "None was running" in again.stdout


def test_the_command_line_runs_sql(home: Path) -> None:
    where = ("--home", str(home))
    pretty = run_command("sql", "SELECT currentUser() AS who, 'é' AS letter", *where)
    assert pretty.returncode == 0, pretty.stderr
    assert "│ aspects_pipeline │ é      │" in pretty.stdout
    as_json = run_command(
        "sql", "--format", "JSONEachRow", "--admin", *where, given="SELECT currentUser() AS who"
    )
    assert as_json.stdout == '{"who":"aspects_admin"}\n'
    wrong = run_command("sql", "SELECT no_such_thing", *where)
    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert "no_such_thing" in wrong.stderr
    late = run_command("sql", "SELECT throwIf(number = 3000000) FROM numbers(4000000)", *where)
    assert (late.returncode, late.stdout) == (1, "")


def test_stopping_and_starting_at_once_ends_well(home: Path) -> None:
    deadline = time.monotonic() + 5
    failures: list[Exception] = []

    def start_again_and_again() -> None:
        while time.monotonic() < deadline:
            try:
                ensure_running(home)
            except Exception as error:
                failures.append(error)

    starters = [threading.Thread(target=start_again_and_again) for _ in range(3)]
    for starter in starters:
        starter.start()
    stops = 0
    while time.monotonic() < deadline:
        stops += stop(home)
    for starter in starters:
        starter.join()
    assert [str(failure) for failure in failures] == []
    assert stops > 1
    assert answer(ensure_running(home), "SELECT 1") == "1"

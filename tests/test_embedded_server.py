"""The embedded server: one for all processes of a home, there again after any crash, and closed to everybody else."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.schema import SchemaNames, pipeline_grants
from aspects_orchestration.warehouse.server import (
    ServerAddress,
    ensure_running,
    query,
    require_engine,
    status,
    stop,
)

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
COMMAND = (sys.executable, "-m", "aspects_orchestration.warehouse.server")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    yield path
    stop(path)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("shared") / "home"
    yield path
    stop(path)


@pytest.fixture
def running(shared_home: Path) -> ServerAddress:
    return ensure_running(shared_home)


def answer(address: ServerAddress, sql: str, *, admin: bool = False, **options: str) -> str:
    return b"".join(query(address, sql, admin=admin, options=options)).decode().strip()


def refusal(address: ServerAddress, sql: str, *, admin: bool = False) -> str:
    with pytest.raises(WarehouseError) as caught:
        answer(address, sql, admin=admin)
    return caught.value.what


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def run_command(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], input=given, capture_output=True, text=True, check=False, timeout=90
    )


def daemons_of(home: Path) -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(home / "clickhouse") in command_line(entry)
    ]


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


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
    address = ensure_running(home)
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
    before = ensure_running(home)
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
    address = ensure_running(home)
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


# --- closed to everybody else ---


def test_a_wrong_password_is_refused(running: ServerAddress) -> None:
    wrong = replace(running, password=running.admin_password, admin_password=running.password)
    assert "AUTHENTICATION_FAILED" in refusal(wrong, "SELECT 1")
    assert "AUTHENTICATION_FAILED" in refusal(wrong, "SELECT 1", admin=True)
    assert "AUTHENTICATION_FAILED" in refusal(replace(running, user="nobody"), "SELECT 1")


def test_the_user_without_password_is_of_no_use(running: ServerAddress) -> None:
    by_http = replace(running, user="default", password="")
    for _ in range(20):
        assert "USER_SESSION_LIMIT_EXCEEDED" in refusal(by_http, "SELECT 1")
    natively = "SELECT * FROM remote({address:String}, system.users, 'default', '')"
    with pytest.raises(WarehouseError, match="USER_SESSION_LIMIT_EXCEEDED"):
        answer(running, natively, admin=True, param_address=f"127.0.0.1:{running.tcp_port}")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `/etc/passwd`",
        "INSERT INTO FUNCTION file('x.csv') SELECT 1",
        "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:9/bucket/key', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:9', system.one)",
        "CREATE DATABASE other",
        "DROP DATABASE system",
        "CREATE TABLE aspects_orchestration.t (a String) ENGINE = File(CSV)",
        "CREATE TABLE aspects_orchestration.t (a String) ENGINE = URL('http://127.0.0.1:9/', 'CSV')",
        "SELECT * FROM system.users",
        "CREATE USER other",
        "GRANT ALL ON *.* TO aspects_pipeline",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP LISTEN HTTP",
    ],
)
def test_the_pipeline_user_is_denied(running: ServerAddress, sql: str) -> None:
    answer(running, "CREATE DATABASE IF NOT EXISTS aspects_orchestration", admin=True)
    assert "ACCESS_DENIED" in refusal(running, sql)
    assert answer(running, "SELECT 1") == "1"


def test_the_admin_may_do_what_the_schema_needs(running: ServerAddress) -> None:
    for sql in (
        "CREATE DATABASE made",
        "CREATE TABLE made.t (a UInt8) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE made.u AS made.t",
        "CREATE MATERIALIZED VIEW made.v TO made.u AS SELECT a FROM made.t",
        "CREATE FUNCTION made_f AS (a) -> a + 1",
        "ALTER TABLE made.t ADD COLUMN b UInt8",
        "INSERT INTO made.t (a) VALUES (1)",
        "SELECT count() FROM system.query_log",
        "DROP FUNCTION made_f",
        "DROP DATABASE made",
    ):
        answer(running, "SYSTEM FLUSH LOGS", admin=True)
        answer(running, sql, admin=True)


@ON_LINUX
def test_it_listens_on_loopback_only(running: ServerAddress) -> None:
    process = Path(f"/proc/{running.pid}")
    inodes = set()
    for descriptor in (process / "fd").iterdir():
        target = str(descriptor.readlink()) if descriptor.is_symlink() else ""
        if target.startswith("socket:["):
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                listening.append((table, address, int(port, 16)))
    loopback = int.from_bytes(ipaddress.IPv4Address("127.0.0.1").packed, sys.byteorder)
    assert sorted(listening) == sorted(
        ("tcp", f"{loopback:08X}", port) for port in (running.http_port, running.tcp_port)
    )


@ON_LINUX
def test_no_password_can_be_seen(running: ServerAddress) -> None:
    passwords = [running.password, running.admin_password]
    assert len(set(passwords)) == 2
    assert all(len(password) >= 32 for password in passwords)
    assert not any(password in repr(running) + running.url for password in passwords)
    listed = "".join(command_line(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    assert not any(password in listed for password in passwords)

    for file in (*running.path.glob("*"), *(running.path / "logs").glob("*")):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
        if file.is_file() and file.name != "credentials.json":
            assert not any(password in file.read_text(errors="replace") for password in passwords), file
    assert stat.S_IMODE((running.path / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o700
    users = (running.path / "users.xml").read_text()
    assert all(sha256(password.encode()).hexdigest() in users for password in passwords)
    answer(running, "SYSTEM FLUSH LOGS", admin=True)
    asked = "SELECT count() FROM system.query_log WHERE position(query, {password:String}) > 0"
    for password in passwords:
        assert answer(running, asked, admin=True, log_queries="0", param_password=password) == "0"


@ON_LINUX
def test_it_is_light(running: ServerAddress) -> None:
    mapped = Path(f"/proc/{running.pid}/maps").read_text()
    assert not [name for name in ("pandas", "numpy", "dagster", "pydantic") if f"/{name}" in mapped]
    inherited = [
        str(descriptor.readlink())
        for descriptor in Path(f"/proc/{running.pid}/fd").iterdir()
        if descriptor.is_symlink() and "pytest" in str(descriptor.readlink())
    ]
    assert all(str(running.path) in name for name in inherited)


def test_its_own_logs_are_kept_for_a_week(running: ServerAddress) -> None:
    answer(running, "SELECT 'seen'")
    answer(running, "SYSTEM FLUSH LOGS", admin=True)
    created = answer(running, "SHOW CREATE TABLE system.query_log", admin=True)
    assert "toIntervalDay(7)" in created
    limits = answer(
        running,
        "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage_to_ram_ratio'",
        admin=True,
    )
    assert float(limits) == 0.5


# --- grants ---


def test_a_right_that_is_missing_is_added_by_a_restart_when_idle(home: Path) -> None:
    first = ensure_running(home, grants=pipeline_grants(SchemaNames()))
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
    sleeper = threading.Thread(
        target=lambda: answer(
            address,
            "SELECT sleepEachRow(0.05) FROM numbers(40) SETTINGS max_block_size = 1",
            admin=True,
        )
    )
    sleeper.start()
    busy = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'"
    while answer(address, busy, admin=True) == "0":
        assert sleeper.is_alive()
    with pytest.raises(WarehouseError, match="busy") as caught:
        ensure_running(home, grants=["GRANT SELECT ON system.replicas"])
    assert "SELECT ON system.replicas" in str(caught.value)
    sleeper.join()
    assert status(home) == address


# --- a failure says what to do next ---


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WarehouseError, match="cannot listen on") as caught:
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

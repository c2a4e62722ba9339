"""The embedded server is closed to everybody else: to the network, to other users, to what the pipeline need not do."""

from __future__ import annotations

import ipaddress
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from services.embedded import ON_LINUX, answer, command_line, refusal

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.server import (
    ServerAddress,
    ensure_running,
    stop,
)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("shared") / "home"
    yield path
    stop(path)


@pytest.fixture
def running(shared_home: Path) -> ServerAddress:
    return ensure_running(shared_home)


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

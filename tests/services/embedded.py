"""The embedded server as its own tests ask it, kill it and look for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.server import (
    ServerAddress,
    query,
)

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
COMMAND = (sys.executable, "-m", "aspects_orchestration.warehouse.server")


def answer(address: ServerAddress, sql: str, *, admin: bool = False, **options: str) -> str:
    """What the server answers, as text."""
    return b"".join(query(address, sql, admin=admin, options=options)).decode().strip()


def refusal(address: ServerAddress, sql: str, *, admin: bool = False) -> str:
    """What a statement is refused with."""
    with pytest.raises(WarehouseError) as caught:
        answer(address, sql, admin=admin)
    return caught.value.what


def kill(pid: int) -> None:
    """As the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)


def run_command(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the server's command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments], input=given, capture_output=True, text=True, check=False, timeout=90
    )


def daemons_of(home: Path) -> list[int]:
    """Processes that serve a home, by their command line."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and str(home / "clickhouse") in command_line(entry)
    ]


def command_line(process: Path) -> str:
    """Of a process in /proc; '' if it has gone."""
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""

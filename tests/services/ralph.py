"""A real Ralph, in a venv of its own, because it pins an older clickhouse-connect than this project has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aspects_orchestration.warehouse.server import ServerAddress
from services.ports import free_port
from services.venvs import python_with

_VERSION = "5.1.0"
# Ralph's API imports two more than it declares.
_PACKAGES = [f"ralph-malph[backend-clickhouse,lrs,cli]=={_VERSION}", "uvicorn", "requests"]
_START_TIMEOUT_S = 180
_USERS = """
import bcrypt, json, pathlib, sys
users = json.load(sys.stdin)
agent = {"objectType": "Agent", "account": {"name": "tests", "homePage": "http://ralph.example.org"}}
pathlib.Path(sys.argv[1]).write_text(json.dumps([
    {"username": name, "hash": bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode(),
     "scopes": [scope], "agent": agent}
    for name, (password, scope) in users.items()
]))
"""


@pytest.fixture(scope="session")
def ralph_program() -> Path:
    """The Python that has Ralph."""
    return python_with(f"ralph-{_VERSION}", _PACKAGES)


@dataclass
class Ralph:
    """One that a test may kill or hang."""

    program: Path
    folder: Path
    address: ServerAddress
    password: str | None = None
    port: int = field(default_factory=free_port)
    database: str = "default"
    #: Password and scope by name.
    users: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    environ: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        clickhouse = {
            "HOST": "127.0.0.1",
            "PORT": str(self.address.http_port),
            "DATABASE": self.database,
            "EVENT_TABLE_NAME": "xapi_events_all",
            "USERNAME": self.address.user,
            "PASSWORD": self.address.password if self.password is None else self.password,
        }
        environ = {
            **os.environ,
            "RALPH_RUNSERVER_BACKEND": "clickhouse",
            "RALPH_AUTH_FILE": str(self.folder / "auth.json"),
            **{f"RALPH_BACKENDS__LRS__CLICKHOUSE__{name}": value for name, value in clickhouse.items()},
            **self.environ,
        }
        if self.users:
            self._write_users()
        with (self.folder / "ralph.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.program), "-m", "uvicorn", "ralph.api:app", "--port", str(self.port)],
                env=environ,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/__lbheartbeat__", timeout=5).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def _write_users(self) -> None:
        """As `ralph auth` would, in a tenth of the time: it imports all of Ralph for each."""
        subprocess.run(
            [str(self.program), "-c", _USERS, str(self.folder / "auth.json")],
            input=json.dumps(self.users).encode(),
            check=True,
        )

    def hang(self) -> None:
        """Accept and never answer, until `go_on`."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """After `hang`."""
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """At once."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def stopped_ralphs() -> Iterator[list[Ralph]]:
    """Every Ralph that a test puts in here is killed at its end."""
    made: list[Ralph] = []
    yield made
    for one in made:
        one.kill()

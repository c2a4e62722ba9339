"""A real MariaDB for the tests, as the LMS's: one unprivileged server a session, a fresh database for each test."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from services.lms_rows import LmsTables
from services.ports import free_port

START_TIMEOUT_S = 60.0
_TABLES = Path(__file__).with_name("lms_tables.sql")


@dataclass
class MariaDb:
    """A server below a folder of its own, reachable by its socket as root and by 127.0.0.1 as anybody else."""

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def root_url(self) -> str:
        """Of the administrator, without a database."""
        return f"mysql+pymysql://root@localhost/?unix_socket={self.folder / 's'}&charset=utf8mb4"

    def start(self) -> None:
        """Start it, or start it again on the same port, and wait until it answers."""
        if not (self.folder / "data").exists():
            subprocess.run(
                [
                    "mariadb-install-db",
                    "--no-defaults",
                    f"--datadir={self.folder / 'data'}",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    "--innodb-log-file-size=16M",
                    *self._user(),
                ],
                check=True,
                capture_output=True,
            )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    _mariadbd(),
                    "--no-defaults",
                    f"--datadir={self.folder / 'data'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    f"--socket={self.folder / 's'}",
                    f"--pid-file={self.folder / 'pid'}",
                    "--innodb-log-file-size=64M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--max-allowed-packet=64M",
                    "--skip-log-bin",
                    "--skip-name-resolve",
                    "--character-set-server=utf8mb4",
                    "--collation-server=utf8mb4_unicode_ci",
                    "--performance-schema=OFF",
                    *self.options,
                    *self._user(),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it; its data stay."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _wait(self) -> None:
        engine = sa.create_engine(self.root_url, poolclass=sa.NullPool)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                engine.connect().close()
                return
            except sa.exc.OperationalError:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    @staticmethod
    def _user() -> list[str]:
        return ["--user=root"] if os.getuid() == 0 else []

    def database(self) -> LmsTables:
        """A new database with the LMS's tables, and a user who may only read it."""
        name = f"openedx_{secrets.token_hex(4)}"
        password = secrets.token_hex(8)
        root = sa.create_engine(self.root_url, poolclass=sa.NullPool)
        with root.begin() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
            # Times of edx-platform's own tables are as old as 2012, and some are no times at all.
            connection.execute(sa.text("SET GLOBAL sql_mode = 'NO_ENGINE_SUBSTITUTION'"))
            connection.execute(sa.text(f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{password}'"))
            connection.execute(sa.text(f"GRANT SELECT ON {name}.* TO {name}@'127.0.0.1'"))
        url = f"mysql+pymysql://root@localhost/{name}?unix_socket={self.folder / 's'}&charset=utf8mb4"
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in _statements():
                connection.execute(sa.text(statement))
        reader = f"mysql+pymysql://{name}:{password}@127.0.0.1:{self.port}/{name}"
        return LmsTables(SecretStr(url), SecretStr(reader), engine)

    def drop(self, lms: LmsTables) -> None:
        """Drop a database and its reader."""
        name = lms.engine.url.database
        root = sa.create_engine(self.root_url, poolclass=sa.NullPool)
        with root.begin() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name}"))
            connection.execute(sa.text(f"DROP USER {name}@'127.0.0.1'"))


def _statements() -> list[str]:
    return [one for one in _TABLES.read_text().split(";\n") if one.strip()]


def _mariadbd() -> str:
    return shutil.which("mariadbd") or "/usr/sbin/mariadbd"


def require_mariadb() -> None:
    """Skip, or fail where nothing may be skipped, unless a MariaDB is installed."""
    if Path(_mariadbd()).exists() and shutil.which("mariadb-install-db"):
        return
    if os.environ.get("ASPECTS_TESTS_REQUIRE_ALL"):
        pytest.fail("mariadbd is not installed, and ASPECTS_TESTS_REQUIRE_ALL is set: install mariadb-server")
    pytest.skip("mariadbd is not installed: install the Debian package mariadb-server")


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """The session's server."""
    require_mariadb()
    server = MariaDb(tmp_path_factory.mktemp("maria"), free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def lms(mariadb: MariaDb) -> Iterator[LmsTables]:
    """A fresh LMS database on MariaDB."""
    made = mariadb.database()
    yield made
    mariadb.drop(made)


@pytest.fixture
def lms_sqlite(tmp_path: Path) -> LmsTables:
    """A fresh LMS database in SQLite."""
    url = f"sqlite:///{tmp_path / 'lms.sqlite'}"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in _statements():
            plain = re.sub(
                r"\b(int|bigint) NOT NULL AUTO_INCREMENT PRIMARY KEY", "integer PRIMARY KEY", statement
            )
            connection.execute(sa.text(re.sub(r", KEY \(\w+\)", "", plain)))
    return LmsTables(SecretStr(url), SecretStr(url), engine)

"""Where an embedded server lives on disk, and how its processes keep out of each other's way."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

ADMIN_USER = "aspects_admin"
PIPELINE_USER = "aspects_pipeline"

_DIRECTORIES = ("data", "user_files", "backups", "logs")


@dataclass(frozen=True)
class Credentials:
    """The passwords of the two users; never shown by `repr`."""

    admin_password: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class Serving:
    """What a server says of itself once it listens.

    Args:
        pid: its process id.
        http_port: HTTP port on 127.0.0.1.
        tcp_port: native port on 127.0.0.1.
        grants: the statements that make up the pipeline user's rights.
    """

    pid: int
    http_port: int
    tcp_port: int
    grants: tuple[str, ...]


@dataclass(frozen=True)
class Holder:
    """The process that holds the server lock, by its own account.

    Args:
        pid: its process id, 0 if it has not said.
        surroundings: what it runs in, as `surroundings()` tells it; '' if it has not said.
        host: the name of its machine or container, '' if it has not said.
    """

    pid: int
    surroundings: str
    host: str

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another machine or in another container: its pid and ports mean nothing here."""
        return self.surroundings not in {"", surroundings()}


@dataclass(frozen=True)
class Place:
    """The directory of one embedded server, and what is in it.

    Args:
        root: `<home>/clickhouse`, absolute.
    """

    root: Path

    @classmethod
    def of(cls, home: Path) -> Place:
        """The place of the server that belongs to `home`."""
        return cls(home.absolute() / "clickhouse")

    @property
    def credentials(self) -> Path:
        """The users' passwords."""
        return self.root / "credentials.json"

    @property
    def wanted(self) -> Path:
        """What the next server is to be: grants and ports."""
        return self.root / "wanted.json"

    @property
    def serving(self) -> Path:
        """What the server says of itself; it stays behind when the server ends."""
        return self.root / "server.json"

    @property
    def server_lock(self) -> Path:
        """Held by the server as long as its process lives."""
        return self.root / "server.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the one process that starts the server."""
        return self.root / "start.lock"

    @property
    def start_log(self) -> Path:
        """What the server process has printed."""
        return self.root / "logs" / "start.log"

    @property
    def server_log(self) -> Path:
        """The engine's own log."""
        return self.root / "logs" / "server.log"

    def prepare(self) -> None:
        """Create the directories, open to their owner only.

        Raises:
            OSError: they cannot be created.
        """
        self.root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (self.root, *(self.root / name for name in _DIRECTORIES)):
            directory.mkdir(exist_ok=True, mode=0o700)
            directory.chmod(0o700)

    def read_credentials(self) -> Credentials | None:
        """The passwords, or None where there are none or the file is damaged."""
        content = _read_json(self.credentials)
        try:
            return Credentials(str(content["admin_password"]), str(content["password"]))
        except KeyError:
            return None

    def ensure_credentials(self) -> Credentials:
        """The passwords, generated if there are none. Only for the holder of the start lock."""
        known = self.read_credentials()
        if known is not None:
            return known
        fresh = Credentials(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        write_private(
            self.credentials,
            json.dumps({"admin_password": fresh.admin_password, "password": fresh.password}),
        )
        return fresh

    def read_serving(self) -> Serving | None:
        """What the last server said of itself. It may have gone: compare `holder`."""
        content = _read_json(self.serving)
        try:
            return Serving(
                int(content["pid"]),
                int(content["http_port"]),
                int(content["tcp_port"]),
                tuple(map(str, content["grants"])),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def holder(self) -> Holder | None:
        """Who holds the server lock; None if it is free, whatever an earlier holder has left behind."""
        try:
            descriptor = os.open(self.server_lock, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            # Shared, so that two processes that look at once do not take each other for the server.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 1024, 0).decode(errors="replace")
            pid, where, host = (*text.split(maxsplit=2), "", "", "")[:3]
            return Holder(int(pid) if pid.isdigit() else 0, where, host.strip())
        else:
            return None
        finally:
            os.close(descriptor)

    def sign_server_lock(self) -> None:
        """Write into the server lock who holds it: this process."""
        with self.server_lock.open("r+") as file:
            file.truncate()
            file.write(f"{os.getpid()} {surroundings()} {socket.gethostname()}\n")


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` inside the block, if it is free.

    The system lets go of it when the process ends, however it ends.

    Yields:
        whether it is held now; False if another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, readable by its owner only."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def surroundings() -> str:
    """What this process shares pids and loopback with: a machine's boot, and a container's namespaces."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        spaces = [Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in ("pid", "net")]
    except OSError:
        return socket.gethostname()
    return "-".join(map(str, (boot, *spaces)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

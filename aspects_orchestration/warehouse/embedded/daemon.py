"""The server process: `python -m aspects_orchestration.warehouse.embedded.daemon DIRECTORY`.

It leaves its starter at once: the first process waits only until the second one, which is detached from it,
serves or has failed. So a killed run never takes the server with it. It imports nothing but the engine.

The engine listens as long as one query of its own runs. That query reads a pipe; SIGTERM closes the pipe, the
query ends, and the engine shuts down in order.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.machinery
import importlib.util
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import resource

from aspects_orchestration.warehouse.embedded.config import config_xml, users_xml
from aspects_orchestration.warehouse.embedded.place import Place, Serving, locked, write_private

MODULE = "aspects_orchestration.warehouse.embedded.daemon"
ALREADY_HELD = 75
"""Exit code: another process holds the server lock."""
STOPPED = 76
"""Exit code: somebody asked the server to stop before it served."""
BY_SIGNAL = 128
"""Exit codes above this: the process was ended by the signal of that number, counted from here."""

_LOCK_WAIT_S = 6.0  # a predecessor that is stopping may need this long to drain
_HOME_CHECK_S = 2.0
_PORTS = Path("ports.tsv")
_LISTEN_THEN_HOLD = """
SYSTEM START LISTEN HTTP;
SYSTEM START LISTEN TCP;
SELECT getServerPort('http_port'), getServerPort('tcp_port') INTO OUTFILE 'ports.tsv' TRUNCATE FORMAT TSV;
SELECT count() FROM file('/dev/fd/0', 'LineAsString', 'line String')
SETTINGS max_execution_time = 0, log_queries = 0 FORMAT Null
"""


def main(arguments: Sequence[str]) -> int:
    """Start a server in a directory that has been prepared; return when it serves or has failed.

    Args:
        arguments: the directory.

    Returns:
        exit code of the starting process: 0 once the server answers, `ALREADY_HELD`, `STOPPED`, above
        `BY_SIGNAL` if it was killed, else 1, with the reason in the start log. The server process itself ends as
        `Server.run` says.
    """
    place = Place(Path(arguments[0]))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        return _serve(place, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as announcement:
        if announcement.read():
            return 0
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code in {0, -signal.SIGTERM}:
        return STOPPED
    return BY_SIGNAL - code if code < 0 else code


def _serve(place: Place, writer: int) -> int:
    os.umask(0o077)
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        with locked(place.server_lock) as held:
            if held:
                _print_to(place.start_log)
                place.sign_server_lock()
                code = Server(place, writer).run()
                # The lock must outlast the engine, which ends with the process and not before.
                sys.stdout.flush()
                os._exit(code)
        if time.monotonic() > deadline:
            return ALREADY_HELD
        time.sleep(0.05)


def _print_to(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


class Server:
    """One run of the engine in its directory, from listening to the stop in order.

    It takes over standard input: the engine reads there until the server is asked to stop.

    Args:
        place: the directory; this process holds its server lock.
        announcement: descriptor that hears "ready" once the server answers, and is closed then.
    """

    def __init__(self, place: Place, announcement: int) -> None:
        self._place = place
        self._announcement = announcement
        self._stop_asked = False
        reader, self._hold = os.pipe()
        os.dup2(reader, 0)
        os.close(reader)
        self._failure = ""

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the directory has gone.

        Returns:
            0 after a stop that was asked for; 1 if the engine could not start or ended by itself, as it does
            without an error when it cannot listen.
        """
        os.chdir(self._place.root)
        lock = _identity(self._place.server_lock)
        _settle_process()
        grants = self._configure()
        engine = threading.Thread(target=self._hold_engine, args=(_load_engine(),), name="clickhouse")
        engine.start()
        # After the engine's own: it brings handlers of its own.
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while engine.is_alive() and not self._stop_asked:
            ports = _answering_ports()
            if ports is not None:
                self._announce(Serving(os.getpid(), *ports, grants))
                break
            engine.join(0.02)
        while engine.is_alive():
            engine.join(_HOME_CHECK_S)
            # Somebody has deleted or moved the directory: nobody could find this server, and so not stop it.
            if _identity(self._place.server_lock) != lock:
                self._ask_to_stop()
        if self._stop_asked:
            return 0
        print(self._failure or "The engine ended by itself.", flush=True)  # noqa: T201 - the start log
        return 1

    def _configure(self) -> tuple[str, ...]:
        wanted = json.loads(self._place.wanted.read_bytes())
        previous = self._place.read_serving()
        self._place.serving.unlink(missing_ok=True)
        _PORTS.unlink(missing_ok=True)
        credentials = self._place.read_credentials()
        if credentials is None:
            raise FileNotFoundError(self._place.credentials)
        # The ports of last time, where they are free: clients that reconnect after a restart find the server.
        http_port = wanted["http_port"] or (_if_free(previous.http_port) if previous else 0)
        tcp_port = wanted["tcp_port"] or (_if_free(previous.tcp_port) if previous else 0)
        write_private(Path("config.xml"), config_xml(http_port, tcp_port))
        write_private(Path("users.xml"), users_xml(credentials, wanted["grants"]))
        return tuple(wanted["grants"])

    def _hold_engine(self, engine: Any) -> None:
        try:
            # TabSeparated becomes the default of every session, and is what clients expect of a server.
            result = engine.query(_LISTEN_THEN_HOLD, "TabSeparated", path="data")
            if result.has_error():
                self._failure = str(result.error_message())
        except Exception as error:  # the engine raises whatever it likes
            self._failure = str(error)

    def _ask_to_stop(self, *_: object) -> None:
        if not self._stop_asked:
            self._stop_asked = True
            os.close(self._hold)

    def _announce(self, serving: Serving) -> None:
        write_private(self._place.serving, json.dumps(asdict(serving)))
        with contextlib.suppress(BrokenPipeError):  # the starter has gone; the server serves the next one
            os.write(self._announcement, b"ready")
        os.close(self._announcement)


def _settle_process() -> None:
    os.environ["TZ"] = "UTC"  # the engine has its time zone from here, not from its configuration
    time.tzset()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold data and passwords
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _answering_ports() -> tuple[int, int] | None:
    try:
        http_port, tcp_port = map(int, _PORTS.read_text(encoding="ascii").split())
        connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=1)
        try:
            connection.request("GET", "/ping")
            answered = connection.getresponse().read() == b"Ok.\n"
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return (http_port, tcp_port) if answered else None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _if_free(port: int) -> int:
    with socket.socket() as probe:
        # As the engine does: connections of the last server that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _load_engine() -> Any:
    # `import chdb` opens an engine of its own on the config.xml that it finds, and takes seconds.
    package = importlib.util.find_spec("chdb")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'chdb'")
    library = Path(package.origin).parent / "_chdb.abi3.so"
    loader = importlib.machinery.ExtensionFileLoader("_chdb", str(library))
    spec = importlib.machinery.ModuleSpec("_chdb", loader, origin=str(library))
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

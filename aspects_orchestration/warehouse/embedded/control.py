"""Start, find and stop the embedded server of a home directory."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from json import dumps
from pathlib import Path
from urllib.parse import urlencode

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.embedded.daemon import ALREADY_HELD, BY_SIGNAL, STOPPED
from aspects_orchestration.warehouse.embedded.daemon import MODULE as DAEMON
from aspects_orchestration.warehouse.embedded.place import (
    ADMIN_USER,
    PIPELINE_USER,
    Holder,
    Place,
    Serving,
    locked,
    write_private,
)
from aspects_orchestration.warehouse.schema import SchemaNames, pipeline_grants

ENGINE_PACKAGE = "chdb-core"
ENGINE_SERIES = "26.9"
"""The series of the engine that can listen to clients and that the project is tested with."""

_COMMAND = "python -m aspects_orchestration.warehouse.server"
_POLL_S = 0.05
# A query stands in the server's list for a moment after its answer has been sent.
_SETTLES_S = 1.0
_ASK_AGAIN_S = 1.0


@dataclass(frozen=True)
class ServerAddress:
    """How to reach a running embedded server. Its passwords are left out of `repr`.

    Args:
        host: always 127.0.0.1.
        http_port: port of the HTTP interface.
        tcp_port: port of the native interface.
        pid: the server's process id.
        path: the server's directory, `<home>/clickhouse`.
        user: the pipeline's user, who has the rights of sql/grants.sql and no more.
        password: the pipeline user's password.
        admin_user: the user who creates schema and may do everything.
        admin_password: the admin's password.
    """

    host: str
    http_port: int
    tcp_port: int
    pid: int
    path: Path
    user: str
    password: str = field(repr=False)
    admin_user: str
    admin_password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The HTTP interface's address, without credentials."""
        return f"http://{self.host}:{self.http_port}"


def ensure_running(
    home: Path,
    *,
    timeout_s: float = 60,
    grants: Sequence[str] | None = None,
    http_port: int = 0,
    tcp_port: int = 0,
) -> ServerAddress:
    """Return the address of `home`'s server, starting it first if it does not run.

    Any number of processes may call this at once; they get the same server. It is a daemon in a session of
    its own and outlives its caller. After a crash it starts again on the same data and, where they are free,
    the same ports.

    Args:
        home: the project's state directory (ASPECTS_HOME); the server lives in `<home>/clickhouse`.
        timeout_s: seconds to wait for the server to answer.
        grants: `GRANT … ON …` statements (without `TO`) that the pipeline user needs, as `pipeline_grants`
            makes them of sql/grants.sql. None: whatever a running server has, else those for the default names.
            A running server that lacks one of them is started again with it if it is idle.
        http_port: port for a server that has to be started; 0 takes the last one again, or a free one.
        tcp_port: likewise for the native interface.

    Raises:
        WarehouseError: there is no engine for this machine, or the server cannot start or does not
            answer in time.
    """
    place = Place.of(home)
    deadline = _Deadline(timeout_s)
    with _usable(place):
        found = _find(place)
        if found is not None and not _lacking(found[1], grants):
            return found[0]
        require_engine()
        place.prepare()
        while True:
            with locked(place.start_lock) as mine:
                if mine:
                    return _start(place, deadline, grants, http_port, tcp_port)
            found = _find(place)
            if found is not None and not _lacking(found[1], grants):
                return found[0]
            if deadline.has_passed:
                raise _not_ready(place, timeout_s)
            time.sleep(_POLL_S)


def status(home: Path) -> ServerAddress | None:
    """The address of `home`'s server if it runs and answers, else None.

    Raises:
        WarehouseError: it runs but refuses the passwords on file.
    """
    place = Place.of(home)
    with _usable(place):
        found = _find(place)
    return found[0] if found else None


def stop(home: Path, timeout_s: float = 30) -> bool:
    """Stop `home`'s server in order; queries that run are cancelled.

    Args:
        home: the project's state directory.
        timeout_s: seconds to wait until it has gone.

    Returns:
        False if none was running.

    Raises:
        WarehouseError: it does not end in time, or belongs to another machine.
    """
    place = Place.of(home)
    with _usable(place):
        return _stop(place, _Deadline(timeout_s))


def require_engine() -> None:
    """Check that the engine is installed, and is one that can serve.

    Raises:
        WarehouseError: the platform has no engine, or the package is missing or of another series.
    """
    elsewhere = "Set CLICKHOUSE_HOST (or ASPECTS_CLICKHOUSE_URL) to a ClickHouse server elsewhere."
    if sys.platform not in {"linux", "darwin"} or platform.machine() not in {"x86_64", "aarch64", "arm64"}:
        raise WarehouseError(
            f"There is no embedded ClickHouse for {platform.system()} on {platform.machine()}", do=elsewhere
        )
    try:
        installed = version(ENGINE_PACKAGE)
    except PackageNotFoundError:
        installed = "not installed"
    if not f"{installed}.".startswith(f"{ENGINE_SERIES}."):
        raise WarehouseError(
            f"The embedded ClickHouse needs {ENGINE_PACKAGE} {ENGINE_SERIES}.*, in {sys.prefix} it is {installed}",
            do=f"Run `pip install '{ENGINE_PACKAGE}=={ENGINE_SERIES}.*'` there. Or: {elsewhere}",
        )


def query(
    address: ServerAddress,
    sql: str,
    *,
    admin: bool = False,
    timeout_s: float = 30,
    options: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Send one statement over HTTP and yield the answer in pieces.

    The server holds the answer back until the statement has succeeded: of one that fails nothing is yielded.

    Args:
        address: the server.
        sql: the statement.
        admin: as the admin instead of the pipeline's user.
        timeout_s: longest silence of the server, in seconds.
        options: further parameters of the HTTP interface: settings, default_format, `param_<name>`.

    Raises:
        WarehouseError: the server refused, with its own words, or does not answer.
    """
    connection = http.client.HTTPConnection(address.host, address.http_port, timeout=timeout_s)
    try:
        connection.request(
            "POST",
            "/?" + urlencode({"wait_end_of_query": "1", **(options or {})}),
            sql.encode(),
            {
                "X-ClickHouse-User": address.admin_user if admin else address.user,
                "X-ClickHouse-Key": address.admin_password if admin else address.password,
            },
        )
        response = connection.getresponse()
        if response.status != 200:
            raise _refused(response.read().decode(errors="replace").strip(), admin=admin)
        while piece := response.read(1 << 20):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise WarehouseError(
            f"The embedded ClickHouse at {address.url} did not answer ({type(error).__name__})",
            do=f"Look at {address.path}/logs/server.log and run `{_COMMAND} status`.",
        ) from error
    finally:
        connection.close()


class _Deadline:
    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._at = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        return max(self._at - time.monotonic(), 0.0)

    @property
    def has_passed(self) -> bool:
        return self.left_s == 0.0


def _find(place: Place) -> tuple[ServerAddress, Serving] | None:
    serving = place.read_serving()
    holder = place.holder()
    if serving is None or holder is None or holder.is_elsewhere or holder.pid != serving.pid:
        return None
    credentials = place.read_credentials()
    if credentials is None:
        raise _wrong_credentials(place)
    address = ServerAddress(
        host="127.0.0.1",
        http_port=serving.http_port,
        tcp_port=serving.tcp_port,
        pid=serving.pid,
        path=place.root,
        user=PIPELINE_USER,
        password=credentials.password,
        admin_user=ADMIN_USER,
        admin_password=credentials.admin_password,
    )
    try:
        answer = b"".join(query(address, "SELECT 1", timeout_s=5, options={"log_queries": "0"}))
    except WarehouseError as error:
        if "AUTHENTICATION_FAILED" in error.what:
            raise _wrong_credentials(place) from None
        return None
    return (address, serving) if answer == b"1\n" else None


def _lacking(serving: Serving, grants: Sequence[str] | None) -> set[str]:
    return set(grants or ()) - set(serving.grants)


def _start(
    place: Place, deadline: _Deadline, grants: Sequence[str] | None, http_port: int, tcp_port: int
) -> ServerAddress:
    while True:
        found = _find(place)
        if found is not None:
            address, serving = found
            lacking = _lacking(serving, grants)
            if not lacking:
                return address
            # With those it has: two sites that share a server must not take turns at restarting it.
            grants = tuple(dict.fromkeys((*serving.grants, *(grants or ()))))
            _stop_if_idle(place, address, min(lacking), deadline)
        holder = place.holder()
        if holder is None:
            place.ensure_credentials()
            wanted = pipeline_grants(SchemaNames()) if grants is None else grants
            write_private(
                place.wanted, dumps({"grants": list(wanted), "http_port": http_port, "tcp_port": tcp_port})
            )
            _launch(place, deadline)
        elif holder.is_elsewhere:
            raise _elsewhere(place, holder)
        else:
            time.sleep(_POLL_S)
        if deadline.has_passed:
            raise _not_ready(place, deadline.timeout_s)


def _stop(place: Place, deadline: _Deadline) -> bool:
    asked: Holder | None = None
    asked_at = 0.0
    while (holder := place.holder()) is not None:
        if holder.is_elsewhere:
            raise _elsewhere(place, holder)
        # Asked again: while a server starts, the engine has handlers of its own for a moment, which swallow a signal.
        due = holder != asked or time.monotonic() - asked_at > _ASK_AGAIN_S
        if due and _is_daemon(holder.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.pid, signal.SIGTERM)
            asked, asked_at = holder, time.monotonic()
        if deadline.has_passed:
            raise _not_stopped(place, holder, deadline.timeout_s)
        time.sleep(_POLL_S)
    return asked is not None


def _stop_if_idle(place: Place, address: ServerAddress, lacking: str, deadline: _Deadline) -> None:
    busy = "SELECT count() FROM system.processes WHERE user != '' AND query_id != queryID()"
    settled = time.monotonic() + _SETTLES_S
    while b"".join(query(address, busy, admin=True)).strip() != b"0":
        if time.monotonic() < settled:
            time.sleep(_POLL_S)
            continue
        raise WarehouseError(
            f"The embedded ClickHouse in {place.root} is busy, and runs without a right that is needed now "
            f"({lacking})",
            do=f"Run this again when its queries have ended, or `{_COMMAND} stop` to cancel them.",
        )
    _stop(place, deadline)


def _launch(place: Place, deadline: _Deadline) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", DAEMON, str(place.root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as starter:
        try:
            complaint = starter.communicate(timeout=deadline.left_s)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            starter.kill()
            raise _not_ready(place, deadline.timeout_s) from None
    if starter.returncode not in {0, ALREADY_HELD, STOPPED}:
        raise _start_failed(place, starter.returncode, complaint)


def _is_daemon(pid: int) -> bool:
    # The lock may have passed to a process that does not sign it: what it says is then a dead server's, and
    # its pid may be anybody's.
    if pid <= 0:
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        listed = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        command = listed.stdout
    return DAEMON in command


# --- what can go wrong, and what to do about it ---


@contextlib.contextmanager
def _usable(place: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _disk_full(place) from error
        raise WarehouseError(
            f"The embedded ClickHouse cannot use {place.root} ({error.strerror or type(error).__name__})",
            do="Make that folder writable to this user, or set ASPECTS_HOME to another one.",
        ) from error


def _disk_full(place: Place) -> WarehouseError:
    return WarehouseError(
        f"The embedded ClickHouse in {place.root} cannot start: its disk is full",
        do="Free space on that disk, or set ASPECTS_HOME to a folder on a larger one.",
    )


def _start_failed(place: Place, code: int, complaint: str) -> WarehouseError:
    try:
        log = place.start_log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        log = ""
    said = _reason(f"{log}\n{complaint}")
    where = f"The embedded ClickHouse in {place.root}"
    if code > BY_SIGNAL:
        return WarehouseError(
            f"{where} was ended by {signal.Signals(code - BY_SIGNAL).name} while it started",
            do="Look whether the machine ran out of memory and run this again, or set CLICKHOUSE_HOST to a "
            "server elsewhere.",
        )
    if "Address already in use" in said or "Code: 210." in said:
        return WarehouseError(
            f"{where} cannot listen on 127.0.0.1 ({said})",
            do=f"Free the port, or let the system choose: `{_COMMAND} start --http-port 0 --tcp-port 0`.",
        )
    if "No space left" in said or "NOT_ENOUGH_SPACE" in said:
        return _disk_full(place)
    if "Code: 76." in said:
        return WarehouseError(
            f"{where} cannot start: another process uses its data",
            do=f"End that process ({place.root / 'data' / 'status'} names it), or set ASPECTS_HOME to "
            "another folder.",
        )
    return WarehouseError(
        f"{where} cannot start: {said or f'exit code {code}'}",
        do=f"Look at {place.start_log} and {place.server_log}.",
    )


def _refused(answer: str, *, admin: bool) -> WarehouseError:
    if "ACCESS_DENIED" in answer and not admin:
        return WarehouseError(
            answer, do="The pipeline's user has only the rights of sql/grants.sql: use the admin."
        )
    return WarehouseError(answer, do="Mend the statement or what it asks for, and run it again.")


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Exception" in line or "Error" in line]
    return " ".join((errors or lines)[-1:])[:600]


def _not_ready(place: Place, timeout_s: float) -> WarehouseError:
    holder = place.holder()
    what = f"The embedded ClickHouse in {place.root} does not answer after {timeout_s:g} s"
    if holder is not None and not _is_daemon(holder.pid):
        return WarehouseError(f"{what}: a process that is no server holds its lock", do=_free_lock(place))
    return WarehouseError(
        what,
        do=f"Look at {place.server_log} and run this again; `{_COMMAND} stop` ends a server that hangs.",
    )


def _not_stopped(place: Place, holder: Holder, timeout_s: float) -> WarehouseError:
    what = f"The embedded ClickHouse in {place.root} has not stopped after {timeout_s:g} s"
    if not _is_daemon(holder.pid):
        return WarehouseError(f"{what}: a process that is no server holds its lock", do=_free_lock(place))
    return WarehouseError(
        what,
        do=f"Wait and run `{_COMMAND} stop` again, or end it by `kill -9 {holder.pid}`: every insert that "
        "was acknowledged is on disk.",
    )


def _free_lock(place: Place) -> str:
    return (
        f"Find that process by `fuser {place.server_lock}` and end it, or set ASPECTS_HOME to another folder."
    )


def _elsewhere(place: Place, holder: Holder) -> WarehouseError:
    return WarehouseError(
        f"The embedded ClickHouse in {place.root} is run by {holder.host}, another machine or container "
        f"(process {holder.pid} there)",
        do="Give each its own ASPECTS_HOME, or let them share one server by CLICKHOUSE_HOST.",
    )


def _wrong_credentials(place: Place) -> WarehouseError:
    return WarehouseError(
        f"The embedded ClickHouse in {place.root} runs with other passwords than {place.credentials} holds",
        do=f"Run `{_COMMAND} stop` and start it again: it takes the passwords on file, or makes new ones.",
    )

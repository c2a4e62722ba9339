"""One load of a month at a time, whatever machines the runs are on.

The lock is a table in the project's own database, made and signed under a name of its own: renaming it to the lock's
name succeeds for one run only. Its holder signs it every few seconds by the server's clock. A lock whose holder is
silent, or is a process of this machine that has ended, is taken over by renaming it away, which again succeeds for one
run only.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import catch_up

HEARTBEAT_S = 5.0
#: A holder that has not signed for so long is taken for dead.
SILENT_S = 60
_TABLE_EXISTS = "error 57:"
_UNKNOWN_TABLE = "error 60:"


class LockedError(WarehouseError):
    """Another run that is alive loads the same month."""


class Lock:
    """A lock that is held; `check()` before whatever must not be done by two."""

    def __init__(self, warehouse: Warehouse, database: str, table: str) -> None:
        self._warehouse = warehouse
        self._database = database
        self._table = table
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sign_on, name="lock heartbeat", daemon=True)

    def names(self) -> dict[str, str]:
        """The parameters by which a statement makes sure, in itself, that the lock is still this run's."""
        return {
            "lock_database": self._database,
            "lock_table": self._table,
            "run_id": self._warehouse.run_id,
        }

    def check(self) -> None:
        """Make sure that the lock is still this run's.

        Raises:
            LockedError: it was silent for too long, and another run has taken over.
        """
        try:
            holder = self._warehouse.row("lock_holder", database=self._database, table=self._table)[0]
        except WarehouseError as error:
            if _UNKNOWN_TABLE not in str(error):
                raise
            holder = "nobody"
        if holder != self._warehouse.run_id:
            raise LockedError(
                f"the lock {self._database}.{self._table} is now held by run {holder}",
                do="This run was out of touch for too long and stops here; the other one goes on.",
            )

    def _sign(self) -> None:
        _sign(self._warehouse, self._database, self._table)

    def _sign_on(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                self._sign()
            except WarehouseError:
                continue  # `check` decides; a server that restarts must not end a run that could go on

    def _release(self) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        try:
            self.check()
        except WarehouseError:
            return  # not ours any more, or out of reach: then its silence releases it
        self._warehouse.run("table_drop", database=self._database, table=self._table)


@contextmanager
def locked(
    warehouse: Warehouse,
    database: str,
    table: str,
    *,
    say: Callable[[str], None] = lambda _: None,
    doing: str = "is loading this month",
) -> Iterator[Lock]:
    """Hold a lock for the time of a `with` block.

    Args:
        warehouse: its run id signs the lock.
        database, table: the lock's table; it must be used for nothing else.
        say: told when the lock of a dead run is taken over.
        doing: what another run that holds it is about, for the error.

    Raises:
        LockedError: a run that is alive holds it.
    """
    lock = Lock(warehouse, database, table)
    for _attempt in range(5):
        if _claim(warehouse, database, table):
            break
        _take_over(warehouse, database, table, say, doing)
    else:
        raise LockedError(
            f"the lock {database}.{table} is contended by several runs", do="Run again in a minute."
        )
    _drop_left_over(warehouse, database, table)
    lock._thread.start()
    try:
        yield lock
    except BaseException:
        # Why it ended is what counts; a cluster that lacks a node lets go of no table either.
        with suppress(WarehouseError):
            lock._release()
        raise
    lock._release()


def _claim(warehouse: Warehouse, database: str, table: str) -> bool:
    """Make a signed lock and give it the lock's name; False if that name is taken.

    A run that is killed in between leaves no lock that nobody has signed and nobody may take over.
    """
    claim = f"{table}_claim_{uuid.uuid4().hex[:12]}"
    warehouse.run("lock_create", database=database, table=claim)
    try:
        _sign(warehouse, database, claim)
        warehouse.run("table_rename", database=database, table=claim, new_table=table)
    except WarehouseError as error:
        if _UNKNOWN_TABLE in str(error):
            return False  # cleaned up by a run that was faster
        warehouse.run("table_drop", database=database, table=claim)
        if _TABLE_EXISTS in str(error):
            return False
        raise
    return True


def _sign(warehouse: Warehouse, database: str, table: str) -> None:
    warehouse.run(
        "lock_heartbeat",
        database=database,
        table=table,
        run_id=warehouse.run_id,
        host=_this_process(),
        pid=os.getpid(),
    )


def _drop_left_over(warehouse: Warehouse, database: str, table: str) -> None:
    """Drop the claims and stale locks of runs that were killed; a living contender's is made anew."""
    for kind in ("claim", "stale"):
        for (name,) in warehouse.rows("tables_like", database=database, prefix=f"{table}_{kind}_"):
            warehouse.run("table_drop", database=database, table=name)


def _take_over(
    warehouse: Warehouse, database: str, table: str, say: Callable[[str], None], doing: str
) -> None:
    """Rename a dead run's lock away, or raise LockedError."""
    try:
        # A replica that lags would take a living holder for a silent one.
        catch_up(warehouse, (database, table))
        holder, host, pid, silent_s, heartbeats = warehouse.row("lock_holder", database=database, table=table)
        if not heartbeats:
            ages = warehouse.rows("lock_age", database=database, table=table)
            holder, host, pid, silent_s = "(not signed yet)", "", 0, ages[0][0] if ages else SILENT_S
    except WarehouseError as error:
        if _UNKNOWN_TABLE in str(error):
            return  # released a moment ago
        raise
    if silent_s < SILENT_S and not _has_ended(host, pid):
        raise LockedError(
            f"run {holder} (process {pid} on {host.split('|')[0] or 'unknown'}) {doing}; "
            f"last sign of life {silent_s} s ago",
            do=f"Wait, or terminate it. If it is dead, its lock falls {SILENT_S} s after its last sign; run again then.",
        )
    aside = f"{table}_stale_{uuid.uuid4().hex[:12]}"
    try:
        warehouse.run("table_rename", database=database, table=table, new_table=aside)
    except WarehouseError as error:
        if _UNKNOWN_TABLE in str(error):
            return  # somebody else was first; the next attempt sees their lock
        raise
    try:
        renamed = warehouse.row("lock_holder", database=database, table=aside)[0]
    except WarehouseError as error:
        if _UNKNOWN_TABLE in str(error):
            return  # a run that was faster has cleaned up
        raise
    if heartbeats and renamed != holder:
        warehouse.run("table_rename", database=database, table=aside, new_table=table)
        raise LockedError(
            f"run {renamed} has just taken the lock {database}.{table}", do="Wait for it, then run again."
        )
    warehouse.run("table_drop", database=database, table=aside)
    say(f"took over the lock of run {holder}, which ended without releasing it")
    if heartbeats:
        _wait_for_queries(warehouse, str(holder), say)


def _wait_for_queries(warehouse: Warehouse, run_id: str, say: Callable[[str], None]) -> None:
    """Let the queries of a dead run end: an insert that goes on by itself must be seen before ids are compared."""
    started, told = time.monotonic(), False
    while with_retries(lambda: warehouse.row("queries_of_run", run_id=run_id)[0]):
        if not told:
            say(f"waiting for a query of run {run_id} that ClickHouse still works on")
            told = True
        if time.monotonic() - started > 1800:
            raise WarehouseError(
                f"ClickHouse still works on a query of the dead run {run_id} after half an hour",
                do="Look at it in system.processes, stop it with KILL QUERY, then run again.",
            )
        time.sleep(0.5)


def _this_process() -> str:
    """This process beyond doubt: host, boot, process namespace and start time (Linux; elsewhere the host alone)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path("/proc/self/ns/pid").stat().st_ino
        return f"{socket.gethostname()}|{boot}|{space}|{_start_time(os.getpid())}"
    except OSError:
        return socket.gethostname()


def _has_ended(host: str, pid: int) -> bool:
    """Whether a lock's holder was a process of this very machine that is no more."""
    mine = _this_process().split("|")
    theirs = host.split("|")
    if len(mine) != 4 or len(theirs) != 4 or mine[:3] != theirs[:3]:
        return False
    try:
        return _start_time(pid) != theirs[3]
    except OSError:
        return True


def _start_time(pid: int) -> str:
    # The command's name, in parentheses, may hold spaces: count fields behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        raise ProcessLookupError(pid)
    return fields[19]

"""A Celery worker for runs: `celery -A aspects_orchestration.scale_out.worker worker --concurrency 1`.

Broker, result store and queue are those of the run launcher in DAGSTER_HOME's dagster.yaml: one place says it for all.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from typing import Any

from celery import Celery
from dagster import DagsterInstance
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value, unpack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME

from aspects_orchestration.errors import AspectsError, SettingsError
from aspects_orchestration.scale_out.launcher import WatchedCeleryRunLauncher
from aspects_orchestration.settings import load_settings

_PR_SET_PDEATHSIG = 1


class RunProcessError(AspectsError):
    """The process of a run ended before the run did."""


def make_app(instance: DagsterInstance) -> Celery:
    """The app of the instance's launcher, with what a worker has to do.

    Raises:
        SettingsError: the instance launches its runs elsewhere.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, WatchedCeleryRunLauncher):
        raise SettingsError(
            f"the run launcher of this Dagster instance is {type(launcher).__name__}",
            do="Point DAGSTER_HOME at a folder whose dagster.yaml is that of deploy/celery.",
        )
    app = launcher.celery
    app.conf.update(
        # A run holds all cores for minutes: one that waits behind it must be free for another worker to take.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        broker_connection_retry_on_startup=True,
    )
    app.task(name=TASK_EXECUTE_JOB_NAME, track_started=True)(execute_job)
    return app


def execute_job(execute_job_args_packed: Any) -> int:
    """Execute a run in a process of its own, as Dagster's other launchers do, and wait for it.

    A process of Celery's pool may have no children, and a run has: its transform workers. What ends this process ends the
    run too, in order.

    Args:
        execute_job_args_packed: ExecuteRunArgs, as dagster-celery's launcher packs them.

    Returns:
        0, or the exit code of a run that has reported its failure.

    Raises:
        RunProcessError: the process was killed; run monitoring takes it from there.
    """
    given = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs)
    # The instance is that of this worker's own DAGSTER_HOME; nothing of its configuration stands in the process list.
    arguments = serialize_value(
        ExecuteRunArgs(
            job_origin=given.job_origin, run_id=given.run_id, instance_ref=None, set_exit_code_on_failure=True
        )
    )
    with subprocess.Popen(
        [sys.executable, "-m", "dagster", "api", "execute_run", arguments],
        stdout=subprocess.DEVNULL,  # events, which are in the instance already
        preexec_fn=_end_with_parent,  # noqa: PLW1509  one system call, and a pool process has one thread
    ) as process:
        before = signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    if code < 0:
        raise RunProcessError(
            f"the process of run {given.run_id} was ended by {signal.Signals(-code).name}",
            do="If nobody did that, the machine ran out of memory: look at dmesg, and lower ASPECTS_TRANSFORM_WORKERS.",
        )
    return code


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def app_or_exit() -> Celery:
    """The app of this machine's instance; ends the process where settings would lose or double something."""
    try:
        if not load_settings().several_machines:
            raise SettingsError(
                "ASPECTS_SEVERAL_MACHINES is not set, so nothing has checked what workers share",
                do="Set ASPECTS_SEVERAL_MACHINES=true for the web server, the daemon and every worker.",
            )
        return make_app(DagsterInstance.get())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


app = app_or_exit()

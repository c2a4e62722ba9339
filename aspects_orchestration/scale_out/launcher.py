"""A run launcher for Celery that notices when the machine of a worker is gone.

dagster-celery asks Celery's result store whether a run lives, where a task that was started stays started for ever when its
worker dies with its machine. This one asks the worker itself, so that Dagster's run monitoring fails such a run, and run
retries send its month to another worker.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from dagster import DagsterRun, Field, IntSource
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

if TYPE_CHECKING:
    from dagster._config import UserConfigSchema

#: One question to the workers waits so long for answers, in seconds.
_ANSWER_S = 2.0


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Starts runs as Celery tasks, and asks their workers whether they still work on them.

    Args:
        worker_silence_s: a run whose worker has not said for so many seconds that it works on it has failed. More than a
            worker needs to be restarted by its supervisor with the run gone, or to be without a network.
        launcher: all else, as CeleryRunLauncher takes it.
    """

    def __init__(self, worker_silence_s: int, **launcher: Any) -> None:
        super().__init__(**launcher)
        self._worker_silence_s = worker_silence_s
        # When the silence of a run's worker began, by the run's id; in memory, because to begin anew only waits longer.
        self._silent_since: dict[str, float] = {}

    def terminate(self, run_id: str) -> bool:
        """Ask a run's worker to stop it; False if there is no such run, or if it has ended.

        A run that is being canceled must be known to be: its task is revoked, and would else be taken for a worker's
        failure and started again.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return bool(super().terminate(run_id))

    @property
    def supports_resume_run(self) -> bool:
        """A run is not taken up where it was: a new one is, which goes on behind what was staged."""
        return False

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether a worker works on a run; asked by run monitoring.

        Raises:
            Exception: the broker or the result store cannot be reached. That says nothing of the run, and run monitoring
                asks again.
        """
        task_id = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        task = self.celery.AsyncResult(task_id)
        state, meta = task.state, task.info
        if state == "SUCCESS":
            return self._heard(run, WorkerStatus.SUCCESS)
        if state in {"FAILURE", "REVOKED"}:
            return self._heard(run, WorkerStatus.FAILED, f"Celery task {state.lower()}: {meta}")
        worker = meta.get("hostname") if isinstance(meta, Mapping) else None
        if self._works_on(task_id, worker):
            return self._heard(run, WorkerStatus.RUNNING)
        silent_s = time.monotonic() - self._silent_since.setdefault(run.run_id, time.monotonic())
        if silent_s < self._worker_silence_s:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"no word from {worker or 'any worker'}")
        who = (
            f"Worker {worker} is gone, or"
            if worker
            else "No worker answers that it works on this run, and none"
        )
        return self._heard(
            run,
            WorkerStatus.FAILED,
            f"{who} does not work on this run any more (silent for {silent_s:.0f} s). What was staged stays;"
            " a retry goes on behind it.",
        )

    def _works_on(self, task_id: str, worker: str | None) -> bool:
        # Where the result store has forgotten a task, any worker may have it.
        asked = self.celery.control.inspect(destination=[worker] if worker else None, timeout=_ANSWER_S)
        found = asked.active() or {}
        return any(one["id"] == task_id for tasks in found.values() for one in tasks)

    def _heard(
        self, run: DagsterRun, status: WorkerStatus, message: str | None = None
    ) -> CheckRunHealthResult:
        self._silent_since.pop(run.run_id, None)
        return CheckRunHealthResult(status, message)

    def get_run_worker_debug_info(
        self,
        run: DagsterRun,
        include_container_logs: bool | None = True,  # noqa: ARG002  the overridden method's
    ) -> str | None:
        """Which task and worker a run was given to, for the message of its failure."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return None
        task = self.celery.AsyncResult(task_id)
        meta = task.info
        worker = meta.get("hostname") if isinstance(meta, Mapping) else None
        return f"Celery task {task_id}: {task.state}, worker {worker or 'unknown'}"

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What dagster.yaml may say."""
        return {
            **cast(Mapping[str, Any], super().config_type()),
            "worker_silence_s": Field(
                IntSource,
                is_required=False,
                default_value=60,
                description="A run whose worker has not answered for so many seconds has failed.",
            ),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Made of what dagster.yaml says."""
        return cls(inst_data=inst_data, **config_value)

"""A site whose runs are on several machines: deploy/celery's own dagster.yaml, a daemon, a web server and Celery workers.

Each of them has an ASPECTS_HOME and a DAGSTER_HOME of its own, as on machines of their own; they share what machines share.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import yaml

from services.ports import free_port
from services.postgres import Postgres
from services.site import Site
from services.valkey import Valkey
from services.web import ROOT, Web, until

_BACKFILL = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_STATUS = """
query ($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename ... on PartitionBackfill {
  status numPartitions } } }"""
_RUNS = """
query { runsOrError(limit: 200) { ... on Runs { results {
  runId status parentRunId tags { key value } } } } }"""
_TERMINATE = "mutation ($id: String!) { terminateRun(runId: $id) { __typename } }"


@dataclass
class Machine:
    """A process, and all below it, with folders of its own."""

    name: str
    site: Site
    log: Path
    process: subprocess.Popen[bytes]

    def pids(self) -> set[int]:
        """Of the process and all that it has started."""
        found = set()
        for pid in psutil.pids():
            try:
                if os.getsid(pid) == self.process.pid:
                    found.add(pid)
            except ProcessLookupError:
                continue
        return found

    def kill(self) -> None:
        """As when the power fails: everything at once."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(20)

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")


@dataclass
class CelerySite:
    """The machines of a site.

    Args:
        site: its settings, without ASPECTS_HOME and DAGSTER_HOME of any machine.
        postgres, valkey: what Dagster and Celery keep their state in.
        bucket: for compute logs.
        silence_s: after how long without a word a worker is taken for gone, in seconds.
    """

    site: Site
    postgres: Postgres
    valkey: Valkey
    bucket: str
    silence_s: int = 8
    machines: dict[str, Machine] = field(default_factory=dict)

    def start_all(self, *workers: str) -> None:
        """Web server, daemon and workers, and wait until they are ready."""
        self.start("web", "dagster-webserver", *("-h", "127.0.0.1", "-p", str(self._port), *self._module))
        web = self.machines["web"]
        until(self._is_ready, within_s=180, what="the web server answers", log=web.log)
        self.start("daemon", "dagster-daemon", "run", *self._module)
        for name in workers:
            self.start_worker(name)

    def __post_init__(self) -> None:
        self._port = free_port()
        self._module = ("-m", "aspects_orchestration.definitions")

    @property
    def web(self) -> Web:
        """The web server."""
        return Web(
            f"http://127.0.0.1:{self._port}", self.machines["web"].log, self.machines["web"].process.pid
        )

    def start_worker(self, name: str) -> None:
        """As the systemd unit does, with a name of its own because all are on one host here."""
        self.start(
            name,
            *("celery", "-A", "aspects_orchestration.scale_out.worker", "worker", "--concurrency", "1"),
            *("--queues", "dagster", "--loglevel", "INFO", "-n", f"{name}@%h"),
        )
        machine = self.machines[name]
        until(
            lambda: machine.process.poll() is not None or " ready." in machine.said(),
            within_s=120,
            what=f"worker {name} is ready",
            log=machine.log,
        )
        assert machine.process.poll() is None, machine.said()

    def on(self, name: str) -> Site:
        """The site as one machine sees it."""
        folder = self.site.folder / "machines" / name
        (folder / "dagster").mkdir(parents=True, exist_ok=True)
        (folder / "dagster" / "dagster.yaml").write_text(self._dagster_yaml())
        broker = f"redis://:{quote(self.valkey.password, safe='')}@127.0.0.1:{self.valkey.port}"
        return replace(
            self.site,
            environ={
                **self.site.environ,
                "ASPECTS_SEVERAL_MACHINES": "true",
                "ASPECTS_HOME": str(folder / "home"),
                "DAGSTER_HOME": str(folder / "dagster"),
                "DAGSTER_MODULE_NAME": "",
                "DAGSTER_POSTGRES_URL": self.postgres.url,
                "DAGSTER_CELERY_BROKER_URL": f"{broker}/5",
                "DAGSTER_CELERY_RESULT_URL": f"{broker}/6",
                "DAGSTER_COMPUTE_LOG_BUCKET": self.bucket,
                "ASPECTS_TRANSFORM_WORKERS": "1",
            },
        )

    def _dagster_yaml(self) -> str:
        found = yaml.safe_load((ROOT / "deploy/celery/dagster.yaml").read_text())
        found["run_launcher"]["config"]["worker_silence_s"] = self.silence_s
        found["run_monitoring"] |= {"poll_interval_seconds": 2, "cancel_timeout_seconds": 60}
        return yaml.safe_dump(found)

    def start(self, name: str, *command: str) -> None:
        """Start a machine's process."""
        site = self.on(name)
        log = site.folder / "machines" / name / "log"
        with log.open("ab") as output:
            process = site.popen(*command, stdout=output, stderr=subprocess.STDOUT)
        self.machines[name] = Machine(name, site, log, process)

    def stop_all(self) -> None:
        """All of them, at once."""
        for one in self.machines.values():
            one.kill()

    def _is_ready(self) -> bool:
        machine = self.machines["web"]
        assert machine.process.poll() is None, machine.said()[-4000:]
        try:
            found = self.web.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except OSError:
            return False
        return bool(found["repositoriesOrError"].get("nodes"))

    # --- what an operator does --------------------------------------------------------------------------------------

    def backfill(self, months: list[str]) -> str:
        """Launch a backfill of xapi_events_all; its id."""
        params = {
            "assetSelection": [{"path": ["xapi_events_all"]}],
            "partitionNames": months,
            "fromFailure": False,
        }
        found = self.web.ask(_BACKFILL, params=params)["launchPartitionBackfill"]
        assert found["__typename"] == "LaunchBackfillSuccess", found
        return str(found["backfillId"])

    def status_of(self, backfill: str) -> str:
        """REQUESTED, COMPLETED_SUCCESS, …"""
        return str(self.web.ask(_STATUS, id=backfill)["partitionBackfillOrError"]["status"])

    def runs(self) -> list[dict[str, Any]]:
        """All runs: `runId`, `status`, `parentRunId`, and `tags` by name."""
        found: list[dict[str, Any]] = self.web.ask(_RUNS)["runsOrError"]["results"]
        for run in found:
            run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"]}
        return found

    def terminate(self, run_id: str) -> None:
        """As the UI's button does."""
        found = self.web.ask(_TERMINATE, id=run_id)["terminateRun"]
        assert found["__typename"] == "TerminateRunSuccess", found

    def workers_of(self, run: dict[str, Any]) -> set[str]:
        """The names of the workers that a run has been on."""
        return {name for name, one in self.machines.items() if f" {run['runId']} - " in one.said()} - {
            "daemon",
            "web",
        }

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may stand nowhere."""
        return (self.postgres.password, self.valkey.password, quote(self.valkey.password, safe=""))

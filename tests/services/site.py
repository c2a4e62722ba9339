"""A whole small site for a test: sample logs, users and courses, an embedded ClickHouse, and ways to load and to look.

Nothing is shared between two sites but the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.httputil import close_managers

from aspects_orchestration.replay.load import load_month
from aspects_orchestration.replay.plan import LoadPlan, LoadRequest, make_plan
from aspects_orchestration.replay.reading import transformer_reader
from aspects_orchestration.replay.result import LoadResult, utc_now
from aspects_orchestration.resources.clickhouse import connect, schema_names
from aspects_orchestration.samples import SampleSpec, write_courses, write_identities, write_logs
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.verify import QUESTIONS, Finding, Month

ALL_ROWS = "SELECT event_id, emission_time, event FROM xapi.xapi_events_all ORDER BY ALL FORMAT TSV"


@dataclass
class Site:
    """One site below a folder of its own."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """ASPECTS_HOME."""
        return self.folder / "home"

    @property
    def logs(self) -> Path:
        """ASPECTS_TRACKING_LOGS."""
        return self.folder / "logs"

    @property
    def variables(self) -> dict[str, str]:
        """All that is set in this site's environment."""
        return {
            "ASPECTS_HOME": str(self.home),
            "ASPECTS_TRACKING_LOGS": str(self.logs),
            "ASPECTS_IDENTITIES": str(self.folder / "identities.csv"),
            "ASPECTS_COURSES": str(self.folder / "courses.csv"),
            "ASPECTS_TRACKING_LOG_ARCHIVE": str(self.folder / "archive"),
            "ASPECTS_TRANSFORM_WORKERS": "2",
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_MODULE_NAME": "aspects_orchestration.definitions",
            **self.environ,
        }

    @property
    def settings(self) -> Settings:
        """The settings that follow."""
        return load_settings(self.variables)

    def write_samples(self, spec: SampleSpec, **how: Any) -> list[Path]:
        """Write sample logs, and the users and courses that they name."""
        write_identities(spec, self.folder / "identities.csv")
        write_courses(spec, self.folder / "courses.csv")
        return write_logs(spec, self.logs, **how)

    def warehouse(self) -> Warehouse:
        """A connection of a run of its own, as the pipeline's user, with every table in place."""
        return connect(self.settings, run_id=uuid.uuid4().hex)

    def plan(self, month: str, warehouse: Warehouse, **request: Any) -> LoadPlan:
        """The plan of a load."""
        return make_plan(
            self.settings,
            LoadRequest(month, **request),
            warehouse,
            reader=transformer_reader(),
            s3=S3Options(),
            now=utc_now(),
        )

    def load(self, month: str, said: list[str] | None = None, **request: Any) -> LoadResult:
        """Load a month in this process, as the asset does."""
        warehouse = self.warehouse()
        plan = self.plan(month, warehouse, **request)
        say = said.append if said is not None else lambda _: None
        return load_month(self.settings, plan, warehouse, s3=S3Options(), say=say)

    def check(self, month: str) -> dict[str, Finding]:
        """The answer to every question about a month."""
        warehouse = self.warehouse()
        return {
            name: ask(warehouse, Month(schema_names(self.settings), month)) for name, ask in QUESTIONS.items()
        }

    def rows(self) -> bytes:
        """The whole raw table, sorted."""
        return self.sql(ALL_ROWS)

    def sql(self, statement: str, *, admin: bool = False) -> bytes:
        """What the embedded server answers to a statement."""
        address = server.ensure_running(self.home)
        return b"".join(server.query(address, statement, admin=admin))

    def popen(self, *command: str, **how: Any) -> subprocess.Popen[bytes]:
        """Start a command of this environment, such as `dagster …` or `-m aspects_orchestration…`, in its own session."""
        (self.folder / "dagster").mkdir(exist_ok=True)
        configuration = self.folder / "dagster" / "dagster.yaml"
        if not configuration.exists():
            configuration.write_text("telemetry: {enabled: false}\n")
        program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        if command[0].startswith("-"):
            program = [sys.executable, *command]
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ASPECTS_", "CLICKHOUSE_"))
        }
        return subprocess.Popen(
            program, env={**environ, **self.variables}, cwd=self.folder, start_new_session=True, **how
        )

    def materialize(self, month: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        """`dagster asset materialize --select xapi_events_all --partition <month>`, output and errors together."""
        process = self.popen(
            "dagster",
            *("asset", "materialize", "--select", "xapi_events_all", "--partition", month, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output)


def stop_server(home: Path) -> None:
    """Stop a home's embedded server, if it runs.

    Connections that this process keeps for its next request are closed before: the server would wait five seconds for
    one to come.
    """
    close_managers()
    server.stop(home)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site without logs yet; its server, if the test starts it, is stopped at the end."""
    made = Site(tmp_path)
    made.logs.mkdir()
    yield made
    stop_server(made.home)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a site whose server is started once for many tests."""
    folder = tmp_path_factory.mktemp("shared")
    yield folder
    stop_server(folder / "home")


@pytest.fixture
def shared_site(shared_folder: Path) -> Iterator[Site]:
    """A site without logs, on a server that goes on for the next test, with its databases dropped at the end."""
    made = Site(shared_folder)
    made.logs.mkdir(exist_ok=True)
    yield made
    for database in ("event_sink", "aspects_orchestration", "xapi", "upstream"):
        made.sql(f"DROP DATABASE IF EXISTS {database} SYNC", admin=True)

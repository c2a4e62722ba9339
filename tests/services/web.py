"""The real web UI and daemon of a site (`dagster dev`), and GraphQL as the UI speaks it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from services.ports import free_port
from services.site import Site

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
#: Of Chromium: it talks to nobody by itself.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Web:
    """A running web UI.

    Attributes:
        url: where it answers.
        log: what it and the daemon print.
        pid: of `dagster dev`, above all that it runs.
    """

    url: str
    log: Path
    pid: int

    def ask(self, query: str, **variables: Any) -> Any:
        """The `data` of a GraphQL answer."""
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own loopback address
            found = json.load(answer)
        assert not found.get("errors"), found["errors"]
        return found["data"]


def require_chromium() -> str:
    """The path of a Chromium; without one the test is skipped, unless all must run."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("ASPECTS_TESTS_REQUIRE_ALL"):
        pytest.fail("ASPECTS_TESTS_REQUIRE_ALL is set, but there is no chromium")
    if found is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium)")
    return found


def until(look: Callable[[], T | None], *, within_s: float, what: str, log: Path | None = None) -> T:
    """What `look` finds, looked for again and again until it finds something."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    said = log.read_text(errors="replace")[-4000:] if log else ""
    raise AssertionError(f"{what}: not within {within_s:g} s\n{said}")


@contextmanager
def web_of(site: Site) -> Iterator[Web]:
    """Start `dagster dev` with the project's own dagster.yaml and workspace.yaml; stop all of it at the end."""
    home = site.folder / "dagster"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    log = site.folder / "dagster-dev.log"
    port = free_port()
    with log.open("wb") as output:
        # With the module named in the environment, `dagster dev -w` refuses to start; empty is not named.
        process = replace(site, environ={**site.environ, "DAGSTER_MODULE_NAME": ""}).popen(
            "dagster",
            *("dev", "-w", str(ROOT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        web = Web(f"http://127.0.0.1:{port}", log, process.pid)
        until(lambda: _is_ready(web, process, log), within_s=180, what="the web UI answers", log=log)
        yield web
    finally:
        _stop(process)


def _is_ready(web: Web, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text(errors="replace")[-4000:]
    try:
        found = web.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
    except (urllib.error.URLError, OSError, TimeoutError):
        return False
    return bool(found["repositoriesOrError"].get("nodes"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    for one, wait_s in ((signal.SIGINT, 20), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, one)
            process.wait(wait_s)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        # The leader has gone; its group may have members left.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        return

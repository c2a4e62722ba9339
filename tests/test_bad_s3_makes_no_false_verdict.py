"""S3 that answers 500, 503, slowly, half, other bytes or not: verify names what is wrong, release deletes nothing unread."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from services.archive import TestArchive, write_archive
from services.s3_faults import FaultyS3, in_front_of

from aspects_orchestration.archive.release import Released, release
from aspects_orchestration.archive.release_plan import plan_release
from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.archive.subset import EVERYTHING
from aspects_orchestration.archive.verify import Verified, verify
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import S3Options, open_store

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

#: Without long pauses between attempts.
QUICK = S3Options(pause_s=0.01, attempts=4)
TODAY = datetime.now(UTC).date()


@pytest.fixture
def faulty(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    with in_front_of(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


@pytest.fixture
def archive(s3: S3Server, faulty: FaultyS3) -> TestArchive:
    client = s3.client()
    for number in range(24):
        key, body = f"{s3.prefix}/logs/tracking.log-{number:02d}", b"a line, and no event\n" * (number + 1)
        client.put_object(Bucket=s3.bucket, Key=key, Body=body)
    uris = [file.uri for file in open_store(f"{s3.uri}/logs").list()]
    return write_archive(f"{s3.uri}/archive", {TODAY: uris})


@pytest.fixture
def settings(s3: S3Server, tmp_path: Path) -> Settings:
    return load_settings(
        {
            "ASPECTS_HOME": str(tmp_path),
            "ASPECTS_TRACKING_LOGS": f"{s3.uri}/logs",
            "ASPECTS_TRACKING_LOG_ARCHIVE": f"{s3.uri}/archive",
            "ASPECTS_RELEASE_KEEP_DAYS": "0",
        }
    )


def seen(archive: TestArchive) -> Verified:
    return verify(archive.uri, s3=QUICK, subset=EVERYTHING)


def released(settings: Settings) -> Released:
    now = datetime.now(UTC) + timedelta(seconds=5)
    plan = plan_release(settings, index_of(settings, s3=QUICK), s3=QUICK, now=now)
    return release(
        settings,
        plan,
        asked=plan.id,
        s3=QUICK,
        live=tuple,
        run_id="run",
        now=now,
        say=lambda _: None,
        batch_files=5,
    )


def left(s3: S3Server) -> int:
    return len(list(open_store(f"{s3.uri}/logs").list()))


@pytest.mark.parametrize("fault", ["500", "503", "slow", "half", "hang up"])
def test_what_passes_is_no_fault_of_the_archive(archive: TestArchive, faulty: FaultyS3, fault: str) -> None:
    faulty.fault = lambda method, path, number: (
        fault if method == "GET" and "/archive/" in path and number == 1 else None
    )
    found = seen(archive)
    assert found.passed, found.faults
    assert found.read_objects == 24
    assert len(faulty.done) >= 24


@pytest.mark.parametrize(
    ("fault", "kind"), [("500", "unreadable"), ("denied", "unreadable"), ("other bytes", "changed_bytes")]
)
def test_what_stays_is_named(archive: TestArchive, faulty: FaultyS3, fault: str, kind: str) -> None:
    name = archive.objects[7].object
    faulty.fault = lambda method, path, _: fault if method == "GET" and path.endswith(name) else None
    found = seen(archive)
    assert [(one.kind, one.name) for one in found.faults] == [(kind, name)]
    assert found.read_objects == (24 if kind == "changed_bytes" else 23)


def test_storage_that_refuses_everything_is_told_as_such(archive: TestArchive, faulty: FaultyS3) -> None:
    faulty.fault = lambda method, path, _: "denied" if method == "GET" and "/archive/logs/" in path else None
    with pytest.raises(LogStoreError, match="AccessDenied") as refused:
        seen(archive)
    assert "s3:GetObject" in refused.value.do


@pytest.mark.parametrize("fault", ["500", "denied", "other bytes", "half"])
def test_a_file_whose_copy_cannot_be_read_back_stays(
    archive: TestArchive, faulty: FaultyS3, settings: Settings, s3: S3Server, fault: str
) -> None:
    one = archive.objects[3]
    faulty.fault = lambda method, path, _: fault if method == "GET" and path.endswith(one.object) else None
    done = released(settings)
    assert (done.files, len(done.bad)) == (23, 1)
    assert [file.uri for file in open_store(f"{s3.uri}/logs").list()] == [one.source]


@pytest.mark.parametrize("fault", ["500", "500 after", "hang up"])
def test_a_deletion_that_is_answered_badly_is_tried_again(
    archive: TestArchive, faulty: FaultyS3, settings: Settings, s3: S3Server, fault: str
) -> None:
    faulty.fault = lambda method, path, number: (
        fault if method == "DELETE" and number == 1 and path.endswith("-07") else None
    )
    done = released(settings)
    assert done.files + done.left == 24
    assert left(s3) == 0


def test_a_refused_deletion_stops_the_run_at_once(
    archive: TestArchive, faulty: FaultyS3, settings: Settings, s3: S3Server
) -> None:
    faulty.fault = lambda method, *_: "denied" if method == "DELETE" else None
    with pytest.raises(LogStoreError, match="cannot be deleted"):
        released(settings)
    assert [method for _, method, _ in faulty.done] == ["DELETE"]
    assert left(s3) == 24

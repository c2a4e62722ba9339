"""Whatever S3 answers, an archive is whole, or nothing of the day is sealed and the next run makes it good."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from services.s3_faults import Fault, FaultyS3, in_front_of
from services.seals import FIRST, QUICK, SealSite, events

from aspects_orchestration.errors import AspectsError

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

DAY_2 = date(2024, 5, 2)


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultyS3]:
    with in_front_of(s3.endpoint) as faulty:
        yield faulty


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 try again as often as it does, but not wait before it."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def town(tmp_path: Path, s3: S3Server, proxy: FaultyS3) -> SealSite:
    """A site whose archive is behind the proxy; what the test looks at, it looks at behind its back."""
    made = SealSite(
        tmp_path, f"{s3.uri}/archive", s3.environment(), s3=replace(QUICK, endpoint_url=proxy.endpoint)
    )
    made.put_days(2, 3)
    return made


def behind(town: SealSite, s3: S3Server) -> SealSite:
    """The same archive, seen by another machine and without the proxy."""
    return replace(
        town, s3=QUICK, environ={**town.environ, "ASPECTS_HOME": str(town.folder / "another")}, said=[]
    )


def assert_whole(town: SealSite, s3: S3Server) -> None:
    seen = behind(town, s3)
    stored = seen.stored()
    for one in seen.objects():
        assert hashlib.sha256(stored[one.object]).hexdigest() == one.stored_sha256
    assert seen.lines() == seen.lines(str(seen.logs))


def on(methods: str, part: str, fault: str, numbers: range = range(1, 2)) -> Fault:
    return lambda method, path, number: (
        fault if method in methods.split() and part in path and number in numbers else None
    )


WRITING = ["500", "503", "slow", "hang up", "500 after", "sent wrong"]
READING = ["500", "503", "slow", "hang up", "half", "other bytes"]


@pytest.mark.parametrize("part", ["/logs/", "/manifests/"])
@pytest.mark.parametrize(
    ("methods", "fault"), [*(("PUT", one) for one in WRITING), *(("GET", one) for one in READING)]
)
def test_a_fault_that_passes_is_got_over_or_told_and_made_good(
    town: SealSite, s3: S3Server, proxy: FaultyS3, methods: str, fault: str, part: str
) -> None:
    proxy.fault = on(methods, part, fault)
    with suppress(AspectsError):
        town.seal(FIRST)
    assert {one[0] for one in proxy.done} == {fault}
    proxy.fault = lambda *_: None
    town.seal(DAY_2)
    assert_whole(town, s3)


@pytest.mark.parametrize("fault", ["500", "503", "denied", "hang up", "sent wrong"])
def test_a_fault_that_stays_seals_nothing_and_says_so(
    town: SealSite, s3: S3Server, proxy: FaultyS3, fault: str
) -> None:
    proxy.fault = on("PUT", "/archive/logs/", fault, range(1, 1000))
    with pytest.raises(AspectsError) as refused:
        town.seal(FIRST)
    assert "archive/logs/2024-05-01/" in refused.value.what
    assert ("s3:PutObject" in refused.value.do) == (fault == "denied")
    assert "s3:DeleteObject" not in refused.value.do
    assert not [name for name in behind(town, s3).stored() if name.startswith(("logs/", "manifests/"))]
    proxy.fault = lambda *_: None
    town.seal(DAY_2)
    assert_whole(town, s3)


def test_a_manifest_that_is_never_read_back_as_written_does_not_count(
    town: SealSite, s3: S3Server, proxy: FaultyS3
) -> None:
    proxy.fault = on("GET", "/manifests/2024", "other bytes", range(1, 1000))
    with pytest.raises(AspectsError, match=r"manifest|read"):
        town.seal(FIRST)
    proxy.fault = lambda *_: None
    town.seal(DAY_2)
    assert_whole(town, s3)


def test_large_uploads_survive_each_fault_of_a_part(town: SealSite, s3: S3Server, proxy: FaultyS3) -> None:
    # Nothing to compress in it, so that the object is uploaded in parts.
    noise = b"\n".join(os.urandom(1000).hex().encode() for _ in range(17_000)) + b"\n"
    town.environ["ASPECTS_ARCHIVE_COMPRESSION"] = "gz"
    town.put("noise.log", noise, datetime(2024, 5, 1, 12, tzinfo=UTC))
    faults = iter(["500", "hang up", "503", "500 after"])
    proxy.fault = lambda method, path, number: (
        next(faults, None) if method in {"PUT", "POST"} and "noise" in path and number > 1 else None
    )
    with suppress(AspectsError):
        town.seal(FIRST)
    proxy.fault = lambda *_: None
    town.seal(DAY_2)
    assert_whole(town, s3)
    uploads = s3.client().list_multipart_uploads(Bucket=s3.bucket)
    assert not [one for one in uploads.get("Uploads", ()) if one["Key"].startswith(s3.prefix)]


def test_a_log_that_storage_refuses_does_not_keep_the_others_out(
    town: SealSite, s3: S3Server, proxy: FaultyS3
) -> None:
    for number in range(3):
        s3.put(f"sources/{number}.log", events(number * 10, 10))
    town.environ["ASPECTS_TRACKING_LOGS"] = f"{s3.uri}/sources"
    today = datetime.now(UTC).date()
    proxy.fault = on("GET", "/sources/1.log", "denied", range(1, 1000))
    late = datetime(2100, 1, 1, tzinfo=UTC)
    result = town.seal(today, now=late)
    assert [one.uri for one in result.left_out] == [f"{s3.uri}/sources/1.log"]
    assert "s3:GetObject" in result.left_out[0].why
    assert {one.source for one in town.objects()} == {f"{s3.uri}/sources/{number}.log" for number in (0, 2)}
    proxy.fault = lambda *_: None
    town.seal(date.fromordinal(today.toordinal() + 1), now=late)
    assert town.lines() == town.lines(f"{s3.uri}/sources")


def test_where_all_logs_are_refused_the_seal_stops(town: SealSite, s3: S3Server, proxy: FaultyS3) -> None:
    for number in range(30):
        s3.put(f"sources/{number}.log", events(number * 10, 10))
    town.environ["ASPECTS_TRACKING_LOGS"] = f"{s3.uri}/sources"
    proxy.fault = on("GET", ".log", "denied", range(1, 1000))
    with pytest.raises(AspectsError, match="cannot be read: AccessDenied"):
        town.seal(datetime.now(UTC).date(), now=datetime(2100, 1, 1, tzinfo=UTC))
    assert not [name for name in behind(town, s3).stored() if name.startswith("manifests/")]

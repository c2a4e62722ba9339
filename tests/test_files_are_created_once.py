"""A file that is created is written whole, checked on its way, and never over another; of two at once, one succeeds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.tracking.stores import LogStore, Protection, open_store
from aspects_orchestration.tracking.stores.s3_create import PART_BYTES

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

#: Three parts of an upload in parts.
LARGE = [bytes([number]) * (1024 * 1024) for number in range(2 * PART_BYTES // (1024 * 1024) + 1)]


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        return open_store(s3.uri)
    return open_store(str(tmp_path / "made") if request.param == "folder" else f"memory://{tmp_path.name}")


@pytest.mark.parametrize("chunks", [[], [b"a", b"b"], LARGE], ids=["empty", "small", "in parts"])
def test_what_is_created_stays_as_it_is(store: LogStore, chunks: list[bytes]) -> None:
    uri = f"{store.uri}/day/one.zst"
    assert store.create(uri, chunks)
    assert not store.create(uri, [b"another"])
    assert store.get(uri) == b"".join(chunks)


def test_of_several_at_once_one_succeeds(store: LogStore) -> None:
    if store.uri.startswith("memory"):
        pytest.skip("fsspec knows no conditional writes; its docstring says so")
    uri, writers, ready = f"{store.uri}/one.zst", 6, threading.Barrier(6)

    def chunks(number: int) -> list[bytes]:
        return [bytes([number]) * (1024 * 1024)] * (17 if number % 2 else 1)

    def create(number: int) -> bool:
        ready.wait(30)
        return store.create(uri, chunks(number))

    with ThreadPoolExecutor(writers) as threads:
        created = list(threads.map(create, range(writers)))
    assert created.count(True) == 1
    assert store.get(uri) == b"".join(chunks(created.index(True)))


def test_a_source_that_breaks_off_leaves_nothing(store: LogStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield from LARGE
        raise LogStoreError("the source is gone", do="Nothing.")

    with pytest.raises(LogStoreError, match="the source is gone"):
        store.create(f"{store.uri}/one.zst", chunks())
    assert not store.exists(f"{store.uri}/one.zst")


def test_an_upload_that_failed_leaves_no_parts_behind(s3: S3Server) -> None:
    def chunks() -> Iterator[bytes]:
        yield from LARGE
        raise LogStoreError("the source is gone", do="Nothing.")

    with pytest.raises(LogStoreError):
        open_store(s3.uri).create(f"{s3.uri}/one.zst", chunks())
    found = s3.client().list_multipart_uploads(Bucket=s3.bucket)
    assert not [one for one in found.get("Uploads", ()) if one["Key"].startswith(s3.prefix)]


@pytest.mark.parametrize("chunks", [[b"small"], LARGE], ids=["small", "in parts"])
def test_an_object_is_locked_as_asked(s3: S3Server, chunks: list[bytes]) -> None:
    client, bucket = s3.client(), "locked-" + s3.prefix
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    uri = f"s3://{bucket}/one.zst"
    assert open_store(f"s3://{bucket}").create(
        uri, chunks, protection=Protection(lock="COMPLIANCE", retain_until=until)
    )
    found = client.head_object(Bucket=bucket, Key="one.zst")
    assert (found["ObjectLockMode"], found["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", until)
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="one.zst", VersionId=found["VersionId"])

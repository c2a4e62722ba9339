"""An archive is written without the right to delete or to overwrite, and locked and encrypted where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from services.s3_faults import FaultyS3, in_front_of
from services.seals import FIRST, QUICK, SealSite, killed

from aspects_orchestration.errors import LogStoreError, SettingsError

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

DAY_2 = date(2024, 5, 2)
LOCK = {"ASPECTS_ARCHIVE_OBJECT_LOCK": "compliance", "ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS": "3"}


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultyS3]:
    with in_front_of(s3.endpoint) as faulty:
        yield faulty


def test_without_the_right_to_delete_all_is_sealed(tmp_path: Path, s3: S3Server, proxy: FaultyS3) -> None:
    town = SealSite(tmp_path, f"{s3.uri}/archive", s3.environment())
    town.put_days(2, 9)
    town.seal(FIRST)
    killed(town.popen(DAY_2, "progress created:2"))
    proxy.fault = lambda method, *_: "denied" if method == "DELETE" else None
    guarded = replace(town, s3=replace(QUICK, endpoint_url=proxy.endpoint), said=town.said)
    guarded.seal(DAY_2)
    assert "2024-05-02: 8 objects of an earlier run are taken over" in town.said
    assert [one for one in proxy.done if one[1] == "DELETE"], "what is not needed any more may stay"
    guarded.seal(date(2024, 5, 3))
    assert town.lines() == town.lines(str(town.logs))
    # Nothing is written a second time either.
    puts = [path for fault, method, path in proxy.done if method == "PUT"]
    assert len(puts) == len(set(puts))


def test_what_is_sealed_is_locked_for_real(tmp_path: Path, s3: S3Server) -> None:
    client, bucket = s3.client(), "sealed-" + s3.prefix
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    town = SealSite(tmp_path, f"s3://{bucket}/archive", {**s3.environment(), **LOCK})
    town.put_days(2, 2)
    town.seal(FIRST)
    killed(town.popen(DAY_2, "manifest"))
    town.seal(DAY_2)
    versions = client.list_object_versions(Bucket=bucket)["Versions"]
    sealed = [one for one in versions if "/logs/" in one["Key"] or "/manifests/" in one["Key"]]
    assert len(sealed) == 6
    for one in sealed:
        head = client.head_object(Bucket=bucket, Key=one["Key"])
        assert head["ObjectLockMode"] == "COMPLIANCE"
        left = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=2, hours=23) < left <= timedelta(days=3)
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    # A delete marker hides an object and takes nothing away; the version under it is still there.
    client.delete_object(Bucket=bucket, Key=sealed[0]["Key"])
    kept = client.get_object(Bucket=bucket, Key=sealed[0]["Key"], VersionId=sealed[0]["VersionId"])
    assert kept["Body"].read()


def test_a_bucket_without_object_lock_is_told(tmp_path: Path, s3: S3Server) -> None:
    town = SealSite(tmp_path, f"{s3.uri}/archive", {**s3.environment(), **LOCK})
    town.put_days(1)
    with pytest.raises(LogStoreError, match="switch Object Lock on for the bucket"):
        town.seal(FIRST)
    assert town.stored() == {}


def test_encryption_is_asked_for(tmp_path: Path, s3: S3Server, proxy: FaultyS3) -> None:
    asked = {"ASPECTS_ARCHIVE_ENCRYPTION": "AES256"}
    town = SealSite(
        tmp_path,
        f"{s3.uri}/archive",
        {**s3.environment(), **asked},
        s3=replace(QUICK, endpoint_url=proxy.endpoint),
    )
    town.put_days(1)
    town.seal(FIRST)
    assert town.lines() == town.lines(str(town.logs))
    for name in town.stored():
        head = s3.client().head_object(Bucket=s3.bucket, Key=f"{s3.prefix}/archive/{name}")
        assert head["ServerSideEncryption"] == "AES256"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"ASPECTS_ARCHIVE_OBJECT_LOCK": "compliance"}, "set ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS"),
        ({"ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS": "30"}, "is set without a lock"),
        ({"ASPECTS_ARCHIVE_OBJECT_LOCK": "legal"}, "set none or governance or compliance"),
        ({"ASPECTS_ARCHIVE_KMS_KEY": "alias/logs"}, "set ASPECTS_ARCHIVE_ENCRYPTION to aws:kms"),
        ({"ASPECTS_ARCHIVE_ENCRYPTION": "aws:kms"}, "the archive is not in S3"),
        (LOCK, "the archive is not in S3"),
        ({"ASPECTS_ARCHIVE_COMPRESSION": "bz2"}, "set zst or gz"),
        ({"ASPECTS_ARCHIVE_LATENESS_HOURS": "-1"}, "is not a number of hours"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, given: dict[str, str], why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        _ = SealSite(tmp_path, environ=given).settings

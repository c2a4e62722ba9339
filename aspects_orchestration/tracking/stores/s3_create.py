"""Creating an object in S3 that must not be there yet, in parts, with the lock and encryption that were asked for."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aspects_orchestration.tracking.stores.store import Protection

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

#: S3 takes 10,000 parts at most: 160 GB of one object.
PART_BYTES: Final = 16 * 1024 * 1024
#: Parts under way at once; each is held in memory.
_UPLOADS: Final = 2
#: What S3 answers if the object is there already, or is just being created by another.
CONFLICT_CODES: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})


def create_object(
    client: S3Client, bucket: str, key: str, chunks: Iterable[bytes], protection: Protection
) -> bool:
    """Create an object; every part is checked by the server against its MD5.

    An upload that fails is aborted, and no object appears.

    Returns:
        True; that there is one already is an error of the client with one of CONFLICT_CODES.
    """
    parts = _parts(chunks)
    first = next(parts, b"")
    second = next(parts, None)
    if second is None:
        client.put_object(
            Bucket=bucket,
            Key=key,
            Body=first,
            ContentMD5=_md5(first),
            IfNoneMatch="*",
            **_protected(protection),
        )
        return True
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, **_protected(protection))["UploadId"]
    try:
        done = _upload_parts(client, bucket, key, upload, _chain(first, second, parts))
        client.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}, IfNoneMatch="*"
        )
    except BaseException:
        # Where aborting is not granted either, a lifecycle rule of the bucket has to (docs/archive.md).
        with suppress(Exception):
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        raise
    return True


def _upload_parts(
    client: S3Client, bucket: str, key: str, upload: str, parts: Iterable[bytes]
) -> list[CompletedPartTypeDef]:
    def put(number: int, part: bytes) -> CompletedPartTypeDef:
        answer = client.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part, ContentMD5=_md5(part)
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    under_way: list[Future[CompletedPartTypeDef]] = []
    done: list[CompletedPartTypeDef] = []
    with ThreadPoolExecutor(_UPLOADS) as threads:
        for number, part in enumerate(parts, 1):
            under_way.append(threads.submit(put, number, part))
            if len(under_way) >= _UPLOADS:
                done.append(under_way.pop(0).result())
        done.extend(one.result() for one in under_way)
    return done


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for chunk in chunks:
        gathered += chunk
        while len(gathered) >= PART_BYTES:
            yield bytes(gathered[:PART_BYTES])
            del gathered[:PART_BYTES]
    if gathered:
        yield bytes(gathered)


def _chain(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _protected(protection: Protection) -> dict[str, Any]:
    asked = {
        "ObjectLockMode": protection.lock,
        "ObjectLockRetainUntilDate": protection.retain_until if protection.lock else None,
        "ServerSideEncryption": protection.encryption,
        "SSEKMSKeyId": protection.kms_key,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()

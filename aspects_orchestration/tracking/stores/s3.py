"""Log files in S3, or in anything that speaks its protocol."""

from __future__ import annotations

import io
import mimetypes
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from aspects_orchestration.errors import AspectsError, LogStoreError, one_line
from aspects_orchestration.tracking.stores.reading import (
    BUFFER_BYTES,
    Broken,
    ResumingReader,
    Source,
    changed,
)
from aspects_orchestration.tracking.stores.s3_create import CONFLICT_CODES, create_object
from aspects_orchestration.tracking.stores.s3_listing import read_listings_fast
from aspects_orchestration.tracking.stores.store import (
    UNPROTECTED,
    LogFile,
    Protection,
    S3Options,
    is_log_path,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_GRANTS: Final = {
    "read": "s3:ListBucket and s3:GetObject",
    "created": "s3:PutObject (with a lock also s3:PutObjectRetention, with a KMS key kms:GenerateDataKey)",
    "written": "s3:PutObject",
    "deleted": "s3:DeleteObject",
}
#: What S3 answers to a lock where the bucket has Object Lock not switched on.
_LOCK_CODES: Final = frozenset({"InvalidRequest", "ObjectLockConfigurationNotFoundError"})
_CREDENTIAL_CODES: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "InvalidSecurity"}
)
_DENIED_CODES: Final = frozenset({"AccessDenied", "AllAccessDisabled", "Forbidden", "403"})
_BUCKET_CODES: Final = frozenset({"NoSuchBucket", "InvalidBucketName"})
_MISSING_CODES: Final = frozenset({"NoSuchKey", "NotFound", "404"})
_REGION_CODES: Final = frozenset(
    {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_PASSING_CODES: Final = frozenset(
    {
        "SlowDown",
        "Throttling",
        "RequestTimeout",
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeTooSkewed",
    }
)


class S3Store:
    """Log files in a bucket of S3, or of anything that speaks its protocol.

    Args:
        uri_prefix: `s3://bucket/prefix`; the prefix is a folder, or the key of one object.
        options: endpoint, region, and how often a broken reading is taken up again.
        setting: the setting to name in errors.
    """

    def __init__(self, uri_prefix: str, *, options: S3Options, setting: str) -> None:
        self._bucket, self._prefix = bucket_and_key(uri_prefix.rstrip("/"))
        self._options = options
        self._setting = setting
        self._made_client: S3Client | None = None
        self._made_reader: S3Client | None = None
        if not self._bucket:
            raise LogStoreError(f"{setting} names no bucket", do=f"Write {setting} as s3://bucket/prefix.")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made_client": None, "_made_reader": None}

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def _client(self) -> S3Client:
        if self._made_client is None:
            self._made_client = self._make_client(attempts=4)
        return self._made_client

    @property
    def _reader(self) -> S3Client:
        """For reading files, whose attempts are counted by the reading itself."""
        if self._made_reader is None:
            self._made_reader = self._make_client(attempts=1)
        return self._made_reader

    def _make_client(self, attempts: int) -> S3Client:
        from botocore.config import Config
        from botocore.session import get_session

        try:
            # A session of its own each time: one that is kept keeps the first credentials it has seen.
            session = get_session()
            session.register_component("data_loader", _models())
            client = session.create_client(
                "s3",
                endpoint_url=self._options.endpoint_url,
                region_name=self._options.region,
                config=Config(
                    connect_timeout=self._options.connect_timeout_s,
                    read_timeout=self._options.read_timeout_s,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    # Other servers than Amazon's often know nothing of the newer checksums.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
            made = cast("S3Client", client)
            read_listings_fast(made)
            return made
        except Exception as error:
            raise self._error(error, self.uri) from None

    def list(self) -> Iterator[LogFile]:
        return self.list_behind("")

    def server_time(self) -> datetime:
        """What time it is by the clock of S3, to the second (UTC).

        Raises:
            LogStoreError: the bucket cannot be listed.
        """
        try:
            answer = self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=f"{self._prefix}/" if self._prefix else "", MaxKeys=1
            )
            return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        except Exception as error:
            raise self._error(error, self.uri) from None

    def list_behind(self, after: str) -> Iterator[LogFile]:
        """Log files whose URI comes behind another, in the order of URIs; '' for all."""
        folder = f"{self._prefix}/" if self._prefix else ""
        found = bool(after)
        start = bucket_and_key(after)[1] if after else ""
        try:
            paginator = self._client.get_paginator("list_objects_v2")
            pages = (
                paginator.paginate(Bucket=self._bucket, Prefix=folder, StartAfter=start)
                if start
                else paginator.paginate(Bucket=self._bucket, Prefix=folder)
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    found = True
                    key = item["Key"]
                    if not key.startswith(folder) or item["Size"] < 0:
                        raise LogStoreError(
                            f"{self.uri}: the server lists what was not asked for ({one_line(key)[:100]!r})",
                            do="Nothing of it was read. Check AWS_ENDPOINT_URL_S3, and what answers there.",
                        )
                    if not key.endswith("/") and is_log_path(key[len(folder) :]):
                        yield self._file(key, item["Size"], item["ETag"], item["LastModified"])
            if not found and self._prefix and self.exists(self.uri):
                head = self._client.head_object(Bucket=self._bucket, Key=self._prefix)
                yield self._file(self._prefix, head["ContentLength"], head["ETag"], head["LastModified"])
        except Exception as error:
            raise self._error(error, self.uri) from None

    def open(self, file: LogFile, *, offset: int = 0) -> BinaryIO:
        bucket, key = bucket_and_key(file.uri)

        def reopen(at: int) -> Source:
            try:
                answer = self._reader.get_object(
                    Bucket=bucket, Key=key, Range=f"bytes={at}-{file.size - 1}", IfMatch=f'"{file.etag}"'
                )
            except Exception as error:
                code = error_code(error)
                if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
                    raise changed(file, "changed while it was read") from None
                if code in ("NoSuchKey", "404"):
                    raise changed(file, "is gone") from None
                if _may_pass(error):
                    raise Broken(_cause(error)) from None
                raise self._error(error, file.uri) from None
            source = _S3Source(answer["Body"])
            # A connection that breaks inside the headers gives an answer without the rest of them.
            etag, content_range = answer.get("ETag"), answer.get("ContentRange", "")
            if not etag or not content_range.startswith(f"bytes {at}-"):
                source.close()
                raise Broken("an answer that is not the range that was asked for")
            if etag.strip('"') != file.etag:
                source.close()
                raise changed(file, "changed while it was read")
            return source

        def give_up(cause: str) -> LogStoreError:
            return LogStoreError(
                f"{one_line(file.uri)} cannot be read to its end: {cause}",
                do="Check that the server at AWS_ENDPOINT_URL_S3 is well, and run again.",
            )

        return io.BufferedReader(ResumingReader(file, offset, reopen, give_up, self._options), BUFFER_BYTES)

    def put(self, uri: str, data: bytes) -> None:
        bucket, key = bucket_and_key(uri)
        try:
            # So that a browser shows a page instead of saving it.
            kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
            self._client.put_object(Bucket=bucket, Key=key, Body=data, ContentType=kind)
        except Exception as error:
            raise self._error(error, uri, doing="written") from None

    def write(self, uri: str, chunks: Iterable[bytes]) -> None:
        from smart_open import s3

        bucket, key = bucket_and_key(uri)
        try:
            # A multipart upload that an exception leaves is aborted, and no object appears.
            with s3.open(bucket, key, "wb", client=self._client) as target:
                for chunk in chunks:
                    target.write(chunk)
        except Exception as error:
            raise self._error(error, uri, doing="written") from None

    def create(self, uri: str, chunks: Iterable[bytes], *, protection: Protection = UNPROTECTED) -> bool:
        bucket, key = bucket_and_key(uri)
        if self.exists(uri):
            return False
        try:
            return create_object(self._client, bucket, key, chunks, protection)
        except Exception as error:
            code = error_code(error)
            if code in CONFLICT_CODES:
                return False
            if protection.lock and code in _LOCK_CODES:
                raise LogStoreError(
                    f"{one_line(uri)} cannot be written: {code}",
                    do="A lock is asked for (ASPECTS_ARCHIVE_OBJECT_LOCK): switch Object Lock on for the bucket, which also"
                    " switches versioning on, or ask for none.",
                ) from None
            raise self._error(error, uri, doing="created") from None

    def get(self, uri: str) -> bytes:
        bucket, key = bucket_and_key(uri)
        try:
            size = self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            raise self._error(error, uri) from None
        file = self._file(key, size["ContentLength"], size["ETag"], size["LastModified"], bucket=bucket)
        with self.open(file) as stream:
            return stream.read()

    def exists(self, uri: str) -> bool:
        bucket, key = bucket_and_key(uri)
        try:
            self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            if error_code(error) in _MISSING_CODES:
                return False
            raise self._error(error, uri) from None
        return True

    def find(self, uri: str) -> LogFile | None:
        bucket, key = bucket_and_key(uri)
        try:
            head = self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            if error_code(error) in _MISSING_CODES:
                return None
            raise self._error(error, uri) from None
        return self._file(key, head["ContentLength"], head["ETag"], head["LastModified"], bucket=bucket)

    def delete(self, uri: str) -> None:
        bucket, key = bucket_and_key(uri)
        try:
            self._client.delete_object(Bucket=bucket, Key=key)
        except Exception as error:
            raise self._error(error, uri, doing="deleted") from None

    def remove(self, file: LogFile) -> bool:
        bucket, key = bucket_and_key(file.uri)
        # Looked at first as well: a server that does not know the condition would pass it over.
        found = self.find(file.uri)
        if found is None or found.etag != file.etag:
            return False
        try:
            self._client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{file.etag}"')
        except Exception as error:
            if error_code(error) in CONFLICT_CODES | _MISSING_CODES:
                return False
            if error_code(error) != "NotImplemented":
                raise self._error(error, file.uri, doing="deleted") from None
            self.delete(file.uri)
        return True

    def _file(self, key: str, size: int, etag: str, modified: datetime, bucket: str | None = None) -> LogFile:
        uri = f"s3://{bucket or self._bucket}/{key}"
        return LogFile(uri, size, etag.strip('"'), modified.astimezone(UTC))

    def _error(self, error: Exception, uri: str, *, doing: str = "read") -> AspectsError:
        if isinstance(error, AspectsError):
            return error
        code = error_code(error)
        what = f"{one_line(uri)} cannot be {doing}: {_cause(error)}"
        return LogStoreError(what, do=_s3_advice(error, code, doing, self._setting))


@cache
def _models() -> Any:
    """What botocore knows of S3: reading it takes longer than all else about a client, and it is always the same."""
    from botocore.loaders import create_loader

    return create_loader()


def _s3_advice(error: Exception, code: str, doing: str, setting: str) -> str:
    """What to do about an error of S3, by its code or its kind."""
    from botocore import exceptions

    grants = _GRANTS[doing]
    by_code = (
        (
            _CREDENTIAL_CODES,
            "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE.",
        ),
        (_DENIED_CODES, f"Grant {grants} on it to the user of AWS_ACCESS_KEY_ID, or check {setting}."),
        (_BUCKET_CODES, f"Check the bucket in {setting}, and AWS_ENDPOINT_URL_S3 if it is not Amazon's."),
        (_MISSING_CODES, f"Check {setting}: there is no such bucket or object."),
        (_REGION_CODES, "Set AWS_REGION to the bucket's region."),
    )
    by_kind: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
        ((exceptions.NoRegionError,), "Set AWS_REGION to the bucket's region."),
        (
            (exceptions.NoCredentialsError, exceptions.PartialCredentialsError),
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run under a profile or role.",
        ),
        (
            (exceptions.ProfileNotFound, exceptions.ConfigParseError, exceptions.InvalidConfigError),
            "Check AWS_PROFILE and the AWS configuration files.",
        ),
        ((exceptions.ParamValidationError,), f"Check the bucket's name in {setting}."),
        (
            (exceptions.HTTPClientError, exceptions.ConnectionError, ValueError),
            "Check AWS_ENDPOINT_URL_S3, its name, port and certificate, and the network between.",
        ),
    )
    for codes, advice in by_code:
        if code in codes:
            return advice
    for kinds, advice in by_kind:
        if isinstance(error, kinds):
            return advice
    return f"Check the S3 server (AWS_ENDPOINT_URL_S3) and {setting}, and run again."


def error_code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _cause(error: Exception) -> str:
    # A server's own message may repeat an access key, so only its code is told.
    return error_code(error) or type(error).__name__


def _may_pass(error: Exception) -> bool:
    """Tell whether an error of S3 may be gone at the next attempt."""
    from botocore import exceptions

    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return status >= 500 or status == 429 or error_code(error) in _PASSING_CODES
    if isinstance(error, exceptions.SSLError):
        return False
    return isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | OSError)


class _S3Source:
    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int, /) -> bytes:
        from botocore import exceptions
        from urllib3.exceptions import HTTPError

        try:
            data: bytes = self._body.read(size)
        except (exceptions.BotoCoreError, HTTPError, OSError) as error:
            raise Broken(_cause(error)) from error
        return data

    def close(self) -> None:
        self._body.close()


def bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key

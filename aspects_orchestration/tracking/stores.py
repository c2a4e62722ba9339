"""Log storage: folders, S3, and whatever fsspec reads; listed as a stream, read so that a broken connection is no end.

A file is what it was when it was listed: `LogStore.open` goes on where a reading broke off, but refuses to go on in
another version of the file.
"""

from __future__ import annotations

import errno
import io
import os
import random
import re
import secrets
import stat
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from aspects_orchestration.errors import AspectsError, LogStoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRACKING_LOGS: Final = "ASPECTS_TRACKING_LOGS"
QUARANTINE_FOLDER: Final = "quarantine"

_BUFFER_BYTES: Final = 1024 * 1024
_LONGEST_PAUSE_S: Final = 20.0
# A file rotated away since its folder was read, or a link to nowhere or to itself.
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_TEMPORARY: Final = (".tmp", ".part", ".partial", ".swp")
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
#: Nothing to quote in it: so are nearly all, and quoting is what listing many of them would spend its time on.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]*", re.ASCII).fullmatch


class LogFileChangedError(LogStoreError):
    """A log file is not the one that was listed any more: list again."""


@dataclass(frozen=True, order=True)
class LogFile:
    """A file in log storage, as it was when it was listed. Files sort by URI.

    Args:
        uri: `file:///…` (percent-encoded), `s3://bucket/key` (as the key is), or what fsspec understands.
        size: bytes as stored.
        etag: changes whenever the content does; locally size, mtime and inode.
        modified: when it was last written (UTC).
    """

    uri: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class S3Options:
    """How to talk to S3. Credentials, and what is None here, come by boto3's own rules.

    Args:
        endpoint_url: of another S3 than Amazon's; None: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL.
        region: None: AWS_REGION, AWS_DEFAULT_REGION, the profile.
        attempts: how often in a row a reading may break, without a byte gained, before it is given up.
        pause_s: seconds before the first new attempt; doubles, with jitter, up to 20.
        connect_timeout_s, read_timeout_s: seconds without an answer after which a connection counts as broken.
    """

    endpoint_url: str | None = None
    region: str | None = None
    attempts: int = 8
    pause_s: float = 0.2
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0


class LogStore(Protocol):
    """A place with log files.

    Every method raises LogStoreError, which names the setting to look at, if storage cannot do what is asked.
    """

    @property
    def uri(self) -> str:
        """The prefix of all its files."""
        ...

    def list(self) -> Iterator[LogFile]:
        """Every log file under the prefix, in no order; not hidden or temporary ones, nor `quarantine/`."""
        ...

    def open(self, file: LogFile, *, offset: int = 0) -> BinaryIO:
        """The bytes of a listed file from `offset` to the size it had when it was listed.

        The stream is seekable, and goes on by itself at the byte it had reached when a connection breaks.

        Raises:
            LogFileChangedError: here or while reading, if it is not the file that was listed any more.
        """
        ...

    def put(self, uri: str, data: bytes) -> None:
        """Write a file as a whole or not at all."""
        ...

    def write(self, uri: str, chunks: Iterable[bytes]) -> None:
        """Write a file as a whole or not at all, in bounded memory."""
        ...

    def get(self, uri: str) -> bytes:
        """All of a (small) file."""
        ...

    def exists(self, uri: str) -> bool:
        """Whether there is such a file."""
        ...

    def delete(self, uri: str) -> None:
        """Remove a file; it is no error if there is none."""
        ...


def open_store(uri_prefix: str, *, s3: S3Options | None = None, setting: str = TRACKING_LOGS) -> LogStore:
    """The store for a URI prefix.

    Args:
        uri_prefix: a folder (`/logs`, `file:///logs`), `s3://bucket/prefix`, or a URL of another scheme that fsspec
            reads; it stands for what is in that folder and below, or for one file.
        s3: used for s3 only, and for how often a broken reading is taken up again.
        setting: the setting that holds the prefix, to name in errors.

    Raises:
        LogStoreError: no prefix, or a scheme that nothing here reads.
    """
    options = s3 or S3Options()
    prefix = uri_prefix.strip()
    scheme, separator, _ = prefix.partition("://")
    if not prefix:
        raise LogStoreError(
            "No log storage is named", do=f"Set {setting} to a folder or to s3://bucket/prefix."
        )
    if not separator or scheme == "file":
        return LocalStore(prefix, options=options, setting=setting)
    if scheme in ("s3", "s3a", "s3n"):
        return S3Store("s3://" + prefix.partition("://")[2], options=options, setting=setting)
    return FsspecStore(prefix, options=options, setting=setting)


def open_stores(
    prefixes: Iterable[str], *, s3: S3Options | None = None, setting: str = TRACKING_LOGS
) -> list[LogStore]:
    """The stores for several prefixes; one that another of them includes is left out.

    Args:
        prefixes: see `open_store`; a string with commas counts as several.
        s3: see `open_store`.
        setting: see `open_store`.
    """
    stores: dict[str, LogStore] = {}
    for prefix in prefixes:
        for part in prefix.split(","):
            if part.strip():
                store = open_store(part, s3=s3, setting=setting)
                stores[store.uri.rstrip("/")] = store
    return [
        store
        for uri, store in stores.items()
        if not any(
            uri.startswith(other + "/") and _is_log_path(uri[len(other) + 1 :], folder=True)
            for other in stores
        )
    ]


def list_all(
    prefixes: Iterable[str], *, s3: S3Options | None = None, setting: str = TRACKING_LOGS
) -> Iterator[tuple[LogStore, LogFile]]:
    """Every log file under several prefixes, once each, with its store.

    Args:
        prefixes: see `open_stores`.
        s3: see `open_store`.
        setting: see `open_store`.

    Raises:
        LogStoreError: see `LogStore`.
    """
    for store in open_stores(prefixes, s3=s3, setting=setting):
        for file in store.list():
            yield store, file


def _is_log_name(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(_TEMPORARY) and not name.endswith("~")


def _is_log_path(path: str, *, folder: bool = False) -> bool:
    *folders, name = path.strip("/").split("/")
    if folder:
        folders.append(name)
    elif not _is_log_name(name):
        return False
    return all(part != QUARANTINE_FOLDER and not part.startswith(".") for part in folders)


class _Broken(Exception):  # noqa: N818 - it never leaves this module
    """A reading broke off in a way that a new attempt may get over."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)


class _Source(Protocol):
    """One open reading of a file; `read` gives b"" at the end."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class _ResumingReader(io.RawIOBase):
    """Reads a file of a known size, opening it again at the byte it had reached whenever a reading breaks.

    Args:
        file: as listed.
        offset: where to begin.
        reopen: opens the file at an offset; raises _Broken if another attempt may do.
        give_up: makes the error of a reading that keeps breaking, from its cause.
        options: how often, and how soon, to try again.
    """

    def __init__(
        self,
        file: LogFile,
        offset: int,
        reopen: Callable[[int], _Source],
        give_up: Callable[[str], LogStoreError],
        options: S3Options,
    ) -> None:
        super().__init__()
        self._file = file
        self._at = offset
        self._reopen = reopen
        self._give_up = give_up
        self._options = options
        self._source: _Source | None = None
        self._failures = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        if start + offset != self._at:
            self._drop_source()
            self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), self._file.size - self._at)
        if size <= 0:
            return 0
        while True:
            try:
                if self._source is None:
                    self._source = self._reopen(self._at)
                data = self._source.read(size)
                if not data:
                    raise _Broken(f"the stream ended at byte {self._at} of {self._file.size}")
            except _Broken as broken:
                self._drop_source()
                self._failures += 1
                if self._failures >= self._options.attempts:
                    raise self._give_up(str(broken)) from broken
                pause = min(_LONGEST_PAUSE_S, self._options.pause_s * 2.0 ** (self._failures - 1))
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                continue
            self._failures = 0
            self._at += len(data)
            buffer[: len(data)] = data
            return len(data)

    def close(self) -> None:
        self._drop_source()
        super().close()

    def _drop_source(self) -> None:
        if self._source is not None:
            with suppress(Exception):
                self._source.close()
            self._source = None


def _changed(file: LogFile, how: str) -> LogFileChangedError:
    return LogFileChangedError(
        f"{file.uri} {how}: it is not the file that was listed any more",
        do="Run again, so that it is listed anew; if files are rewritten in place, let them be rotated instead.",
    )


class LocalStore:
    """Log files in a folder, and below it.

    Args:
        uri_prefix: a path or a file:// URI.
        options: how often a read that fails is tried again.
        setting: the setting to name in errors.
    """

    def __init__(self, uri_prefix: str, *, options: S3Options, setting: str) -> None:
        self._root = Path(_local_path(uri_prefix)).absolute()
        self._options = options
        self._setting = setting

    @property
    def uri(self) -> str:
        return _local_uri(os.fspath(self._root))

    def list(self) -> Iterator[LogFile]:
        try:
            root = self._root.stat()
        except OSError as error:
            raise self._error(error, self.uri) from None
        if not stat.S_ISDIR(root.st_mode):
            yield _local_file(self.uri, root)
            return
        folders = [os.fspath(self._root)]
        seen = {(root.st_dev, root.st_ino)}
        while folders:
            folder = folders.pop()
            base = _local_uri(folder).rstrip("/") + "/"
            try:
                entries = os.scandir(folder)
            except OSError as error:
                raise self._error(error, base) from None
            with entries:
                for entry in entries:
                    try:
                        found = entry.stat()
                    except OSError as error:
                        if error.errno in _GONE:
                            continue
                        raise self._error(error, base + _quoted(entry.name)) from None
                    if stat.S_ISREG(found.st_mode) and _is_log_name(entry.name):
                        yield _local_file(base + _quoted(entry.name), found)
                    elif (
                        stat.S_ISDIR(found.st_mode)
                        and _is_log_path(entry.name, folder=True)
                        and (found.st_dev, found.st_ino) not in seen
                    ):
                        seen.add((found.st_dev, found.st_ino))
                        folders.append(entry.path)

    def open(self, file: LogFile, *, offset: int = 0) -> BinaryIO:
        path = _local_path(file.uri)

        def reopen(at: int) -> _Source:
            try:
                source = _LocalSource(file, path)
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    raise _changed(file, "is gone") from None
                raise self._error(error, file.uri) from None
            source.seek(at)
            return source

        def give_up(cause: str) -> LogStoreError:
            return LogStoreError(
                f"{file.uri} cannot be read: {cause}", do="Look at the disk or mount it is on."
            )

        return io.BufferedReader(_ResumingReader(file, offset, reopen, give_up, self._options), _BUFFER_BYTES)

    def put(self, uri: str, data: bytes) -> None:
        self.write(uri, [data])

    def write(self, uri: str, chunks: Iterable[bytes]) -> None:
        path = Path(_local_path(uri))
        beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            _make_folders(path.parent)
            try:
                with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                    target.writelines(chunks)
                    target.flush()
                    os.fsync(target.fileno())
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._error(error, uri, doing="written") from None

    def get(self, uri: str) -> bytes:
        try:
            return Path(_local_path(uri)).read_bytes()
        except OSError as error:
            raise self._error(error, uri) from None

    def exists(self, uri: str) -> bool:
        try:
            return Path(_local_path(uri)).exists()
        except OSError as error:
            raise self._error(error, uri) from None

    def delete(self, uri: str) -> None:
        try:
            Path(_local_path(uri)).unlink(missing_ok=True)
        except OSError as error:
            raise self._error(error, uri, doing="deleted") from None

    def _error(self, error: OSError, uri: str, *, doing: str = "read") -> LogStoreError:
        what = f"{uri} cannot be {doing}: {error.strerror or type(error).__name__}"
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return LogStoreError(
                f"{uri} does not exist",
                do=f"Check {self._setting}; on another machine, mount the folder there.",
            )
        if isinstance(error, PermissionError):
            return LogStoreError(
                what, do=f"Give the user of this process access to it, or change {self._setting}."
            )
        return LogStoreError(
            what, do=f"Look at the disk that {self._setting} is on: its space and its state."
        )


class _LocalSource:
    """An open local file that must stay the one that was listed; only ever longer."""

    def __init__(self, file: LogFile, path: str) -> None:
        self._file = file
        self._handle = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed by the reader
        found = os.fstat(self._handle.fileno())
        size, modified, inode = file.etag.split("-")
        if str(found.st_ino) != inode:
            self._handle.close()
            raise _changed(file, "was replaced, or rotated away,")
        if found.st_size < file.size or (found.st_size == int(size) and str(found.st_mtime_ns) != modified):
            self._handle.close()
            raise _changed(file, "was rewritten")

    def seek(self, at: int) -> None:
        self._handle.seek(at)

    def read(self, size: int, /) -> bytes:
        try:
            data = self._handle.read(size)
        except OSError as error:
            raise _Broken(error.strerror or type(error).__name__) from error
        if not data:
            raise _changed(self._file, "became shorter while it was read")
        return data

    def close(self) -> None:
        self._handle.close()


def _make_folders(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(mode=0o700, exist_ok=True)


def _local_path(uri: str) -> str:
    if not uri.startswith("file://"):
        return str(Path(uri).expanduser())
    return os.fsdecode(urllib.parse.unquote_to_bytes(uri.removeprefix("file://").removeprefix("localhost")))


def _local_uri(path: str) -> str:
    return "file://" + _quoted(path)


def _quoted(path: str) -> str:
    if _PLAIN_PATH(path):
        return path
    return urllib.parse.quote(os.fsencode(path), safe="/:@+,=~!$&'()*;-._")


def _local_file(uri: str, found: os.stat_result) -> LogFile:
    return LogFile(
        uri,
        found.st_size,
        f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}",
        datetime.fromtimestamp(found.st_mtime, UTC),
    )


class S3Store:
    """Log files in a bucket of S3, or of anything that speaks its protocol.

    Args:
        uri_prefix: `s3://bucket/prefix`; the prefix is a folder, or the key of one object.
        options: endpoint, region, and how often a broken reading is taken up again.
        setting: the setting to name in errors.
    """

    def __init__(self, uri_prefix: str, *, options: S3Options, setting: str) -> None:
        self._bucket, self._prefix = _bucket_and_key(uri_prefix.rstrip("/"))
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
        import boto3
        from botocore.config import Config

        try:
            # Not boto3's own session: that one keeps the first credentials it has seen.
            return boto3.session.Session().client(
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
        except Exception as error:
            raise self._error(error, self.uri) from None

    def list(self) -> Iterator[LogFile]:
        folder = f"{self._prefix}/" if self._prefix else ""
        found = False
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=folder)
            for page in pages:
                for item in page.get("Contents", ()):
                    found = True
                    key = item["Key"]
                    if not key.endswith("/") and _is_log_path(key[len(folder) :]):
                        yield self._file(key, item["Size"], item["ETag"], item["LastModified"])
            if not found and self._prefix and self.exists(self.uri):
                head = self._client.head_object(Bucket=self._bucket, Key=self._prefix)
                yield self._file(self._prefix, head["ContentLength"], head["ETag"], head["LastModified"])
        except Exception as error:
            raise self._error(error, self.uri) from None

    def open(self, file: LogFile, *, offset: int = 0) -> BinaryIO:
        bucket, key = _bucket_and_key(file.uri)

        def reopen(at: int) -> _Source:
            try:
                answer = self._reader.get_object(
                    Bucket=bucket, Key=key, Range=f"bytes={at}-{file.size - 1}", IfMatch=f'"{file.etag}"'
                )
            except Exception as error:
                code = _error_code(error)
                if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
                    raise _changed(file, "changed while it was read") from None
                if code in ("NoSuchKey", "404"):
                    raise _changed(file, "is gone") from None
                if _may_pass(error):
                    raise _Broken(_cause(error)) from None
                raise self._error(error, file.uri) from None
            source = _S3Source(answer["Body"])
            # A connection that breaks inside the headers gives an answer without the rest of them.
            etag, content_range = answer.get("ETag"), answer.get("ContentRange", "")
            if not etag or not content_range.startswith(f"bytes {at}-"):
                source.close()
                raise _Broken("an answer that is not the range that was asked for")
            if etag.strip('"') != file.etag:
                source.close()
                raise _changed(file, "changed while it was read")
            return source

        def give_up(cause: str) -> LogStoreError:
            return LogStoreError(
                f"{file.uri} cannot be read to its end: {cause}",
                do="Check that the server at AWS_ENDPOINT_URL_S3 is well, and run again.",
            )

        return io.BufferedReader(_ResumingReader(file, offset, reopen, give_up, self._options), _BUFFER_BYTES)

    def put(self, uri: str, data: bytes) -> None:
        bucket, key = _bucket_and_key(uri)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=data)
        except Exception as error:
            raise self._error(error, uri, doing="written") from None

    def write(self, uri: str, chunks: Iterable[bytes]) -> None:
        from smart_open import s3

        bucket, key = _bucket_and_key(uri)
        try:
            # A multipart upload that an exception leaves is aborted, and no object appears.
            with s3.open(bucket, key, "wb", client=self._client) as target:
                for chunk in chunks:
                    target.write(chunk)
        except Exception as error:
            raise self._error(error, uri, doing="written") from None

    def get(self, uri: str) -> bytes:
        bucket, key = _bucket_and_key(uri)
        try:
            size = self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            raise self._error(error, uri) from None
        file = self._file(key, size["ContentLength"], size["ETag"], size["LastModified"], bucket=bucket)
        with self.open(file) as stream:
            return stream.read()

    def exists(self, uri: str) -> bool:
        bucket, key = _bucket_and_key(uri)
        try:
            self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            if _error_code(error) in _MISSING_CODES:
                return False
            raise self._error(error, uri) from None
        return True

    def delete(self, uri: str) -> None:
        bucket, key = _bucket_and_key(uri)
        try:
            self._client.delete_object(Bucket=bucket, Key=key)
        except Exception as error:
            raise self._error(error, uri, doing="deleted") from None

    def _file(self, key: str, size: int, etag: str, modified: datetime, bucket: str | None = None) -> LogFile:
        uri = f"s3://{bucket or self._bucket}/{key}"
        return LogFile(uri, size, etag.strip('"'), modified.astimezone(UTC))

    def _error(self, error: Exception, uri: str, *, doing: str = "read") -> AspectsError:
        if isinstance(error, AspectsError):
            return error
        code = _error_code(error)
        what = f"{uri} cannot be {doing}: {_cause(error)}"
        return LogStoreError(what, do=_s3_advice(error, code, doing, self._setting))


def _s3_advice(error: Exception, code: str, doing: str, setting: str) -> str:
    """What to do about an error of S3, by its code or its kind."""
    from botocore import exceptions

    grants = "s3:ListBucket and s3:GetObject" if doing == "read" else "s3:PutObject and s3:DeleteObject"
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


def _error_code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _cause(error: Exception) -> str:
    # A server's own message may repeat an access key, so only its code is told.
    return _error_code(error) or type(error).__name__


def _may_pass(error: Exception) -> bool:
    """Tell whether an error of S3 may be gone at the next attempt."""
    from botocore import exceptions

    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return status >= 500 or status == 429 or _error_code(error) in _PASSING_CODES
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
            raise _Broken(_cause(error)) from error
        return data

    def close(self) -> None:
        self._body.close()


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


class FsspecStore:
    """Log files of any other scheme that fsspec reads, such as `gs://`, `abfs://`, `sftp://`.

    Args:
        uri_prefix: as fsspec takes it.
        options: how often a broken reading is taken up again.
        setting: the setting to name in errors.
    """

    def __init__(self, uri_prefix: str, *, options: S3Options, setting: str) -> None:
        self._uri = uri_prefix.rstrip("/")
        self._options = options
        self._setting = setting

    @property
    def uri(self) -> str:
        return self._uri

    def _at(self, uri: str) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(uri)
        return filesystem, str(path)

    def list(self) -> Iterator[LogFile]:
        try:
            filesystem, root = self._at(self._uri)
            if filesystem.isfile(root):
                yield self._file(filesystem, root, filesystem.info(root))
                return
            if not filesystem.exists(root):
                raise FileNotFoundError
            for _, _, files in filesystem.walk(root, detail=True):
                for info in files.values():
                    path = str(info["name"])
                    if _is_log_path(path[len(root.rstrip("/")) :]):
                        yield self._file(filesystem, path, info)
        except Exception as error:
            raise self._error(error, self._uri) from None

    def open(self, file: LogFile, *, offset: int = 0) -> BinaryIO:
        def reopen(at: int) -> _Source:
            try:
                filesystem, path = self._at(file.uri)
                filesystem.invalidate_cache()
                if self._file(filesystem, path, filesystem.info(path)).etag != file.etag:
                    raise _changed(file, "changed while it was read")
                handle = filesystem.open(path, "rb")
                handle.seek(at)
            except FileNotFoundError:
                raise _changed(file, "is gone") from None
            except (OSError, TimeoutError) as error:
                if isinstance(error, PermissionError):
                    raise self._error(error, file.uri) from None
                raise _Broken(type(error).__name__) from None
            except Exception as error:
                raise self._error(error, file.uri) from None
            return _FsspecSource(handle)

        def give_up(cause: str) -> LogStoreError:
            return LogStoreError(
                f"{file.uri} cannot be read to its end: {cause}",
                do=f"Check the storage that {self._setting} names, and run again.",
            )

        return io.BufferedReader(_ResumingReader(file, offset, reopen, give_up, self._options), _BUFFER_BYTES)

    def put(self, uri: str, data: bytes) -> None:
        self.write(uri, [data])

    def write(self, uri: str, chunks: Iterable[bytes]) -> None:
        try:
            filesystem, path = self._at(uri)
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            beside = f"{path.rpartition('/')[0]}/.{path.rpartition('/')[2]}.{secrets.token_hex(4)}.part"
            try:
                with filesystem.open(beside, "wb") as target:
                    for chunk in chunks:
                        target.write(chunk)
            except BaseException:
                with suppress(Exception):
                    filesystem.rm_file(beside)
                raise
            filesystem.mv(beside, path)
        except Exception as error:
            raise self._error(error, uri, doing="written") from None

    def get(self, uri: str) -> bytes:
        try:
            filesystem, path = self._at(uri)
            return bytes(filesystem.cat_file(path))
        except Exception as error:
            raise self._error(error, uri) from None

    def exists(self, uri: str) -> bool:
        try:
            filesystem, path = self._at(uri)
            return bool(filesystem.exists(path))
        except Exception as error:
            raise self._error(error, uri) from None

    def delete(self, uri: str) -> None:
        try:
            filesystem, path = self._at(uri)
            with suppress(FileNotFoundError):
                filesystem.rm_file(path)
        except Exception as error:
            raise self._error(error, uri, doing="deleted") from None

    def _file(self, filesystem: Any, path: str, info: dict[str, Any]) -> LogFile:
        size = int(info.get("size") or 0)
        modified = _modified(info)
        version = next(
            (
                str(info[key])
                for key in ("ETag", "etag", "md5Hash", "generation", "checksum")
                if info.get(key)
            ),
            None,
        )
        etag = (version or f"{size}-{modified.timestamp():.6f}").strip('"')
        return LogFile(str(filesystem.unstrip_protocol(path)), size, etag, modified)

    def _error(self, error: Exception, uri: str, *, doing: str = "read") -> AspectsError:
        if isinstance(error, AspectsError):
            return error
        if isinstance(error, FileNotFoundError):
            return LogStoreError(f"{uri} does not exist", do=f"Check {self._setting}.")
        what = f"{uri} cannot be {doing}: {type(error).__name__}"
        if isinstance(error, ImportError):
            return LogStoreError(
                what, do=f"Install the fsspec package for {uri.partition('://')[0]}:// storage."
            )
        if isinstance(error, ValueError):
            return LogStoreError(what, do=f"Check {self._setting}: fsspec does not know such a URL.")
        return LogStoreError(what, do=f"Check {self._setting}, and the credentials of that storage.")


def _modified(info: dict[str, Any]) -> datetime:
    """When a file was written, which every filesystem of fsspec calls by another name; 1970 if it does not say."""
    for key in ("LastModified", "last_modified", "mtime", "updated", "modified", "created"):
        value = info.get(key)
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            with suppress(ValueError):
                found = datetime.fromisoformat(value)
                return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return datetime.fromtimestamp(0, UTC)


class _FsspecSource:
    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def read(self, size: int, /) -> bytes:
        try:
            return bytes(self._handle.read(size))
        except Exception as error:
            raise _Broken(type(error).__name__) from error

    def close(self) -> None:
        self._handle.close()

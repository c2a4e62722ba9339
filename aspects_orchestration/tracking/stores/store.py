"""What a place with log files is, and what a file in it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final, Literal, Protocol

from aspects_orchestration.errors import LogStoreError

QUARANTINE_FOLDER: Final = "quarantine"
_TEMPORARY: Final = (".tmp", ".part", ".partial", ".swp")


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


@dataclass(frozen=True)
class Protection:
    """How S3 shall keep an object that is created; other storage knows nothing of it.

    Args:
        lock: `GOVERNANCE` or `COMPLIANCE` (S3 Object Lock, which the bucket must have switched on); None: no lock.
        retain_until: to when the lock holds (UTC).
        encryption: `AES256`, `aws:kms` or `aws:kms:dsse` (server side); None: what the bucket does by itself.
        kms_key: of KMS, where not the account's own.
    """

    lock: Literal["GOVERNANCE", "COMPLIANCE"] | None = None
    retain_until: datetime | None = None
    encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key: str | None = None


#: Nothing asked for.
UNPROTECTED: Final = Protection()


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

    def create(self, uri: str, chunks: Iterable[bytes], *, protection: Protection = UNPROTECTED) -> bool:
        """Write a file that must not be there yet, as a whole or not at all, in bounded memory.

        Of several that create the same file at once, one succeeds. (On storage that only fsspec reads, nothing keeps two
        from doing so within the same moment.)

        Returns:
            False if there is one already; it stays as it is.
        """
        ...

    def get(self, uri: str) -> bytes:
        """All of a (small) file."""
        ...

    def exists(self, uri: str) -> bool:
        """Whether there is such a file."""
        ...

    def find(self, uri: str) -> LogFile | None:
        """A single file as `list` would give it; None if there is none."""
        ...

    def delete(self, uri: str) -> None:
        """Remove a file; it is no error if there is none."""
        ...

    def remove(self, file: LogFile) -> bool:
        """Remove a listed file, if it is still the one that was listed.

        (Only S3 that knows If-Match for deletions keeps it from changing in the very moment in which it is removed.)

        Returns:
            False if it is gone, or another version of it stands there; that stays.
        """
        ...


def is_log_name(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(_TEMPORARY) and not name.endswith("~")


def is_log_path(path: str, *, folder: bool = False) -> bool:
    *folders, name = path.strip("/").split("/")
    if folder:
        folders.append(name)
    elif not is_log_name(name):
        return False
    return all(part != QUARANTINE_FOLDER and not part.startswith(".") for part in folders)

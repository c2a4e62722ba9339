"""Log files of any other scheme that fsspec reads."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

from aspects_orchestration.errors import AspectsError, LogStoreError
from aspects_orchestration.tracking.stores.reading import (
    BUFFER_BYTES,
    Broken,
    ResumingReader,
    Source,
    changed,
)
from aspects_orchestration.tracking.stores.store import (
    UNPROTECTED,
    LogFile,
    Protection,
    S3Options,
    is_log_path,
)


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
                    if is_log_path(path[len(root.rstrip("/")) :]):
                        yield self._file(filesystem, path, info)
        except Exception as error:
            raise self._error(error, self._uri) from None

    def open(self, file: LogFile, *, offset: int = 0) -> BinaryIO:
        def reopen(at: int) -> Source:
            try:
                filesystem, path = self._at(file.uri)
                filesystem.invalidate_cache()
                if self._file(filesystem, path, filesystem.info(path)).etag != file.etag:
                    raise changed(file, "changed while it was read")
                handle = filesystem.open(path, "rb")
                handle.seek(at)
            except FileNotFoundError:
                raise changed(file, "is gone") from None
            except (OSError, TimeoutError) as error:
                if isinstance(error, PermissionError):
                    raise self._error(error, file.uri) from None
                raise Broken(type(error).__name__) from None
            except Exception as error:
                raise self._error(error, file.uri) from None
            return _FsspecSource(handle)

        def give_up(cause: str) -> LogStoreError:
            return LogStoreError(
                f"{file.uri} cannot be read to its end: {cause}",
                do=f"Check the storage that {self._setting} names, and run again.",
            )

        return io.BufferedReader(ResumingReader(file, offset, reopen, give_up, self._options), BUFFER_BYTES)

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

    def create(self, uri: str, chunks: Iterable[bytes], *, protection: Protection = UNPROTECTED) -> bool:  # noqa: ARG002
        if self.exists(uri):
            return False
        self.write(uri, chunks)
        return True

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

    def find(self, uri: str) -> LogFile | None:
        try:
            filesystem, path = self._at(uri)
            filesystem.invalidate_cache()
            return self._file(filesystem, path, filesystem.info(path))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._error(error, uri) from None

    def delete(self, uri: str) -> None:
        try:
            filesystem, path = self._at(uri)
            with suppress(FileNotFoundError):
                filesystem.rm_file(path)
        except Exception as error:
            raise self._error(error, uri, doing="deleted") from None

    def remove(self, file: LogFile) -> bool:
        found = self.find(file.uri)
        if found is None or found.etag != file.etag:
            return False
        self.delete(file.uri)
        return True

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
            raise Broken(type(error).__name__) from error

    def close(self) -> None:
        self._handle.close()

"""Log files in a folder of this machine."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import stat
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from aspects_orchestration.errors import LogStoreError
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
    is_log_name,
    is_log_path,
)

# A file rotated away since its folder was read, or a link to nowhere or to itself.
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
#: Nothing to quote in it: so are nearly all, and quoting is what listing many of them would spend its time on.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]*", re.ASCII).fullmatch


class _ThereAlready(Exception):  # noqa: N818 - it never leaves this module
    """A file that was to be created is there."""


class LocalStore:
    """Log files in a folder, and below it.

    Args:
        uri_prefix: a path or a file:// URI.
        options: how often a read that fails is tried again.
        setting: the setting to name in errors.
    """

    def __init__(self, uri_prefix: str, *, options: S3Options, setting: str) -> None:
        self._root = path_of(uri_prefix)
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
                    if stat.S_ISREG(found.st_mode) and is_log_name(entry.name):
                        self._stays_below(entry)
                        yield _local_file(base + _quoted(entry.name), found)
                    elif (
                        stat.S_ISDIR(found.st_mode)
                        and is_log_path(entry.name, folder=True)
                        and (found.st_dev, found.st_ino) not in seen
                    ):
                        self._stays_below(entry)
                        seen.add((found.st_dev, found.st_ino))
                        folders.append(entry.path)

    def list_behind(self, after: str) -> Iterator[LogFile]:
        """Log files whose URI comes behind another, in the order of URIs; '' for all. Folders before it are not read."""
        try:
            root = self._root.stat()
        except OSError as error:
            raise self._error(error, self.uri) from None
        if stat.S_ISDIR(root.st_mode):
            yield from self._behind(os.fspath(self._root), after, {(root.st_dev, root.st_ino)})
        elif self.uri > after:
            yield _local_file(self.uri, root)

    def _behind(self, folder: str, after: str, seen: set[tuple[int, int]]) -> Iterator[LogFile]:
        base = _local_uri(folder).rstrip("/") + "/"
        try:
            with os.scandir(folder) as entries:
                # What kind an entry is comes with the listing, except for links: those are taken for folders first.
                named = [
                    (base + _quoted(one.name) + ("" if one.is_file(follow_symlinks=False) else "/"), one)
                    for one in entries
                ]
        except OSError as error:
            raise self._error(error, base) from None
        for uri, entry in sorted(named, key=lambda one: one[0]):
            is_before = uri <= after and not (uri.endswith("/") and after.startswith(uri))
            if is_before and not entry.is_symlink():
                continue
            try:
                found = entry.stat()
            except OSError as error:
                if error.errno in _GONE:
                    continue
                raise self._error(error, uri) from None
            if stat.S_ISREG(found.st_mode) and is_log_name(entry.name):
                self._stays_below(entry)
                if uri.rstrip("/") > after:
                    yield _local_file(uri.rstrip("/"), found)
            elif (
                stat.S_ISDIR(found.st_mode)
                and is_log_path(entry.name, folder=True)
                and (found.st_dev, found.st_ino) not in seen
            ):
                self._stays_below(entry)
                yield from self._behind(entry.path, after, seen | {(found.st_dev, found.st_ino)})

    def _stays_below(self, entry: os.DirEntry[str]) -> None:
        """Refuse a link that leads out of the folder: whoever may write logs could have any file read, and archived."""
        if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(
            os.path.realpath(self._root)
        ):
            raise LogStoreError(
                f"{_local_uri(entry.path)} is a link that leads out of {self.uri}",
                do=f"Name what it leads to in {self._setting} by its own path, and remove the link.",
            )

    def open(self, file: LogFile, *, offset: int = 0) -> BinaryIO:
        path = _local_path(file.uri)

        def reopen(at: int) -> Source:
            try:
                source = _LocalSource(file, path)
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    raise changed(file, "is gone") from None
                raise self._error(error, file.uri) from None
            source.seek(at)
            return source

        def give_up(cause: str) -> LogStoreError:
            return LogStoreError(
                f"{file.uri} cannot be read: {cause}", do="Look at the disk or mount it is on."
            )

        return io.BufferedReader(ResumingReader(file, offset, reopen, give_up, self._options), BUFFER_BYTES)

    def put(self, uri: str, data: bytes) -> None:
        self.write(uri, [data])

    def write(self, uri: str, chunks: Iterable[bytes]) -> None:
        self._write(uri, chunks, lambda beside, path: beside.replace(path))

    def create(self, uri: str, chunks: Iterable[bytes], *, protection: Protection = UNPROTECTED) -> bool:  # noqa: ARG002
        if self.exists(uri):
            return False

        def link(beside: Path, path: Path) -> None:
            path.hardlink_to(beside)  # fails, unlike a rename, if there is one by now

        try:
            self._write(uri, chunks, link)
        except _ThereAlready:
            return False
        return True

    def _write(self, uri: str, chunks: Iterable[bytes], move: Callable[[Path, Path], object]) -> None:
        path = Path(_local_path(uri))
        beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            _make_folders(path.parent)
            try:
                with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                    target.writelines(chunks)
                    target.flush()
                    os.fsync(target.fileno())
                try:
                    move(beside, path)
                except FileExistsError:
                    raise _ThereAlready from None
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

    def find(self, uri: str) -> LogFile | None:
        try:
            found = Path(_local_path(uri)).stat()
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise self._error(error, uri) from None
        return _local_file(uri, found) if stat.S_ISREG(found.st_mode) else None

    def delete(self, uri: str) -> None:
        try:
            Path(_local_path(uri)).unlink(missing_ok=True)
        except OSError as error:
            raise self._error(error, uri, doing="deleted") from None

    def remove(self, file: LogFile) -> bool:
        found = self.find(file.uri)
        if found is None or found.etag != file.etag:
            return False
        try:
            Path(_local_path(file.uri)).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._error(error, file.uri, doing="deleted") from None
        return True

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
            raise changed(file, "was replaced, or rotated away,")
        if found.st_size < file.size or (found.st_size == int(size) and str(found.st_mtime_ns) != modified):
            self._handle.close()
            raise changed(file, "was rewritten")

    def seek(self, at: int) -> None:
        self._handle.seek(at)

    def read(self, size: int, /) -> bytes:
        try:
            data = self._handle.read(size)
        except OSError as error:
            raise Broken(error.strerror or type(error).__name__) from error
        if not data:
            raise changed(self._file, "became shorter while it was read")
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


def path_of(uri: str) -> Path:
    """The absolute path that a path or file:// URI names."""
    return Path(_local_path(uri)).absolute()


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

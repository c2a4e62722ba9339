"""Log storage: folders, S3, and whatever fsspec reads; listed as a stream, read so that a broken connection is no end.

A file is what it was when it was listed: `LogStore.open` goes on where a reading broke off, but refuses to go on in
another version of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.tracking.stores.local import LocalStore, path_of
from aspects_orchestration.tracking.stores.other import FsspecStore
from aspects_orchestration.tracking.stores.s3 import S3Store
from aspects_orchestration.tracking.stores.store import (
    QUARANTINE_FOLDER,
    UNPROTECTED,
    LogFile,
    LogFileChangedError,
    LogStore,
    Protection,
    S3Options,
    is_log_path,
)

__all__ = [
    "QUARANTINE_FOLDER",
    "TRACKING_LOGS",
    "UNPROTECTED",
    "LogFile",
    "LogFileChangedError",
    "LogStore",
    "Protection",
    "S3Options",
    "list_all",
    "local_path",
    "open_store",
    "open_stores",
]

TRACKING_LOGS: Final = "ASPECTS_TRACKING_LOGS"


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


def local_path(uri: str) -> Path | None:
    """The file or folder of this machine that a URI or path names; None if it is elsewhere.

    Args:
        uri: of a prefix, or of a `LogFile`; links are not followed, as listings do not follow them.
    """
    scheme, separator, _ = uri.strip().partition("://")
    return path_of(uri.strip()) if not separator or scheme == "file" else None


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
            uri.startswith(other + "/") and is_log_path(uri[len(other) + 1 :], folder=True)
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

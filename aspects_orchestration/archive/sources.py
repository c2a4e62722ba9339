"""The log files that are to be sealed: those of ASPECTS_TRACKING_LOGS that no writer writes to any more."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Collection, Iterator
from pathlib import Path

from aspects_orchestration.archive.index import ARCHIVE_SETTING
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, list_all, open_store


def log_files(
    settings: Settings, *, s3: S3Options, live: Collection[Path] = ()
) -> Iterator[tuple[LogStore, LogFile]]:
    """Every log file of the site once, with its store; neither live ones, nor what is in the archive or in quarantine.

    Args:
        settings: of the site.
        s3: how to reach S3.
        live: files that a writer still has open.

    Raises:
        LogStoreError: storage cannot be listed.
    """
    writing = {open_store(os.fspath(path)).uri for path in live}
    ours = _Within([settings.archive_uri, settings.quarantine_uri], s3)
    for store, file in list_all(settings.tracking_log_prefixes, s3=s3):
        if file.uri not in writing and file.uri not in ours:
            yield store, file


class _Within:
    """Tells whether a file lies below one of some prefixes, also where a link leads there."""

    def __init__(self, prefixes: Collection[str], s3: S3Options) -> None:
        uris = [open_store(prefix, s3=s3, setting=ARCHIVE_SETTING).uri.rstrip("/") for prefix in prefixes]
        self._folders = tuple(f"{uri}/" for uri in uris)
        self._real = tuple(f"{os.path.realpath(_path(uri))}/" for uri in uris if uri.startswith("file://"))
        self._known: dict[str, bool] = {}

    def __contains__(self, uri: str) -> bool:
        if uri.startswith(self._folders):
            return True
        if not uri.startswith("file://") or not self._real:
            return False
        folder = uri.rpartition("/")[0]
        if folder not in self._known:
            self._known[folder] = f"{os.path.realpath(_path(folder))}/".startswith(self._real)
        return self._known[folder]


def _path(uri: str) -> str:
    return os.fsdecode(urllib.parse.unquote_to_bytes(uri.removeprefix("file://")))

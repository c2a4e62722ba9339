"""Listing that can be taken up again behind a file, so that many files can be listed in short portions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_stores
from aspects_orchestration.tracking.stores.local import LocalStore
from aspects_orchestration.tracking.stores.s3 import S3Store


def list_in_order(
    prefixes: Iterable[str], *, s3: S3Options | None = None, after: str = ""
) -> Iterator[LogFile]:
    """Every log file under several prefixes whose URI comes behind another, in the order of URIs within each store.

    Folders and S3 are not read before that; other storage is listed as a whole each time.

    Args:
        prefixes: see `open_stores`.
        s3: see `open_store`.
        after: the URI of the file to go on behind; '' for the beginning.

    Raises:
        LogStoreError: see `LogStore`.
    """
    for store in sorted(open_stores(prefixes, s3=s3), key=lambda one: one.uri.rstrip("/") + "/"):
        below = store.uri.rstrip("/") + "/"
        if after.startswith(below):
            yield from _behind(store, after)
        elif not after or below > after:
            yield from _behind(store, "")


def _behind(store: LogStore, after: str) -> Iterator[LogFile]:
    if isinstance(store, LocalStore | S3Store):
        yield from store.list_behind(after)
    else:
        yield from sorted(file for file in store.list() if file.uri > after)

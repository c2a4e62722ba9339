"""Lines whose statements a destination has refused: read back from the logs, and kept in the load's quarantine.

    <ASPECTS_QUARANTINE>/<table>/<month>/<load>/refused-<number>.ndjson.gz

They are replayed as all of quarantine is: `source: quarantine`, to the same destination or to another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.tracking.chunks import Chunk, is_live, read_log
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.quarantine import OBJECT_ENDING, QuarantinedLine, decode, encode
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store

_BEGINNING = "refused-"
_OBJECT_BYTES = 32 * 1024 * 1024

#: File, place in it, reason and detail, by file and place.
Refused = Sequence[tuple[str, int, str, str]]


def keep_refused(
    store: LogStore,
    folder: str,
    refused: Refused,
    files: Sequence[LogFile],
    *,
    from_quarantine: bool,
    max_line_bytes: int,
    s3: S3Options,
) -> None:
    """Write the lines of refused statements into a load's quarantine; what an earlier attempt wrote there goes.

    Args:
        store, folder: the load's quarantine.
        refused: from where each statement came, and why it was refused.
        files: of the load.
        from_quarantine: these hold quarantine records, not log lines.
        max_line_bytes: as they were read.
        s3: how to reach S3.

    Raises:
        LogStoreError: storage refuses, or a log is not what it was when it was read.
    """
    written: set[str] = set()

    def write(records: list[QuarantinedLine]) -> None:
        name = f"{_BEGINNING}{len(written) + 1:05d}{OBJECT_ENDING}"
        store.put(f"{folder}/{name}", encode(records))
        written.add(name)

    held: list[QuarantinedLine] = []
    size = 0
    for record in _lines(refused, {file.uri: file for file in files}, from_quarantine, max_line_bytes, s3):
        if held and size + len(record.raw) > _OBJECT_BYTES:
            write(held)
            held, size = [], 0
        held.append(record)
        size += len(record.raw)
    if held:
        write(held)
    forget_refused(store, but=written)


def forget_refused(store: LogStore, *, but: set[str] | frozenset[str] = frozenset()) -> None:
    """Remove what an earlier attempt at the same load has kept of refused statements, but for some names."""
    try:
        listed = [file.uri for file in store.list()]
    except LogStoreError:
        return  # there is no such folder: nothing was kept
    for uri in listed:
        # By name: a folder that was given as a path is listed as a URI.
        name = uri.rpartition("/")[2]
        if name.startswith(_BEGINNING) and name not in but:
            store.delete(uri)


def _lines(
    refused: Refused, files: Mapping[str, LogFile], from_quarantine: bool, max_line_bytes: int, s3: S3Options
) -> Iterator[QuarantinedLine]:
    for uri, of_file in groupby(refused, key=lambda one: one[0]):
        # Of a line with several refused statements, the first says why.
        wanted: dict[int, tuple[str, str]] = {}
        for _, place, reason, detail in of_file:
            wanted.setdefault(place, (reason, detail))
        found = 0
        for place, record in _at(files[uri], frozenset(wanted), from_quarantine, max_line_bytes, s3):
            reason, detail = wanted[place]
            found += 1
            yield QuarantinedLine(
                reason, detail, record.file, record.byte_offset, record.raw, record.object, record.missing
            )
        if found != len(wanted):
            raise LogStoreError(
                f"{uri}: {len(wanted) - found} lines whose statements were refused are not where they were",
                do="The log has changed since it was read. Run again.",
            )


def _at(
    file: LogFile, places: frozenset[int], from_quarantine: bool, max_line_bytes: int, s3: S3Options
) -> Iterator[tuple[int, QuarantinedLine]]:
    """The lines at some places of a file: offsets in the decompressed log, or where the transformer saw a record."""
    store = open_store(file.uri, s3=s3)
    live = not from_quarantine and is_live(file, now=utc_now())
    for item in read_log(store, file, live=live, max_line_bytes=max_line_bytes):
        if not isinstance(item, Chunk) or not any(
            item.offset <= one <= item.offset + len(item.data) for one in places
        ):
            continue
        if from_quarantine:
            for number, stored in enumerate(item.data.splitlines(), 1):
                if item.offset + number in places:
                    yield item.offset + number, decode(stored)
        else:
            for line in unwrap(item.data, max_line_bytes=max_line_bytes):
                if item.offset + line.offset in places:
                    offset = item.offset + line.offset
                    yield offset, QuarantinedLine("", "", file.uri, offset, line.raw)

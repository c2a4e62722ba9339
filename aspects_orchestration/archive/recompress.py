"""A log file as the archive keeps it: recompressed, hashed and counted in one reading.

Reading, hashing, counting and compressing go on beside each other, each in a thread of its own; all but the counting
are done outside of Python's lock. The output is one zstd frame (with its checksum) or one gzip member, and equal input gives
equal output, whatever the number of threads.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final, Generic, Protocol, TypeVar

from backports import zstd

from aspects_orchestration.archive.layout import Compression
from aspects_orchestration.archive.line_facts import LineFacts, facts_of
from aspects_orchestration.errors import AspectsError, LogStoreError
from aspects_orchestration.tracking.catalog import moment
from aspects_orchestration.tracking.compression import Damage, compression_of, decompressed, is_bomb

if TYPE_CHECKING:
    from hashlib import _Hash

#: What is used where nothing else is asked for. An archive is written once and kept for years: zstd at 11 takes a
#: fifth less room than at 6, at some 200 MB a second on two cores; higher levels cost far more time than they save room.
DEFAULT_LEVELS: Final[Mapping[Compression, int]] = {"zst": 11, "gz": 6}
#: What goes from thread to thread at a time, and to the compressor: its output shall not depend on how storage answers.
BLOCK_BYTES: Final = 4 * 1024 * 1024
#: Blocks that wait for a thread, at most.
_AHEAD: Final = 2
_SNIFF_BYTES: Final = 64
_GZIP: Final = 31
_T = TypeVar("_T")

OpenSource = Callable[[], BinaryIO]


class DamagedSourceError(AspectsError):
    """A log file does not decompress to its end: it can be archived only as it is."""


@dataclass(frozen=True)
class Content:
    """What an object of the archive holds: the fields of `ArchivedObject` that follow from its bytes.

    Attributes:
        raw_bytes, raw_sha256: of what the object decompresses to.
        stored_bytes, stored_sha256: of the object as it is stored.
        lines: lines of the object; the last one counts with or without its newline.
        first_event, last_event: the earliest and latest time of an event of it (UTC); None if there is none.
        months: events by month (UTC), such as `{"2024-05": 1200}`, in order; transformable or not.
        undated: lines of which no time could be read though they may be events; each damage counts as one.
        covered_bytes, covered_sha256: of the decompressed source, from its beginning to the end of the last whole line.
            0, and the hash of nothing, for a verbatim object.
        verbatim: the object is the source byte for byte, not decompressed and not compressed.
    """

    raw_bytes: int
    raw_sha256: str
    stored_bytes: int
    stored_sha256: str
    lines: int
    first_event: datetime | None
    last_event: datetime | None
    months: Mapping[str, int]
    undated: int
    covered_bytes: int
    covered_sha256: str
    verbatim: bool


class Recompressed:
    """A log file recompressed: iterate once for the bytes to store, then ask for `content`.

    The threads and the source are let go when the iteration ends, fails, or is closed.

    Args:
        open_source: opens the log file as stored, at its beginning; seekable. Called a second time where an end has to be
            looked at again. Plain, gz, zst, bz2 and xz are told by content.
        offset: byte of the decompressed file at which the object begins; what is before is only hashed.
        compression: of the object.
        verbatim: take the file as it is, byte for byte, and neither decompress nor compress it. For files that are damaged:
            the reader of logs finds in them, and in the object, all that can be read.
        level: of the compression: 1 to 19 for zst, 1 to 9 for gz; None is the default.
        threads: that compress; None is one for each CPU. zst only.
        name: of the file, for errors.

    Raises:
        DamagedSourceError: while iterating: the file does not decompress to its end. Begin again with `verbatim`.
        LogStoreError: while iterating: storage fails, or the file has no `offset` bytes.
        ValueError: `offset` or `level` is impossible.
    """

    def __init__(
        self,
        open_source: OpenSource,
        *,
        offset: int = 0,
        compression: Compression = "zst",
        verbatim: bool = False,
        level: int | None = None,
        threads: int | None = None,
        name: str = "the log file",
    ) -> None:
        if offset < 0 or (offset and verbatim):
            raise ValueError("a verbatim object has all of its source, and no offset is below 0")
        self._open = open_source
        self._offset = offset
        self._compression = compression
        self._verbatim = verbatim
        self._level = DEFAULT_LEVELS[compression] if level is None else level
        if not 1 <= self._level <= (19 if compression == "zst" else 9):
            raise ValueError(f"{compression} has no level {level}")
        self._threads = len(os.sched_getaffinity(0)) if threads is None else max(1, threads)
        self._name = name
        self._begun = False
        self._content: Content | None = None

    @property
    def content(self) -> Content:
        """What the object holds, once all its bytes have been taken."""
        if self._content is None:
            raise RuntimeError("the object's bytes have not been taken to their end")
        return self._content

    def __iter__(self) -> Iterator[bytes]:
        if self._begun:
            raise RuntimeError("the object's bytes can be taken once")
        self._begun = True
        return self._as_it_is() if self._verbatim else self._recompressed()

    # --- a file that decompresses ----------------------------------------------------------------------------

    def _recompressed(self) -> Iterator[bytes]:
        blocks = _cut(_whole(self._open, self._name), self._offset)
        before = hashlib.sha256() if self._offset else None
        skipped = 0
        while before is not None and skipped < self._offset:
            block = next(blocks, None)
            if block is None:
                raise LogStoreError(
                    f"{self._name} has {skipped} bytes, decompressed, where {self._offset} were archived before",
                    do="Run again: it is listed and compared anew.",
                )
            before.update(block)
            skipped += len(block)
        first = next(blocks, b"")
        rest = chain((first,), blocks)
        if len(first) < BLOCK_BYTES:
            # Most files of a small site: not worth a thread.
            yield from self._inline(first, before)
        else:
            yield from self._side_by_side(rest, before)

    def _inline(self, data: bytes, before: _Hash | None) -> Iterator[bytes]:
        made = _compressed(data, self._compression, self._level)
        stored = _StoredHash()
        for _ in stored.passed(made):
            pass
        self._content = self._described(_hashed([data], before), facts_of([data]), stored)
        yield made

    def _side_by_side(self, blocks: Iterator[bytes], before: _Hash | None) -> Iterator[bytes]:
        compressor = _compressor(self._compression, self._level, threads=self._threads)
        stored, taken = _StoredHash(), 0
        with _Beside(lambda given: _hashed(given, before)) as hashing, _Beside(facts_of) as counting:
            for block in blocks:
                hashing.give(block)
                counting.give(block)
                taken += len(block)
                yield from stored.passed(compressor.compress(block))
                if is_bomb(stored.bytes, taken):
                    # What holds so much is not read to its end: as it is, it can be.
                    raise DamagedSourceError(
                        f"{self._name} is {taken:,} bytes of next to nothing",
                        do="It can be archived as it is, byte for byte.",
                    )
            yield from stored.passed(compressor.flush())
            self._content = self._described(hashing.result(), counting.result(), stored)

    def _described(self, raw: _RawHashes, facts: LineFacts, stored: _StoredHash) -> Content:
        covered_bytes = self._offset + facts.whole_to
        covered: str | None = raw.covered_sha256
        if facts.whole_to != raw.covered_bytes:
            # The last lines are pieces of one that is not whole, which is known only at the end.
            covered = prefix_sha256(self._open, covered_bytes)
        if covered is None:
            raise LogStoreError(
                f"{self._name} became shorter while it was archived", do="Run again: it is listed anew."
            )
        return _content(
            facts,
            stored,
            raw_bytes=raw.bytes,
            raw_sha256=raw.sha256,
            covered_bytes=covered_bytes,
            covered_sha256=covered,
        )

    # --- a file that does not --------------------------------------------------------------------------------

    def _as_it_is(self) -> Iterator[bytes]:
        stored = _StoredHash()
        with closing(self._open()) as stream:
            while block := stream.read(BLOCK_BYTES):
                yield from stored.passed(block)
        with closing(self._open()) as stream:
            facts = facts_of(decompressed(stream))
        self._content = _content(
            facts,
            stored,
            raw_bytes=stored.bytes,
            raw_sha256=stored.hexdigest(),
            covered_bytes=0,
            covered_sha256=hashlib.sha256().hexdigest(),
            verbatim=True,
        )


def prefix_sha256(open_source: OpenSource, length: int) -> str | None:
    """The SHA-256 of the first decompressed bytes of a file.

    Args:
        open_source: opens the file as stored, at its beginning; seekable.
        length: how many bytes.

    Returns:
        None if there are not so many, or if a damage comes before them.

    Raises:
        LogStoreError: storage fails.
    """
    return prefixes_sha256(open_source, [length]).get(length)


def prefixes_sha256(open_source: OpenSource, lengths: Iterable[int]) -> dict[int, str]:
    """The SHA-256 of several beginnings of a file's decompressed bytes, read once.

    Args:
        open_source: opens the file as stored, at its beginning; seekable.
        lengths: in bytes.

    Returns:
        By length; without those of which there are not so many bytes, or that come behind a damage.

    Raises:
        LogStoreError: storage fails.
    """
    digest = hashlib.sha256()
    found: dict[int, str] = {}
    ends = sorted(set(lengths))
    at = 0
    if ends and ends[0] == 0:
        found[ends.pop(0)] = digest.hexdigest()
    try:
        for block in _whole(open_source, "") if ends else ():
            rest = memoryview(block)
            while ends and ends[0] - at <= len(rest):
                digest.update(rest[: ends[0] - at])
                rest = rest[ends[0] - at :]
                at = ends.pop(0)
                found[at] = digest.hexdigest()
            if not ends:
                break
            digest.update(rest)
            at += len(rest)
    except DamagedSourceError:
        pass
    return found


def raw_sha256_of(
    open_object: OpenSource, *, verbatim: bool = False, name: str = "the object"
) -> tuple[int, str]:
    """How many bytes an object of the archive decompresses to, and their SHA-256.

    Args:
        open_object: opens the object as stored, at its beginning; seekable.
        verbatim: it is a verbatim one: its bytes are taken as they are.
        name: of the object, for errors.

    Raises:
        DamagedSourceError: it does not decompress to its end.
        LogStoreError: storage fails.
    """
    digest, length = hashlib.sha256(), 0
    for block in _as_stored(open_object) if verbatim else _whole(open_object, name):
        digest.update(block)
        length += len(block)
    return length, digest.hexdigest()


def _as_stored(open_source: OpenSource) -> Iterator[bytes]:
    with closing(open_source()) as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block


def _whole(open_source: OpenSource, name: str) -> Iterator[bytes]:
    """The decompressed bytes of a file, which has to be sound."""
    with closing(open_source()) as stream:
        if compression_of(stream.read(_SNIFF_BYTES)) == "plain":
            stream.seek(0)
            # Larger reads than the decompressor's own, which matter at a gigabyte a second.
            while block := stream.read(BLOCK_BYTES):
                yield block
            return
        stream.seek(0)
        for piece in decompressed(stream):
            if isinstance(piece, Damage):
                raise DamagedSourceError(
                    f"{name} is {piece.kind} at byte {piece.at_byte} ({piece.compression}): it does not decompress to its"
                    " end",
                    do="It can be archived as it is, byte for byte; if there is a sound copy, put that in its place.",
                )
            yield piece


def _cut(pieces: Iterator[bytes], offset: int) -> Iterator[bytes]:
    """Pieces as blocks of one size, but for one that ends at the offset, and the last."""
    held: list[bytes] = []
    length = at = 0

    def size() -> int:
        return min(BLOCK_BYTES, offset - at) if at < offset else BLOCK_BYTES

    for piece in pieces:
        if not held and len(piece) == size():
            at += len(piece)
            yield piece
            continue
        held.append(piece)
        length += len(piece)
        while length >= size():
            joined, cut = b"".join(held), size()
            held, length = [joined[cut:]], length - cut
            at += cut
            yield joined[:cut]
    if length:
        yield b"".join(held)


@dataclass(frozen=True)
class _RawHashes:
    """Of the raw bytes: all, and up to the last newline."""

    bytes: int
    sha256: str
    covered_bytes: int
    covered_sha256: str


def _hashed(blocks: Iterable[bytes], before: _Hash | None) -> _RawHashes:
    """Hash an object's raw bytes, and those of the source from its beginning.

    Args:
        blocks: the object's raw bytes.
        before: hash of what comes before them in the source; None if nothing does.
    """
    own = hashlib.sha256()
    source = own if before is None else before
    covered = source.copy()
    length = covered_bytes = 0
    for block in blocks:
        lines_end = block.rfind(b"\n") + 1
        whole = memoryview(block)
        if lines_end:
            source.update(whole[:lines_end])
            covered, covered_bytes = source.copy(), length + lines_end
        source.update(whole[lines_end:])
        if own is not source:
            own.update(block)
        length += len(block)
    return _RawHashes(length, own.hexdigest(), covered_bytes, covered.hexdigest())


class _StoredHash:
    """Hash of what is passed on."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.bytes = 0

    def passed(self, data: bytes) -> Iterator[bytes]:
        if data:
            self._digest.update(data)
            self.bytes += len(data)
            yield data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _content(
    facts: LineFacts,
    stored: _StoredHash,
    *,
    raw_bytes: int,
    raw_sha256: str,
    covered_bytes: int,
    covered_sha256: str,
    verbatim: bool = False,
) -> Content:
    return Content(
        raw_bytes=raw_bytes,
        raw_sha256=raw_sha256,
        stored_bytes=stored.bytes,
        stored_sha256=stored.hexdigest(),
        lines=facts.lines,
        first_event=moment(facts.first_micros),
        last_event=moment(facts.last_micros),
        months=dict(sorted(facts.months.items())),
        undated=facts.undated,
        covered_bytes=covered_bytes,
        covered_sha256=covered_sha256,
        verbatim=verbatim,
    )


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _compressor(compression: Compression, level: int, *, threads: int) -> _Compressor:
    if compression == "gz":
        return zlib.compressobj(level, wbits=_GZIP)
    # One worker and several give the same bytes; none gives others.
    return zstd.ZstdCompressor(options={**_options(level), zstd.CompressionParameter.nb_workers: threads})


def _compressed(data: bytes, compression: Compression, level: int) -> bytes:
    """All there is, in one call: zstd then knows the size, and makes no tables for gigabytes."""
    if compression == "gz":
        return zlib.compress(data, level, wbits=_GZIP)
    return zstd.compress(data, options=_options(level))


def _options(level: int) -> dict[int, int]:
    return {zstd.CompressionParameter.compression_level: level, zstd.CompressionParameter.checksum_flag: 1}


class _Beside(Generic[_T]):
    """A function of an iterator, run in a thread of its own, which is given what to iterate over piece by piece."""

    def __init__(self, work: Callable[[Iterator[bytes]], _T]) -> None:
        self._work = work
        self._given: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._found: list[_T] = []
        self._failure: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="recompress", daemon=True)

    def __enter__(self) -> _Beside[_T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def give(self, block: bytes) -> None:
        """Pass a block on; waits while enough are waiting. What went wrong in the thread comes out here, or at the end."""
        if self._failure is not None:
            raise self._failure
        self._given.put(block)

    def result(self) -> _T:
        """What the function returned, once it has been given all."""
        self._end()
        if self._failure is not None:
            raise self._failure
        return self._found[0]

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._given.put(None)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._found.append(self._work(iter(self._given.get, None)))
        except BaseException as failure:
            self._failure = failure
            while self._given.get() is not None:  # nobody shall wait for a thread that is no more
                pass

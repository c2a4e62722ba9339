"""A log recompressed for the archive, and what its manifest says of it, in one reading."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final, Protocol

from backports import zstd

from aspects_orchestration.archive.layout import Compression
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.tracking.catalog import moment
from aspects_orchestration.tracking.chunks import Chunk, OversizePart, line_ends, read_chunks
from aspects_orchestration.tracking.compression import Damage, decompressed
from aspects_orchestration.tracking.events import UnreadableEventError, event_time, parse_event
from aspects_orchestration.tracking.lines import QUARANTINE_REASONS, unwrap

_BLOCK_BYTES: Final = 1024 * 1024
_LEVELS: Final = {"zst": 3, "gz": 6}


class DamagedSourceError(AspectsError):
    """A source does not decompress to its end."""


@dataclass(frozen=True)
class Content:
    """What was found of a source while it was recompressed; the fields are those of `ArchivedObject`."""

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
    """The bytes of an object; iterate once, then `content` is there.

    Args:
        open_source: opens the source at its beginning.
        offset: byte of the decompressed source at which the object begins.
        compression: of the object.
        verbatim: take the source byte for byte as it is.
        level: of compression; None: a good one.
        threads: to compress with; None: as many as do good.

    Raises:
        DamagedSourceError: while iterating; start again with `verbatim`.
        LogStoreError: while iterating, from the source.
    """

    def __init__(
        self,
        open_source: Callable[[], BinaryIO],
        *,
        offset: int = 0,
        compression: Compression = "zst",
        verbatim: bool = False,
        level: int | None = None,
        threads: int | None = None,  # noqa: ARG002  one does here
    ) -> None:
        self._open = open_source
        self._offset = offset
        self._compression: Compression = compression
        self._verbatim = verbatim
        self._level = _LEVELS[compression] if level is None else level
        self._content: Content | None = None

    @property
    def content(self) -> Content:
        """What was found, once all bytes were taken."""
        if self._content is None:
            raise RuntimeError("the source has not been read to its end")
        return self._content

    def __iter__(self) -> Iterator[bytes]:
        facts, stored = _Facts(), hashlib.sha256()
        raw, covered = hashlib.sha256(), hashlib.sha256()
        stored_bytes = raw_bytes = covered_bytes = 0
        compressor = _compressor(self._compression, self._level)
        held = b""  # behind the last line end
        with closing(self._open()) as stream:
            for block in _whole(stream) if self._verbatim else _undamaged(stream):
                end = block.rfind(b"\n") + 1
                if end:
                    covered.update(held + block[:end])
                    covered_bytes += len(held) + end
                    held = block[end:]
                else:
                    held += block
                skip = min(max(self._offset - facts.seen, 0), len(block))
                facts.seen += len(block)
                piece = block[skip:]
                if not piece:
                    continue
                raw.update(piece)
                raw_bytes += len(piece)
                if not self._verbatim:
                    facts.pieces.append(piece)
                    if sum(map(len, facts.pieces)) >= 4 * _BLOCK_BYTES:
                        facts.count(last=False)
                out = piece if self._verbatim else compressor.compress(piece)
                if out:
                    stored.update(out)
                    stored_bytes += len(out)
                    yield out
        out = b"" if self._verbatim else compressor.flush()
        stored.update(out)
        stored_bytes += len(out)
        if out:
            yield out
        if not self._verbatim:
            facts.count(last=True)
        self._content = Content(
            raw_bytes,
            raw.hexdigest(),
            stored_bytes,
            stored.hexdigest(),
            facts.lines,
            moment(facts.first),
            moment(facts.last),
            dict(sorted(facts.months.items())),
            facts.undated,
            covered_bytes,
            covered.hexdigest(),
            self._verbatim,
        )


def prefix_sha256(open_source: Callable[[], BinaryIO], length: int) -> str | None:
    """Hash of the first bytes of a decompressed source; None if it is shorter, or damaged before.

    Raises:
        LogStoreError: from the source.
    """
    digest, left = hashlib.sha256(), length
    with closing(open_source()) as stream:
        for block in decompressed(stream):
            if isinstance(block, Damage):
                return None
            digest.update(block[:left])
            left -= min(left, len(block))
            if not left:
                break
    return None if left else digest.hexdigest()


def raw_sha256_of(open_object: Callable[[], BinaryIO]) -> tuple[int, str]:
    """Bytes of a stored object once decompressed, and their hash.

    Raises:
        DamagedSourceError: it does not decompress to its end.
        LogStoreError: from the store.
    """
    digest, size = hashlib.sha256(), 0
    with closing(open_object()) as stream:
        for block in _undamaged(stream):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


class _Facts:
    def __init__(self) -> None:
        self.seen = 0
        self.pieces: list[bytes] = []
        self.lines = self.undated = 0
        self.months: Counter[str] = Counter()
        self.first: int | None = None
        self.last: int | None = None

    def count(self, *, last: bool) -> None:
        """Count the lines of what is held, up to the last line end (at the end of the source: all)."""
        data = b"".join(self.pieces)
        end = len(data) if last else data.rfind(b"\n") + 1
        self.pieces = [data[end:]] if end < len(data) else []
        if not end:
            return
        for item in read_chunks([data[:end]]):
            if isinstance(item, OversizePart):
                self.lines += item.source_lines
                self.undated += item.last
            elif isinstance(item, Chunk) and item.data:
                self.lines += line_ends(item.data)
                for line in unwrap(item.data):
                    if line.body is not None:
                        self._event(line.body)
                    elif line.reason in QUARANTINE_REASONS:
                        self.undated += 1

    def _event(self, body: bytes) -> None:
        try:
            micros, _ = event_time(parse_event(body))
        except UnreadableEventError as error:
            self.undated += error.reason != "not_an_event"
            return
        found = moment(micros)
        if found is not None:
            self.months[f"{found:%Y-%m}"] += 1
        self.first = micros if self.first is None else min(self.first, micros)
        self.last = micros if self.last is None else max(self.last, micros)


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _compressor(compression: Compression, level: int) -> _Compressor:
    if compression == "gz":
        return zlib.compressobj(level, wbits=31)
    parameter = zstd.CompressionParameter
    return zstd.ZstdCompressor(options={parameter.compression_level: level, parameter.checksum_flag: 1})


def _undamaged(stream: BinaryIO) -> Iterator[bytes]:
    for block in decompressed(stream):
        if isinstance(block, Damage):
            raise DamagedSourceError(
                f"the file does not decompress to its end ({block.kind} at byte {block.at_byte})",
                do="It is archived as it is, byte for byte.",
            )
        yield block


def _whole(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block

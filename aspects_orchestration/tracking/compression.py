"""Compressed logs, decompressed in bounded steps; damage is reported in its place, and reading goes on.

The format is told by content, never by name: `tracking.log-20240501.gz` is plain text on many a server.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, cast

from backports import zstd
from isal import igzip_lib, isal_zlib

READ_BYTES: Final = 256 * 1024
BLOCK_BYTES: Final = 1024 * 1024
#: Of a member is read first, and then more: what its decoder leaves is copied, and members may be of a few bytes each.
_FIRST_BYTES: Final = 4 * 1024
#: Beyond so many bytes a file may not hold more than so many times its own size. Logs compress thirtyfold, the most that
#: gzip can do is a thousandfold, and a bomb of bz2 is a millionfold: it would keep a reader busy for days. (A log of which a
#: crash has left a hole of zeros is still read.)
BOMB_BYTES: Final = 16 * 1024 * 1024 * 1024
BOMB_TIMES: Final = 2000
#: A file may have so many damages; each is remembered, and looking for where to go on takes time.
MOST_DAMAGES: Final = 10_000
XZ_MEMORY_BYTES: Final = 256 * 1024 * 1024

# A decoder that has run past the end of a cut member notices it a little later, never this much later.
_LOOK_BACK_BYTES: Final = 64 * 1024
_TRIAL_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Damage:
    """A part of a log file that cannot be read.

    Args:
        kind: `truncated` (the file ends inside an archive member), `corrupt` (a member is damaged or its
            checksum is wrong), `trailing_data` (bytes that are no archive follow one), `unsupported`
            (a format that this reader does not know; nothing of the file was read) or `bomb` (a small file that
            holds what no log does; the rest was not read).
        compression: the format's name: gz, zst, bz2, xz, or the unsupported one.
        at_byte: byte of the file, as stored, where the damage was met.
        resumed_at: byte of the file, as stored, where reading went on; None if the rest is unread.
        detail: what the decoder said.
    """

    kind: str
    compression: str
    at_byte: int
    resumed_at: int | None
    detail: str


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflate(Protocol):
    """zlib's decompressobj, or one like it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GzipMember:
    """One gzip member, with the interface that bz2, lzma and zstd decompressors share.

    Args:
        decompressobj: of the standard library's zlib, or of one like it.
    """

    def __init__(self, decompressobj: Callable[..., _Inflate]) -> None:
        self._inflate = decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.needs_input = not self._inflate.unconsumed_tail and len(out) < max_length
        return out


@dataclass(frozen=True)
class _Format:
    name: str
    magic: re.Pattern[bytes]
    new: Callable[[], _Decoder]
    #: Decodes byte by byte up to a damage; None if `new` does.
    exact: Callable[[], _Decoder] | None = None


_FORMATS: Final = (
    _Format(
        "gz",
        re.compile(rb"\x1f\x8b(?:\x08[\x00-\x1f]|\x08?\Z)"),
        # ISA-L has two to three times the standard library's speed, but keeps back what stands just before a damage.
        lambda: _GzipMember(isal_zlib.decompressobj),
        lambda: _GzipMember(zlib.decompressobj),
    ),
    _Format("zst", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), zstd.ZstdDecompressor),
    _Format("bz2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor),
    _Format(
        "xz",
        re.compile(rb"\xfd7zXZ\x00"),
        lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES),
    ),
)
_MAGIC_BYTES: Final = 10
_PADDING: Final = re.compile(rb"\0+")
_UNSUPPORTED: Final = (
    ("zip", b"PK\x03\x04"),
    ("7z", b"7z\xbc\xaf\x27\x1c"),
    ("lz4", b"\x04\x22\x4d\x18"),
    ("compress", b"\x1f\x9d"),
    ("UTF-16 text", b"\xff\xfe"),
    ("UTF-16 text", b"\xfe\xff"),
)
# Its stubs say that this is an instance.
_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_ERRORS: Final = (
    zlib.error,
    _ISAL_ERROR,
    OSError,
    lzma.LZMAError,
    zstd.ZstdError,
    EOFError,
    MemoryError,
)


def compression_of(head: bytes) -> str:
    """Tell how a file is compressed from its first bytes.

    Args:
        head: the first 16 bytes or more of the file (fewer only if it is shorter).

    Returns:
        gz, zst, bz2, xz, plain, or the name of a format that cannot be read (zip, 7z, lz4, compress,
        UTF-16 text).
    """
    for known in _FORMATS:
        if known.magic.match(head):
            return known.name
    for name, magic in _UNSUPPORTED:
        if head.startswith(magic):
            return name
    return "plain"


def is_bomb(stored: int, held: int) -> bool:
    """Whether so many bytes, compressed, hold so many as no log does."""
    return held > BOMB_BYTES and held > BOMB_TIMES * stored


def decompressed(stream: BinaryIO) -> Iterator[bytes | Damage]:
    """Decompress a log file, whatever its format, in blocks of at most 1 MiB.

    Several members, frames or streams in a row are one file, as `cat a.gz b.gz` makes them. Everything that
    can be read before a damage is yielded, then the `Damage`, then what follows from the next member that
    opens, if there is one.

    Args:
        stream: the file as stored, at its beginning; it must be seekable (a damaged member is read twice).

    Yields:
        Decompressed bytes, in order, and a `Damage` in the place where bytes are missing.

    Raises:
        LogStoreError: from the stream, if storage fails.
    """
    head = stream.read(READ_BYTES)
    name = compression_of(head[:64])
    if name == "plain":
        while head:
            yield head
            head = stream.read(READ_BYTES)
        return
    for known in _FORMATS:
        if known.name == name:
            yield from _once(name, iter(_Members(stream, known, head)))
            return
    yield Damage(
        "unsupported", name, 0, None, f"{name} cannot be read; convert the file to gzip or plain UTF-8"
    )


def _once(name: str, blocks: Iterator[bytes | Damage]) -> Iterator[bytes | Damage]:
    """What was decompressed, unless it is an archive again: its lines would look like a log without events."""
    for block in blocks:
        if isinstance(block, bytes):
            inner = compression_of(block[:64])
            if inner != "plain":
                yield Damage(
                    "unsupported",
                    f"{inner} in {name}",
                    0,
                    None,
                    "the file was compressed twice: decompress it once",
                )
                return
            yield block
            break
        yield block
    yield from blocks


class _Members:
    """The members of one archive, one after the other."""

    def __init__(self, stream: BinaryIO, known: _Format, head: bytes) -> None:
        self._stream = stream
        self._format = known
        self._data = head
        self._pos = 0  # what stands before it in `_data` was read
        self._at = 0  # where that is in the file
        self._damages = 0
        self._given = 0  # bytes that were decompressed so far

    def __iter__(self) -> Iterator[bytes | Damage]:
        while self._fill():
            if self._format.magic.match(self._data, self._pos):
                yield from self._member()
            elif not self._skip_padding():
                yield self._damage("trailing_data", self._at, "bytes that are no archive follow the archive")

    def _fill(self) -> bool:
        if len(self._data) - self._pos < _MAGIC_BYTES:
            self._data, self._pos = self._data[self._pos :] + self._stream.read(READ_BYTES), 0
        return self._pos < len(self._data)

    def _seek(self, at: int) -> None:
        self._stream.seek(at)
        self._at, self._data, self._pos = at, b"", 0

    def _skip_padding(self) -> bool:
        padding = _PADDING.match(self._data, self._pos)
        skipped = 0 if padding is None else padding.end() - self._pos
        self._at, self._pos = self._at + skipped, self._pos + skipped
        return skipped > 0

    def _member(self) -> Iterator[bytes | Damage]:
        start, fed_at, known, step = self._at, self._at, 0, _FIRST_BYTES
        decoder = self._format.new()
        while not decoder.eof:
            data = b""
            if decoder.needs_input:
                if self._pos == len(self._data):
                    self._data, self._pos = self._stream.read(READ_BYTES), 0
                data = self._data[self._pos : self._pos + step]
                if not data:
                    yield self._damage("truncated", self._at, "the file ends inside an archive member")
                    return
                fed_at, self._at, self._pos = self._at, self._at + len(data), self._pos + len(data)
                step = min(4 * step, READ_BYTES)
            try:
                block = decoder.decompress(data, BLOCK_BYTES)
            except _ERRORS as error:
                broken_at = yield from self._rest_before_damage(start, fed_at, known)
                yield self._damage("corrupt", broken_at, str(error), member_at=start)
                return
            if block:
                known += len(block)
                self._given += len(block)
                yield block
            if is_bomb(self._at, self._given):
                yield self._bomb()
                return
        rest = len(decoder.unused_data)
        self._pos, self._at = self._pos - rest, self._at - rest

    def _rest_before_damage(self, start: int, fed_at: int, known: int) -> Generator[bytes, None, int]:
        """What the decoder swallowed with its error: decode the member again, the last piece byte by byte."""
        self._seek(start)
        decoder = (self._format.exact or self._format.new)()
        at = start
        while not decoder.eof:
            data = b""
            if decoder.needs_input:
                data = self._stream.read(min(READ_BYTES, fed_at - at) if at < fed_at else 1)
                if not data:
                    break
                at += len(data)
            try:
                block = decoder.decompress(data, BLOCK_BYTES)
            except _ERRORS:
                break
            if len(block) > known:
                yield block[known:]
            known = max(0, known - len(block))
        return at

    def _bomb(self) -> Damage:
        self._leave()
        return Damage(
            "bomb",
            self._format.name,
            self._at,
            None,
            f"{self._at:,} bytes of it hold more than {self._given:,}: no log does that, and the rest was not read",
        )

    def _damage(self, kind: str, at: int, detail: str, member_at: int | None = None) -> Damage:
        """Report a damage, and stand at the next member that opens, or at the end of the file."""
        after = at if member_at is None else max(member_at + 1, at - _LOOK_BACK_BYTES)
        self._damages += 1
        if self._damages > MOST_DAMAGES:
            self._leave()
            return Damage(kind, self._format.name, at, None, f"{detail}, and so on: the rest was not read")
        resumed_at = self._next_member(after)
        if resumed_at is None:
            self._leave()
        else:
            self._seek(resumed_at)
        return Damage(kind, self._format.name, at, resumed_at, detail)

    def _leave(self) -> None:
        self._stream.seek(0, io.SEEK_END)
        self._data, self._pos = b"", 0

    def _next_member(self, at: int) -> int | None:
        self._seek(at)
        window = b""
        while block := self._stream.read(READ_BYTES):
            window += block
            for found in self._format.magic.finditer(window):
                if self._opens(at + found.start()):
                    return at + found.start()
            keep = min(len(window), _MAGIC_BYTES - 1)
            at += len(window) - keep
            window = window[len(window) - keep :]
            self._stream.seek(at + keep)
        return None

    def _opens(self, at: int) -> bool:
        """Magic bytes also occur by chance: a member counts only if its first bytes decode."""
        self._stream.seek(at)
        decoder = self._format.new()
        produced = 0
        try:
            while not decoder.eof and produced < _TRIAL_BYTES:
                data = self._stream.read(_TRIAL_BYTES) if decoder.needs_input else b""
                if decoder.needs_input and not data:
                    break
                produced += len(decoder.decompress(data, _TRIAL_BYTES))
        except _ERRORS:
            return False
        return produced > 0

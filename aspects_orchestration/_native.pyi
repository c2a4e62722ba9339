from typing import TypeVar

_Line = TypeVar("_Line", bound=tuple[object, ...])

def scan(
    data: bytes,
    position: int,
    starts: tuple[bytes, ...],
    names: frozenset[bytes],
    line_class: type[_Line],
    most: int,
    /,
) -> tuple[list[_Line], int, int]: ...
def may_be_in(body: bytes, names: frozenset[bytes], /) -> bool: ...
def newlines(data: bytes, /) -> int: ...
def openings(text: bytes, /) -> int: ...
def canonical_micros(text: object, /) -> int | None: ...
def statement_id(namespace: bytes, name: bytes, /) -> tuple[bytes, bytes]: ...
def add_row(
    rows: bytearray,
    identity: bytes,
    emission_micros: int,
    event: bytes,
    file: bytes,
    byte_offset: int,
    number: int,
    /,
) -> None: ...

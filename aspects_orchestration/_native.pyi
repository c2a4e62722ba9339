from collections.abc import Callable, Sequence
from typing import Any, TypeVar

_Line = TypeVar("_Line", bound=tuple[object, ...])
_Statement = TypeVar("_Statement", bound=tuple[object, ...])

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
def usual_event(
    body: bytes, names: frozenset[str], loads: Callable[[bytes | str], Any], /
) -> tuple[dict[str, Any], int] | str | None: ...
def canonical_micros(text: object, /) -> int | None: ...
def use_sha_instructions(wanted: bool, /) -> bool: ...
def statement_id(namespace: bytes, name: bytes, /) -> tuple[bytes, bytes]: ...
def usual_statement(
    site: tuple[
        type[_Statement],
        bytes,
        bytes,
        dict[int | str, tuple[bytes, bytes]],
        dict[str, tuple[bytes, bytes]],
        Callable[[str], bytes],
    ],
    plan: tuple[Callable[..., tuple[bytes, bytes]], bool, bytes, bytes, str],
    event: dict[str, Any],
    micros: int,
    /,
) -> list[_Statement] | None: ...
def assembled(
    statement_class: type[_Statement],
    namespace: bytes,
    actor_name: bytes,
    timestamp: str,
    micros: int,
    actor: bytes,
    verb: bytes,
    rest: tuple[bytes, ...],
    verb_id: str,
    /,
) -> _Statement: ...
def add_statements(
    rows: bytearray,
    statements: Sequence[tuple[bytes, int, bytes, str]],
    first: int,
    end: int,
    file: bytes,
    byte_offset: int,
    verbs: list[str],
    /,
) -> int: ...
def found(event: dict[str, Any], name: str, /) -> Any: ...
def absent(place: dict[str, Any], names: frozenset[str], /) -> bool: ...

"""Ids of statements: UUIDs of version 5 (RFC 4122), as bytes and as text."""

from __future__ import annotations

from binascii import hexlify
from hashlib import sha1
from struct import Struct
from typing import Final

from aspects_orchestration.native import native

#: Of a UUID's bits, those that the digest gives, and those that say version 5.
_FROM_DIGEST: Final = ~((0xF000 << 64) | (0xC000 << 48)) & ((1 << 128) - 1)
_VERSION_5: Final = (5 << 76) | (0x8000 << 48)
_groups = Struct("8s4s4s4s12s").unpack
_from_bytes = int.from_bytes


def _statement_id(namespace: bytes, name: bytes) -> tuple[bytes, bytes]:
    """The UUID of a name in a namespace.

    Args:
        namespace: its 16 bytes in network order.
        name: any bytes.

    Returns:
        The 16 bytes in network order, and the text in 36 ASCII letters.
    """
    number = _from_bytes(sha1(namespace + name, usedforsecurity=False).digest()[:16], "big")
    identity = (number & _FROM_DIGEST | _VERSION_5).to_bytes(16, "big")
    return identity, b"-".join(_groups(hexlify(identity)))


statement_id = _statement_id if native is None else native.statement_id

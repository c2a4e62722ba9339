"""What goes wrong in logs: records that are cut, overwritten, foreign, about nobody, or there twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from aspects_orchestration.samples.template import Slots

UNKNOWN_USER_ID: Final = 2_000_000_001
UNKNOWN_COURSE: Final = "course-v1:Gone+X0+1999"

_FOREIGN: Final = (
    b"Traceback (most recent call last):\n",
    b"2024-05-02 07:11:43,902 INFO 9 [request] [user None] [ip None] log.py:241 - Not Found: /a.ico\n",
    b"[pid: 20|app: 0|req: 812/3204] 192.0.2.7 () {58 vars in 1021 bytes} GET /heartbeat => 47 bytes\n",
)


def _cut(record: bytes, rng: random.Random) -> bytes:
    """The writer died in the middle of the line."""
    return record[: int(len(record) * (0.5 + 0.4 * rng.random()))].rstrip(b"\n") + b"\n"


def _nul_bytes(record: bytes, rng: random.Random) -> bytes:
    """A block that never reached the disk."""
    at = len(record) // 2
    length = min(1 + int(rng.random() * 200), len(record) - at - 1)
    return record[:at] + b"\0" * length + record[at + length :]


def _nul_padding(record: bytes, rng: random.Random) -> bytes:
    """A file that was truncated while its writer kept its position: NULs, then a whole line."""
    return b"\0" * (1 + int(rng.random() * 500)) + record


def _invalid_utf8(record: bytes, _rng: random.Random) -> bytes:
    at = len(record) // 2
    return record[:at] + b"\xc3\x28" + record[at:]


def _crlf(record: bytes, _rng: random.Random) -> bytes:
    return record.replace(b"\n", b"\r\n")


def _blank(_record: bytes, rng: random.Random) -> bytes:
    return (b"\n", b"  \t\n", b"\r\n")[int(rng.random() * 3)]


def _not_tracking(_record: bytes, rng: random.Random) -> bytes:
    """A line of another logger in the same file."""
    return _FOREIGN[int(rng.random() * len(_FOREIGN))]


OF_RECORD: Final[dict[str, Callable[[bytes, random.Random], bytes]]] = {
    "cut": _cut,
    "nul_bytes": _nul_bytes,
    "nul_padding": _nul_padding,
    "invalid_utf8": _invalid_utf8,
    "crlf": _crlf,
    "blank": _blank,
    "not_tracking": _not_tracking,
}
OF_EVENT: Final = ("unknown_user", "unknown_course", "no_time")

DAMAGES: Final = (*OF_RECORD, *OF_EVENT, "duplicate")
"""Every way in which a record may be damaged."""

TOLERABLE: Final = frozenset({"nul_padding", "crlf", "duplicate"})
"""Those that leave an event readable."""


def slots_of_nobody(damage: str) -> Slots:
    """What to fill in so that the event's user or course does not exist."""
    if damage == "unknown_user":
        return {b"user_id": b"%d" % UNKNOWN_USER_ID, b"username": b"nobody_knows"}
    if damage == "unknown_course":
        return {b"course": UNKNOWN_COURSE.encode()}
    return {}

"""What stands around an event in a log: logger prefixes, container runtimes and log shippers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from aspects_orchestration.samples.template import Slots

Wrapper = Callable[[bytes, Slots, int], bytes]

# Where Docker and containerd split a record.
_PIECE: Final = 16_384

_MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)


def _plain(event: bytes, _slots: Slots, _variety: int) -> bytes:
    return event + b"\n"


def _tutor(event: bytes, slots: Slots, variety: int) -> bytes:
    time = slots[b"time"]
    return b"%b %b,%b INFO %d [tracking] [user %b] [ip %b] logger.py:41 - %b\n" % (
        time[:10],
        time[11:19],
        time[20:23],
        20 + variety % 4,
        slots[b"user_id"],
        slots[b"ip"],
        event,
    )


def _syslog(event: bytes, slots: Slots, variety: int) -> bytes:
    """Mostly RFC 3164; a quarter RFC 5424, whose structured data has braces of its own."""
    time = slots[b"time"]
    if variety % 4 == 0:
        return b'<134>1 %b lms-%d tracking %d - [site@32473 pod="{lms}" note="{}"] %b\n' % (
            time,
            variety % 3,
            20 + variety % 7,
            event,
        )
    return b"%b %2d %b lms-%d tracking: %b\n" % (
        _MONTHS[int(time[5:7]) - 1],
        int(time[8:10]),
        time[11:19],
        variety % 3,
        event,
    )


def _in_json_string(text: bytes) -> bytes:
    """Escape as Go's encoder does: `<`, `>` and `&` too."""
    text = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return text.replace(b"&", b"\\u0026").replace(b"<", b"\\u003c").replace(b">", b"\\u003e")


def _pieces(record: bytes) -> Iterator[bytes]:
    """Cut a record as container runtimes do, but never inside a character."""
    at = 0
    while at < len(record):
        until = min(at + _PIECE, len(record))
        while until < len(record) and record[until] & 0xC0 == 0x80:
            until -= 1
        yield record[at:until]
        at = until


def _docker(event: bytes, slots: Slots, variety: int) -> bytes:
    record, time = _tutor(event, slots, variety), slots[b"time"]
    return b"".join(
        b'{"log":"%b","stream":"stderr","time":"%b000Z"}\n' % (_in_json_string(piece), time[:26])
        for piece in _pieces(record)
    )


def _cri(event: bytes, slots: Slots, variety: int) -> bytes:
    pieces, time = list(_pieces(_tutor(event, slots, variety)[:-1])), slots[b"time"]
    flags = [b"P"] * (len(pieces) - 1) + [b"F"]
    return b"".join(
        b"%b000Z stderr %b %b\n" % (time[:26], *piece) for piece in zip(flags, pieces, strict=True)
    )


def _vector(event: bytes, slots: Slots, variety: int) -> bytes:
    """Mostly the event as a string under ``message``; a quarter as an object."""
    message = event if variety % 4 == 0 else b'"%b"' % _in_json_string(event)
    return b'{"host":"lms-%d","message":%b,"source_type":"file","timestamp":"%bZ"}\n' % (
        variety % 3,
        message,
        slots[b"time"][:26],
    )


WRAPPERS: Final[dict[str, Wrapper]] = {
    "plain": _plain,
    "tutor": _tutor,
    "syslog": _syslog,
    "docker": _docker,
    "cri": _cri,
    "vector": _vector,
}

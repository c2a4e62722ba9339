"""Servers that answer as they are told to: rightly, slowly, wrongly, piece by piece, or never."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class HttpDouble:
    """A server on a port of its own.

    Attributes:
        answers: what to send back for a path; for others, 404. Nothing is sent back, ever, for None.
        slow_s: wait so long before each answer.
        asked: the requests' heads, in the order in which they came.
    """

    port: int
    answers: dict[str, bytes | None]
    slow_s: float = 0.0
    drip_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self.port}"


def http(status: int, body: str = "", *headers: str) -> bytes:
    """An answer of HTTP."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body.encode())}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@contextmanager
def http_double(answers: dict[str, bytes | None], **how: float) -> Iterator[HttpDouble]:
    """A server that ends with the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    double = HttpDouble(listener.getsockname()[1], answers, **how)
    ended = threading.Event()
    open_ones: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            # A greeting of TLS is answered as plain HTTP servers do: with an error in plain text.
            while b"\r\n\r\n" not in head and not head.startswith(b"\x16"):
                more = connection.recv(65536)
                if not more:
                    return
                head += more
            text = head.decode(errors="replace")
            double.asked.append(text)
            words = text.split(" ")
            answer = double.answers.get(words[1] if len(words) > 1 else "", http(404))
            if answer is None:
                ended.wait()
                return
            ended.wait(double.slow_s)
            pieces = [answer] if not double.drip_s else [bytes([one]) for one in answer]
            for piece in pieces:
                connection.sendall(piece)
                if double.drip_s and ended.wait(double.drip_s):
                    return
            connection.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_ones.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield double
    finally:
        ended.set()
        listener.close()
        for one in open_ones:
            one.close()


def timed(what: Callable[[], object]) -> float:
    """How long something takes, in seconds."""
    started = time.monotonic()
    what()
    return time.monotonic() - started

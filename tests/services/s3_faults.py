"""A proxy in front of a real S3 that answers, now and then, as a bad one does: 500, 503, slowly, half, other bytes, or not.

It forwards requests byte for byte, with their Host header, so that their signatures hold.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

#: What is done to a request: its method and path, and how often one like it has come; None: nothing.
Fault = Callable[[str, str, int], str | None]

_ERRORS: Final = {
    "500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "denied": (403, "AccessDenied"),
}


@dataclass
class FaultyS3:
    """The proxy; `faults` may be set at any time.

    Faults: `500`, `503` and `denied` answer so without asking S3; `500 after` asks it first, so that a write has happened;
    `slow` waits; `half` sends half of the body and hangs up; `other bytes` changes one byte of the answer; `sent wrong`
    changes one byte of what is uploaded; `hang up` closes the connection without an answer.
    """

    endpoint: str
    fault: Fault = lambda *_: None
    done: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def in_front_of(endpoint: str) -> Iterator[FaultyS3]:
    """Run the proxy for the time of a `with` block."""
    to = urlsplit(endpoint)
    counts: dict[tuple[str, str], int] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            """Forward one request, with its fault."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            with lock:
                key = (self.command, path)
                counts[key] = counts.get(key, 0) + 1
                number = counts[key]
            fault = faulty.fault(self.command, path, number)
            if fault is not None:
                faulty.done.append((fault, self.command, path))
            if fault in _ERRORS:
                self.refuse(*_ERRORS[fault])
                return
            if fault == "hang up":
                self.close_connection = True
                return
            if fault == "slow":
                time.sleep(0.3)
            status, headers, content = self.ask(flipped(body) if fault == "sent wrong" and body else body)
            if fault == "500 after":
                self.refuse(500, "InternalError")
                return
            if fault == "other bytes" and content:
                content = flipped(content)
            self.pass_on(status, headers, content, whole=fault != "half")

        def ask(self, body: bytes) -> tuple[int, Message, bytes]:
            """What the real S3 answers to the request, with this body."""
            upstream = http.client.HTTPConnection(str(to.hostname), to.port, timeout=60)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"connection", "expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            found = upstream.getresponse()
            content = found.read()
            upstream.close()
            return found.status, found.headers, content

        def pass_on(self, status: int, headers: Message, content: bytes, *, whole: bool) -> None:
            """Answer as S3 did, or with half of it and a connection that ends."""
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.close_connection = self.close_connection or not whole
            self.wfile.write(content if whole else content[: len(content) // 2])

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        def refuse(self, status: int, code: str) -> None:
            """An error as S3 words it."""
            body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle_expect_100(self) -> bool:
            self.send_response_only(100)
            self.end_headers()
            return True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faulty = FaultyS3(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        server.shutdown()
        server.server_close()


def flipped(data: bytes) -> bytes:
    """The same bytes but for one in the middle."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)

"""Servers that are up and no good: one that never answers, and one that answers all with the same bytes, slowly or not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextlib.contextmanager
def hanging() -> Iterator[int]:
    """The port of a socket that accepts connections (the kernel does, for the backlog) and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def answering(body: bytes, *, status: int = 200, every_s: float = 0.0) -> Iterator[int]:
    """The port of a web server that answers every request with the same.

    Args:
        body: of every answer.
        status: of every answer.
        every_s: pause after each byte of the body, in seconds.
    """
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            """The same to anybody."""
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                for at in range(0, len(body), 1 if every_s else len(body)):
                    self.wfile.write(body[at : at + 1] if every_s else body)
                    if every_s and stopped.wait(every_s):
                        return

        do_GET = do_POST = answer  # noqa: N815 - the names that the base class calls

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield running.server_address[1]
        finally:
            stopped.set()
            running.shutdown()
            thread.join()

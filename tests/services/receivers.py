"""Who receives alerts in tests: a web hook and a mail server on loopback, that can refuse, hang, or be gone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from aiosmtpd.controller import Controller

from services.ports import free_port

SECRET = "s3cr3t-of-the-hook"


@dataclass
class Hook:
    """A web hook: what it was sent, and how it answers.

    Attributes:
        url: for Apprise, with secrets in it.
        got: what it took, as JSON.
        status: of its answers.
        answers: while it is not set, nobody is answered.
        refuses: the title of a message that it never takes.
    """

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    answers: threading.Event = field(default_factory=threading.Event)
    refuses: str = ""

    @property
    def titles(self) -> list[str]:
        """Of what it took."""
        return [str(one["title"]) for one in self.got]


@contextmanager
def web_hook() -> Iterator[Hook]:
    """A real HTTP server that Apprise's json:// posts to."""
    hook = Hook()
    hook.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = json.loads(body)
            status = 400 if message["title"] == hook.refuses else hook.status
            if status == 200:
                hook.got.append(message)
            hook.answers.wait(30)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # A path that no other hook has: ports come again, and what was sent to one must not pass for sent to another.
    hook.url = f"json://operator:{SECRET}@127.0.0.1:{server.server_port}/{SECRET}-path/{uuid4()}"
    try:
        yield hook
    finally:
        hook.answers.set()
        server.shutdown()
        server.server_close()


@dataclass
class Mailbox:
    """A mail server: what it took, as (subject, text)."""

    url: str = ""
    got: list[tuple[str, str]] = field(default_factory=list)

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        """Take a mail."""
        mail = message_from_bytes(envelope.content)
        parts = [one for one in mail.walk() if one.get_content_type() == "text/plain"]
        payload = parts[0].get_payload(decode=True) if parts else b""
        assert isinstance(payload, bytes)
        self.got.append((str(mail["Subject"]), payload.decode()))
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """A real SMTP server."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.url = (
        f"mailto://127.0.0.1:{controller.port}?from=aspects@example.org&to=oncall@example.org&mode=insecure"
    )
    try:
        yield box
    finally:
        controller.stop()

"""Asking a service over HTTP whether it is well: one GET, no proxy, no redirect, and an end in sight."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    ReadTimeoutError,
    SSLError,
)

#: Until connected, and between two pieces of an answer.
TIMEOUT_S = 3.0
#: Until the whole answer is there: one that drips does not end by itself.
TOTAL_S = 5.0
#: An answer about health is short; more than this is something else.
MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP; None if there was no answer.
        body: as much of it as was read.
        took_ms: how long it took, in milliseconds.
        trouble: why there was no answer, as the end of a sentence that begins with the service, and what to do.
    """

    status: int | None
    body: bytes
    took_ms: float
    trouble: str = ""


def ask(url: str) -> Answer:
    """GET a URL.

    Proxies of the environment are not used, so that a service beside this one is asked itself; redirects are not followed;
    no credentials are sent.

    Args:
        url: http or https.
    """
    started = time.monotonic()
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    connection = (
        HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, ssl_context=ssl.create_default_context())
        if tls
        else HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    )
    # Timeouts of sockets count from byte to byte: what drips is cut off by shutting the socket from outside.
    cut_off = threading.Event()

    def shut() -> None:
        cut_off.set()
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    cutter = threading.Timer(TOTAL_S, shut)
    cutter.daemon = True
    cutter.start()
    status, body, trouble = None, b"", ""
    try:
        connection.request(
            "GET",
            parts.path,
            headers={"User-Agent": "aspects-orchestration", "Accept": "*/*"},
            preload_content=False,
        )
        response = connection.getresponse()
        body = response.read(MOST_BYTES)
        status = response.status
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        trouble = _trouble(error)
    finally:
        cutter.cancel()
        connection.close()
    if cut_off.is_set():
        # What was cut off may look whole, or as if it had been closed from there.
        status, body, trouble = None, b"", _LATE
    return Answer(status, body, (time.monotonic() - started) * 1000, trouble)


_LATE = f"had not answered in full within {TOTAL_S:g} s. Look whether it hangs or is overloaded."

# In the order in which they are tried: urllib3's classes overlap.
_TROUBLES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (NameResolutionError, socket.gaierror),
        "has a name that is not known here. Start it, or set its host as seen from here.",
    ),
    (
        (ConnectTimeoutError,),
        f"could not be connected to within {TIMEOUT_S:g} s. Look at the host, and at the network between.",
    ),
    (
        (ReadTimeoutError, TimeoutError),
        f"took the connection and did not answer within {TIMEOUT_S:g} s. Look whether it hangs or is overloaded.",
    ),
    (
        (ssl.SSLCertVerificationError,),
        "has a certificate that is not to be trusted here. Renew it, or name its authority in SSL_CERT_FILE.",
    ),
    ((SSLError, ssl.SSLError), "does not speak TLS as it should. Look at its port and certificate."),
    (
        (ConnectionResetError, BrokenPipeError, RemoteDisconnected, IncompleteRead),
        "closed the connection before it had answered. Read its log.",
    ),
    ((HTTPException, ValueError), "answers, but not as HTTP. Look whether another service listens there."),
)


def _trouble(error: Exception) -> str:
    """What happened, from the error or from those that it was made of; never their texts."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        return "refuses the connection: nothing listens there. Start it, or set its port."
    for classes, told in _TROUBLES:
        if any(isinstance(one, classes) for one in causes):
            return told
    return "cannot be reached. Look whether it runs, and at the network between."

"""TLS in front of a plain server: a proxy on 127.0.0.1 with a certificate of its own making."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(
    folder: Path,
    *,
    of: str = "127.0.0.1",
    since: timedelta = timedelta(days=-2),
    until: timedelta = timedelta(days=1),
) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key; returns both paths.

    Args:
        folder: where; made if it is not there.
        of: the IP address that it vouches for.
        since, until: when it is valid, from now; both in the past for an expired one.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clickhouse")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(of))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "ca.pem", folder / "key.pem"


@dataclass
class TlsProxy:
    """TLS in front of a port of 127.0.0.1, and faults of the network on demand.

    Args:
        target: the plain port.
        received: bytes that clients have sent, decrypted.
        at: once so many bytes were received, `act` is done, once, before they are passed on.
    """

    target: int
    port: int = 0
    received: int = 0
    at: int | None = None
    act: Callable[[], None] | None = None
    connections: int = 0
    _open: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def drop(self) -> None:
        """Close every connection, as a balancer does with idle ones."""
        with self._lock:
            gone, self._open = self._open, []
        for pair in gone:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(plain, context), daemon=True).start()

    def _connect(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        # Whoever does not trust the certificate breaks off in the handshake: that is the test's business.
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", self.target)) as inside,
        ):
            with self._lock:
                self.connections += 1
                self._open.append((outside, inside))
            back = threading.Thread(target=_pump, args=(inside, outside), daemon=True)
            back.start()
            _pump(outside, inside, self._count)
            back.join(timeout=30)

    def _count(self, size: int) -> None:
        with self._lock:
            self.received += size
            act = self.act if self.at is not None and self.received >= self.at else None
            if act is not None:
                self.act = None
        if act is not None:
            act()


@contextmanager
def tls_in_front_of(port: int, cert: Path, key: Path) -> Iterator[TlsProxy]:
    """Serve TLS for a port of 127.0.0.1; yields the proxy, whose `port` is the one to use instead."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = TlsProxy(port, listener.getsockname()[1])
        threading.Thread(target=proxy.serve, args=(listener, context), daemon=True).start()
        yield proxy
        proxy.drop()


def _pump(
    source: socket.socket, target: socket.socket, count: Callable[[int], None] = lambda _: None
) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            count(len(block))
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)

"""ClickHouse itself: is it there, who listens on the way, which version, and does its clock agree."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import Final

from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok, worst
from aspects_orchestration.tracking.stores import open_store
from aspects_orchestration.tracking.stores.s3 import S3Store

#: What the Aspects plugin installs, the oldest long-term release that is not refused, and the newest that tests run on.
UPSTREAM: Final = (25, 8)
OLDEST: Final = (24, 8)
NEWEST: Final = (26, 9)
#: Seconds by which clocks may differ: by more, ages and lags are wrong; by much more, S3 refuses (it allows 15 minutes).
_CLOCK_ADVICE_S: Final = 5.0
_CLOCK_DANGER_S: Final = 60.0
_CERTIFICATE_DAYS: Final = 21


def connection(patient: Patient) -> Answer:
    """It answers, to this user and password."""
    started = time.monotonic()
    (version, _) = patient.warehouse.row("server_version_and_time")
    took = (time.monotonic() - started) * 1000
    return ok(
        f"{patient.address.url} answers user {patient.address.user} in {took:.0f} ms, version {version}"
    )


def tls(patient: Patient) -> Answer:
    """What is sent cannot be read on the way."""
    address = patient.address
    if not address.secure:
        if is_local(address.host):
            return ok(f"plain HTTP to {address.host}, which is this machine")
        return advice(
            f"plain HTTP to {address.host}: whoever is on the way reads statements and the password",
            "Set CLICKHOUSE_SECURE_CONNECTION=true and the port of https (8443), unless the network is the site's own.",
        )
    if not address.verify:
        return advice(
            "the certificate of ClickHouse is not checked",
            "Remove CLICKHOUSE_VERIFY=false (or ?verify=false), and name its authority in CLICKHOUSE_CA_CERT.",
        )
    context = ssl.create_default_context(cafile=str(address.ca_cert) if address.ca_cert else None)
    with (
        socket.create_connection((address.host, address.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=address.host) as secure,
    ):
        certificate = secure.getpeercert() or {}
        spoken = secure.version()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    days = (ends - patient.now).days
    if days < _CERTIFICATE_DAYS:
        return advice(
            f"the certificate of ClickHouse ends in {days} days ({ends:%Y-%m-%d})", "Renew it before that."
        )
    return ok(f"{spoken}, certificate checked, until {ends:%Y-%m-%d}")


def version(patient: Patient) -> Answer:
    """The server is of a release that the project knows."""
    text = str(patient.warehouse.row("server_version_and_time")[0])
    found = re.match(r"(\d+)\.(\d+)", text)
    release = (int(found[1]), int(found[2])) if found else (0, 0)
    if release < OLDEST:
        return danger(
            f"ClickHouse {text} is older than {_dotted(OLDEST)}",
            f"Upgrade to {_dotted(UPSTREAM)}, the release that Aspects installs.",
        )
    if release > NEWEST:
        return advice(
            f"ClickHouse {text} is newer than {_dotted(NEWEST)}, the newest that was tested",
            f"Try on a copy first; Aspects installs {_dotted(UPSTREAM)}.",
        )
    if release < UPSTREAM:
        return advice(
            f"ClickHouse {text} is older than the {_dotted(UPSTREAM)} that Aspects installs",
            "Upgrade when you can.",
        )
    return ok(f"ClickHouse {text}; Aspects installs {_dotted(UPSTREAM)}")


def clock(patient: Patient) -> Answer:
    """The clocks of ClickHouse, of S3 and of this machine agree."""
    before = time.time()
    server_s = int(patient.warehouse.row("server_version_and_time")[1]) / 1e6
    answers = [judged("ClickHouse", server_s - (before + time.time()) / 2)]
    for prefix in dict.fromkeys([*patient.settings.tracking_log_prefixes, patient.settings.archive_uri]):
        store = open_store(prefix, s3=patient.s3)
        if isinstance(store, S3Store):
            before = time.time()
            # The header has whole seconds.
            ahead = store.server_time().timestamp() + 0.5 - (before + time.time()) / 2
            answers.append(judged(f"S3 ({store.uri})", ahead))
    return worst(answers, "clocks agree")


def judged(whose: str, ahead_s: float) -> Answer:
    """The answer for one clock.

    Args:
        whose: in words.
        ahead_s: by how many seconds it is ahead of ours.
    """
    way = "ahead of" if ahead_s > 0 else "behind"
    told = f"the clock of {whose} is {abs(ahead_s):.1f} s {way} this machine's"
    do = "Let both machines keep time by NTP (chrony, systemd-timesyncd)."
    if abs(ahead_s) >= _CLOCK_DANGER_S:
        return danger(told, do)
    return advice(told, do) if abs(ahead_s) >= _CLOCK_ADVICE_S else ok(told)


def is_local(host: str) -> bool:
    """Whether a host is this very machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _dotted(release: tuple[int, int]) -> str:
    return f"{release[0]}.{release[1]}"


DIAGNOSES: Final = (
    Diagnosis("connection", "ClickHouse", connection),
    Diagnosis("tls", "encryption on the way to ClickHouse", tls, needs_clickhouse=True),
    Diagnosis("version", "ClickHouse's version", version, needs_clickhouse=True),
    Diagnosis("clock", "clocks", clock, needs_clickhouse=True),
)

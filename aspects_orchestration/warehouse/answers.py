"""What ClickHouse answers in refusal, or does not answer at all, as errors that say what to do; and asking again."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from aspects_orchestration.errors import AspectsError, WarehouseError

if TYPE_CHECKING:
    from aspects_orchestration.settings import ClickHouseAddress

T = TypeVar("T")

_CODE = re.compile(r"(?:code:?\s*|Code:\s*)(\d+)", re.IGNORECASE)
#: What other nodes said, or did not, stands below the first line, each with its address.
_NO_NODE_ANSWERS = 279
_OTHER_NODE = re.compile(r"\(([\w.:\[\]-]+:\d+)[,)]")
_MISSING_GRANT = re.compile(r"the grant (.+? ON [^\s,;]+)")
#: What Python's ssl says of a certificate that it refuses: OpenSSL's reason, without the place in its source.
_REFUSED_CERTIFICATE = re.compile(r"certificate verify failed: (.+?)(?:\s*\(_ssl|['\"]\)|$)")

#: ClickHouse error codes (src/Common/ErrorCodes.cpp of ClickHouse) that an operator can act upon.
_ADVICE = {
    60: "Create Aspects' tables first (tutor … do init -l aspects, or `aspects_orchestration.warehouse.schema`), or mend"
    " ASPECTS_XAPI_DATABASE, ASPECTS_RAW_XAPI_TABLE and ASPECTS_EVENT_SINK_DATABASE.",
    81: "Mend ASPECTS_XAPI_DATABASE, ASPECTS_EVENT_SINK_DATABASE or ASPECTS_ORCHESTRATION_DATABASE, or create the database.",
    159: "The server was too slow: look at its load (system.processes), then run again. On a cluster a change of tables"
    " waits for every node: look in system.distributed_ddl_queue for the one that is down, and bring it back first.",
    192: "Mend CLICKHOUSE_ADMIN_USER and CLICKHOUSE_ADMIN_PASSWORD, or the user in ASPECTS_CLICKHOUSE_URL.",
    193: "Mend CLICKHOUSE_ADMIN_PASSWORD or the password in ASPECTS_CLICKHOUSE_URL.",
    194: "Give a password: CLICKHOUSE_ADMIN_PASSWORD or ASPECTS_CLICKHOUSE_URL.",
    241: "Raise max_server_memory_usage or stop other queries, then run again: nothing is inserted twice.",
    242: "The table is read-only: look at ClickHouse Keeper and at system.replicas, then run again.",
    279: "A node of the cluster does not let this one in or does not answer: look at system.clusters, at the other node,"
    " and at how nodes know each other (<secret>, or user and password, in remote_servers). Then run again.",
    285: "Bring the replicas that are down back, then run again; or set ASPECTS_INSERT_QUORUM=0, and what is loaded"
    " meanwhile is lost with the node that took it in.",
    286: "Another insert waits for its replicas: look at system.replicas, then run again.",
    319: "Whether the rows went in is not known (a replica or Keeper stayed away): run again, nothing is inserted twice.",
    392: "The servers have no queue for ON CLUSTER (distributed_ddl, and ClickHouse Keeper): set it up, or leave"
    " CLICKHOUSE_CLUSTER_NAME empty for one server.",
    243: "Free disk space on the ClickHouse server, then run again: nothing is inserted twice.",
    252: "The table has too many parts: let merges catch up (system.merges), then run again.",
    394: "The query was stopped from outside: run again, nothing is inserted twice.",
    497: "Grant what is missing{grant}: sql/grants.sql has all that the pipeline's user needs.",
    516: "Mend the user and password: CLICKHOUSE_ADMIN_USER and CLICKHOUSE_ADMIN_PASSWORD, or ASPECTS_CLICKHOUSE_URL.",
}
_RUN_AGAIN = "Look at the server's log, then run again: nothing is inserted twice."
_UNREACHABLE = (
    "Check that ClickHouse runs and that CLICKHOUSE_HOST, CLICKHOUSE_PORT (HTTP: 8123, or 8443 with TLS) and"
    " CLICKHOUSE_SECURE_CONNECTION, or ASPECTS_CLICKHOUSE_URL, are right; then run again."
)
#: What to do about a certificate that is refused, by words of OpenSSL's reason.
_CERTIFICATE_ADVICE = {
    "expired": "Have the server's certificate renewed, then run again.",
    "not yet valid": "Set this machine's clock, or the server's, whichever is wrong, then run again.",
    "not valid for": "Name the host by a name that its certificate carries, in ASPECTS_CLICKHOUSE_URL or CLICKHOUSE_HOST, or"
    " have one made for this name.",
}
_UNKNOWN_AUTHORITY = (
    "If it is your site's own, name the file of the authority that signed it in CLICKHOUSE_CA_CERT (or ?ca_cert=/path in"
    " ASPECTS_CLICKHOUSE_URL); if it is not, somebody stands between you and the server."
)
_NOT_TLS = (
    "That port does not speak TLS: name the port that does (8443; 443 or 8443 on ClickHouse Cloud), or use http and"
    " CLICKHOUSE_SECURE_CONNECTION=false where the way to the server is your own."
)


class UnreachableError(WarehouseError):
    """ClickHouse does not answer, or the connection broke; trying again may help."""


def with_retries(
    send: Callable[[], T],
    *,
    for_s: float = 60.0,
    waiting: Callable[[str], None] | None = None,
    passing: type[AspectsError] = UnreachableError,
) -> T:
    """Call again, with growing pauses, while ClickHouse is unreachable; only for what may safely be sent twice.

    Args:
        send: the call.
        for_s: how long to try, in seconds.
        waiting: told once why, when the first try failed.
        passing: the error after which to try again; another one for another server.

    Raises:
        WarehouseError: any other failure at once, or the last one when time is up.
    """
    started, pause = time.monotonic(), 0.25
    while True:
        try:
            return send()
        except passing as error:
            if time.monotonic() - started + pause > for_s:
                raise
            if waiting is not None:
                waiting(str(error))
                waiting = None
            time.sleep(pause)
            pause = min(pause * 2, 8.0)


def answered(send: Callable[[], T], address: ClickHouseAddress) -> T:
    """Call ClickHouse; turn what it answers in refusal into a WarehouseError that says what to do."""
    from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

    try:
        return send()
    except WarehouseError:
        raise
    except ClickHouseError as error:
        raise _explained(str(error), address, isinstance(error, OperationalError)) from None
    except (OSError, EOFError) as error:
        raise UnreachableError(
            f"ClickHouse at {address.host}:{address.port} broke off ({type(error).__name__})", do=_UNREACHABLE
        ) from None
    except Exception as error:
        # urllib3's errors reach us unwrapped when a connection breaks in the middle of an answer.
        if type(error).__module__.startswith("urllib3"):
            raise UnreachableError(
                f"ClickHouse at {address.host}:{address.port} broke off ({type(error).__name__})",
                do=_UNREACHABLE,
            ) from None
        if isinstance(error, ValueError | LookupError | ArithmeticError | MemoryError | struct.error):
            # What the driver stumbles over when it is no answer of ClickHouse; the error's text may hold parts of it.
            raise WarehouseError(
                f"ClickHouse at {address.host}:{address.port} answered what cannot be read ({type(error).__name__})",
                do="See that ClickHouse itself, and nothing in front of it, answers there; then run again.",
            ) from None
        raise


def _explained(message: str, address: ClickHouseAddress, operational: bool) -> WarehouseError:
    where = f"ClickHouse at {address.host}:{address.port}"
    found = _CODE.search(message)
    code = int(found[1]) if found else None
    if code is None:
        certificate = _REFUSED_CERTIFICATE.search(message)
        if certificate:
            reason = certificate[1].rstrip("., ")
            advice = next(
                (do for words, do in _CERTIFICATE_ADVICE.items() if words in reason), _UNKNOWN_AUTHORITY
            )
            return WarehouseError(f"{where} shows a certificate that is refused: {reason}", do=advice)
        if "WRONG_VERSION_NUMBER" in message:
            return WarehouseError(f"{where} does not answer in TLS", do=_NOT_TLS)
        kind = UnreachableError if operational else WarehouseError
        return kind(f"{where} does not answer: {_first_line(message)}", do=_UNREACHABLE)
    if code == 497:
        grant = _MISSING_GRANT.search(message)
        what = grant[1].rstrip(".") if grant else _first_line(message)
        statement = f" (GRANT {what} TO `{address.user}`)" if grant else ""
        return _with_code(
            WarehouseError(
                f"{where}: user {address.user} lacks the grant {what}",
                do=_ADVICE[497].format(grant=statement),
            ),
            code,
        )
    if code == 516:
        return WarehouseError(f"{where} refused user {address.user}", do=_ADVICE[516])
    said = f"answered with error {code}: {_first_line(message)}"
    if code == _NO_NODE_ANSWERS and (silent := sorted(set(_OTHER_NODE.findall(message)))):
        said = f"gets no answer from {', '.join(silent)}"
    return _with_code(WarehouseError(f"{where} {said}", do=_ADVICE.get(code, _RUN_AGAIN)), code)


def _with_code(error: WarehouseError, code: int) -> WarehouseError:
    error.code = code
    return error


def _first_line(message: str) -> str:
    # Row values can follow in parse errors: the head of the first line names the error and stops before them.
    line = message.splitlines()[0] if message else "no message"
    return line.split(": While executing")[0].split("(at row")[0][:300]

"""Talking to Ralph, a learning record store: one request, one answer, and what the answer means.

What its answers mean was read from Ralph 5.1 (`ralph/api/routers/statements.py`) and seen of a running one:

- 200: a list of the ids that it took; those that are not in it stood there with an equal statement.
- 204: it had all of them.
- 422 and 400: a statement is none; the whole batch is refused. 422 says which statement of the batch, by number.
- 409: a statement with one of the ids stands there and is another one; the whole batch is refused. It says which id.
- 413: a proxy before it takes no request as large.
- 500: its database refuses or is away, or the batch is too large for it.

Nothing that Ralph says of a statement is shown: it repeats the statement.
"""

from __future__ import annotations

import base64
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from aspects_orchestration.errors import LrsError

if TYPE_CHECKING:
    from urllib3 import HTTPConnectionPool

_STATEMENTS = "/xAPI/statements"
#: The answer to a batch repeats at most its ids, or what was wrong with it.
_MOST_BYTES = 4 * 1024 * 1024
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
#: Parts of a place in a statement that cannot be anybody's name or address: names of fields and of Ralph's classes.
_FIELD = re.compile(r"[A-Za-z][A-Za-z_]{0,60}|\d{1,4}")

_ADDRESS_SETTINGS = "RALPH_HOST, RALPH_PORT and RALPH_RUN_HTTPS"
_CREDENTIAL_SETTINGS = "RALPH_LMS_USERNAME and RALPH_LMS_PASSWORD"


@dataclass(frozen=True)
class RalphAccess:
    """Where Ralph is and who to be there.

    Attributes:
        url: `http(s)://host:port`.
        username, password: of a user that may write statements.
        connect_s: seconds to wait for a connection.
        answer_s: seconds to wait for an answer. Ralph asks ClickHouse for the ids first and then writes, and gives up on
            ClickHouse after 300 s: one that is still at work must not be sent the same again.
    """

    url: str
    username: str
    password: SecretStr
    connect_s: float = 10.0
    answer_s: float = 330.0


class Kind(Enum):
    """What an answer means."""

    TAKEN = "taken"
    REFUSED = "refused"
    TOO_LARGE = "too large"
    FAILING = "failing"
    BUSY = "busy"
    LOST = "lost"


@dataclass(frozen=True)
class Answer:
    """What came of a batch.

    Attributes:
        kind: TAKEN; REFUSED, because of some of its statements; TOO_LARGE; FAILING, with a 5xx; BUSY, with a 429; LOST:
            there was no answer, and what became of the batch is not known.
        status: of HTTP; 0 if there was no answer.
        taken: of a batch that was taken, the ids that were new to Ralph.
        named: of a batch that was refused, the numbers of the statements that Ralph names, from 0.
        reason: a word for the reason, `ralph_invalid` or `ralph_conflict`.
        detail: where in the statement and of what kind the fault is; holds nothing of the statement itself.
        trouble: of a failure, the end of a sentence that begins with Ralph, and what to do.
        retry_after_s: how long to wait, if it said so.
    """

    kind: Kind
    status: int = 0
    taken: frozenset[str] = frozenset()
    named: frozenset[int] = frozenset()
    reason: str = ""
    detail: str = ""
    trouble: str = ""
    retry_after_s: float = 0.0


class Ralph:
    """One connection to Ralph, kept open from batch to batch. Proxies of the environment are not used.

    Args:
        access: where and as whom.
    """

    def __init__(self, access: RalphAccess) -> None:
        self._access = access
        self._query = ""
        self._pool: HTTPConnectionPool | None = None
        who = f"{access.username}:{access.password.get_secret_value()}".encode()
        self._headers = {
            "Authorization": f"Basic {base64.b64encode(who).decode()}",
            "Content-Type": "application/json",
            "X-Experience-API-Version": "1.0.3",
            "User-Agent": "aspects-orchestration",
        }

    @property
    def url(self) -> str:
        """`http(s)://host:port`."""
        return self._access.url

    def close(self) -> None:
        """Hang up."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def post(self, ids: Sequence[str], statements: Sequence[bytes]) -> Answer:
        """Send a batch.

        Args:
            ids: of the statements, in order, in lower case.
            statements: each as JSON.

        Raises:
            LrsError: Ralph does not let us in, or what answers is no Ralph.
        """
        body = b"[" + b",".join(statements) + b"]"
        found = self._request("POST", _STATEMENTS + self._query, body)
        if isinstance(found, Answer):
            return found
        status, data, retry_after_s = found
        said = _json(data)
        if isinstance(said, dict) and "errors" in said and not self._query:
            # RALPH_LRS_PARTIAL_SUCCESS_DEFAULT: it writes statements one by one. Asked for whole batches, it is many times
            # as fast, and says the same of every fault. What it took by now, it has.
            self._query = "?partialSuccess=false"
            again = self.post(ids, statements)
            inserted = frozenset(str(one).lower() for one in said.get("ids") or ())
            return (
                Answer(Kind.TAKEN, again.status, again.taken | inserted)
                if again.kind is Kind.TAKEN
                else again
            )
        return self._meaning(status, said, ids, retry_after_s)

    def _meaning(self, status: int, said: Any, ids: Sequence[str], retry_after_s: float) -> Answer:
        if status == 204 or (status == 200 and isinstance(said, list)):
            taken = said if isinstance(said, list) else ()
            return Answer(Kind.TAKEN, status, frozenset(str(one).lower() for one in taken))
        if status in {400, 422}:
            named, detail = _faults(said, status, len(ids))
            return Answer(Kind.REFUSED, status, named=named, reason="ralph_invalid", detail=detail)
        if status == 409:
            named, detail = _conflicts(said, ids), "409: another statement stands there with this id"
            return Answer(Kind.REFUSED, status, named=named, reason="ralph_conflict", detail=detail)
        if status == 413:
            return Answer(Kind.TOO_LARGE, status)
        if status == 429 or status >= 500:
            trouble = (
                "says that it is asked too much (429). Set ASPECTS_RALPH_STATEMENTS_PER_SECOND."
                if status == 429
                else f"answers {status}. Read its log, and look whether it reaches its database and may write there."
            )
            kind = Kind.BUSY if status == 429 else Kind.FAILING
            return Answer(kind, status, trouble=trouble, retry_after_s=retry_after_s)
        self._require_entry(status, said)
        raise LrsError(
            f"{self.url}{_STATEMENTS} answers {status}, which is nothing that Ralph says of statements",
            do=f"Look at {_ADDRESS_SETTINGS}: another service, or a proxy, seems to be there.",
        )

    def is_well(self) -> bool:
        """Whether it says of itself that it runs and reaches its database."""
        found = self._request("GET", "/__heartbeat__", None, answer_s=10.0)
        return not isinstance(found, Answer) and found[0] == 200

    def look(self) -> str:
        """See that it is there and lets us in, before anything is read or sent.

        Returns:
            '' or why it cannot be said: the end of a sentence that begins with Ralph, and what to do.

        Raises:
            LrsError: it does not let us in, or what answers is no Ralph.
        """
        found = self._request("GET", "/whoami", None, answer_s=10.0)
        if isinstance(found, Answer):
            return found.trouble
        status, data, _ = found
        if status >= 500:
            return f"answers {status}. Read its log."
        who = _json(data)
        self._require_entry(status, who)
        if status != 200 or not isinstance(who, dict) or "scopes" not in who:
            raise LrsError(f"{self.url} answers, but not as Ralph does", do=f"Look at {_ADDRESS_SETTINGS}.")
        return ""

    def _require_entry(self, status: int, said: Any) -> None:
        # Ralph says 401 of a user whom it knows too, and tells the two apart in words.
        may_not = isinstance(said, dict) and "not authorized to scope" in str(said.get("detail"))
        if status == 401 and not may_not:
            raise LrsError(
                f"Ralph at {self.url} does not know user {self._access.username} or the password (401)",
                do=f"Mend {_CREDENTIAL_SETTINGS}; `ralph auth` makes a user, and Ralph reads its file when it starts.",
            )
        if status in {401, 403}:
            raise LrsError(
                f"Ralph at {self.url} does not let user {self._access.username} write statements ({status})",
                do=f"Give the user the scope statements/write in Ralph's file of users, or set {_CREDENTIAL_SETTINGS} to one"
                " that has it.",
            )
        if status in {301, 302, 303, 307, 308}:
            raise LrsError(
                f"{self.url} sends us elsewhere ({status}); statements and the password are not carried there",
                do="Name the address that it leads to in RALPH_HOST and RALPH_PORT, with RALPH_RUN_HTTPS=true for https.",
            )

    def _request(
        self, method: str, path: str, body: bytes | None, *, answer_s: float | None = None
    ) -> tuple[int, bytes, float] | Answer:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        try:
            response = self._connection().urlopen(
                method,
                path,
                body=body,
                headers=self._headers,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=Timeout(connect=self._access.connect_s, read=answer_s or self._access.answer_s),
            )
            deadline = time.monotonic() + (answer_s or self._access.answer_s)
            data = b""
            while len(data) < _MOST_BYTES and (piece := response.read(64 * 1024)):
                data += piece
                if time.monotonic() > deadline:
                    raise TimeoutError
            response.release_conn() if len(data) < _MOST_BYTES else response.close()
            wait = response.headers.get("Retry-After", "")
            return response.status, data, min(float(wait), 60.0) if wait.isdigit() else 0.0
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            self.close()  # whatever is left on that connection belongs to a request that is given up
            return self._lost(error)

    def _lost(self, error: Exception) -> Answer:
        """Why there was no answer; never the error's own text, which may repeat what was sent."""
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
            causes.append(cause)
        if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
            raise LrsError(
                f"Ralph at {self.url} shows a certificate that is not to be trusted here",
                do="Have it renewed, or name its authority in SSL_CERT_FILE.",
            )
        if any(isinstance(one, ConnectionRefusedError) for one in causes):
            trouble = f"refuses the connection. Start it, or mend {_ADDRESS_SETTINGS}."
        elif any(isinstance(one, TimeoutError) for one in causes) or "Timeout" in type(error).__name__:
            trouble = "did not answer in time. Look whether it hangs or is overloaded."
        else:
            trouble = f"cannot be reached ({type(error).__name__}). Look whether it runs, and at {_ADDRESS_SETTINGS}."
        return Answer(Kind.LOST, trouble=trouble)

    def _connection(self) -> HTTPConnectionPool:
        if self._pool is None:
            from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

            parts = urlsplit(self._access.url)
            host, port = parts.hostname or "", parts.port
            self._pool = (
                HTTPSConnectionPool(host, port, maxsize=1, ssl_context=ssl.create_default_context())
                if parts.scheme == "https"
                else HTTPConnectionPool(host, port, maxsize=1)
            )
        return self._pool


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _faults(said: Any, status: int, statements: int) -> tuple[frozenset[int], str]:
    """Which statements of a batch are no statements, by number, and of what kind the first fault is."""
    faults = said.get("detail") if isinstance(said, dict) else None
    if not isinstance(faults, list):
        return frozenset(), f"{status}: refused as it is"
    named, detail = set(), ""
    for one in faults:
        place = one.get("loc") if isinstance(one, dict) else None
        if not isinstance(place, list) or place[:1] != ["body"]:
            continue
        number = place[1] if len(place) > 1 else None
        if isinstance(number, int) and 0 <= number < statements:
            named.add(number)
        if not detail:
            fields = [str(part) if _FIELD.fullmatch(str(part)) else "…" for part in place[2:8]]
            kind = str(one.get("type", ""))
            detail = f"{status} at {'.'.join(fields) or 'the statement'}: {kind if _FIELD.fullmatch(kind) else 'refused'}"
    return frozenset(named), detail or f"{status}: refused as it is"


def _conflicts(said: Any, ids: Sequence[str]) -> frozenset[int]:
    text = said.get("detail") if isinstance(said, dict) else None
    found = {one.lower() for one in _UUID.findall(text)} if isinstance(text, str) else set()
    return frozenset(number for number, one in enumerate(ids) if one in found)

"""One short connection to Redis, and what went wrong with it, in words that hold no secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.settings import RedisAddress

#: For connecting, for each answer and so for logging in: three of these are less than the deadline of a look.
TIMEOUT_S = 2.0


class RedisError(AspectsError):
    """Redis could not be asked.

    Attributes:
        answers: whether it is there and answers us, if not with what was asked.
    """

    answers = False


class RedisRefusalError(RedisError):
    """Redis answers, but refuses to tell."""

    answers = True


@contextmanager
def connected(address: RedisAddress, *, where: str, who: str) -> Iterator[redis.Redis]:
    """A connection that is closed at the end.

    Args:
        address: of the server.
        where, who: names of the settings that say where it is, and who to be, for messages.

    Raises:
        RedisError: it does not answer, hangs, or is none; or, as RedisRefusalError, it refuses.
    """
    client = redis.Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.username,
        password=address.password.get_secret_value() or None,
        ssl=address.tls,
        ssl_cert_reqs="required" if address.verify else "none",
        ssl_check_hostname=address.verify,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        # The protocol that every Redis speaks, and no command that an old one or a strict ACL refuses.
        protocol=2,
        driver_info=None,
    )
    try:
        yield client
    except (redis.RedisError, OSError, ValueError) as error:
        raise _told(error, address, where, who) from None
    finally:
        client.close()


@dataclass(frozen=True)
class _Kind:
    """A kind of trouble: the errors that show it, by their class or words in their text, and what to say and do.

    `{where}` and `{who}` stand for the settings that say where Redis is, and who to be.
    """

    classes: tuple[type[Exception], ...]
    words: tuple[str, ...]
    what: str
    do: str
    answers: bool = False


_SEEN_FROM_HERE = "Start it, or set {where} as seen from here."

# In the order in which they are tried: a library's classes overlap, and its texts are all that tells some apart.
_KINDS = (
    _Kind(
        (redis.AuthenticationError,),
        ("WRONGPASS", "NOAUTH", "invalid password", "Authentication required"),
        "refuses the user or the password",
        "Set {who} to the LMS's.",
        answers=True,
    ),
    _Kind(
        (exceptions.NoPermissionError,),
        (),
        "does not let this user ask",
        "Let it: ACL SETUSER <user> ~* +select +llen +dbsize +scan +xinfo +xlen +xrange",
        answers=True,
    ),
    _Kind((exceptions.BusyLoadingError,), (), "is still loading its data", "Wait, or read its log."),
    _Kind(
        (redis.TimeoutError, TimeoutError),
        (),
        f"did not answer within {TIMEOUT_S:g} s",
        "Look whether it hangs or is overloaded.",
    ),
    _Kind(
        (exceptions.MaxConnectionsError,),
        ("max number of clients",),
        "takes no more clients",
        "Look who holds them (CLIENT LIST), or raise maxclients.",
    ),
    _Kind(
        (exceptions.InvalidResponse, ValueError),
        (),
        "answers, but not as Redis does",
        "Set {where} to Redis.",
    ),
    _Kind(
        (),
        ("DB index",),
        "has no database of this number",
        "Set OPENEDX_CELERY_REDIS_DB, OPENEDX_CACHE_REDIS_DB or the number in the URL to one that it has.",
        answers=True,
    ),
    _Kind(
        (redis.ResponseError,),
        (),
        "refuses the question",
        "Look at its version, and whether the names are right.",
        answers=True,
    ),
    _Kind((), ("SSL", "certificate"), "could not be spoken to by TLS", "Look at its certificate and port."),
    _Kind((), ("refused",), "refuses the connection: nothing listens there", _SEEN_FROM_HERE),
    _Kind(
        (ConnectionResetError,),
        ("closed", "reset"),
        "closed the connection",
        "Read its log; a port that wants TLS does so too (ASPECTS_REDIS_TLS).",
    ),
    _Kind(
        (),
        ("Name or service", "name resolution", "nodename"),
        "has a name that is not known here",
        _SEEN_FROM_HERE,
    ),
)


def _told(error: Exception, address: RedisAddress, where: str, who: str) -> RedisError:
    server, text = f"Redis at {address.shown}", str(error)
    for kind in _KINDS:
        if isinstance(error, kind.classes) or any(one.lower() in text.lower() for one in kind.words):
            of = RedisRefusalError if kind.answers else RedisError
            return of(f"{server} {kind.what}", do=kind.do.format(where=where, who=who))
    return RedisError(f"{server} cannot be reached", do=_SEEN_FROM_HERE.format(where=where))


def number(answer: Any) -> float:
    """A number that a command of a pipeline answered.

    Raises:
        redis.RedisError: it answered with an error instead.
    """
    if isinstance(answer, Exception):
        raise answer
    return float(answer)

"""Reading the health of Ralph, Vector and Superset. What the site does not run is not asked.

A service that does not answer as it should is down, and not unknown: what sends to it gets no better answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus

from aspects_orchestration.monitoring.health_request import Answer, ask
from aspects_orchestration.monitoring.model import Reading, labels_of
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import Settings

_HEARTBEATS = ("heartbeat", "lbheartbeat")

#: Says what is wrong with the body of an answer with status 200; nothing if it is right.
_Judge = Callable[[bytes], str]


def readers(settings: Settings) -> list[Reader]:
    """Who is asked of services, by the settings: nobody whose address is not set."""
    site = settings.watched
    found = []
    if site.ralph is not None:
        found.append(ralph_reader(site.ralph))
    if site.vector:
        found.append(vector_reader(site.vector))
    if site.superset is not None:
        found.append(superset_reader(site.superset))
    return found


def ralph_reader(url: str) -> Reader:
    """Reads both heartbeats of Ralph, and how long they took.

    Args:
        url: `http(s)://host:port`.
    """

    def read(now: datetime) -> list[Reading]:
        # Side by side, so that one that hangs leaves the other its time.
        with ThreadPoolExecutor(len(_HEARTBEATS)) as threads:
            answers = list(threads.map(ask, [f"{url}/__{check}__" for check in _HEARTBEATS]))
        readings = []
        for check, answer in zip(_HEARTBEATS, answers, strict=True):
            labels = labels_of({"check": check})
            judge = _ralph_database if check == "heartbeat" else _ralph_lives
            wrong = _wrong("Ralph", f"{url}/__{check}__", answer, judge)
            readings.append(Reading("ralph_up", float(not wrong), now, answer.took_ms, labels, wrong))
            latency = None if answer.status is None else answer.took_ms
            why = f"Not measured: {wrong}" if latency is None else ""
            readings.append(Reading("ralph_latency", latency, now, answer.took_ms, labels, why))
        return readings

    return Reader(f"Ralph at {url}", ("ralph_up", "ralph_latency"), read)


def vector_reader(urls: Sequence[str]) -> Reader:
    """Reads the health of every Vector.

    Args:
        urls: `http(s)://host:port` of its API, of each.
    """

    def read(now: datetime) -> list[Reading]:
        with ThreadPoolExecutor(min(64, len(urls))) as threads:
            answers = list(threads.map(ask, [f"{url}/health" for url in urls]))
        readings = []
        for url, answer in zip(urls, answers, strict=True):
            wrong = _wrong("Vector", f"{url}/health", answer, _vector_ok)
            labels = labels_of({"host": url.partition("://")[2]})
            readings.append(Reading("vector_up", float(not wrong), now, answer.took_ms, labels, wrong))
        return readings

    return Reader(f"Vector at {', '.join(urls)}", ("vector_up",), read)


def superset_reader(url: str) -> Reader:
    """Reads the health of Superset.

    Args:
        url: `http(s)://host:port`.
    """

    def read(now: datetime) -> list[Reading]:
        answer = ask(f"{url}/health")
        wrong = _wrong("Superset", f"{url}/health", answer, _superset_ok)
        return [Reading("superset_up", float(not wrong), now, answer.took_ms, why=wrong)]

    return Reader(f"Superset at {url}", ("superset_up",), read)


def _wrong(service: str, url: str, answer: Answer, judge: _Judge) -> str:
    """What is wrong with an answer, and what to do; nothing if it is right."""
    where = f"{service} at {url}"
    if answer.status is None:
        return f"{where} {answer.trouble}"
    if answer.status == HTTPStatus.OK:
        wrong = judge(answer.body)
        return f"{where} {wrong}" if wrong else ""
    told = f"{where} answers {answer.status}"
    if service == "Ralph" and _json(answer.body).get("database") not in {None, "ok"}:
        return f"{told}: it runs, and does not reach its database. Look at ClickHouse, and at Ralph's user there."
    return told + next((do for statuses, do in _OF_STATUS if answer.status in statuses), ". Read its log.")


_OF_STATUS = (
    (
        (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED),
        ": something before it asks who we are. Let this path through, or set its own host and port.",
    ),
    (
        range(300, 400),
        ": it sends elsewhere, which is not followed. Set the host and port where it sends to.",
    ),
    (
        (HTTPStatus.NOT_FOUND,),
        ": another service listens there, or the API is switched off. Look at host and port.",
    ),
)


def _json(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


_ANOTHER = "answers 200, but not as {} does: another service listens there. Look at host and port."


def _ralph_database(body: bytes) -> str:
    told = _json(body).get("database")
    if told is None:
        return _ANOTHER.format("Ralph")
    return "" if str(told).lower() == "ok" else "says that its database is not well. Look at ClickHouse."


def _ralph_lives(body: bytes) -> str:
    return "" if body.strip() in {b"", b"null"} else _ANOTHER.format("Ralph")


def _vector_ok(body: bytes) -> str:
    told = _json(body).get("ok")
    if told is None:
        return _ANOTHER.format("Vector")
    return "" if told is True else "says that it is not well. Read its log."


def _superset_ok(body: bytes) -> str:
    return "" if body.strip().strip(b'"') == b"OK" else _ANOTHER.format("Superset")

"""Lengths of lists in Redis: Celery's queues, and the dead letters of live batching."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import redis

from aspects_orchestration.monitoring.model import Reading, labels_of
from aspects_orchestration.monitoring.queues.redis_connection import RedisError, connected, number
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import RedisAddress

_WHERE, _WHO = "REDIS_HOST and REDIS_PORT", "REDIS_USERNAME and REDIS_PASSWORD"

#: What kombu appends to a queue's name for the tasks of a priority (kombu.transport.redis, its separator and steps).
_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")

#: Only a Redis of no more keys is searched for dead letters by pattern: looking must cost the LMS's cache nothing.
_SEARCHED_KEYS = 10_000
_DEAD_QUEUE = re.compile(r"dead_queue_[\w.-]{1,64}", re.ASCII)
_MOST_DEAD_QUEUES = 20

_WRONG_TYPE = "is not a list, so it is not a queue: set the name of one"


def celery_reader(address: RedisAddress, queues: Sequence[str]) -> Reader:
    """Reads how many tasks wait in each queue, of all priorities.

    Args:
        address: the broker.
        queues: their names.
    """

    def read(now: datetime) -> list[Reading]:
        started = time.monotonic()
        up = labels_of({"use": "celery"})
        try:
            lengths = _lengths(address, queues)
        except RedisError as error:
            took = (time.monotonic() - started) * 1000
            alive = Reading("redis_up", float(error.answers), now, took, up, str(error))
            return [alive, *_of_queues(dict.fromkeys(queues, str(error)), now, took)]
        took = (time.monotonic() - started) * 1000
        return [Reading("redis_up", 1.0, now, took, up), *_of_queues(lengths, now, took)]

    return Reader(
        f"Celery's queues in Redis at {address.shown}",
        ("redis_up", "celery_queue_length", "celery_queue_growth"),
        read,
    )


def _lengths(address: RedisAddress, queues: Sequence[str]) -> dict[str, float | str]:
    """The length of each, or why it could not be read."""
    with connected(address, where=_WHERE, who=_WHO) as client:
        pipe = client.pipeline(transaction=False)
        for queue in queues:
            for priority in _PRIORITIES:
                pipe.llen(queue + priority)
        answers = pipe.execute(raise_on_error=False)
        of_each = [
            answers[start : start + len(_PRIORITIES)] for start in range(0, len(answers), len(_PRIORITIES))
        ]
        return {queue: _sum_of(queue, found) for queue, found in zip(queues, of_each, strict=True)}


def _sum_of(queue: str, answers: Sequence[object]) -> float | str:
    try:
        return sum(map(number, answers))
    except redis.ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            return f"{queue} {_WRONG_TYPE}"
        raise


def _of_queues(lengths: Mapping[str, float | str], now: datetime, took: float) -> list[Reading]:
    return [
        _reading(signal, queue, length, now, took)
        for signal in ("celery_queue_length", "celery_queue_growth")
        for queue, length in lengths.items()
    ]


def _reading(signal: str, queue: str, length: float | str, now: datetime, took: float) -> Reading:
    labels = labels_of({"queue": queue})
    if isinstance(length, str):
        return Reading(signal, None, now, took, labels, length)
    return Reading(signal, length, now, took, labels)


def dead_letters_reader(
    address: RedisAddress,
    queues: Sequence[str],
    *,
    also: Sequence[int] = (),
    says_whether_up: bool = False,
) -> Reader:
    """Reads how many events lie in each list of dead letters.

    Args:
        address: where the LMS's cache is, in which batching puts them.
        queues: the lists to look at in any case; others named `dead_queue_…` are found where there are few keys.
        also: numbers of other databases there, to look at the same lists.
        says_whether_up: whether `redis_up` is read too, because nobody else does.
    """

    def read(now: datetime) -> list[Reading]:
        started = time.monotonic()
        alive, why = 1.0, ""
        try:
            lengths = _dead(address, queues, [one for one in also if one != address.database])
        except RedisError as error:
            alive, why = float(error.answers), str(error)
            lengths = dict.fromkeys(queues, why)
        took = (time.monotonic() - started) * 1000
        up = [Reading("redis_up", alive, now, took, labels_of({"use": "cache"}), why)]
        found = [_reading("dead_queue_length", queue, length, now, took) for queue, length in lengths.items()]
        return [*(up if says_whether_up else []), *found]

    signals = ("dead_queue_length", "redis_up") if says_whether_up else ("dead_queue_length",)
    return Reader(f"dead letters in Redis at {address.shown}", signals, read)


def _dead(address: RedisAddress, queues: Sequence[str], also: Sequence[int]) -> dict[str, float | str]:
    with connected(address, where=_WHERE, who=_WHO) as client:
        names = [*queues, *(one for one in _found(client) if one not in queues)]
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.llen(name)
        for database in also:
            pipe.execute_command("SELECT", database)  # type: ignore[no-untyped-call]
            for name in names:
                pipe.llen(name)
        answers = pipe.execute(raise_on_error=False)
        of_names: dict[str, list[object]] = {name: [answers[n]] for n, name in enumerate(names)}
        for n in range(len(also)):
            selected, *rest = answers[len(names) + n * (len(names) + 1) :][: len(names) + 1]
            # Where a database may not be selected, the answers are of the one before, and count once.
            if not isinstance(selected, Exception):
                for name, answer in zip(names, rest, strict=True):
                    of_names[name].append(answer)
        return {name: _sum_of(name, found) for name, found in of_names.items()}


def _found(client: redis.Redis) -> list[str]:
    """Lists that are named as dead letters are; none where there are many keys, or searching is not allowed."""
    try:
        if int(str(client.dbsize())) > _SEARCHED_KEYS:
            return []
        keys = [
            key.decode(errors="replace")
            for key in client.scan_iter(match="dead_queue_*", count=1_000, _type="list")
        ]
    except redis.ResponseError:
        return []
    return sorted(key for key in keys if _DEAD_QUEUE.fullmatch(key))[:_MOST_DEAD_QUEUES]

"""How far each group is behind on the event bus in Redis.

XINFO GROUPS tells it without the events themselves, which hold personal data and may be large.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from aspects_orchestration.monitoring.model import Labels, Reading, labels_of
from aspects_orchestration.monitoring.queues.redis_connection import RedisError, connected
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import RedisAddress

_URL = "EVENT_BUS_REDIS_CONNECTION_URL"

#: Where Redis does not tell the lag, up to so many entries are counted one by one; they have to be read for that.
_COUNTED = 500
_MOST_GROUPS = 50


@dataclass(frozen=True)
class _Behind:
    """How far a group is behind; None, and why, where that cannot be told."""

    lag: float | None
    pending: float | None
    why: str = ""


def streams_reader(address: RedisAddress, stream: str, groups: Sequence[str]) -> Reader:
    """Reads lag and pending entries of every group of a stream.

    Args:
        address: the event bus.
        stream: its name, with the prefix.
        groups: those that should read it. One that is not there has read nothing.
    """

    def read(now: datetime) -> list[Reading]:
        started = time.monotonic()
        alive, why = 1.0, ""
        try:
            behind = _behind(address, stream, groups)
        except RedisError as error:
            alive, why = float(error.answers), str(error)
            behind = {group: _Behind(None, None, why) for group in groups}
        took = (time.monotonic() - started) * 1000
        up = Reading("redis_up", alive, now, took, labels_of({"use": "event_bus"}), why)
        return [up, *_readings(stream, behind, now, took)]

    return Reader(
        f"event bus in Redis at {address.shown}",
        ("redis_up", "redis_stream_lag", "redis_stream_lag_growth", "redis_stream_pending"),
        read,
    )


def _readings(stream: str, behind: Mapping[str, _Behind], now: datetime, took: float) -> list[Reading]:
    def of(signal: str, value: float | None, labels: Labels, why: str) -> Reading:
        return Reading(signal, value, now, took, labels, why)

    found = []
    for group, one in behind.items():
        labels = labels_of({"stream": stream, "group": group})
        found.append(of("redis_stream_lag", one.lag, labels, one.why))
        found.append(of("redis_stream_lag_growth", one.lag, labels, one.why))
        found.append(
            of("redis_stream_pending", one.pending, labels, "" if one.pending is not None else one.why)
        )
    return found


def _behind(address: RedisAddress, stream: str, groups: Sequence[str]) -> dict[str, _Behind]:
    with connected(address, where=_URL, who=f"user and password in {_URL}") as client:
        try:
            told: list[dict[str, Any]] = client.xinfo_groups(stream)
        except redis.ResponseError as error:
            why = _no_stream(str(error), stream)
            if not why:
                raise
            return {group: _Behind(None, None, why) for group in groups}
        length = int(str(client.xlen(stream)))
        found = {_text(one["name"]): _of_group(client, stream, one, length) for one in told[:_MOST_GROUPS]}
        for group in groups:
            if group not in found:
                why = (
                    f"The group {group} is not on the stream {stream}, so all of it waits: start the consumer"
                    " (`manage.py lms consume_events`), or set ASPECTS_EVENT_BUS_GROUPS to the groups that read it."
                )
                found[group] = _Behind(float(length), 0.0, why)
        return found


def _no_stream(told: str, stream: str) -> str:
    if "no such key" in told:
        return (
            f"There is no stream {stream}: nothing was ever sent to it. Look whether the LMS produces to the event bus,"
            " and set EVENT_BUS_TOPIC_PREFIX and ASPECTS_EVENT_BUS_TOPIC as it does."
        )
    if told.startswith("WRONGTYPE"):
        return f"{stream} is not a stream: set EVENT_BUS_TOPIC_PREFIX and ASPECTS_EVENT_BUS_TOPIC as the LMS does."
    return ""


def _of_group(client: redis.Redis, stream: str, told: Mapping[str, Any], length: int) -> _Behind:
    pending = float(told["pending"])
    lag = told.get("lag")
    if lag is not None:
        return _Behind(float(lag), pending)
    # Before Redis 7, and after entries were deleted that the group had not read yet.
    after = client.xrange(stream, min=_next_id(_text(told["last-delivered-id"])), count=_COUNTED + 1)
    counted = len(after) if isinstance(after, list) else 0
    if counted <= _COUNTED:
        return _Behind(
            float(counted), pending, "Counted after the last entry it was given; Redis does not tell the lag."
        )
    return _Behind(
        float(length),
        pending,
        f"At most: over {_COUNTED}, and Redis does not tell the lag, so this is all there is.",
    )


def _next_id(entry: str) -> str:
    """The first id after one. Ranges without their first entry are only known since Redis 6.2."""
    time_ms, _, sequence = entry.partition("-")
    return f"{time_ms}-{int(sequence or 0) + 1}"


def _text(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return "".join(one for one in text if one.isprintable())[:100]

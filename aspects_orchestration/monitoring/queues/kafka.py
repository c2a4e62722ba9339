"""How far each group is behind on the event bus in Kafka, by partition."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.model import Reading, labels_of
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import KafkaAddress

#: Of each question. There are two rounds of them, so that both end before the deadline of a look.
TIMEOUT_S = 2.5

# What librdkafka gives as the offset of a group that has committed none (RD_KAFKA_OFFSET_INVALID).
_NONE_COMMITTED = -1001

_SETTINGS = "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS"


class _KafkaTroubleError(AspectsError):
    """Kafka could not be asked; `answers` tells whether it is there."""

    def __init__(self, what: str, *, do: str, answers: bool = False) -> None:
        super().__init__(what, do=do)
        self.answers = answers


@dataclass(frozen=True)
class _Behind:
    """How far a group is behind on a partition; None, and why, where that cannot be told."""

    group: str
    partition: int | None
    lag: float | None
    why: str = ""


def kafka_reader(address: KafkaAddress, topic: str, groups: Sequence[str]) -> Reader:
    """Reads the lag of groups, by partition: the high watermark less what is committed.

    Args:
        address: the brokers.
        topic: its name, with the prefix.
        groups: who reads it. They have to be known: a group that is not running is not listed by all brokers.
    """
    name = f"Kafka at {address.bootstrap_servers}"

    def read(now: datetime) -> list[Reading]:
        started = time.monotonic()
        alive, why = 1.0, ""
        try:
            behind = _behind(address, topic, groups, name)
        except _KafkaTroubleError as error:
            alive, why = float(error.answers), str(error)
            behind = [_Behind(group, None, None, why) for group in groups]
        took = (time.monotonic() - started) * 1000
        readings = [Reading("kafka_up", alive, now, took, why=why)]
        for signal in ("kafka_lag", "kafka_lag_growth"):
            for one in behind:
                of = {"topic": topic, "group": one.group}
                if one.partition is not None:
                    of["partition"] = str(one.partition)
                readings.append(Reading(signal, one.lag, now, took, labels_of(of), one.why))
        return readings

    return Reader(name, ("kafka_up", "kafka_lag", "kafka_lag_growth"), read)


def _behind(address: KafkaAddress, topic: str, groups: Sequence[str], name: str) -> list[_Behind]:
    with _asking(address, name) as admin:
        partitions = _partitions(admin, topic)
        # All are asked at once, and then waited for.
        first, last = (
            admin.list_offsets(
                {TopicPartition(topic, one): spec for one in partitions}, request_timeout=TIMEOUT_S
            )
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        committed = {
            group: admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, one) for one in partitions])],
                request_timeout=TIMEOUT_S,
            )[group]
            for group in groups
        }
        low, high = _watermarks(first), _watermarks(last)
        found: list[_Behind] = []
        for group, future in committed.items():
            try:
                offsets = {one.partition: one for one in _answer(future).topic_partitions}
            except KafkaException as error:
                why = _refusal(error, f"{name} does not tell what {group} has committed")
                found += [_Behind(group, one, None, why) for one in partitions]
                continue
            found += [
                _of_partition(group, one, low.get(one), high.get(one), offsets.get(one)) for one in partitions
            ]
        return found


def _partitions(admin: AdminClient, topic: str) -> list[int]:
    # Of all topics, because asking for one by its name may create it.
    found = admin.list_topics(timeout=TIMEOUT_S).topics.get(topic)
    if found is None or not found.partitions:
        raise KafkaException(
            found.error if found and found.error else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        )
    return sorted(found.partitions)


def _of_partition(
    group: str, partition: int, low: int | str | None, high: int | str | None, committed: Any
) -> _Behind:
    if not isinstance(high, int) or not isinstance(low, int):
        why = next((one for one in (high, low) if isinstance(one, str)), "it did not tell its offsets")
        return _Behind(
            group, partition, None, f"Partition {partition}: {why}. Look whether it has a leader that runs."
        )
    if committed is None or committed.error is not None:
        return _Behind(group, partition, None, f"Partition {partition}: its committed offset was not told.")
    offset = committed.offset
    if offset == _NONE_COMMITTED or offset < 0:
        why = "The group has committed nothing here: look whether its consumer runs, and ASPECTS_EVENT_BUS_GROUPS."
        return _Behind(group, partition, float(high - low), why if high > low else "")
    if offset > high:
        why = "The group has committed more than there is: the topic was made anew; its consumer starts over."
        return _Behind(group, partition, float(high - low), why)
    why = (
        f"{low - offset} events were deleted by the topic's retention before they were read."
        if offset < low
        else ""
    )
    return _Behind(group, partition, float(high - offset), why)


def _watermarks(futures: Mapping[TopicPartition, Any]) -> dict[int, int | str]:
    """The offset of each partition, or why there is none."""
    found: dict[int, int | str] = {}
    for partition, future in futures.items():
        try:
            found[partition.partition] = int(_answer(future).offset)
        except KafkaException as error:
            found[partition.partition] = _kind(error)
        except concurrent.futures.TimeoutError:
            found[partition.partition] = f"no answer within {TIMEOUT_S:g} s"
    return found


def _answer(future: Any) -> Any:
    return future.result(timeout=TIMEOUT_S + 0.5)


@contextmanager
def _asking(address: KafkaAddress, name: str) -> Iterator[AdminClient]:
    """A connection of its own.

    Raises:
        _KafkaTroubleError: it does not answer, or refuses.
    """
    told: list[KafkaError] = []
    options: dict[str, Any] = {
        "bootstrap.servers": address.bootstrap_servers,
        "client.id": "aspects-orchestration",
        "socket.timeout.ms": int(TIMEOUT_S * 1000),
        "socket.connection.setup.timeout.ms": int(TIMEOUT_S * 1000),
        # Reconnecting is for clients that stay.
        "reconnect.backoff.ms": 200,
        "log_level": 0,
        "error_cb": told.append,
    }
    if address.api_key and address.api_secret.get_secret_value():
        options |= {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": address.api_key,
            "sasl.password": address.api_secret.get_secret_value(),
        }
    try:
        admin = AdminClient(options)
    except (KafkaException, ValueError):
        # The text would quote what was given.
        raise _KafkaTroubleError(
            f"{name} cannot be asked: its settings are refused", do=f"Mend {_SETTINGS} and its neighbours."
        ) from None
    try:
        yield admin
    except (KafkaException, concurrent.futures.TimeoutError) as error:
        admin.poll(0)
        raise _told(error, told, name) from None


@dataclass(frozen=True)
class _Kind:
    """A kind of trouble: what to say of the brokers, what to do, and whether they answer."""

    codes: frozenset[int]
    what: str
    do: str
    answers: bool = False


_KINDS = (
    _Kind(
        frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}),
        "refuses the user or the password",
        "Set EVENT_BUS_KAFKA_API_KEY and EVENT_BUS_KAFKA_API_SECRET to the LMS's.",
        answers=True,
    ),
    _Kind(
        frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}),
        "does not let this user ask",
        "Let it DESCRIBE the topic and the group.",
        answers=True,
    ),
    _Kind(
        frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}),
        "has no such topic",
        "Look whether the LMS produces to it, and set EVENT_BUS_TOPIC_PREFIX and ASPECTS_EVENT_BUS_TOPIC as it does.",
        answers=True,
    ),
    _Kind(frozenset({KafkaError._SSL}), "could not be spoken to by TLS", "Look at its certificate and port."),
    _Kind(
        frozenset({KafkaError._RESOLVE}),
        "has a name that is not known here",
        f"Set {_SETTINGS} as seen from here.",
    ),
    _Kind(
        frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}),
        f"cannot be reached, or does not answer within {TIMEOUT_S:g} s",
        "Look whether its brokers run or hang, and at the network between.",
    ),
)


def _told(error: Exception, told: Sequence[KafkaError], name: str) -> _KafkaTroubleError:
    codes = {one.code() for one in told}
    if isinstance(error, KafkaException) and error.args:
        codes.add(error.args[0].code())
    for kind in _KINDS:
        if kind.codes & codes:
            return _KafkaTroubleError(f"{name} {kind.what}", do=kind.do, answers=kind.answers)
    return _KafkaTroubleError(
        f"{name} did not answer within {TIMEOUT_S:g} s", do="Look whether its brokers hang or are overloaded."
    )


def _refusal(error: KafkaException, what: str) -> str:
    code = error.args[0].code() if error.args else None
    if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return f"{what}. Let this user DESCRIBE the group."
    return f"{what} ({_kind(error)}). Look whether its brokers run."


def _kind(error: KafkaException) -> str:
    return str(error.args[0].name()) if error.args else "no reason given"

"""librdkafka's own mock cluster: real brokers of the Kafka protocol in this process, reached over loopback."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition


def _library() -> ctypes.CDLL:
    # The wheel's own copy, already loaded by the import of confluent_kafka.
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    library = ctypes.CDLL(str(next(folder.glob("librdkafka-*.so*"))))
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_destroy.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    library.rd_kafka_mock_topic_create.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    for name in ("rd_kafka_mock_broker_set_down", "rd_kafka_mock_broker_set_up"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_rtt.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int]
    return library


class Kafka:
    """A cluster of one broker."""

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library = library
        self._cluster = cluster
        self.servers = str(library.rd_kafka_mock_cluster_bootstraps(cluster).decode())

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1) == 0

    def produce(self, topic: str, partition: int, events: int) -> None:
        """Send events, and wait until they are there."""
        producer = Producer({"bootstrap.servers": self.servers})
        for n in range(events):
            producer.produce(topic, f"event {n}".encode(), partition=partition)
        assert producer.flush(20) == 0

    def commit(self, topic: str, group: str, offsets: dict[int, int]) -> None:
        """Commit as a consumer of the group does."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": group})
        consumer.commit(
            offsets=[TopicPartition(topic, partition, offset) for partition, offset in offsets.items()],
            asynchronous=False,
        )
        consumer.close()

    def down(self) -> None:
        """Refuse connections."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def up(self) -> None:
        """After `down`."""
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def slow(self, milliseconds: int) -> None:
        """Let each answer take so long."""
        assert self._library.rd_kafka_mock_broker_set_rtt(self._cluster, 1, milliseconds) == 0


@contextmanager
def kafka_cluster() -> Iterator[Kafka]:
    """A cluster that ends with the block."""
    library = _library()
    why = ctypes.create_string_buffer(512)
    # 0 is a producer, which is only there to carry the cluster.
    carrier = library.rd_kafka_new(0, library.rd_kafka_conf_new(), why, len(why))
    assert carrier, why.value
    cluster = library.rd_kafka_mock_cluster_new(carrier, 1)
    assert cluster
    try:
        yield Kafka(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(carrier)

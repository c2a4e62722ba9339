"""The services besides ClickHouse that are watched: their addresses, and how these follow from what was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from aspects_orchestration.settings.addresses import masked_secret_url
from aspects_orchestration.settings.values import MASK

if TYPE_CHECKING:
    from aspects_orchestration.settings.given import Given


@dataclass(frozen=True)
class RedisAddress:
    """A Redis server, or one that speaks as Redis does, and who to be there; `verify`: whether certificates are checked."""

    host: str
    port: int = 6379
    database: int = 0
    username: str | None = None
    password: SecretStr = field(default_factory=lambda: SecretStr(""))
    tls: bool = False
    verify: bool = True

    @property
    def shown(self) -> str:
        """`host:port`, for messages."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True)
class KafkaAddress:
    """Kafka's brokers, and who to be there: with a user, over TLS and by SASL PLAIN, as Open edX's event bus does it."""

    bootstrap_servers: str
    api_key: str | None = None
    api_secret: SecretStr = field(default_factory=lambda: SecretStr(""))


@dataclass(frozen=True)
class Watched:
    """What is watched besides ClickHouse. What is None or empty is not there, or the site does not run it.

    Attributes:
        celery: where Celery's queues are.
        celery_queues: their names.
        cache: where dead letters are.
        dead_queues: names of lists that hold them.
        bus_redis, bus_kafka: the event bus.
        bus_topic: its stream or topic, with the prefix.
        bus_groups: who reads it.
        ralph, superset: `http(s)://host:port`.
        vector: the same of each Vector.
    """

    celery: RedisAddress | None = None
    celery_queues: tuple[str, ...] = ()
    cache: RedisAddress | None = None
    dead_queues: tuple[str, ...] = ()
    bus_redis: RedisAddress | None = None
    bus_kafka: KafkaAddress | None = None
    bus_topic: str = "analytics"
    bus_groups: tuple[str, ...] = ()
    ralph: str | None = None
    vector: tuple[str, ...] = ()
    superset: str | None = None


def watched(given: Given, *, from_environment: Callable[[str], bool]) -> Watched:
    """What follows from what was given.

    Args:
        given: each value checked by itself.
        from_environment: whether a setting was given in the environment, and not in a config.yml.
    """

    def is_run(run: bool | None, name: str) -> bool:
        if run is not False:
            return True
        # In a config.yml it says that Tutor does not run the service: a host that is set is another's.
        return not from_environment(name)

    bus_redis, bus_kafka = _event_bus(given)
    ralph = given.ralph_host if is_run(given.run_ralph, "RUN_RALPH") else None
    vector = (given.vector_hosts or "") if given.run_vector is not False else ""
    superset = given.superset_host if is_run(given.run_superset, "RUN_SUPERSET") else None
    return Watched(
        celery=_lms_redis(given, given.celery_redis_db) if given.celery_queues else None,
        celery_queues=_names(given.celery_queues),
        cache=_lms_redis(given, given.cache_redis_db) if given.dead_queues else None,
        dead_queues=_names(given.dead_queues),
        bus_redis=bus_redis,
        bus_kafka=bus_kafka,
        bus_topic=f"{given.topic_prefix}-{given.event_bus_topic}"
        if given.topic_prefix
        else given.event_bus_topic,
        bus_groups=_names(given.event_bus_groups),
        ralph=_ralph(given, ralph, from_environment) if ralph else None,
        vector=tuple(_url(host, given.vector_port) for host in _names(vector)),
        superset=_superset(given, superset, from_environment) if superset else None,
    )


def _names(listed: str) -> tuple[str, ...]:
    return tuple(one for one in listed.split(",") if one)


def _url(host: str, port: int, *, https: bool = False) -> str:
    return f"{'https' if https else 'http'}://{host if ':' in host else f'{host}:{port}'}"


def _ralph(given: Given, host: str, from_environment: Callable[[str], bool]) -> str:
    # The plugin asks a Ralph that Tutor does not run at the usual port of its scheme.
    elsewhere = given.run_ralph is False and not from_environment("RALPH_HOST")
    if elsewhere and "ralph_port" not in given.model_fields_set:
        return f"{'https' if given.ralph_https else 'http'}://{host}"
    return _url(host, given.ralph_port, https=given.ralph_https)


def _superset(given: Given, host: str, from_environment: Callable[[str], bool]) -> str:
    in_config = not from_environment("SUPERSET_HOST") and host != "superset"
    if in_config and given.superset_port is None and ":" not in host:
        return f"{'https' if given.enable_https else 'http'}://{host}"
    port = given.superset_port or 8088
    https = (int(host.rpartition(":")[2]) if ":" in host else port) in {443, 8443}
    return _url(host, port, https=https)


def _lms_redis(given: Given, database: int) -> RedisAddress | None:
    if given.redis_host is None:
        return None
    return RedisAddress(
        given.redis_host,
        given.redis_port,
        database,
        given.redis_username or None,
        given.redis_password or SecretStr(""),
        given.redis_tls,
    )


def _event_bus(given: Given) -> tuple[RedisAddress | None, KafkaAddress | None]:
    said = (given.event_bus_consumer, given.event_bus_producer)
    if said == (False, False):
        return None, None
    kafka = (
        KafkaAddress(
            given.kafka_servers, given.kafka_api_key or None, given.kafka_api_secret or SecretStr("")
        )
        if given.kafka_servers
        else None
    )
    if given.event_bus_redis_url is not None:
        return _redis_from(given.event_bus_redis_url), kafka
    if kafka is None and True in said:
        # Tutor's own default: the LMS's Redis, and the first database of it.
        return _lms_redis(given, 0), None
    return None, kafka


def _redis_from(url: SecretStr) -> RedisAddress:
    parts = urlsplit(url.get_secret_value())
    return RedisAddress(
        parts.hostname or "",
        parts.port or 6379,
        int(parts.path.strip("/") or 0),
        unquote(parts.username or "") or None,
        SecretStr(unquote(parts.password or "")),
        parts.scheme == "rediss",
        # The one option of redis-py's URLs that changes who can be spoken to; the others do not matter for a look.
        parse_qs(parts.query).get("ssl_cert_reqs", [""])[-1].lower() not in {"none", "cert_none"},
    )


def watched_inputs(given: Given) -> Mapping[str, str]:
    """The settings that name what is watched, as they were given, masked, by name."""
    shown: dict[str, object] = {
        "REDIS_HOST": given.redis_host,
        "REDIS_PORT": given.redis_port,
        "REDIS_USERNAME": given.redis_username,
        "REDIS_PASSWORD": _masked(given.redis_password),
        "ASPECTS_REDIS_TLS": given.redis_tls,
        "OPENEDX_CELERY_REDIS_DB": given.celery_redis_db,
        "OPENEDX_CACHE_REDIS_DB": given.cache_redis_db,
        "ASPECTS_CELERY_QUEUES": given.celery_queues or "none",
        "ASPECTS_DEAD_QUEUES": given.dead_queues or "none",
        "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": given.event_bus_consumer,
        "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": given.event_bus_producer,
        "EVENT_BUS_REDIS_CONNECTION_URL": given.event_bus_redis_url
        and masked_secret_url(given.event_bus_redis_url),
        "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS": given.kafka_servers,
        "EVENT_BUS_KAFKA_API_KEY": given.kafka_api_key,
        "EVENT_BUS_KAFKA_API_SECRET": _masked(given.kafka_api_secret),
        "EVENT_BUS_TOPIC_PREFIX": given.topic_prefix,
        "ASPECTS_EVENT_BUS_TOPIC": given.event_bus_topic,
        "ASPECTS_EVENT_BUS_GROUPS": given.event_bus_groups,
        "RUN_RALPH": given.run_ralph,
        "RALPH_HOST": given.ralph_host,
        "RALPH_PORT": given.ralph_port,
        "RALPH_RUN_HTTPS": given.ralph_https,
        "RUN_VECTOR": given.run_vector,
        "ASPECTS_VECTOR_HOST": given.vector_hosts,
        "ASPECTS_VECTOR_PORT": given.vector_port,
        "RUN_SUPERSET": given.run_superset,
        "SUPERSET_HOST": given.superset_host,
        "SUPERSET_PORT": given.superset_port or 8088,
    }
    return {name: _text(value) for name, value in shown.items()}


def _masked(secret: SecretStr | None) -> str:
    return MASK if secret is not None and secret.get_secret_value() else ""


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)

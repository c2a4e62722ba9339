"""Settings of what is watched besides ClickHouse: services of the site, and where they are."""

from pathlib import Path

from services.settings_given import TUTOR_4, TUTOR_5, with_config

from aspects_orchestration.settings import (
    load_settings,
)


def test_nothing_is_watched_whose_address_is_not_set() -> None:
    found = load_settings({}).watched
    assert (found.celery, found.cache, found.bus_redis, found.bus_kafka) == (None, None, None, None)
    assert (found.ralph, found.vector, found.superset) == (None, (), None)


def test_a_tutor_config_tells_which_services_there_are(tmp_path: Path) -> None:
    of_4 = load_settings(with_config(tmp_path, TUTOR_4)).watched
    assert (of_4.ralph, of_4.vector, of_4.superset) == ("http://ralph:8100", (), "http://superset:8088")
    assert of_4.celery is not None
    assert of_4.cache is not None
    assert (of_4.celery.shown, of_4.celery.database, of_4.cache.database) == ("redis:6379", 0, 1)
    assert (of_4.bus_redis, of_4.bus_kafka) == (None, None)
    of_5 = load_settings(
        with_config(tmp_path, {**TUTOR_5, "REDIS_PASSWORD": "pw", "RUN_SUPERSET": False})
    ).watched
    assert (of_5.ralph, of_5.vector, of_5.superset) == (None, ("http://vector:8686",), None)
    assert of_5.celery is not None
    assert of_5.celery.password.get_secret_value() == "pw"


def test_a_tutor_config_may_name_services_that_tutor_does_not_run(tmp_path: Path) -> None:
    elsewhere = {
        "RUN_RALPH": False,
        "RALPH_HOST": "ralph.example.org",
        "RALPH_RUN_HTTPS": True,
        "SUPERSET_HOST": "superset.{{ LMS_HOST }}",
        "RUN_REDIS": False,
        "REDIS_HOST": "cache.example.org",
        "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": True,
    }
    found = load_settings(with_config(tmp_path, {**TUTOR_5, **elsewhere})).watched
    assert (found.ralph, found.superset) == (
        "https://ralph.example.org",
        "https://superset.lms.example.org",
    )
    assert found.bus_redis is not None
    assert (found.bus_redis.host, found.bus_topic) == ("cache.example.org", "dev-analytics")


def test_what_is_said_not_to_run_is_not_watched(tmp_path: Path) -> None:
    off = {"RUN_RALPH": "false", "RUN_VECTOR": "0", "RUN_SUPERSET": "no"}
    hosts = {"RALPH_HOST": "r", "ASPECTS_VECTOR_HOST": "v1,v2:99", "SUPERSET_HOST": "s"}
    on, switched_off = load_settings(hosts).watched, load_settings(hosts | off).watched
    assert on.vector == ("http://v1:8686", "http://v2:99")
    assert (on.ralph, on.superset) == ("http://r:8100", "http://s:8088")
    assert (switched_off.ralph, switched_off.vector, switched_off.superset) == (None, (), None)
    in_config = load_settings(with_config(tmp_path, TUTOR_4, **off)).watched
    assert (in_config.ralph, in_config.superset) == (None, None)


def test_the_event_bus_is_where_it_was_said_or_in_the_redis_of_the_lms() -> None:
    address = {"EVENT_BUS_REDIS_CONNECTION_URL": "rediss://bus:p%40ss@bus.example.org/3"}
    bus = load_settings(address).watched.bus_redis
    assert bus is not None
    assert (bus.host, bus.port, bus.database, bus.username, bus.tls) == (
        "bus.example.org",
        6379,
        3,
        "bus",
        True,
    )
    assert bus.password.get_secret_value() == "p@ss"
    assert bus.verify
    unchecked = {"EVENT_BUS_REDIS_CONNECTION_URL": "rediss://@bus.example.org:6380/?ssl_cert_reqs=none"}
    bus = load_settings(unchecked).watched.bus_redis
    assert bus is not None
    assert (bus.port, bus.username, bus.verify) == (6380, None, False)
    neither = {"ASPECTS_ENABLE_EVENT_BUS_CONSUMER": "false", "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": "false"}
    assert load_settings(address | neither).watched.bus_redis is None
    lms = load_settings({"REDIS_HOST": "r", "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": "true"}).watched
    assert lms.bus_redis == lms.celery
    kafka = load_settings(
        {
            "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS": "k1:9092, k2:9092",
            "EVENT_BUS_TOPIC_PREFIX": "stage",
            "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": "true",
            "REDIS_HOST": "r",
        }
    ).watched
    assert kafka.bus_kafka is not None
    assert kafka.bus_kafka.bootstrap_servers == "k1:9092,k2:9092"
    assert (kafka.bus_redis, kafka.bus_topic) == (None, "stage-analytics")


def test_addresses_that_kubernetes_puts_into_every_pod_are_no_ports() -> None:
    tcp = dict.fromkeys(("REDIS_PORT", "RALPH_PORT", "SUPERSET_PORT"), "tcp://10.0.0.1:6379")
    assert load_settings(tcp) == load_settings({})


def test_a_broker_that_is_not_redis_has_no_queues_to_watch() -> None:
    found = load_settings({"REDIS_HOST": "r", "ASPECTS_CELERY_QUEUES": "none"}).watched
    assert (found.celery, found.celery_queues) == (None, ())
    assert found.cache is not None

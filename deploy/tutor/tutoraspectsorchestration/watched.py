"""Where the services are that the sensors watch, as the containers of this deployment reach them; Ralph is in plugin.py."""

from collections.abc import Callable, Mapping

# As Tutor's own settings of the LMS have it; a site with another says so by this name.
_TOPIC_PREFIX = "dev"


def watched(value: Callable[[str], str], *, kubernetes: bool) -> dict[str, str]:
    """Addresses by the names of docs/settings.md; of what the site does not run, none.

    Args:
        value: what a setting of Tutor or Aspects is rendered to.
        kubernetes: for pods, and not for containers of Docker Compose.
    """
    found = _redis(value) | _event_bus(value)
    if value("RUN_SUPERSET") == "True":
        found |= {"SUPERSET_HOST": "superset", "SUPERSET_PORT": value("SUPERSET_PORT")}
    # In Kubernetes Vector runs on each node, and no service leads to it: name them in ASPECTS_VECTOR_HOST, if need be.
    if value("ASPECTS_VECTOR_HOST"):
        found["ASPECTS_VECTOR_HOST"] = value("ASPECTS_VECTOR_HOST")
    elif value("RUN_VECTOR") == "True" and not kubernetes:
        found["ASPECTS_VECTOR_HOST"] = "vector"
    return _given(found)


def _redis(value: Callable[[str], str]) -> dict[str, str]:
    if not value("REDIS_HOST"):
        return {}
    names = (
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_USERNAME",
        "OPENEDX_CELERY_REDIS_DB",
        "OPENEDX_CACHE_REDIS_DB",
    )
    return {name: value(name) for name in names}


def _event_bus(value: Callable[[str], str]) -> dict[str, str]:
    ends = ("ASPECTS_ENABLE_EVENT_BUS_CONSUMER", "ASPECTS_ENABLE_EVENT_BUS_PRODUCER")
    said = {name: value(name) for name in ends}
    if "True" not in said.values():
        return said
    return {**said, "EVENT_BUS_TOPIC_PREFIX": value("EVENT_BUS_TOPIC_PREFIX") or _TOPIC_PREFIX}


def watched_secrets(value: Callable[[str], str]) -> dict[str, str]:
    """What of it is secret."""
    found = {"REDIS_PASSWORD": value("REDIS_PASSWORD") if value("REDIS_HOST") else ""}
    ends = ("ASPECTS_ENABLE_EVENT_BUS_CONSUMER", "ASPECTS_ENABLE_EVENT_BUS_PRODUCER")
    if "True" in {value(name) for name in ends}:
        url = value("EVENT_BUS_REDIS_CONNECTION_URL")
        if not url and not value("EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS") and value("RUN_REDIS") == "True":
            url = f"redis://redis:{value('REDIS_PORT')}/0"  # where Tutor's settings of the LMS put it
        found["EVENT_BUS_REDIS_CONNECTION_URL"] = url
    return _given(found)


def _given(found: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in found.items() if text}

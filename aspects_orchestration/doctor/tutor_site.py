"""The site's own Tutor configuration, as the production audit asks it: what is set, and what Aspects sets if not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings.plain_yaml import read_yaml
from aspects_orchestration.settings.tutor_config import tutor_layers

#: What is asked about, with the default of the Aspects plugin (release 5; 3 and 4 differ in locales alone).
#: None: the plugin generates a value, or Tutor has none.
DEFAULTS: Final[Mapping[str, object]] = {
    "ASPECTS_XAPI_SOURCE": "ralph",
    "ASPECTS_VECTOR_STORE_XAPI": True,
    "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": False,
    "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": False,
    "ASPECTS_EVENT_BUS_CONSUMER_REPLICAS": 1,
    "EVENT_ROUTING_BACKEND_BATCHING_ENABLED": True,
    "EVENT_ROUTING_BACKEND_BATCH_SIZE": 100,
    "EVENT_ROUTING_BACKEND_BATCH_INTERVAL": 5,
    "RUN_CLICKHOUSE": True,
    "CLICKHOUSE_HOST": "clickhouse",
    "CLICKHOUSE_CLUSTER_NAME": "",
    "CLICKHOUSE_SECURE_CONNECTION": False,
    "CLICKHOUSE_ADMIN_PASSWORD": None,
    "RUN_RALPH": True,
    "RALPH_HOST": "ralph",
    "RALPH_ENABLE_PUBLIC_URL": False,
    "RALPH_PORT": "8100",
    "RALPH_LMS_PASSWORD": None,
    "RALPH_ADMIN_PASSWORD": None,
    "ENABLE_HTTPS": False,
    "RUN_SUPERSET": True,
    "MYSQL_HOST": "mysql",
    "SUPERSET_DB_HOST": "{{ MYSQL_HOST }}",
    "SUPERSET_SECRET_KEY": None,
    "SUPERSET_ADMIN_PASSWORD": None,
    "SUPERSET_DB_PASSWORD": None,
    "SUPERSET_OAUTH2_CLIENT_SECRET": None,
    "SUPERSET_SENTRY_DSN": "",
    "ASPECTS_ENABLE_PII": False,
    "XAPI_AGENT_IFI_TYPE": "external_id",
    "ASPECTS_ENABLE_INSTRUCTOR_DASHBOARD_PLUGIN": True,
    "ASPECTS_INSTRUCTOR_DASHBOARDS": None,
    "SUPERSET_EMBEDDABLE_DASHBOARDS": None,
    "ASPECTS_COURSE_OVERVIEW_HELP_MARKDOWN": None,
    "ASPECTS_INDIVIDUAL_LEARNER_HELP_MARKDOWN": None,
    "ASPECTS_LEARNER_GROUPS_HELP_MARKDOWN": None,
    "ASPECTS_OPERATOR_HELP_MARKDOWN": None,
    "SUPERSET_SUPPORTED_LANGUAGES": None,
    "SUPERSET_DASHBOARD_LOCALES": None,
    "ASPECTS_DATA_TTL_EXPRESSION": None,
}
QUOTE: Final = "'"
_TRUE: Final = {"true", "1", "yes", "on"}


@dataclass(frozen=True)
class TutorSite:
    """A Tutor config.yml as far as the audit asks it.

    Args:
        path: of the file.
        given: what it sets, templates rendered, and what its generation of the plugin implies.
    """

    path: Path
    given: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """What is in force: set in the file, or the plugin's default; None for what is generated or has no default."""
        if name in self.given:
            return self.given[name]
        default = DEFAULTS[name]
        return self.value("MYSQL_HOST") if default == "{{ MYSQL_HOST }}" else default

    def flag(self, name: str) -> bool:
        """A switch, as Tutor and people write them."""
        return str(self.value(name)).strip().lower() in _TRUE

    def is_set(self, name: str) -> bool:
        """Whether the file itself says it."""
        return name in self.given


def set_to(name: str, value: str) -> str:
    """The command that sets a value, for people to run."""
    return f"tutor config save --set {name}={value}"


def read_tutor_site(path: Path) -> TutorSite:
    """Read a config.yml; it is only read.

    Raises:
        SettingsError: it cannot be read, or a value that is asked about cannot be rendered.
    """
    refused: list[str] = []
    layers = tutor_layers(path, DEFAULTS.keys(), refused)
    if refused:
        raise SettingsError("; ".join(refused), do="Mend config.yml, or ASPECTS_TUTOR_CONFIG.")
    # Set to nothing is not set for a setting of ours; for Aspects it is an empty text.
    loaded = read_yaml(path) or {}
    given: dict[str, Any] = {
        name: "" for name in DEFAULTS if isinstance(loaded.get(name), str) and not loaded[name].strip()
    }
    for layer in reversed(layers):
        # Names that nobody asked for stand there without their values.
        given |= {
            name: value for name, value in layer.values.items() if name in DEFAULTS and value is not None
        }
    return TutorSite(path, given)

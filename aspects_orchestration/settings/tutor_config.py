"""The settings that a site's Tutor config.yml holds, with its templates rendered. The file is only ever read."""

from collections.abc import Collection, Mapping
from pathlib import Path

import yaml
from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from aspects_orchestration.settings.plain_yaml import read_yaml
from aspects_orchestration.settings.values import ImpossibleValueError, Layer, is_given, shown

#: What the values of Tutor and Aspects are written with, and those of sites: names, conditions, and a few filters. There is
#: no arithmetic, no loop and no call in it, so that no value takes longer or grows larger than what stands in the file.
_UNDERSTOOD = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Filter),
)
_FILTERS = {"default", "d", "int", "lower", "string", "trim", "upper", "urlencode"}
_MOST_NODES = 2000
_LONGEST = 64 * 1024
_SET_IT = "set it in the environment to what `tutor config printvalue` prints for it"

# Defaults of the Aspects plugin that its own templates and a site's may refer to. config.yml holds only what a site set.
_PLUGIN_DEFAULTS: dict[str, object] = {
    "CLICKHOUSE_HOST": "clickhouse",
    "CLICKHOUSE_ADMIN_USER": "ch_admin",
    "CLICKHOUSE_SECURE_CONNECTION": False,
    "CLICKHOUSE_CLUSTER_NAME": "",
    "CLICKHOUSE_INTERNAL_INSECURE_HTTP_PORT": "8123",
    "CLICKHOUSE_INTERNAL_TLS_HTTP_PORT": "8443",
    "CLICKHOUSE_INTERNAL_HTTP_PORT": "{% if CLICKHOUSE_SECURE_CONNECTION %}{{ CLICKHOUSE_INTERNAL_TLS_HTTP_PORT }}"
    "{% else %}{{ CLICKHOUSE_INTERNAL_INSECURE_HTTP_PORT }}{% endif %}",
    "CLICKHOUSE_INTERNAL_INSECURE_NATIVE_PORT": "9000",
    "CLICKHOUSE_INTERNAL_TLS_NATIVE_PORT": "9440",
    "CLICKHOUSE_INTERNAL_NATIVE_PORT": "{% if CLICKHOUSE_SECURE_CONNECTION %}{{ CLICKHOUSE_INTERNAL_TLS_NATIVE_PORT }}"
    "{% else %}{{ CLICKHOUSE_INTERNAL_INSECURE_NATIVE_PORT }}{% endif %}",
    "RALPH_DATABASE": "xapi",
    "ASPECTS_VECTOR_DATABASE": "openedx",
    "ASPECTS_RAW_XAPI_TABLE": "xapi_events_all",
    "ASPECTS_EVENT_SINK_DATABASE": "event_sink",
    "ASPECTS_ENABLE_PII": False,
    "ASPECTS_DATA_TTL_EXPRESSION": "toDateTime(emission_time) + INTERVAL 1 YEAR",
    "CMS_HOST": "studio.{{ LMS_HOST }}",
    "ENABLE_HTTPS": False,
    "MYSQL_HOST": "mysql",
    "MYSQL_PORT": 3306,
    "OPENEDX_MYSQL_DATABASE": "openedx",
    "OPENEDX_MYSQL_USERNAME": "openedx",
    "K8S_NAMESPACE": "openedx",
    "REDIS_HOST": "redis",
    "REDIS_PORT": 6379,
    "REDIS_USERNAME": "",
    "REDIS_PASSWORD": "",
    "OPENEDX_CELERY_REDIS_DB": 0,
    "OPENEDX_CACHE_REDIS_DB": 1,
    "RALPH_HOST": "ralph",
    "RALPH_PORT": "8100",
    "RALPH_RUN_HTTPS": False,
    "SUPERSET_HOST": "superset.{{ LMS_HOST }}",
    "SUPERSET_PORT": "8088",
}

# The plugin saves every password it has ever generated, and since version 5 these two, which came with the change of
# its ASPECTS_XAPI_SOURCE from ralph to vector. Nothing else in config.yml tells which version wrote it.
_PLUGIN_IN_USE = {"CLICKHOUSE_ADMIN_PASSWORD"}
_PLUGIN_SINCE_5 = {"ASPECTS_XAPI_S3_ACCESS_KEY", "ASPECTS_XAPI_S3_SECRET_KEY"}
_PLUGIN_PORTS = {"CLICKHOUSE_INTERNAL_INSECURE_HTTP_PORT", "CLICKHOUSE_INTERNAL_TLS_HTTP_PORT"}


def tutor_layers(path: Path, wanted: Collection[str], refused: list[str]) -> list[Layer]:
    """Read a Tutor config.yml.

    Args:
        path: the file.
        wanted: names of the settings to read; a template of any other is not rendered.
        refused: what cannot be used is added here, as `NAME: what is wrong; what would do`.

    Returns:
        Two layers: what the file sets, and the Aspects plugin's defaults that it implies. None if it cannot be read.
    """
    origin = f"config.yml ({path})"
    try:
        loaded = read_yaml(path)
    except OSError as unreadable:
        refused.append(
            f"ASPECTS_TUTOR_CONFIG: {shown(path)} cannot be read ({unreadable.strerror}); "
            "give the path that `tutor config printroot` prints, with /config.yml"
        )
        return []
    except (yaml.YAMLError, ValueError) as malformed:
        mark = getattr(malformed, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        refused.append(f"ASPECTS_TUTOR_CONFIG: {shown(path)} is not YAML{where}; give Tutor's own config.yml")
        return []
    if loaded is None:
        loaded = {}
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        refused.append(f"ASPECTS_TUTOR_CONFIG: {shown(path)} holds no settings; give Tutor's own config.yml")
        return []

    site: dict[str, object] = dict(loaded)
    implied: dict[str, object] = {}
    if _PLUGIN_IN_USE & site.keys():
        source = "vector" if _PLUGIN_SINCE_5 & site.keys() else "ralph"
        implied = {
            "ASPECTS_XAPI_SOURCE": source,
            "CLICKHOUSE_HOST": "clickhouse",
            "CLICKHOUSE_ADMIN_USER": "ch_admin",
            **_implied_services(site, source),
        }
    templates = _TutorTemplates({**_PLUGIN_DEFAULTS, "ASPECTS_XAPI_SOURCE": "ralph", **implied, **site})
    names = [name for name in wanted if is_given(name, site.get(name))]
    port = "CLICKHOUSE_INTERNAL_HTTP_PORT"
    if _PLUGIN_PORTS & site.keys() and port in wanted and port not in names:
        names.append(port)
    # Other names are kept, without their values, so that misspelt ones are found.
    values: dict[str, object] = dict.fromkeys(name for name in site if name not in wanted)
    for name in names:
        try:
            rendered = templates.rendered(name)
        except ImpossibleValueError as impossible:
            refused.append(f"{name} (in {origin}): {impossible}")
            continue
        if is_given(name, rendered):
            values[name] = rendered
    return [Layer(origin, values), Layer("Aspects plugin's default", implied)]


def _implied_services(site: Mapping[str, object], source: str) -> dict[str, object]:
    """Where services answer in the containers' network, of those that Tutor runs by this file."""

    def runs(name: str, by_default: bool) -> bool:
        return str(site.get(name, by_default)).strip().lower() in {"true", "1", "yes", "on"}

    implied: dict[str, object] = {}
    if runs("RUN_REDIS", True):
        implied["REDIS_HOST"] = "redis"
    if runs("RUN_RALPH", source == "ralph"):
        implied["RALPH_HOST"] = "ralph"
    if runs("RUN_VECTOR", source == "vector"):
        implied["ASPECTS_VECTOR_HOST"] = "vector"
    if runs("RUN_SUPERSET", True):
        implied["SUPERSET_HOST"] = "superset"
    bus = ("ASPECTS_ENABLE_EVENT_BUS_CONSUMER", "ASPECTS_ENABLE_EVENT_BUS_PRODUCER")
    if any(runs(name, False) for name in bus):
        # Tutor writes both into the LMS's settings as they are here.
        implied["EVENT_BUS_TOPIC_PREFIX"] = "dev"
        if "REDIS_HOST" in implied and "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS" not in site:
            implied["EVENT_BUS_REDIS_CONNECTION_URL"] = "redis://redis:6379/0"
    return implied


class _TutorTemplates:
    """The values of a config.yml, where any text may be a Jinja template that refers to other values."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self._known: dict[str, object] = {}
        self._jinja = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)

    def rendered(self, name: str, within: tuple[str, ...] = ()) -> object:
        """The value of `name`.

        Raises:
            ImpossibleValueError: it cannot be rendered from this file and the plugin's defaults.
        """
        if name not in self._known:
            if len(within) > 50:
                raise ImpossibleValueError(f"is a template that refers to too many others; {_SET_IT}")
            self._known[name] = self._render(self._values[name], (*within, name))
        return self._known[name]

    def _render(self, value: object, within: tuple[str, ...]) -> object:
        if isinstance(value, list):
            return [self._render(item, within) for item in value]
        if not isinstance(value, str) or "{" not in value:
            return value
        try:
            parsed = self._jinja.parse(value)
            self._require_simple(parsed)
            names = meta.find_undeclared_variables(parsed)
        except (TemplateError, RecursionError):
            raise ImpossibleValueError(f"is not a template that can be read; {_SET_IT}") from None
        unknown = sorted(names - self._values.keys())
        if unknown:
            raise ImpossibleValueError(
                f"is a template that needs {', '.join(unknown)}, which is not there; {_SET_IT}"
            )
        if names & set(within):
            raise ImpossibleValueError(f"is a template that refers to itself; {_SET_IT}")
        context = {name: self.rendered(name, within) for name in sorted(names)}
        try:
            text = ""
            for piece in self._jinja.from_string(value).generate(context):
                text += piece
                if len(text) > _LONGEST:
                    raise ValueError("too long")
            return text
        except Exception:
            # A template may fail in any way, and its failure may quote the values put into it.
            raise ImpossibleValueError(f"is a template that cannot be rendered here; {_SET_IT}") from None

    def _require_simple(self, parsed: nodes.Template) -> None:
        for number, node in enumerate(parsed.find_all(nodes.Node)):
            strange = not isinstance(node, _UNDERSTOOD)
            if (
                strange
                or number > _MOST_NODES
                or (isinstance(node, nodes.Filter) and node.name not in _FILTERS)
            ):
                raise ImpossibleValueError(f"is a template of more than names and conditions; {_SET_IT}")

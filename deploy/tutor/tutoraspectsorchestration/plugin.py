"""What the plugin adds to Tutor: settings, services, an image, initialisation and the job aspects-backfill."""

import hashlib
from pathlib import Path

from jinja2 import pass_context
from jinja2.runtime import Context
from tutor import hooks

from tutoraspectsorchestration.backfill import aspects_backfill
from tutoraspectsorchestration.watched import watched, watched_secrets

_HERE = Path(__file__).resolve().parent
_TEMPLATES = _HERE / "templates"
_JOBS = _TEMPLATES / "aspects-orchestration" / "jobs"

# Settings of aspects-orchestration itself that neither Tutor nor Aspects has, by the names of docs/settings.md. Empty: not
# given, so that its own default holds.
_PASSED_ON = (
    "ASPECTS_RETENTION_FILE",
    "ASPECTS_TRACKING_LOG_ARCHIVE",
    "ASPECTS_ARCHIVE_COMPRESSION",
    "ASPECTS_ARCHIVE_LATENESS_HOURS",
    "ASPECTS_ARCHIVE_OBJECT_LOCK",
    "ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS",
    "ASPECTS_ARCHIVE_ENCRYPTION",
    "ASPECTS_ARCHIVE_KMS_KEY",
    "ASPECTS_RELEASE_KEEP_DAYS",
    "ASPECTS_QUARANTINE",
    "ASPECTS_IDENTITIES",
    "ASPECTS_COURSES",
    "ASPECTS_LMS_ROWS_PER_SECOND",
    "ASPECTS_COURSE_BLOCKS",
    "ASPECTS_FIRST_MONTH",
    "ASPECTS_RPO_HOURS",
    "ASPECTS_TRANSFORM_WORKERS",
    "ASPECTS_TRANSFORM_ENGINE",
    "ASPECTS_MAX_LINE_BYTES",
    "ASPECTS_REPLAY_GAPS",
    "ASPECTS_LOAD_NEW_LOGS",
    "ASPECTS_INSERT_QUORUM",
    "ASPECTS_PAUSE_BACKFILLS",
    "ASPECTS_LONGEST_PAUSE_MINUTES",
    "ASPECTS_REPLAY_LAG",
    "ASPECTS_ALERTS_FILE",
    "ASPECTS_REPORT",
    "ASPECTS_STATEMENT_FILES",
    "ASPECTS_STATEMENT_FORMAT",
    "ASPECTS_RALPH_BATCH",
    "ASPECTS_RALPH_STATEMENTS_PER_SECOND",
    "ASPECTS_RALPH_STORE",
    "ASPECTS_DAGSTER_URL",
    "ASPECTS_DASHBOARDS",
    "ASPECTS_REDIS_TLS",
    "ASPECTS_CELERY_QUEUES",
    "ASPECTS_DEAD_QUEUES",
    "ASPECTS_EVENT_BUS_TOPIC",
    "ASPECTS_EVENT_BUS_GROUPS",
    "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS",
    "EVENT_BUS_KAFKA_API_KEY",
    "ASPECTS_VECTOR_PORT",
    "CLICKHOUSE_CA_CERT",
    "CLICKHOUSE_VERIFY",
    "XAPI_AGENT_IFI_TYPE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_DEFAULT_REGION",
)
_SECRETS_PASSED_ON = (
    "ASPECTS_ALERT_URLS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "EVENT_BUS_KAFKA_API_SECRET",
)
# Of these follows what is watched, unless a site says otherwise; see watched.py.
_WATCHED = ("ASPECTS_VECTOR_HOST", "EVENT_BUS_TOPIC_PREFIX", "EVENT_BUS_REDIS_CONNECTION_URL")

hooks.Filters.CONFIG_UNIQUE.add_items(
    [
        ("ORCHESTRATION_CLICKHOUSE_PASSWORD", "{{ 24|random_string }}"),
        ("ORCHESTRATION_MYSQL_PASSWORD", "{{ 24|random_string }}"),
    ]
)
hooks.Filters.CONFIG_DEFAULTS.add_items(
    [
        ("DOCKER_IMAGE_ASPECTS_ORCHESTRATION", "aspects-orchestration:0.1.0"),
        # Where the image's source comes from, unless a checkout is mounted: a git URL, with #tag or #commit.
        ("ORCHESTRATION_REPOSITORY", ""),
        ("ORCHESTRATION_CLICKHOUSE_USER", "ch_orchestration"),
        ("ORCHESTRATION_MYSQL_USER", "orchestration"),
        # The web UI has no login of its own: on the host it listens on the loopback alone.
        ("ORCHESTRATION_HOST_PORT", 3100),
        ("ORCHESTRATION_CPU_LIMIT", "2"),
        ("ORCHESTRATION_MEMORY_LIMIT", "4Gi"),
        ("ORCHESTRATION_K8S_VOLUME_SIZE", "20Gi"),
        ("ASPECTS_ORCHESTRATION_DATABASE", "aspects_orchestration"),
        ("ASPECTS_TRACKING_LOGS", "/openedx/logs/lms,/openedx/logs/cms"),
        (
            "ASPECTS_LMS_DATABASE_URL",
            (
                "mysql+pymysql://{{ ORCHESTRATION_MYSQL_USER }}:{{ ORCHESTRATION_MYSQL_PASSWORD|urlencode }}"
                "@{{ MYSQL_HOST }}:{{ MYSQL_PORT }}/{{ OPENEDX_MYSQL_DATABASE }}"
            ),
        ),
        *((name, "") for name in (*_PASSED_ON, *_SECRETS_PASSED_ON, *_WATCHED)),
    ]
)


def _in_env_file(value: object) -> str:
    """A value for a file that Docker Compose reads: in single quotes nothing is interpolated.

    Raises:
        ValueError: the value holds a line break, which would start another setting.
    """
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ValueError("a setting holds a line break; give it in one line")
    return "'" + text.replace("'", "\\'") + "'"


def _sql_text(value: object) -> str:
    """A value between the quotes of a text of MySQL."""
    return str(value).replace("\\", "\\\\").replace("'", "''")


def _sha256(text: str) -> str:
    """The hash by which ClickHouse can create a user whose password it is not told (sha256_hash)."""
    return hashlib.sha256(text.encode()).hexdigest()


# From Tutor and Aspects, by the same names.
_OF_THE_SITE = (
    "CLICKHOUSE_HOST",
    "CLICKHOUSE_INTERNAL_HTTP_PORT",
    "CLICKHOUSE_SECURE_CONNECTION",
    "CLICKHOUSE_CLUSTER_NAME",
    "ASPECTS_XAPI_SOURCE",
    "ASPECTS_XAPI_DATABASE",
    "RALPH_DATABASE",
    "ASPECTS_VECTOR_DATABASE",
    "ASPECTS_RAW_XAPI_TABLE",
    "ASPECTS_EVENT_SINK_DATABASE",
    "ASPECTS_DATA_TTL_EXPRESSION",
    "ASPECTS_ENABLE_PII",
    "LMS_HOST",
    "ENABLE_HTTPS",
    "ASPECTS_ORCHESTRATION_DATABASE",
    "ASPECTS_TRACKING_LOGS",
)
# To be given even when they are empty, because that says something.
_MAY_BE_EMPTY = {"CLICKHOUSE_CLUSTER_NAME", "ASPECTS_DATA_TTL_EXPRESSION"}
_SECRETS = ("ASPECTS_LMS_DATABASE_URL", *_SECRETS_PASSED_ON)


@pass_context
def _settings(context: Context, *, kubernetes: bool = False) -> dict[str, str]:
    """What the containers get that is not secret, by name."""
    found = _given(context, (*_OF_THE_SITE, *_PASSED_ON))
    return {
        **found,
        **_ralph(context),
        **watched(lambda name: _rendered(context, name), kubernetes=kubernetes),
        "CLICKHOUSE_ADMIN_USER": str(context["ORCHESTRATION_CLICKHOUSE_USER"]),
    }


@pass_context
def _secrets(context: Context) -> dict[str, str]:
    """What the containers get that is secret, by name."""
    password = str(context["ORCHESTRATION_CLICKHOUSE_PASSWORD"])
    of_ralph = _given(context, ("RALPH_LMS_PASSWORD",)) if _ralph(context) else {}
    addresses = watched_secrets(lambda name: _rendered(context, name))
    return {"CLICKHOUSE_ADMIN_PASSWORD": password, **of_ralph, **_given(context, _SECRETS), **addresses}


def _ralph(context: Context) -> dict[str, str]:
    """Where Ralph is, and who the LMS is to it, for loads that are asked to go through it; nothing where there is none."""
    found = _given(context, ("RALPH_HOST", "RALPH_PORT", "RALPH_RUN_HTTPS", "RALPH_LMS_USERNAME"))
    if context["RUN_RALPH"]:
        return found
    host = found.get("RALPH_HOST", "ralph")
    if host == "ralph":
        return {}
    # Aspects asks a Ralph that Tutor does not run at the usual port of its scheme.
    port = "443" if found.get("RALPH_RUN_HTTPS") == "True" else "80"
    return {**found, "RALPH_PORT": port}


def _given(context: Context, names: tuple[str, ...]) -> dict[str, str]:
    rendered = {name: _rendered(context, name) for name in names}
    return {name: text for name, text in rendered.items() if text or name in _MAY_BE_EMPTY}


def _rendered(context: Context, name: str) -> str:
    value = context[name]
    if isinstance(value, str) and "{" in value:
        value = context.environment.from_string(value).render(context.get_all())
    return "" if value is None else str(value).strip()


hooks.Filters.ENV_TEMPLATE_FILTERS.add_items(
    [("orchestration_env", _in_env_file), ("orchestration_sql", _sql_text), ("sha256", _sha256)]
)
hooks.Filters.ENV_TEMPLATE_VARIABLES.add_items(
    [("orchestration_settings", _settings), ("orchestration_secrets", _secrets)]
)
hooks.Filters.ENV_TEMPLATE_ROOTS.add_item(str(_TEMPLATES))
hooks.Filters.ENV_TEMPLATE_TARGETS.add_items(
    [(f"aspects-orchestration/{folder}", "plugins") for folder in ("apps", "build", "k8s")]
)
for _patch in sorted((_HERE / "patches").iterdir()):
    hooks.Filters.ENV_PATCHES.add_item((_patch.name, _patch.read_text(encoding="utf-8")))

_IMAGE = "{{ DOCKER_IMAGE_ASPECTS_ORCHESTRATION }}"
hooks.Filters.IMAGES_BUILD.add_item(
    (
        "aspects-orchestration",
        ("plugins", "aspects-orchestration", "build", "aspects-orchestration"),
        _IMAGE,
        (),
    )
)
hooks.Filters.IMAGES_PUSH.add_item(("aspects-orchestration", _IMAGE))


@hooks.Filters.IMAGES_BUILD_MOUNTS.add()
def _checkout_is_the_source(mounts: list[tuple[str, str]], host_path: str) -> list[tuple[str, str]]:
    """`tutor mounts add /path/to/aspects-orchestration` builds the image from that checkout."""
    if Path(host_path).name == "aspects-orchestration":
        mounts.append(("aspects-orchestration", "source"))
    return mounts


# The ClickHouse user is created within Aspects' own initialisation (patch clickhouse-extra-sql).
hooks.Filters.CLI_DO_INIT_TASKS.add_item(
    ("orchestration-mysql", (_JOBS / "mysql-reader.sh").read_text(encoding="utf-8")), priority=98
)
hooks.Filters.CLI_DO_COMMANDS.add_item(aspects_backfill)

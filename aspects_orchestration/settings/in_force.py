"""The settings in force, and how they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from aspects_orchestration.archive.rotation_rules import RotationRules, parse_rotation
from aspects_orchestration.settings.addresses import masked_secret_url
from aspects_orchestration.settings.given import (
    NAMES,
    AgentIfiType,
    ArchiveCompression,
    ArchiveEncryption,
    ObjectLock,
    RalphStore,
    StatementFormat,
    TransformEngine,
    XapiSource,
)
from aspects_orchestration.settings.values import MASK
from aspects_orchestration.settings.watched import Watched
from aspects_orchestration.warehouse.ttl import DataTtl, parse_ttl

DEFAULT = "default"
ENVIRONMENT = "environment"
SAMPLE_LOGS = "default (sample logs)"


@dataclass(frozen=True)
class ClickHouseAddress:
    """A ClickHouse server's HTTP interface, and who to be there.

    `port` is the HTTP port; `ca_cert` the path of a certificate authority; `verify` whether certificates are checked.
    """

    host: str
    port: int
    secure: bool = False
    user: str = "default"
    password: SecretStr = field(default_factory=lambda: SecretStr(""))
    ca_cert: Path | None = None
    verify: bool = True

    @property
    def url(self) -> str:
        """`http(s)://host:port`, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """All settings in force. Made by `load_settings`; `dataclasses.replace` makes another for a test.

    Text that names a place in log storage is an absolute path or a URI. `clickhouse` is None for the embedded server.
    `origins` tells for each setting's name where its value came from; `inputs` holds, masked, what was given only for
    others to follow from it.
    """

    home: Path
    tutor_config: Path | None
    clickhouse: ClickHouseAddress | None
    cluster_name: str
    insert_quorum: str
    xapi_source: XapiSource
    xapi_database: str
    vector_database: str
    raw_xapi_table: str
    event_sink_database: str
    orchestration_database: str
    data_ttl_expression: str
    retention_file: Path | None
    enable_pii: bool
    lms_root_url: str
    agent_ifi_type: AgentIfiType
    tracking_log_prefixes: tuple[str, ...]
    live_logs: tuple[Path, ...]
    rotate: str
    archive_uri: str
    archive_compression: ArchiveCompression
    archive_lateness_hours: int
    archive_object_lock: ObjectLock
    archive_object_lock_days: int | None
    archive_encryption: ArchiveEncryption | None
    archive_kms_key: str | None
    release_keep_days: int
    quarantine_uri: str
    statement_files_uri: str
    statement_format: StatementFormat
    report_uri: str
    several_machines: bool
    identities_source: str
    courses_source: str
    lms_database_url: SecretStr | None
    lms_rows_per_second: int
    course_blocks_uri: str | None
    dashboards: bool
    first_month: str
    rpo_hours: int
    transform_workers: int
    transform_engine: TransformEngine
    max_line_bytes: int
    replay_gaps: bool
    load_new_logs: bool
    pause_backfills: bool
    longest_pause_minutes: int
    replay_lag: bool
    alert_urls: tuple[SecretStr, ...]
    alerts_file: Path | None
    dagster_url: str
    ralph_username: str
    ralph_password: SecretStr
    ralph_batch: int
    ralph_per_second: int
    ralph_store: RalphStore
    watched: Watched
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False, compare=False)
    inputs: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False, compare=False)

    @property
    def is_embedded(self) -> bool:
        """Whether no ClickHouse is configured, so that the project runs its own."""
        return self.clickhouse is None

    @property
    def identities_sources(self) -> tuple[str, ...]:
        """The sources of users, in the order in which they are believed."""
        return tuple(self.identities_source.split(","))

    @property
    def courses_sources(self) -> tuple[str, ...]:
        """The sources of courses, in the order in which they are believed."""
        return tuple(self.courses_source.split(","))

    @property
    def rotation_rules(self) -> RotationRules:
        """When live logs are rotated."""
        return parse_rotation(self.rotate)

    @property
    def uses_sample_logs(self) -> bool:
        """Whether the tracking logs are the demo's, because none were configured."""
        return self.origins.get("ASPECTS_TRACKING_LOGS") == SAMPLE_LOGS

    @property
    def data_ttl(self) -> DataTtl | None:
        """The TTL, read; None keeps rows for ever.

        Raises:
            SettingsError: the expression was set aside from `load_settings` and cannot be read.
        """
        return parse_ttl(self.data_ttl_expression)

    def ttl_months(self) -> int | None:
        """The TTL in whole months; None where rows are kept for ever or the interval is counted in days or weeks."""
        ttl = self.data_ttl
        return None if ttl is None else ttl.months


@dataclass(frozen=True)
class EffectiveSetting:
    """One setting in force: its name, its value with secrets masked, and where it came from."""

    name: str
    value: str
    source: str


def effective_settings(settings: Settings) -> tuple[EffectiveSetting, ...]:
    """What is in force, for people to read: secrets are masked, a value that is empty is an empty text."""
    clickhouse = settings.clickhouse
    values = dict(settings.inputs)
    values |= {
        "ASPECTS_HOME": str(settings.home),
        "ASPECTS_TUTOR_CONFIG": str(settings.tutor_config or ""),
        "CLICKHOUSE_HOST": clickhouse.host if clickhouse else "(embedded server)",
        "CLICKHOUSE_PORT": str(clickhouse.port) if clickhouse else "",
        "CLICKHOUSE_SECURE_CONNECTION": str(clickhouse.secure).lower() if clickhouse else "",
        "CLICKHOUSE_ADMIN_USER": clickhouse.user if clickhouse else "",
        "CLICKHOUSE_ADMIN_PASSWORD": MASK if clickhouse and clickhouse.password.get_secret_value() else "",
        "CLICKHOUSE_CA_CERT": str(clickhouse.ca_cert or "") if clickhouse else "",
        "CLICKHOUSE_VERIFY": str(clickhouse.verify).lower() if clickhouse else "",
        "CLICKHOUSE_CLUSTER_NAME": settings.cluster_name,
        "ASPECTS_INSERT_QUORUM": settings.insert_quorum,
        "ASPECTS_XAPI_SOURCE": settings.xapi_source,
        "ASPECTS_XAPI_DATABASE": settings.xapi_database,
        "ASPECTS_VECTOR_DATABASE": settings.vector_database,
        "ASPECTS_RAW_XAPI_TABLE": settings.raw_xapi_table,
        "ASPECTS_EVENT_SINK_DATABASE": settings.event_sink_database,
        "ASPECTS_ORCHESTRATION_DATABASE": settings.orchestration_database,
        "ASPECTS_DATA_TTL_EXPRESSION": settings.data_ttl_expression,
        "ASPECTS_RETENTION_FILE": str(settings.retention_file or ""),
        "ASPECTS_ENABLE_PII": str(settings.enable_pii).lower(),
        "LMS_ROOT_URL": settings.lms_root_url,
        "XAPI_AGENT_IFI_TYPE": settings.agent_ifi_type,
        "ASPECTS_TRACKING_LOGS": ",".join(settings.tracking_log_prefixes),
        "ASPECTS_LIVE_LOG": ",".join(map(str, settings.live_logs)),
        "ASPECTS_ROTATE": settings.rotate,
        "ASPECTS_TRACKING_LOG_ARCHIVE": settings.archive_uri,
        "ASPECTS_ARCHIVE_COMPRESSION": settings.archive_compression,
        "ASPECTS_ARCHIVE_LATENESS_HOURS": str(settings.archive_lateness_hours),
        "ASPECTS_ARCHIVE_OBJECT_LOCK": settings.archive_object_lock,
        "ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS": str(settings.archive_object_lock_days or ""),
        "ASPECTS_ARCHIVE_ENCRYPTION": settings.archive_encryption or "",
        "ASPECTS_ARCHIVE_KMS_KEY": settings.archive_kms_key or "",
        "ASPECTS_RELEASE_KEEP_DAYS": str(settings.release_keep_days),
        "ASPECTS_QUARANTINE": settings.quarantine_uri,
        "ASPECTS_STATEMENT_FILES": settings.statement_files_uri,
        "ASPECTS_STATEMENT_FORMAT": settings.statement_format,
        "ASPECTS_REPORT": settings.report_uri,
        "ASPECTS_SEVERAL_MACHINES": str(settings.several_machines).lower(),
        "ASPECTS_IDENTITIES": settings.identities_source,
        "ASPECTS_COURSES": settings.courses_source,
        "ASPECTS_LMS_DATABASE_URL": masked_secret_url(settings.lms_database_url)
        if settings.lms_database_url
        else "",
        "ASPECTS_LMS_ROWS_PER_SECOND": str(settings.lms_rows_per_second),
        "ASPECTS_COURSE_BLOCKS": settings.course_blocks_uri or "",
        "ASPECTS_DASHBOARDS": str(settings.dashboards).lower(),
        "ASPECTS_FIRST_MONTH": settings.first_month,
        "ASPECTS_RPO_HOURS": str(settings.rpo_hours),
        "ASPECTS_TRANSFORM_WORKERS": str(settings.transform_workers),
        "ASPECTS_TRANSFORM_ENGINE": settings.transform_engine,
        "ASPECTS_MAX_LINE_BYTES": str(settings.max_line_bytes),
        "ASPECTS_REPLAY_GAPS": str(settings.replay_gaps).lower(),
        "ASPECTS_LOAD_NEW_LOGS": str(settings.load_new_logs).lower(),
        "ASPECTS_PAUSE_BACKFILLS": str(settings.pause_backfills).lower(),
        "ASPECTS_LONGEST_PAUSE_MINUTES": str(settings.longest_pause_minutes),
        "ASPECTS_REPLAY_LAG": str(settings.replay_lag).lower(),
        "ASPECTS_ALERT_URLS": ",".join(MASK for _ in settings.alert_urls),
        "ASPECTS_ALERTS_FILE": str(settings.alerts_file or ""),
        "ASPECTS_DAGSTER_URL": settings.dagster_url,
        "RALPH_LMS_USERNAME": settings.ralph_username,
        "RALPH_LMS_PASSWORD": MASK if settings.ralph_password.get_secret_value() else "",
        "ASPECTS_RALPH_BATCH": str(settings.ralph_batch),
        "ASPECTS_RALPH_STATEMENTS_PER_SECOND": str(settings.ralph_per_second),
        "ASPECTS_RALPH_STORE": settings.ralph_store,
    }
    names = [*NAMES, *(name for name in values if name not in NAMES)]
    return tuple(EffectiveSetting(n, values.get(n, ""), settings.origins.get(n, DEFAULT)) for n in names)

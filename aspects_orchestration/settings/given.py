"""What can be given: every setting's name, its default, and what it means."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from aspects_orchestration.settings.addresses import (
    apprise_urls,
    bare_host_name,
    bootstrap_servers,
    database_url,
    host_name,
    host_names,
    lms_host_name,
    readable_clickhouse_url,
    redis_url,
    root_url,
    web_url,
)
from aspects_orchestration.settings.places import (
    absolute_path,
    existing_file,
    home_folder,
    log_paths,
    records_sources,
    storage_uri,
    storage_uris,
)
from aspects_orchestration.settings.values import (
    boolean,
    cluster_or_nothing,
    key_names,
    listed,
    month,
    on_lines,
    one_of,
    plain_name,
    quorum,
    rotation,
    stripped,
    ttl_expression,
    verbatim,
    whole_number,
)

XapiSource = Literal["ralph", "vector"]
TransformEngine = Literal["fast", "stock"]
AgentIfiType = Literal["external_id", "mbox", "mbox_sha1sum"]
ArchiveCompression = Literal["zst", "gz"]
ObjectLock = Literal["none", "governance", "compliance"]
ArchiveEncryption = Literal["AES256", "aws:kms", "aws:kms:dsse"]
RalphStore = Literal["clickhouse", "other"]
StatementFormat = Literal["parquet", "ndjson.gz", "ndjson.zst"]

_Text = Annotated[str, BeforeValidator(stripped)]
_Name = Annotated[str, AfterValidator(plain_name), BeforeValidator(stripped)]
_Boolean = Annotated[bool, BeforeValidator(boolean)]
_Secret = Annotated[SecretStr, BeforeValidator(verbatim)]
_Uri = Annotated[str, AfterValidator(storage_uri), BeforeValidator(stripped)]
_Host = Annotated[str, AfterValidator(bare_host_name), BeforeValidator(stripped)]
_Hosts = Annotated[str, AfterValidator(host_names), BeforeValidator(listed)]
_Keys = Annotated[str, AfterValidator(key_names), BeforeValidator(listed)]
_Port = Annotated[int, whole_number(1, 65535, "a port")]
_RedisDb = Annotated[int, whole_number(0, 9999, "the number of a database")]
_Records = Annotated[str, AfterValidator(records_sources), BeforeValidator(listed)]


def _setting(name: str, meaning: str, shown_default: str = "", *, default: Any = None) -> Any:
    """Declare one setting: its name, what it means, its default, and how docs/settings.md writes that default."""
    return Field(
        default,
        validation_alias=name,
        description=meaning,
        json_schema_extra={"shown_default": shown_default or ("none" if default is None else str(default))},
    )


class Given(BaseSettings):
    """What was given, each value checked by itself. `None`: not given and no fixed default."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    home: Annotated[str, AfterValidator(home_folder), BeforeValidator(stripped)] | None = _setting(
        "ASPECTS_HOME",
        "State of this project: embedded server, catalog, worker scratch. A relative path counts from the checkout.",
        ".aspects",
    )
    tutor_config: Annotated[str, AfterValidator(absolute_path), BeforeValidator(stripped)] | None = _setting(
        "ASPECTS_TUTOR_CONFIG",
        "Path of the site's Tutor `config.yml`, only ever read. What it sets counts unless the environment differs.",
    )
    clickhouse_url: (
        Annotated[SecretStr, AfterValidator(readable_clickhouse_url), BeforeValidator(verbatim)] | None
    ) = _setting(
        "ASPECTS_CLICKHOUSE_URL",
        "ClickHouse, all in one: `https://user:password@host:8443`; `?verify=false` and `?ca_cert=/path` are understood.",
        "none: the embedded server",
    )
    clickhouse_host: Annotated[str, AfterValidator(host_name), BeforeValidator(stripped)] | None = _setting(
        "CLICKHOUSE_HOST",
        "ClickHouse's host name. With a Tutor `config.yml` of a site that runs Aspects: `clickhouse`, as in the plugin.",
        "none: the embedded server",
    )
    clickhouse_port: Annotated[int, whole_number(1, 65535, "a port")] | None = _setting(
        "CLICKHOUSE_PORT",
        "The port of ClickHouse's HTTP interface. The native ports 9000 (9006) and 9440 stand for 8123 and 8443.",
        "8443 if secure, else 8123",
    )
    clickhouse_http_port: Annotated[int, whole_number(1, 65535, "a port")] | None = _setting(
        "CLICKHOUSE_INTERNAL_HTTP_PORT",
        "The same port by the name that the Aspects plugin gives it; CLICKHOUSE_PORT wins.",
    )
    clickhouse_secure: _Boolean | None = _setting("CLICKHOUSE_SECURE_CONNECTION", "Speak TLS.", "false")
    clickhouse_user: _Text | None = _setting("CLICKHOUSE_ADMIN_USER", "The user to connect as.", "default")
    clickhouse_password: _Secret | None = _setting(
        "CLICKHOUSE_ADMIN_PASSWORD", "That user's password. Secret."
    )
    clickhouse_ca_cert: Annotated[str, AfterValidator(existing_file), BeforeValidator(stripped)] | None = (
        _setting(
            "CLICKHOUSE_CA_CERT", "Path of the certificate authority that signed ClickHouse's certificate."
        )
    )
    clickhouse_verify: _Boolean | None = _setting(
        "CLICKHOUSE_VERIFY",
        "Check ClickHouse's certificate. Without it anybody on the way can read along.",
        "true",
    )
    cluster_name: Annotated[str, AfterValidator(cluster_or_nothing), BeforeValidator(stripped)] = _setting(
        "CLICKHOUSE_CLUSTER_NAME",
        "Name of the ClickHouse cluster: ON CLUSTER and Replicated engines (docs/cluster.md). Empty: one server.",
        "(empty)",
        default="",
    )
    insert_quorum: Annotated[str, AfterValidator(quorum), BeforeValidator(stripped)] = _setting(
        "ASPECTS_INSERT_QUORUM",
        "On a cluster: replicas of a shard that must have what is published before it counts (ClickHouse's "
        "`insert_quorum`): `auto` for most of them, a number, or `0` for the one that takes it in.",
        default="auto",
    )
    xapi_source: Annotated[XapiSource, one_of("ralph", "vector")] | None = _setting(
        "ASPECTS_XAPI_SOURCE",
        "Who writes live statements, `ralph` or `vector`; it says where the raw table is. With a `config.yml` written by "
        "version 5 or later of the Aspects plugin: `vector`, as in the plugin.",
        "ralph",
    )
    xapi_database: _Name | None = _setting(
        "ASPECTS_XAPI_DATABASE",
        "Database of the raw table. With ASPECTS_XAPI_SOURCE=vector the default is ASPECTS_VECTOR_DATABASE.",
        "xapi",
    )
    ralph_database: _Name | None = _setting(
        "RALPH_DATABASE", "The plugin's name for Ralph's database; ASPECTS_XAPI_DATABASE wins.", "xapi"
    )
    vector_database: _Name = _setting(
        "ASPECTS_VECTOR_DATABASE", "Database of the raw table where Vector writes it.", default="openedx"
    )
    raw_xapi_table: _Name = _setting(
        "ASPECTS_RAW_XAPI_TABLE", "Name of the raw table.", default="xapi_events_all"
    )
    event_sink_database: _Name = _setting(
        "ASPECTS_EVENT_SINK_DATABASE", "Database of the copies of LMS tables.", default="event_sink"
    )
    orchestration_database: _Name = _setting(
        "ASPECTS_ORCHESTRATION_DATABASE",
        "Database of this project itself: staging, locks, catalog, run records.",
        default="aspects_orchestration",
    )
    data_ttl_expression: Annotated[str, AfterValidator(ttl_expression), BeforeValidator(on_lines)] | None = (
        _setting(
            "ASPECTS_DATA_TTL_EXPRESSION",
            "How long rows are kept. Empty: for ever, which is the default on the embedded server.",
            "toDateTime(emission_time) + INTERVAL 1 YEAR",
        )
    )
    retention_file: Annotated[str, AfterValidator(existing_file), BeforeValidator(stripped)] | None = (
        _setting(
            "ASPECTS_RETENTION_FILE",
            "Path of `retention.yaml`: months to keep by table, legal holds, whether the archive must come first.",
            "retention.yaml in the checkout, if there is one",
        )
    )
    enable_pii: _Boolean = _setting(
        "ASPECTS_ENABLE_PII", "Let personal data into ClickHouse.", "false", default=False
    )
    lms_root_url: Annotated[str, AfterValidator(root_url), BeforeValidator(stripped)] | None = _setting(
        "LMS_ROOT_URL",
        "The LMS's address. It goes into every statement, so it must be the site's own.",
        "http://local.openedx.io:8000",
    )
    lms_host: Annotated[str, AfterValidator(lms_host_name), BeforeValidator(stripped)] | None = _setting(
        "LMS_HOST", "The LMS's host name, from which LMS_ROOT_URL follows where that is not set."
    )
    enable_https: _Boolean = _setting(
        "ENABLE_HTTPS", "Whether the LMS at LMS_HOST speaks https.", "false", default=False
    )
    agent_ifi_type: Annotated[AgentIfiType, one_of("external_id", "mbox", "mbox_sha1sum")] = _setting(
        "XAPI_AGENT_IFI_TYPE",
        "How statements name an actor: `external_id`, `mbox` or `mbox_sha1sum`. Another value gives other event ids.",
        default="external_id",
    )
    tracking_logs: Annotated[str, AfterValidator(storage_uris), BeforeValidator(listed)] | None = _setting(
        "ASPECTS_TRACKING_LOGS",
        "Where tracking logs are: a folder, `file:///…`, `s3://bucket/prefix`; several by comma. With a `config.yml`: the "
        "`data/lms/logs` and `data/cms/logs` beside it, if they exist.",
        "<ASPECTS_HOME>/sample/logs",
    )
    live_logs: Annotated[str, AfterValidator(log_paths), BeforeValidator(listed)] = _setting(
        "ASPECTS_LIVE_LOG",
        "The log that the LMS writes now, for instance `/openedx/data/logs/tracking.log`; several by comma. It is rotated by"
        " the job `rotate_tracking_logs`, and never archived or deleted. Leave it unset for logs that others rotate.",
        default="",
        shown_default="none",
    )
    rotate: Annotated[str, AfterValidator(rotation), BeforeValidator(listed)] = _setting(
        "ASPECTS_ROTATE",
        "When live logs are rotated: `daily` or `hourly` (UTC), a size such as `512MB`, or both by comma: whichever comes"
        " first.",
        default="hourly",
    )
    archive: _Uri | None = _setting(
        "ASPECTS_TRACKING_LOG_ARCHIVE", "URI prefix of the sealed archive.", "<ASPECTS_HOME>/archive"
    )
    archive_compression: Annotated[ArchiveCompression, one_of("zst", "gz")] = _setting(
        "ASPECTS_ARCHIVE_COMPRESSION", "Of the archive's objects: `zst` or `gz`.", default="zst"
    )
    archive_lateness_hours: Annotated[int, whole_number(0, 720, "a number of hours")] = _setting(
        "ASPECTS_ARCHIVE_LATENESS_HOURS",
        "A day is sealed so many hours after its end (UTC): so late its logs may arrive and still be sealed with it.",
        default=6,
    )
    archive_object_lock: Annotated[ObjectLock, one_of("none", "governance", "compliance")] = _setting(
        "ASPECTS_ARCHIVE_OBJECT_LOCK",
        "S3 Object Lock of what is sealed: `none`, `governance` or `compliance`. The bucket must have it switched on.",
        "none: no lock",
        default="none",
    )
    archive_object_lock_days: Annotated[int, whole_number(1, 36500, "a number of days")] | None = _setting(
        "ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS", "How long that lock holds, from when an object is written."
    )
    archive_encryption: Annotated[ArchiveEncryption, one_of("AES256", "aws:kms", "aws:kms:dsse")] | None = (
        _setting(
            "ASPECTS_ARCHIVE_ENCRYPTION",
            "Server-side encryption that S3 is asked for: `AES256`, `aws:kms` or `aws:kms:dsse`.",
            "none: as the bucket does it",
        )
    )
    archive_kms_key: _Text | None = _setting(
        "ASPECTS_ARCHIVE_KMS_KEY", "Id or ARN of the KMS key for it.", "none: the account's own"
    )
    release_keep_days: Annotated[int, whole_number(0, 36500, "a number of days")] = _setting(
        "ASPECTS_RELEASE_KEEP_DAYS",
        "`release_archived_logs` leaves log files that were written in the last so many days.",
        default=30,
    )
    quarantine: _Uri | None = _setting(
        "ASPECTS_QUARANTINE",
        "URI prefix for lines that could not be loaded.",
        "<ASPECTS_TRACKING_LOG_ARCHIVE>/quarantine",
    )
    statement_files: _Uri | None = _setting(
        "ASPECTS_STATEMENT_FILES",
        "URI prefix for statements that are written as files (docs/statements-as-files.md).",
        "<ASPECTS_HOME>/statements",
    )
    statement_format: Annotated[StatementFormat, one_of("parquet", "ndjson.gz", "ndjson.zst")] = _setting(
        "ASPECTS_STATEMENT_FORMAT",
        "Of those files: `parquet`, `ndjson.gz` or `ndjson.zst`.",
        default="parquet",
    )
    report: _Uri | None = _setting(
        "ASPECTS_REPORT",
        "URI prefix for the page that the asset `operator_report` writes.",
        "<ASPECTS_HOME>/report",
    )
    several_machines: _Boolean = _setting(
        "ASPECTS_SEVERAL_MACHINES",
        "Runs are on several machines, each with an ASPECTS_HOME of its own (docs/several-machines.md): what would then be "
        "lost or stand twice is refused.",
        "false",
        default=False,
    )
    identities: _Records | None = _setting(
        "ASPECTS_IDENTITIES",
        "Users and their external ids: `lms`, `event_sink`, or the URI of CSV, NDJSON or Parquet with user_id, username, "
        "external_user_id and optionally email, external_id_type; several by comma, the first that knows a user is "
        "believed. With the sample logs: the sample's own.",
        "lms if ASPECTS_LMS_DATABASE_URL is set, else event_sink",
    )
    courses: _Records | None = _setting(
        "ASPECTS_COURSES",
        "Courses: `lms`, `event_sink`, or a URI with course_key, display_name; several by comma. With the sample logs: the "
        "sample's own.",
        "lms if ASPECTS_LMS_DATABASE_URL is set, else event_sink",
    )
    lms_database_url: Annotated[SecretStr, AfterValidator(database_url), BeforeValidator(verbatim)] | None = (
        _setting(
            "ASPECTS_LMS_DATABASE_URL",
            "SQLAlchemy URL of a read replica of the LMS database: `mysql+pymysql://user:password@host/openedx`. Secret.",
            "none; with the sample logs the sample's own",
        )
    )
    lms_rows_per_second: Annotated[int, whole_number(0, 10**9, "a number of rows")] = _setting(
        "ASPECTS_LMS_ROWS_PER_SECOND",
        "Copies of LMS tables read at most so many rows a second each. 0: as fast as it goes.",
        default=0,
    )
    course_blocks: _Uri | None = _setting(
        "ASPECTS_COURSE_BLOCKS",
        "URI of the CMS's export of course blocks, CSV or NDJSON (docs/lms-tables.md).",
        "none; with the sample logs the sample's own",
    )
    dashboards: _Boolean = _setting(
        "ASPECTS_DASHBOARDS",
        "Show what dashboards read (the group `dashboards`: tables that materialized views fill, dictionaries). `false` "
        "where a site does not run Aspects' dbt project (docs/dashboards.md).",
        "true",
        default=True,
    )
    first_month: Annotated[str, AfterValidator(month), BeforeValidator(stripped)] = _setting(
        "ASPECTS_FIRST_MONTH", "The first partition, YYYY-MM.", default="2020-01"
    )
    rpo_hours: Annotated[int, whole_number(1, 10**5, "a number of hours")] = _setting(
        "ASPECTS_RPO_HOURS",
        "How many hours of tracking logs may be lost with the LMS's storage: no more may lie between the newest sealed line "
        "and now. Checked with restore drills.",
        default=48,
    )
    transform_workers: Annotated[int, whole_number(1, 4096, "a number of workers")] | None = _setting(
        "ASPECTS_TRANSFORM_WORKERS",
        "Processes that transform events within one partition.",
        "the CPUs this process may use",
    )
    transform_engine: Annotated[TransformEngine, one_of("fast", "stock")] = _setting(
        "ASPECTS_TRANSFORM_ENGINE",
        "`fast`, or `stock`: event-routing-backends as it is, many times slower. Both give the same statements.",
        default="fast",
    )
    max_line_bytes: Annotated[int, whole_number(1024, 2**31 - 1, "a size in bytes")] = _setting(
        "ASPECTS_MAX_LINE_BYTES",
        "A longer line is quarantined without being held in memory. Bytes.",
        default=16 * 1024 * 1024,
    )
    replay_gaps: _Boolean = _setting(
        "ASPECTS_REPLAY_GAPS",
        "Let the sensor `xapi_gaps`, where it is switched on, replay the hours that fall short (docs/gaps.md).",
        "false",
        default=False,
    )
    load_new_logs: _Boolean = _setting(
        "ASPECTS_LOAD_NEW_LOGS",
        "Let the sensor `new_tracking_logs`, where it is switched on, load the months that new logs touch (docs/acting.md).",
        "false",
        default=False,
    )
    pause_backfills: _Boolean = _setting(
        "ASPECTS_PAUSE_BACKFILLS",
        "Loads wait while a partition of any table has too many parts, by the rule of `clickhouse_max_parts` "
        "(docs/acting.md).",
        "false",
        default=False,
    )
    longest_pause_minutes: Annotated[int, whole_number(1, 10**5, "a number of minutes")] = _setting(
        "ASPECTS_LONGEST_PAUSE_MINUTES",
        "A load that has waited so long for merges fails, and says what to do; run again, it goes on.",
        default=120,
    )
    replay_lag: _Boolean = _setting(
        "ASPECTS_REPLAY_LAG",
        "Let the sensor `act_on_health`, where it is switched on, start `replay_window` when ClickHouse is critically late "
        "and the logs hold newer lines (docs/acting.md).",
        "false",
        default=False,
    )
    alert_urls: (
        Annotated[SecretStr, AfterValidator(apprise_urls), BeforeValidator(verbatim), BeforeValidator(listed)]
        | None
    ) = _setting("ASPECTS_ALERT_URLS", "Apprise URLs that hear of trouble, by comma. Secret.")
    alerts_file: Annotated[str, AfterValidator(existing_file), BeforeValidator(stripped)] | None = _setting(
        "ASPECTS_ALERTS_FILE",
        "Path of `alerts.yaml`: thresholds by signal, reminders, maintenance windows (docs/alerts.md).",
        "alerts.yaml in the checkout, if there is one",
    )
    dagster_url: Annotated[str, AfterValidator(web_url), BeforeValidator(stripped)] = _setting(
        "ASPECTS_DAGSTER_URL",
        "Address of Dagster's web UI as operators reach it; messages link to it, and the web UI answers for its host.",
        default="http://127.0.0.1:3000",
    )
    redis_host: _Host | None = _setting(
        "REDIS_HOST",
        "The LMS's Redis, whose Celery queues and dead letters are watched. With a Tutor `config.yml`: `redis`.",
        "none: not watched",
    )
    redis_port: _Port = _setting("REDIS_PORT", "Its port.", default=6379)
    redis_username: _Text | None = _setting("REDIS_USERNAME", "The user to connect to Redis as.")
    redis_password: _Secret | None = _setting("REDIS_PASSWORD", "That user's password. Secret.")
    redis_tls: _Boolean = _setting("ASPECTS_REDIS_TLS", "Speak TLS with it.", "false", default=False)
    celery_redis_db: _RedisDb = _setting(
        "OPENEDX_CELERY_REDIS_DB", "The database of Redis where Celery's queues are.", default=0
    )
    cache_redis_db: _RedisDb = _setting(
        "OPENEDX_CACHE_REDIS_DB",
        "The database of Redis of the LMS's cache, where batching puts events aside that could not be sent.",
        default=1,
    )
    celery_queues: _Keys = _setting(
        "ASPECTS_CELERY_QUEUES",
        "Celery queues to watch, by comma; `none` where the broker is not Redis.",
        default="edx.lms.core.default,edx.cms.core.default",
    )
    dead_queues: _Keys = _setting(
        "ASPECTS_DEAD_QUEUES",
        "Lists of dead letters to watch, by comma, or `none`. On a small Redis any other `dead_queue_…` is found too.",
        default="dead_queue_xapi,dead_queue_caliper",
    )
    event_bus_consumer: _Boolean | None = _setting(
        "ASPECTS_ENABLE_EVENT_BUS_CONSUMER",
        "Whether the site consumes the event bus. The bus is watched where its address is known, unless this and the next "
        "are set and both false.",
        "none",
    )
    event_bus_producer: _Boolean | None = _setting(
        "ASPECTS_ENABLE_EVENT_BUS_PRODUCER", "Whether the site produces to it.", "none"
    )
    event_bus_redis_url: Annotated[SecretStr, AfterValidator(redis_url), BeforeValidator(verbatim)] | None = (
        _setting(
            "EVENT_BUS_REDIS_CONNECTION_URL",
            "The event bus in Redis: `redis://user:password@host:6379/0`, or `rediss://…` for TLS. Secret.",
            "none; where the bus is enabled and no other is named, the Redis at REDIS_HOST",
        )
    )
    kafka_servers: Annotated[str, AfterValidator(bootstrap_servers), BeforeValidator(listed)] | None = (
        _setting(
            "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS", "The event bus in Kafka: `host:port`, several by comma."
        )
    )
    kafka_api_key: _Text | None = _setting(
        "EVENT_BUS_KAFKA_API_KEY", "The user there; with a user, TLS is spoken and the mechanism is PLAIN."
    )
    kafka_api_secret: _Secret | None = _setting("EVENT_BUS_KAFKA_API_SECRET", "That user's password. Secret.")
    topic_prefix: _Text | None = _setting(
        "EVENT_BUS_TOPIC_PREFIX",
        "Put before the stream's or topic's name, with a hyphen. With a Tutor `config.yml`: `dev`, as in Tutor.",
    )
    event_bus_topic: _Text = _setting(
        "ASPECTS_EVENT_BUS_TOPIC",
        "The stream or topic of tracking events on the bus, without its prefix.",
        default="analytics",
    )
    event_bus_groups: _Keys = _setting(
        "ASPECTS_EVENT_BUS_GROUPS",
        "Groups that read it, by comma; groups of a Redis stream are found by themselves.",
        default="event_routing_backends",
    )
    run_ralph: _Boolean | None = _setting(
        "RUN_RALPH",
        "`false`: Ralph is not watched. In a `config.yml` it says whether Tutor runs Ralph: one at a RALPH_HOST that is set "
        "there is watched all the same.",
        "none",
    )
    ralph_host: Annotated[str, AfterValidator(lms_host_name), BeforeValidator(stripped)] | None = _setting(
        "RALPH_HOST",
        "Ralph's host name, with its port if need be. With a `config.yml` of a site that runs Ralph: `ralph`.",
        "none: not watched",
    )
    ralph_port: _Port = _setting("RALPH_PORT", "Its port, where RALPH_HOST names none.", default=8100)
    ralph_https: _Boolean = _setting("RALPH_RUN_HTTPS", "Speak https with it.", "false", default=False)
    ralph_username: _Text = _setting(
        "RALPH_LMS_USERNAME",
        "The user of Ralph as whom statements are sent (docs/replay-through-ralph.md).",
        default="lms",
    )
    ralph_password: _Secret | None = _setting("RALPH_LMS_PASSWORD", "That user's password. Secret.")
    ralph_batch: Annotated[int, whole_number(1, 1000, "a number of statements")] = _setting(
        "ASPECTS_RALPH_BATCH",
        "Statements of one request to Ralph. It takes 1,000, and not 10,000.",
        default=500,
    )
    ralph_per_second: Annotated[int, whole_number(0, 10**6, "a number of statements")] = _setting(
        "ASPECTS_RALPH_STATEMENTS_PER_SECOND",
        "Each load sends Ralph at most so many statements a second. 0: as fast as it goes.",
        default=0,
    )
    ralph_store: Annotated[RalphStore, one_of("clickhouse", "other")] = _setting(
        "ASPECTS_RALPH_STORE",
        "Where Ralph keeps statements: `clickhouse`, in the raw table, or `other`, where only Ralph knows what stands.",
        default="clickhouse",
    )
    run_vector: _Boolean | None = _setting("RUN_VECTOR", "`false`: Vector is not watched.", "none")
    vector_hosts: _Hosts | None = _setting(
        "ASPECTS_VECTOR_HOST",
        "Host names of Vector, each with its port if need be, several by comma. With a `config.yml` of a site that runs "
        "Vector: `vector`.",
        "none: not watched",
    )
    vector_port: _Port = _setting(
        "ASPECTS_VECTOR_PORT", "The port of Vector's API, where a host names none.", default=8686
    )
    run_superset: _Boolean | None = _setting(
        "RUN_SUPERSET", "`false`: Superset is not watched. In a `config.yml` as RUN_RALPH.", "none"
    )
    superset_host: Annotated[str, AfterValidator(lms_host_name), BeforeValidator(stripped)] | None = _setting(
        "SUPERSET_HOST",
        "Superset's host name, with its port if need be. In a `config.yml` it is the one for browsers, and ENABLE_HTTPS "
        "says how; with the `config.yml` of a site that runs Superset and sets none: `superset`.",
        "none: not watched",
    )
    superset_port: _Port | None = _setting(
        "SUPERSET_PORT",
        "Its port, where SUPERSET_HOST names none. 443 and 8443 mean https.",
        "8088",
    )


NAMES: dict[str, FieldInfo] = {str(f.validation_alias): f for f in Given.model_fields.values()}


@dataclass(frozen=True)
class DocumentedSetting:
    """One setting as docs/settings.md lists it."""

    name: str
    default: str
    meaning: str


def documented_settings() -> tuple[DocumentedSetting, ...]:
    """Every setting that can be given, in the order of docs/settings.md."""
    return tuple(
        DocumentedSetting(
            name, str(cast(dict[str, object], f.json_schema_extra)["shown_default"]), f.description or ""
        )
        for name, f in NAMES.items()
    )

"""Every setting: its name, its default, its meaning, and where the value in force came from.

The only module that reads the environment; everything else is given a `Settings`. The environment wins over the
site's Tutor `config.yml` (ASPECTS_TUTOR_CONFIG, only ever read), and that over the defaults. Names that Aspects and
edx-platform already use keep their meaning.

`python -m aspects_orchestration.settings [--json]` prints the values in force, secrets masked.
"""

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.setting_values import (
    MASK,
    ClickHouseUrl,
    ImpossibleValueError,
    Layer,
    absolute_path,
    against_project,
    apprise_urls,
    boolean,
    clickhouse_url,
    database_url,
    existing_file,
    home_folder,
    host_name,
    is_given,
    listed,
    lms_host_name,
    masked_secret_url,
    masked_url,
    month,
    name_or_nothing,
    one_of,
    plain_name,
    readable_clickhouse_url,
    records_sources,
    root_url,
    split_urls,
    storage_uri,
    storage_uris,
    stripped,
    ttl_expression,
    verbatim,
    whole_number,
)
from aspects_orchestration.warehouse.ttl import DataTtl, parse_ttl

XapiSource = Literal["ralph", "vector"]
TransformEngine = Literal["fast", "stock"]
AgentIfiType = Literal["external_id", "mbox", "mbox_sha1sum"]

DEFAULT = "default"
ENVIRONMENT = "environment"

_SEE = (
    "`python -m aspects_orchestration.settings` shows what is in force; docs/settings.md lists every setting."
)


_Text = Annotated[str, BeforeValidator(stripped)]
_Name = Annotated[str, AfterValidator(plain_name), BeforeValidator(stripped)]
_Boolean = Annotated[bool, BeforeValidator(boolean)]
_Secret = Annotated[SecretStr, BeforeValidator(verbatim)]
_Uri = Annotated[str, AfterValidator(storage_uri), BeforeValidator(stripped)]
_Records = Annotated[str, AfterValidator(records_sources), BeforeValidator(listed)]


class _LayerSource(PydanticBaseSettingsSource):
    """Gives pydantic-settings the values of one layer, by the settings' own names."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        name = str(field.validation_alias)
        return self._layer.values.get(name), name, False

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {name: value for value, name, _ in found if value is not None}


def _setting(name: str, meaning: str, shown_default: str = "", *, default: Any = None) -> Any:
    """Declare one setting: its name, what it means, its default, and how docs/settings.md writes that default."""
    return Field(
        default,
        validation_alias=name,
        description=meaning,
        json_schema_extra={"shown_default": shown_default or ("none" if default is None else str(default))},
    )


class _Given(BaseSettings):
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
    cluster_name: Annotated[str, AfterValidator(name_or_nothing), BeforeValidator(stripped)] = _setting(
        "CLICKHOUSE_CLUSTER_NAME",
        "Name of the ClickHouse cluster: ON CLUSTER and Replicated engines. Empty: one server.",
        "(empty)",
        default="",
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
    data_ttl_expression: Annotated[str, AfterValidator(ttl_expression), BeforeValidator(stripped)] | None = (
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
    archive: _Uri | None = _setting(
        "ASPECTS_TRACKING_LOG_ARCHIVE", "URI prefix of the sealed archive.", "<ASPECTS_HOME>/archive"
    )
    quarantine: _Uri | None = _setting(
        "ASPECTS_QUARANTINE",
        "URI prefix for lines that could not be loaded.",
        "<ASPECTS_TRACKING_LOG_ARCHIVE>/quarantine",
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
    first_month: Annotated[str, AfterValidator(month), BeforeValidator(stripped)] = _setting(
        "ASPECTS_FIRST_MONTH", "The first partition, YYYY-MM.", default="2020-01"
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
    alert_urls: (
        Annotated[SecretStr, AfterValidator(apprise_urls), BeforeValidator(verbatim), BeforeValidator(listed)]
        | None
    ) = _setting("ASPECTS_ALERT_URLS", "Apprise URLs that hear of trouble, by comma. Secret.")


_NAMES: dict[str, FieldInfo] = {str(f.validation_alias): f for f in _Given.model_fields.values()}


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
        for name, f in _NAMES.items()
    )


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
    archive_uri: str
    quarantine_uri: str
    identities_source: str
    courses_source: str
    lms_database_url: SecretStr | None
    lms_rows_per_second: int
    course_blocks_uri: str | None
    first_month: str
    transform_workers: int
    transform_engine: TransformEngine
    max_line_bytes: int
    alert_urls: tuple[SecretStr, ...]
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


SAMPLE_LOGS = "default (sample logs)"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings: the environment, then the site's Tutor config.yml, then the defaults.

    Args:
        environ: the variables to read instead of the process's own.

    Returns:
        The settings in force. Nothing is created, connected to or written.

    Raises:
        SettingsError: some values are unknown or impossible; the message names every one of them and shows no secret.

    Example:
        >>> load_settings({"ASPECTS_FIRST_MONTH": "2023-09"}).first_month
        '2023-09'
    """
    refused: list[str] = []
    layers = [_environment(os.environ if environ is None else environ)]
    layers += _tutor_config(layers[0], refused)
    refused += _misspelt(layers)
    given = _given(layers, refused)
    settings = None if given is None else _Resolution(given, layers, refused).settings()
    if refused or settings is None:
        raise _refusal(refused)
    return settings


def _tutor_config(environment: Layer, refused: list[str]) -> list[Layer]:
    config = environment.values.get("ASPECTS_TUTOR_CONFIG")
    if config is None:
        return []
    # Imported only here: most processes have no config.yml to read.
    from aspects_orchestration.tutor_config import tutor_layers

    wanted = [name for name in _NAMES if name != "ASPECTS_TUTOR_CONFIG" and name not in environment.values]
    try:
        path = against_project(str(config).strip())
    except ImpossibleValueError as impossible:
        refused.append(f"ASPECTS_TUTOR_CONFIG: {impossible}")
        return []
    return tutor_layers(path, wanted, refused)


def _refusal(refused: Sequence[str]) -> SettingsError:
    ordered = list(dict.fromkeys(refused))
    if len(ordered) == 1:
        return SettingsError(ordered[0], do=f"Then run it again. {_SEE}")
    return SettingsError(
        f"{len(ordered)} settings cannot be used:\n" + "\n".join(f"  {line}" for line in ordered),
        do=f"\nCorrect them and run it again. {_SEE}",
    )


def _environment(environ: Mapping[str, str]) -> Layer:
    values: dict[str, object] = {k: v for k, v in environ.items() if is_given(k, v)}
    # Kubernetes tells every pod of a service named "clickhouse" its address in a variable of this very name.
    if str(values.get("CLICKHOUSE_PORT", "")).startswith(("tcp://", "udp://")):
        del values["CLICKHOUSE_PORT"]
    return Layer(ENVIRONMENT, values)


def _given(layers: Sequence[Layer], refused: list[str]) -> _Given | None:
    class Given(_Given):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(_LayerSource(settings_cls, layer) for layer in layers)

    try:
        return Given()
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            reason = error.get("ctx", {}).get("error")
            name = str(error["loc"][0])
            text = (
                str(reason)
                if isinstance(reason, ImpossibleValueError)
                else "cannot be read; see docs/settings.md"
            )
            refused.append(f"{name}{_found_in(name, layers)}: {text}")
    return None


def _origin(name: str, layers: Iterable[Layer]) -> str | None:
    return next((layer.origin for layer in layers if name in layer.values), None)


def _found_in(name: str, layers: Sequence[Layer]) -> str:
    origin = _origin(name, layers)
    return "" if origin in {None, ENVIRONMENT} else f" (in {origin})"


def _misspelt(layers: Iterable[Layer]) -> list[str]:
    refused = []
    ours = [name for name in _NAMES if name.startswith("ASPECTS_")]
    for layer in layers:
        for name in sorted(layer.values):
            upper = name.upper()
            if not upper.startswith("ASPECTS_") or name in _NAMES or name in _ASPECTS_OWN:
                continue
            near = difflib.get_close_matches(upper, ours, n=1, cutoff=0.85)
            if near:
                where = "" if layer.origin == ENVIRONMENT else f" (in {layer.origin})"
                refused.append(
                    f"{name}{where}: is not a setting; set {near[0]} if that is meant, or remove it"
                )
    return refused


# Settings of the Aspects plugin (versions 0.x to 6.1) that resemble one of ours and are none of our business.
_ASPECTS_OWN = frozenset(
    {
        "ASPECTS_CLICKHOUSE_CMS_USER",
        "ASPECTS_CLICKHOUSE_LRS_USER",
        "ASPECTS_EVENT_SINK_NODES_TABLE",
        "ASPECTS_VECTOR_RAW_XAPI_TABLE",
        "ASPECTS_XAPI_S3_BUCKET",
        "ASPECTS_XAPI_TABLE",
    }
)


# The ports of the native protocol as Aspects configures them, and those of HTTP on the same server.
_HTTP_PORT_BESIDE = {9000: 8123, 9006: 8123, 9440: 8443}


# Always in a config.yml, whether the site chose them or not.
_GENERATED_BY_TUTOR = {"CLICKHOUSE_ADMIN_USER", "CLICKHOUSE_ADMIN_PASSWORD", "CLICKHOUSE_SECURE_CONNECTION"}


class _Resolution:
    """Works out what follows from what was given, and notes where each value came from."""

    def __init__(self, given: _Given, layers: Sequence[Layer], refused: list[str]) -> None:
        self._given = given
        self._layers = layers
        self._refused = refused
        self._origins = {name: self._found(name) or DEFAULT for name in _NAMES}

    def settings(self) -> Settings:
        given = self._given
        home = Path(given.home) if given.home else against_project(".aspects")
        clickhouse = self._clickhouse()
        logs = self._tracking_logs(home)
        archive = given.archive or str(home / "archive")
        database = self._xapi_database()
        self._keep_apart(database)
        return Settings(
            home=home,
            tutor_config=Path(given.tutor_config) if given.tutor_config else None,
            clickhouse=clickhouse,
            cluster_name=given.cluster_name,
            xapi_source=given.xapi_source or "ralph",
            xapi_database=database,
            vector_database=given.vector_database,
            raw_xapi_table=given.raw_xapi_table,
            event_sink_database=given.event_sink_database,
            orchestration_database=given.orchestration_database,
            data_ttl_expression=self._ttl(clickhouse is None),
            retention_file=self._retention_file(),
            enable_pii=given.enable_pii,
            lms_root_url=self._lms_root_url(),
            agent_ifi_type=given.agent_ifi_type,
            tracking_log_prefixes=logs,
            archive_uri=archive,
            quarantine_uri=given.quarantine or self._below(archive),
            identities_source=self._records(
                "ASPECTS_IDENTITIES", given.identities, home / "sample/identities.csv"
            ),
            courses_source=self._records("ASPECTS_COURSES", given.courses, home / "sample/courses.csv"),
            lms_database_url=self._lms_database(home),
            lms_rows_per_second=given.lms_rows_per_second,
            course_blocks_uri=self._course_blocks(home),
            first_month=given.first_month,
            transform_workers=given.transform_workers or _usable_cpus(),
            transform_engine=given.transform_engine,
            max_line_bytes=given.max_line_bytes,
            alert_urls=tuple(SecretStr(url) for url in split_urls(given.alert_urls or SecretStr(""))),
            origins=self._origins,
            inputs=self._inputs(),
        )

    def _found(self, name: str) -> str | None:
        return _origin(name, self._layers)

    def _rank(self, name: str) -> int:
        """How near the layer that gave this setting is; the number of layers if none did."""
        return next((i for i, layer in enumerate(self._layers) if name in layer.values), len(self._layers))

    def _derived(self, name: str, source: str) -> None:
        self._origins[name] = f"derived from {source} ({self._origins[source]})"

    def _refuse(self, name: str, why: str) -> None:
        self._refused.append(f"{name}{_found_in(name, self._layers)}: {why}")

    def _clickhouse(self) -> ClickHouseAddress | None:
        if self._given.clickhouse_url is not None:
            url = clickhouse_url(self._given.clickhouse_url)
            return self._tls_consistent(self._clickhouse_from(url))
        if self._given.clickhouse_host is not None:
            return self._tls_consistent(self._clickhouse_from_pieces(self._given.clickhouse_host))
        for name, value in {
            "CLICKHOUSE_ADMIN_PASSWORD": self._given.clickhouse_password,
            "CLICKHOUSE_ADMIN_USER": self._given.clickhouse_user,
            "CLICKHOUSE_PORT": self._given.clickhouse_port,
            "CLICKHOUSE_SECURE_CONNECTION": self._given.clickhouse_secure,
        }.items():
            if value:
                self._refuse(
                    name,
                    "is set, but no ClickHouse is named; set CLICKHOUSE_HOST, or remove it to use the embedded server",
                )
        return None

    def _clickhouse_from_pieces(self, host: str) -> ClickHouseAddress:
        given = self._given
        port = given.clickhouse_port
        secure = given.clickhouse_secure
        if secure is None and port in {8443, 9440}:
            secure = True
            self._derived("CLICKHOUSE_SECURE_CONNECTION", "CLICKHOUSE_PORT")
        if port in _HTTP_PORT_BESIDE:
            port = _HTTP_PORT_BESIDE[port]
            self._derived("CLICKHOUSE_PORT", "CLICKHOUSE_PORT")
        elif port is None and given.clickhouse_http_port is not None:
            port = given.clickhouse_http_port
            self._derived("CLICKHOUSE_PORT", "CLICKHOUSE_INTERNAL_HTTP_PORT")
        return ClickHouseAddress(
            host=host,
            port=port or (8443 if secure else 8123),
            secure=bool(secure),
            user=given.clickhouse_user or "default",
            password=given.clickhouse_password or SecretStr(""),
            ca_cert=Path(given.clickhouse_ca_cert) if given.clickhouse_ca_cert else None,
            verify=given.clickhouse_verify is not False,
        )

    def _clickhouse_from(self, url: ClickHouseUrl) -> ClickHouseAddress:
        """The URL wins; what it does not say may come from the pieces. Pieces that contradict it are refused, unless it
        overrides them from nearer: a URL in the environment is how one reaches the ClickHouse of a config.yml from
        outside its network."""
        given = self._given
        port = _HTTP_PORT_BESIDE.get(given.clickhouse_port or 0, given.clickhouse_port)
        password = None if given.clickhouse_password is None else given.clickhouse_password.get_secret_value()
        said: dict[str, tuple[object, object]] = {
            "CLICKHOUSE_HOST": (url.host, given.clickhouse_host and given.clickhouse_host.lower()),
            "CLICKHOUSE_PORT": (url.port, port),
            "CLICKHOUSE_SECURE_CONNECTION": (url.secure, given.clickhouse_secure),
            "CLICKHOUSE_ADMIN_USER": (url.user, given.clickhouse_user),
            "CLICKHOUSE_ADMIN_PASSWORD": (url.password, password),
            "CLICKHOUSE_CA_CERT": (url.ca_cert, given.clickhouse_ca_cert),
            "CLICKHOUSE_VERIFY": (url.verify, given.clickhouse_verify),
        }
        for name, (in_url, piece) in said.items():
            if in_url is None:
                continue
            overridden = self._rank(name) > self._rank("ASPECTS_CLICKHOUSE_URL")
            generated = name in _GENERATED_BY_TUTOR and self._found(name) != ENVIRONMENT
            if piece not in {None, in_url} and not overridden and not generated:
                self._refuse(
                    name, "differs from ASPECTS_CLICKHOUSE_URL; remove one of them, or make them agree"
                )
            self._derived(name, "ASPECTS_CLICKHOUSE_URL")
        if url.port is None and (
            port is None or self._rank("CLICKHOUSE_PORT") > self._rank("ASPECTS_CLICKHOUSE_URL")
        ):
            port = 8443 if url.secure else 8123
            self._derived("CLICKHOUSE_PORT", "ASPECTS_CLICKHOUSE_URL")
        # A password belongs to its user: one set for another user is not sent.
        theirs = url.user is None or given.clickhouse_user in {None, url.user}
        if url.password is None and not theirs:
            self._origins["CLICKHOUSE_ADMIN_PASSWORD"] = DEFAULT
        ca_cert = url.ca_cert or given.clickhouse_ca_cert
        return ClickHouseAddress(
            host=url.host,
            port=url.port or port or 8123,
            secure=url.secure,
            user=url.user or given.clickhouse_user or "default",
            password=SecretStr(
                url.password if url.password is not None else (password or "") if theirs else ""
            ),
            ca_cert=Path(ca_cert) if ca_cert else None,
            verify=(url.verify if url.verify is not None else given.clickhouse_verify) is not False,
        )

    def _tls_consistent(self, address: ClickHouseAddress) -> ClickHouseAddress:
        if address.ca_cert is not None and not address.secure:
            self._refuse(
                "CLICKHOUSE_CA_CERT", "is set, but the connection is not TLS; use https, or remove it"
            )
        return address

    def _xapi_database(self) -> str:
        given = self._given
        if given.xapi_database is not None:
            return given.xapi_database
        if given.xapi_source == "vector":
            self._derived("ASPECTS_XAPI_DATABASE", "ASPECTS_XAPI_SOURCE")
            return given.vector_database
        if given.ralph_database is not None:
            self._derived("ASPECTS_XAPI_DATABASE", "RALPH_DATABASE")
            return given.ralph_database
        return "xapi"

    def _keep_apart(self, xapi_database: str) -> None:
        if self._given.orchestration_database in {xapi_database, self._given.event_sink_database}:
            self._refuse(
                "ASPECTS_ORCHESTRATION_DATABASE",
                "is a database of Aspects too; name one of its own, because staging is dropped there",
            )

    def _ttl(self, embedded: bool) -> str:
        if self._given.data_ttl_expression is not None:
            return self._given.data_ttl_expression
        if embedded:
            self._origins["ASPECTS_DATA_TTL_EXPRESSION"] = "default (embedded server)"
            return ""
        return "toDateTime(emission_time) + INTERVAL 1 YEAR"

    def _retention_file(self) -> Path | None:
        beside = against_project("retention.yaml")
        if self._given.retention_file is None and beside.is_file():
            self._origins["ASPECTS_RETENTION_FILE"] = "default (it is there)"
            return beside
        return Path(self._given.retention_file) if self._given.retention_file else None

    def _lms_root_url(self) -> str:
        given = self._given
        if given.lms_host is not None and self._rank("LMS_HOST") < self._rank("LMS_ROOT_URL"):
            self._derived("LMS_ROOT_URL", "LMS_HOST")
            return f"{'https' if given.enable_https else 'http'}://{given.lms_host}"
        return given.lms_root_url or "http://local.openedx.io:8000"

    def _tracking_logs(self, home: Path) -> tuple[str, ...]:
        if self._given.tracking_logs is not None:
            return tuple(self._given.tracking_logs.split(","))
        if self._given.tutor_config:
            # Where Tutor's local and dev modes put what both containers see as /openedx/data/logs.
            data = Path(self._given.tutor_config).parent / "data"
            found = tuple(
                str(data / app / "logs") for app in ("lms", "cms") if _is_folder(data / app / "logs")
            )
            if found:
                self._derived("ASPECTS_TRACKING_LOGS", "ASPECTS_TUTOR_CONFIG")
                return found
        self._origins["ASPECTS_TRACKING_LOGS"] = SAMPLE_LOGS
        return (str(home / "sample/logs"),)

    def _below(self, archive: str) -> str:
        if self._origins["ASPECTS_TRACKING_LOG_ARCHIVE"] != DEFAULT:
            self._derived("ASPECTS_QUARANTINE", "ASPECTS_TRACKING_LOG_ARCHIVE")
        return f"{archive.rstrip('/')}/quarantine"

    def _records(self, name: str, given: str | None, sample: Path) -> str:
        if given is not None and "lms" in given.split(",") and self._given.lms_database_url is None:
            self._refuse(name, "asks for lms, but no LMS database is named; set ASPECTS_LMS_DATABASE_URL")
        if given is not None:
            return given
        if self._given.lms_database_url is not None:
            self._derived(name, "ASPECTS_LMS_DATABASE_URL")
            return "lms"
        if self._origins["ASPECTS_TRACKING_LOGS"] == SAMPLE_LOGS:
            self._origins[name] = SAMPLE_LOGS
            return str(sample)
        return "event_sink"

    def _lms_database(self, home: Path) -> SecretStr | None:
        if self._given.lms_database_url is None and self._origins["ASPECTS_TRACKING_LOGS"] == SAMPLE_LOGS:
            self._origins["ASPECTS_LMS_DATABASE_URL"] = SAMPLE_LOGS
            return SecretStr(f"sqlite:///{home / 'sample/lms.sqlite'}")
        return self._given.lms_database_url

    def _course_blocks(self, home: Path) -> str | None:
        if self._given.course_blocks is None and self._origins["ASPECTS_TRACKING_LOGS"] == SAMPLE_LOGS:
            self._origins["ASPECTS_COURSE_BLOCKS"] = SAMPLE_LOGS
            return str(home / "sample/course_blocks.ndjson")
        return self._given.course_blocks

    def _inputs(self) -> dict[str, str]:
        """What was given only for other settings to follow from it, masked; and boto3's own variables."""
        given = self._given
        shown = {
            "ASPECTS_CLICKHOUSE_URL": given.clickhouse_url and masked_secret_url(given.clickhouse_url),
            "CLICKHOUSE_INTERNAL_HTTP_PORT": given.clickhouse_http_port,
            "RALPH_DATABASE": given.ralph_database,
            "LMS_HOST": given.lms_host,
            "ENABLE_HTTPS": str(given.enable_https).lower(),
        }
        inputs = {name: "" if value is None else str(value) for name, value in shown.items()}
        for name, value in sorted(self._layers[0].values.items()):
            if name.startswith("AWS_"):
                inputs[name] = masked_url(str(value)) if name in _AWS_SHOWN else MASK
                self._origins[name] = "environment (read by boto3)"
        return inputs


_AWS_SHOWN = {
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
    "AWS_ROLE_ARN",
}


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
        "ASPECTS_TRACKING_LOG_ARCHIVE": settings.archive_uri,
        "ASPECTS_QUARANTINE": settings.quarantine_uri,
        "ASPECTS_IDENTITIES": settings.identities_source,
        "ASPECTS_COURSES": settings.courses_source,
        "ASPECTS_LMS_DATABASE_URL": masked_secret_url(settings.lms_database_url)
        if settings.lms_database_url
        else "",
        "ASPECTS_LMS_ROWS_PER_SECOND": str(settings.lms_rows_per_second),
        "ASPECTS_COURSE_BLOCKS": settings.course_blocks_uri or "",
        "ASPECTS_FIRST_MONTH": settings.first_month,
        "ASPECTS_TRANSFORM_WORKERS": str(settings.transform_workers),
        "ASPECTS_TRANSFORM_ENGINE": settings.transform_engine,
        "ASPECTS_MAX_LINE_BYTES": str(settings.max_line_bytes),
        "ASPECTS_ALERT_URLS": ",".join(MASK for _ in settings.alert_urls),
    }
    names = [*_NAMES, *(name for name in values if name not in _NAMES)]
    return tuple(EffectiveSetting(n, values.get(n, ""), settings.origins.get(n, DEFAULT)) for n in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the settings in force. Returns the exit code: 0, or 2 if a setting cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.settings",
        description="Print every setting in force and where it came from. Secrets are masked.",
    )
    parser.add_argument("--json", action="store_true", help="print a list of {name, value, source}")
    options = parser.parse_args(arguments)
    try:
        rows = effective_settings(load_settings())
    except SettingsError as refused:
        print(refused, file=sys.stderr)  # noqa: T201
        return 2
    if options.json:
        print(json.dumps([vars(row) for row in rows], indent=2))  # noqa: T201
        return 0
    widths = [max(len(row.name) for row in rows), min(64, max(len(row.value) for row in rows))]
    for row in rows:
        value = row.value if row.value.isprintable() else ascii(row.value)
        print(f"{row.name:<{widths[0]}}  {value:<{widths[1]}}  {row.source}".rstrip())  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

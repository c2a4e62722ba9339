"""From what was given to what is in force: what follows from what, and what contradicts what."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr

from aspects_orchestration.settings.addresses import (
    ClickHouseUrl,
    clickhouse_url,
    masked_secret_url,
    split_urls,
)
from aspects_orchestration.settings.given import NAMES, Given
from aspects_orchestration.settings.in_force import (
    DEFAULT,
    ENVIRONMENT,
    SAMPLE_LOGS,
    ClickHouseAddress,
    Settings,
)
from aspects_orchestration.settings.places import against_project
from aspects_orchestration.settings.values import MASK, Layer, masked_url
from aspects_orchestration.settings.watched import watched, watched_inputs


def origin_of(name: str, layers: Iterable[Layer]) -> str | None:
    """Which layer gave a setting; None if none did."""
    return next((layer.origin for layer in layers if name in layer.values), None)


def found_in(name: str, layers: Sequence[Layer]) -> str:
    """Where a refused value stands, for a message; nothing for the environment."""
    origin = origin_of(name, layers)
    return "" if origin in {None, ENVIRONMENT} else f" (in {origin})"


# The ports of the native protocol as Aspects configures them, and those of HTTP on the same server.
_HTTP_PORT_BESIDE = {9000: 8123, 9006: 8123, 9440: 8443}


# Always in a config.yml, whether the site chose them or not.
_GENERATED_BY_TUTOR = {"CLICKHOUSE_ADMIN_USER", "CLICKHOUSE_ADMIN_PASSWORD", "CLICKHOUSE_SECURE_CONNECTION"}


class Resolution:
    """Works out what follows from what was given, and notes where each value came from."""

    def __init__(self, given: Given, layers: Sequence[Layer], refused: list[str]) -> None:
        self._given = given
        self._layers = layers
        self._refused = refused
        self._origins = {name: self._found(name) or DEFAULT for name in NAMES}

    def settings(self) -> Settings:
        given = self._given
        home = Path(given.home) if given.home else against_project(".aspects")
        clickhouse = self._clickhouse()
        logs = self._tracking_logs(home)
        archive = given.archive or str(home / "archive")
        database = self._xapi_database()
        self._keep_apart(database)
        self._archive_can_be(archive)
        quarantine = given.quarantine or self._below(archive)
        if given.several_machines:
            self._is_reached_by_all(
                home,
                clickhouse,
                {
                    "ASPECTS_TRACKING_LOGS": logs,
                    "ASPECTS_TRACKING_LOG_ARCHIVE": (archive,),
                    "ASPECTS_QUARANTINE": (quarantine,),
                },
            )
        return Settings(
            home=home,
            tutor_config=Path(given.tutor_config) if given.tutor_config else None,
            clickhouse=clickhouse,
            cluster_name=given.cluster_name,
            insert_quorum=given.insert_quorum,
            xapi_source=given.xapi_source or "ralph",
            xapi_database=database,
            vector_database=given.vector_database,
            raw_xapi_table=given.raw_xapi_table,
            event_sink_database=given.event_sink_database,
            orchestration_database=given.orchestration_database,
            data_ttl_expression=self._ttl(clickhouse is None),
            retention_file=self._beside(given.retention_file, "retention.yaml", "ASPECTS_RETENTION_FILE"),
            enable_pii=given.enable_pii,
            lms_root_url=self._lms_root_url(),
            agent_ifi_type=given.agent_ifi_type,
            tracking_log_prefixes=logs,
            live_logs=tuple(Path(one) for one in given.live_logs.split(",") if one),
            rotate=given.rotate,
            archive_uri=archive,
            archive_compression=given.archive_compression,
            archive_lateness_hours=given.archive_lateness_hours,
            archive_object_lock=given.archive_object_lock,
            archive_object_lock_days=given.archive_object_lock_days,
            archive_encryption=given.archive_encryption,
            archive_kms_key=given.archive_kms_key,
            release_keep_days=given.release_keep_days,
            quarantine_uri=quarantine,
            statement_files_uri=given.statement_files or str(home / "statements"),
            statement_format=given.statement_format,
            report_uri=given.report or str(home / "report"),
            several_machines=given.several_machines,
            identities_source=self._records(
                "ASPECTS_IDENTITIES", given.identities, home / "sample/identities.csv"
            ),
            courses_source=self._records("ASPECTS_COURSES", given.courses, home / "sample/courses.csv"),
            lms_database_url=self._lms_database(home),
            lms_rows_per_second=given.lms_rows_per_second,
            course_blocks_uri=self._course_blocks(home),
            dashboards=given.dashboards,
            first_month=given.first_month,
            rpo_hours=given.rpo_hours,
            transform_workers=given.transform_workers or _usable_cpus(),
            transform_engine=given.transform_engine,
            max_line_bytes=given.max_line_bytes,
            replay_gaps=given.replay_gaps,
            load_new_logs=given.load_new_logs,
            pause_backfills=given.pause_backfills,
            longest_pause_minutes=given.longest_pause_minutes,
            replay_lag=given.replay_lag,
            alert_urls=tuple(SecretStr(url) for url in split_urls(given.alert_urls or SecretStr(""))),
            alerts_file=self._beside(given.alerts_file, "alerts.yaml", "ASPECTS_ALERTS_FILE"),
            dagster_url=given.dagster_url,
            ralph_username=given.ralph_username,
            ralph_password=given.ralph_password or SecretStr(""),
            ralph_batch=given.ralph_batch,
            ralph_per_second=given.ralph_per_second,
            ralph_store=given.ralph_store,
            watched=watched(given, from_environment=lambda name: self._found(name) == ENVIRONMENT),
            origins=self._origins,
            inputs=self._inputs(),
        )

    def _found(self, name: str) -> str | None:
        return origin_of(name, self._layers)

    def _rank(self, name: str) -> int:
        """How near the layer that gave this setting is; the number of layers if none did."""
        return next((i for i, layer in enumerate(self._layers) if name in layer.values), len(self._layers))

    def _derived(self, name: str, source: str) -> None:
        self._origins[name] = f"derived from {source} ({self._origins[source]})"

    def _refuse(self, name: str, why: str) -> None:
        self._refused.append(f"{name}{found_in(name, self._layers)}: {why}")

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

    def _archive_can_be(self, archive: str) -> None:
        given = self._given
        lock, days = given.archive_object_lock != "none", given.archive_object_lock_days
        if lock and days is None:
            self._refuse(
                "ASPECTS_ARCHIVE_OBJECT_LOCK",
                "does not say how long; set ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS, knowing that no lock can be shortened",
            )
        if days is not None and not lock:
            self._refuse(
                "ASPECTS_ARCHIVE_OBJECT_LOCK_DAYS",
                "is set without a lock; set ASPECTS_ARCHIVE_OBJECT_LOCK, or remove it",
            )
        if given.archive_kms_key and given.archive_encryption not in {"aws:kms", "aws:kms:dsse"}:
            self._refuse(
                "ASPECTS_ARCHIVE_KMS_KEY",
                "is set without an encryption that uses it; set ASPECTS_ARCHIVE_ENCRYPTION to aws:kms, or remove it",
            )
        asked = {
            "ASPECTS_ARCHIVE_OBJECT_LOCK": lock,
            "ASPECTS_ARCHIVE_ENCRYPTION": given.archive_encryption is not None,
        }
        for name in (one for one, is_asked in asked.items() if is_asked):
            if not archive.startswith(("s3://", "s3a://", "s3n://")):
                self._refuse(
                    name,
                    "is S3's, and the archive is not in S3; set ASPECTS_TRACKING_LOG_ARCHIVE, or remove it",
                )

    def _ttl(self, embedded: bool) -> str:
        if self._given.data_ttl_expression is not None:
            return self._given.data_ttl_expression
        if embedded:
            self._origins["ASPECTS_DATA_TTL_EXPRESSION"] = "default (embedded server)"
            return ""
        return "toDateTime(emission_time) + INTERVAL 1 YEAR"

    def _beside(self, given: str | None, name: str, setting: str) -> Path | None:
        """A file of the site's own: where it was said to be, or else in the checkout, if it is there."""
        beside = against_project(name)
        if given is None and beside.is_file():
            self._origins[setting] = "default (it is there)"
            return beside
        return Path(given) if given else None

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

    def _is_reached_by_all(
        self, home: Path, clickhouse: ClickHouseAddress | None, places: Mapping[str, Sequence[str]]
    ) -> None:
        """Refuse what each of several machines would have for itself, so that it would be lost or stand twice."""
        if clickhouse is None:
            self._refuse(
                "ASPECTS_SEVERAL_MACHINES",
                "is set, but no ClickHouse is named, so that each machine would start one of its own; set"
                " ASPECTS_CLICKHOUSE_URL",
            )
        for name, uris in places.items():
            if any(Path(uri.removeprefix("file://")).is_relative_to(home) for uri in uris):
                self._refuse(
                    name,
                    "lies in ASPECTS_HOME, which each of several machines has for itself; name a place that all of them"
                    " reach, such as s3://bucket/prefix",
                )

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
        inputs |= watched_inputs(given)
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

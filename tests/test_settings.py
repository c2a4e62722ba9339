"""Settings: where they come from, and which are refused."""

import os
import re
from pathlib import Path

import pytest
from services.settings_given import TUTOR_4, TUTOR_5, refusal, sources, with_config

from aspects_orchestration.settings import (
    documented_settings,
    effective_settings,
    load_settings,
)

PROJECT = Path(__file__).resolve().parent.parent
TTL = "toDateTime(emission_time) + INTERVAL 1 YEAR"


# --- defaults


def test_a_fresh_machine_needs_no_setting() -> None:
    settings = load_settings({})
    assert settings.is_embedded
    assert settings.uses_sample_logs
    assert settings.home == PROJECT / ".aspects"
    assert settings.data_ttl_expression == ""
    assert settings.data_ttl is None
    assert settings.tracking_log_prefixes == (str(PROJECT / ".aspects/sample/logs"),)
    assert settings.identities_source == str(PROJECT / ".aspects/sample/identities.csv")
    assert settings.courses_source == str(PROJECT / ".aspects/sample/courses.csv")
    assert settings.archive_uri == str(PROJECT / ".aspects/archive")
    assert settings.quarantine_uri == str(PROJECT / ".aspects/archive/quarantine")
    assert settings.transform_workers == len(os.sched_getaffinity(0))
    assert settings.max_line_bytes == 16 * 2**20
    assert sources(settings)["ASPECTS_IDENTITIES"] == "default (sample logs)"
    assert sources(settings)["ASPECTS_DATA_TTL_EXPRESSION"] == "default (embedded server)"


def test_a_clickhouse_of_the_site_brings_the_ttl_of_aspects() -> None:
    settings = load_settings({"CLICKHOUSE_HOST": "ch.example.org"})
    assert settings.data_ttl_expression == TTL
    assert settings.ttl_months() == 12
    assert load_settings({"CLICKHOUSE_HOST": "ch", "ASPECTS_DATA_TTL_EXPRESSION": ""}).data_ttl is None
    assert load_settings({"ASPECTS_DATA_TTL_EXPRESSION": TTL}).ttl_months() == 12


def test_docs_list_every_setting_with_its_default() -> None:
    rows = re.findall(
        r"^\| `([A-Z0-9_]+)` \| (.*?) \| (.*) \|$", (PROJECT / "docs/settings.md").read_text(), re.MULTILINE
    )
    documented = [(name, default.strip("`"), meaning) for name, default, meaning in rows]
    assert documented == [(d.name, d.default, d.meaning) for d in documented_settings()]


@pytest.mark.parametrize(
    "setting", [d for d in documented_settings() if " " not in d.default], ids=lambda d: d.name
)
def test_a_documented_default_is_the_one_in_force(setting: object) -> None:
    row = next(r for r in effective_settings(load_settings({})) if r.name == setting.name)  # type: ignore[attr-defined]
    stated = setting.default  # type: ignore[attr-defined]
    clickhouse_only = {"CLICKHOUSE_SECURE_CONNECTION", "CLICKHOUSE_ADMIN_USER", "CLICKHOUSE_VERIFY"}
    if row.name in clickhouse_only:
        row = next(
            r for r in effective_settings(load_settings({"CLICKHOUSE_HOST": "c"})) if r.name == row.name
        )
    folders = {
        "<ASPECTS_TRACKING_LOG_ARCHIVE>": f"{PROJECT}/.aspects/archive",
        "<ASPECTS_HOME>": f"{PROJECT}/.aspects",
    }
    for name, folder in folders.items():
        stated = stated.replace(name, folder)
    if row.name == "ASPECTS_HOME":
        stated = f"{PROJECT}/{stated}"
    if row.name == "RALPH_DATABASE":
        stated = "none"
    assert row.value == {"none": "", "(empty)": ""}.get(stated, stated)


# --- where values come from


def test_the_environment_wins_over_config_yml_and_that_over_defaults(tmp_path: Path) -> None:
    environ = with_config(tmp_path, {"ASPECTS_FIRST_MONTH": "2021-02", "ASPECTS_RAW_XAPI_TABLE": "raw"})
    settings = load_settings({**environ, "ASPECTS_FIRST_MONTH": "2022-03"})
    assert (settings.first_month, settings.raw_xapi_table, settings.event_sink_database) == (
        "2022-03",
        "raw",
        "event_sink",
    )
    origins = sources(settings)
    assert origins["ASPECTS_FIRST_MONTH"] == "environment"
    assert origins["ASPECTS_RAW_XAPI_TABLE"] == f"config.yml ({tmp_path / 'config.yml'})"
    assert origins["ASPECTS_EVENT_SINK_DATABASE"] == "default"


def test_a_tutor_config_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / "data/lms/logs").mkdir(parents=True)
    settings = load_settings(with_config(tmp_path, TUTOR_4))
    address = settings.clickhouse
    assert address is not None
    assert (address.url, address.user) == ("http://clickhouse:8123", "ch_admin")
    assert address.password.get_secret_value() == "hunter2hunter2"
    assert settings.lms_root_url == "https://lms.example.org"
    assert settings.xapi_database == "xapi"
    assert settings.tracking_log_prefixes == (str(tmp_path / "data/lms/logs"),)
    assert settings.identities_source == settings.courses_source == "event_sink"
    assert not settings.uses_sample_logs


def test_a_tutor_config_of_a_newer_plugin_means_vector(tmp_path: Path) -> None:
    settings = load_settings(with_config(tmp_path, TUTOR_5))
    assert (settings.xapi_source, settings.xapi_database) == ("vector", "openedx")
    assert sources(settings)["ASPECTS_XAPI_SOURCE"] == "Aspects plugin's default"
    ralph = load_settings(
        with_config(tmp_path, {**TUTOR_5, "ASPECTS_XAPI_SOURCE": "ralph", "RALPH_DATABASE": "lrs"})
    )
    assert (ralph.xapi_source, ralph.xapi_database) == ("ralph", "lrs")


def test_vector_moves_the_raw_table_unless_its_database_is_named() -> None:
    vector = {"ASPECTS_XAPI_SOURCE": "vector", "ASPECTS_VECTOR_DATABASE": "shipped"}
    assert load_settings(vector).xapi_database == "shipped"
    assert load_settings({**vector, "ASPECTS_XAPI_DATABASE": "mine"}).xapi_database == "mine"
    assert load_settings({"ASPECTS_VECTOR_DATABASE": "shipped"}).xapi_database == "xapi"


def test_templates_in_config_yml_are_rendered(tmp_path: Path) -> None:
    content = {
        **TUTOR_4,
        "SITE": "lms",
        "LMS_HOST": "{{ SITE }}.example.org",
        "LMS_ROOT_URL": "{% if ENABLE_HTTPS %}https{% else %}http{% endif %}://{{ LMS_HOST }}/",
        "CLICKHOUSE_SECURE_CONNECTION": "{{ ENABLE_HTTPS }}",
        "CLICKHOUSE_INTERNAL_TLS_HTTP_PORT": 9443,
        "ASPECTS_TRACKING_LOGS": ["s3://{{ SITE }}-logs/2023", "s3://{{ SITE }}-logs/2024"],
    }
    settings = load_settings(with_config(tmp_path, content))
    assert settings.lms_root_url == "https://lms.example.org"
    assert settings.clickhouse is not None
    assert settings.clickhouse.url == "https://clickhouse:9443"
    assert settings.tracking_log_prefixes == ("s3://lms-logs/2023", "s3://lms-logs/2024")


@pytest.mark.parametrize(
    "template",
    [
        "{{ NOT_THERE }}",
        "{{ 8|random_string }}",
        "{{ unclosed",
        "{{ ASPECTS_RAW_XAPI_TABLE }}",
        "{{ CMS_HOST.__class__.__mro__ }}",
        "{{ 1 / 0 }}",
        "{{ range(10 ** 9) | list }}",
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused_by_name(tmp_path: Path, template: str) -> None:
    environ = with_config(tmp_path, {**TUTOR_4, "ASPECTS_RAW_XAPI_TABLE": template})
    assert "ASPECTS_RAW_XAPI_TABLE (in config.yml" in refusal(environ)
    assert load_settings({**environ, "ASPECTS_RAW_XAPI_TABLE": "raw"}).raw_xapi_table == "raw"


def test_config_yml_is_only_read(tmp_path: Path) -> None:
    environ = with_config(tmp_path, TUTOR_5)
    before = (tmp_path / "config.yml").read_bytes()
    (tmp_path / "config.yml").chmod(0o400)
    load_settings(environ)
    assert (tmp_path / "config.yml").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]


@pytest.mark.parametrize(
    "content", ["a: [", "- 1\n- 2\n", "text", "a: !!python/object:os.system x", "\x00", "1: 2\n"]
)
def test_a_config_that_is_no_tutor_config_is_refused(tmp_path: Path, content: str) -> None:
    assert "ASPECTS_TUTOR_CONFIG" in refusal(with_config(tmp_path, content))


def test_a_config_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "ASPECTS_TUTOR_CONFIG" in refusal({"ASPECTS_TUTOR_CONFIG": str(tmp_path / "config.yml")})
    assert "ASPECTS_TUTOR_CONFIG" in refusal({"ASPECTS_TUTOR_CONFIG": str(tmp_path)})
    assert "ASPECTS_TUTOR_CONFIG" in refusal({"ASPECTS_TUTOR_CONFIG": "~nobody-of-this-name/config.yml"})


def test_nothing_counts_as_not_set() -> None:
    blank = {d.name: " " for d in documented_settings()}
    assert load_settings(blank) == load_settings({})


def test_relative_folders_count_from_the_checkout_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"ASPECTS_HOME": "state", "ASPECTS_TRACKING_LOGS": "logs/../logs, /var/log/lms,logs"}
    here = load_settings(environ)
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ) == here
    assert here.home == PROJECT / "state"
    assert here.tracking_log_prefixes == (str(PROJECT / "logs"), "/var/log/lms")
    assert here.archive_uri == str(PROJECT / "state/archive")


def test_the_quarantine_follows_the_archive() -> None:
    settings = load_settings({"ASPECTS_TRACKING_LOG_ARCHIVE": "s3://cold/aspects/"})
    assert settings.quarantine_uri == "s3://cold/aspects/quarantine"
    assert "ASPECTS_TRACKING_LOG_ARCHIVE" in sources(settings)["ASPECTS_QUARANTINE"]


def test_identities_come_from_the_lms_database_if_there_is_one() -> None:
    logs = {"ASPECTS_TRACKING_LOGS": "s3://logs"}
    lms = {**logs, "ASPECTS_LMS_DATABASE_URL": "mysql+pymysql://reader:pw@replica/openedx"}
    assert load_settings(logs).identities_source == "event_sink"
    assert load_settings(lms).identities_source == load_settings(lms).courses_source == "lms"
    assert (
        load_settings({**lms, "ASPECTS_COURSES": "s3://b/courses.csv"}).courses_source == "s3://b/courses.csv"
    )
    assert "ASPECTS_IDENTITIES" in refusal({**logs, "ASPECTS_IDENTITIES": "lms"})


def test_the_lms_url_follows_its_host() -> None:
    assert load_settings({"LMS_HOST": "lms.example.org"}).lms_root_url == "http://lms.example.org"
    both = {"LMS_HOST": "lms.example.org:8000", "ENABLE_HTTPS": "true"}
    assert load_settings(both).lms_root_url == "https://lms.example.org:8000"
    assert load_settings({**both, "LMS_ROOT_URL": "https://a.example/"}).lms_root_url == "https://a.example"


# --- refusals


IMPOSSIBLE = [
    ("ASPECTS_HOME", f"{__file__}"),
    ("ASPECTS_HOME", "~nobody-of-this-name/x"),
    ("ASPECTS_CLICKHOUSE_URL", "clickhouse://user:pw@host:9000"),
    ("ASPECTS_CLICKHOUSE_URL", "https://host:8443/xapi"),
    ("ASPECTS_CLICKHOUSE_URL", "https://host:8443?database=xapi"),
    ("ASPECTS_CLICKHOUSE_URL", "https://host:99999"),
    ("ASPECTS_CLICKHOUSE_URL", "https://host?verify=maybe"),
    ("ASPECTS_CLICKHOUSE_URL", "host:8123"),
    ("CLICKHOUSE_HOST", "https://host"),
    ("CLICKHOUSE_HOST", "host:8123"),
    ("CLICKHOUSE_PORT", "0"),
    ("CLICKHOUSE_PORT", "http"),
    ("CLICKHOUSE_SECURE_CONNECTION", "maybe"),
    ("CLICKHOUSE_CA_CERT", "/nowhere/ca.pem"),
    ("CLICKHOUSE_CLUSTER_NAME", "my cluster"),
    ("ASPECTS_INSERT_QUORUM", "most"),
    ("ASPECTS_XAPI_SOURCE", "kafka"),
    ("ASPECTS_XAPI_DATABASE", "xapi; DROP DATABASE xapi"),
    ("ASPECTS_RAW_XAPI_TABLE", "1raw"),
    ("ASPECTS_EVENT_SINK_DATABASE", "évent"),
    ("ASPECTS_ORCHESTRATION_DATABASE", "event_sink"),
    ("ASPECTS_ORCHESTRATION_DATABASE", "xapi"),
    ("ASPECTS_DATA_TTL_EXPRESSION", "one year"),
    ("ASPECTS_RETENTION_FILE", "none-such/retention.yaml"),
    ("ASPECTS_ENABLE_PII", "2"),
    ("LMS_ROOT_URL", "lms.example.org"),
    ("LMS_ROOT_URL", "https://lms.example.org/?next=x"),
    ("LMS_HOST", "https://lms.example.org"),
    ("XAPI_AGENT_IFI_TYPE", "email"),
    ("ASPECTS_TRACKING_LOGS", ","),
    ("ASPECTS_TRACKING_LOGS", "s3:/bucket/logs"),
    ("ASPECTS_TRACKING_LOGS", "s3://"),
    ("ASPECTS_TRACKING_LOGS", "file://host/logs"),
    ("ASPECTS_TRACKING_LOGS", "s3://key:secret@bucket/logs"),
    ("ASPECTS_TRACKING_LOG_ARCHIVE", "https://host/logs?sig=abc"),
    ("ASPECTS_QUARANTINE", "sftp://user:pw@host/q"),
    ("ASPECTS_IDENTITIES", "event-sink"),
    ("ASPECTS_COURSES", "lms"),
    ("ASPECTS_LMS_DATABASE_URL", "replica:3306"),
    ("ASPECTS_LMS_DATABASE_URL", "mysql:///openedx"),
    ("ASPECTS_FIRST_MONTH", "2020-13"),
    ("ASPECTS_FIRST_MONTH", "2020-1"),
    ("ASPECTS_FIRST_MONTH", "٢٠٢٠-٠١"),
    ("ASPECTS_TRANSFORM_WORKERS", "0"),
    ("ASPECTS_TRANSFORM_WORKERS", "two"),
    ("ASPECTS_MAX_LINE_BYTES", "16MB"),
    ("ASPECTS_ALERT_URLS", "mail@example.org"),
    ("REDIS_HOST", "redis:6379"),
    ("REDIS_PORT", "tcp"),
    ("OPENEDX_CELERY_REDIS_DB", "-1"),
    ("EVENT_BUS_REDIS_CONNECTION_URL", "redis:6379"),
    ("EVENT_BUS_REDIS_CONNECTION_URL", "redis://redis/analytics"),
    ("EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS", "kafka"),
    ("RUN_RALPH", "perhaps"),
    ("RALPH_HOST", "http://ralph:8100"),
    ("ASPECTS_VECTOR_HOST", "vector/health"),
    ("SUPERSET_HOST", "https://superset"),
    ("ASPECTS_DAGSTER_URL", "ftp://dagster.example.org"),
    ("ASPECTS_DAGSTER_URL", "https://user@dagster.example.org"),
    ("ASPECTS_ALERTS_FILE", "/there/is/no/alerts.yaml"),
]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_an_impossible_value_is_refused_by_name(name: str, value: str) -> None:
    message = refusal({name: value})
    assert re.match(rf"{name}: .+; .+", message)


def test_all_impossible_values_are_named_at_once(tmp_path: Path) -> None:
    environ = with_config(tmp_path, {"ASPECTS_FIRST_MONTH": "soon", "XAPI_AGENT_IFI_TYPE": ["mbox"]})
    environ |= {"ASPECTS_TRANSFORM_WORKERS": "many", "ASPECTS_ENABLE_PIII": "true"}
    message = refusal(environ)
    assert message.startswith("4 settings cannot be used:")
    for name in (
        "ASPECTS_FIRST_MONTH (in config.yml",
        "XAPI_AGENT_IFI_TYPE (in",
        "ASPECTS_TRANSFORM_WORKERS:",
    ):
        assert f"\n  {name}" in message
    assert "ASPECTS_ENABLE_PIII: is not a setting; set ASPECTS_ENABLE_PII" in message


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("ASPECTS_TRACKING_LOG", "ASPECTS_TRACKING_LOGS"),
        ("ASPECTS_FRIST_MONTH", "ASPECTS_FIRST_MONTH"),
        ("ASPECTS_IDENTITES", "ASPECTS_IDENTITIES"),
        ("aspects_home", "ASPECTS_HOME"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_meant(tmp_path: Path, misspelt: str, meant: str) -> None:
    assert f"{misspelt}: is not a setting; set {meant}" in refusal({misspelt: "x"})
    assert f"{misspelt} (in config.yml" in refusal(with_config(tmp_path, {misspelt: "x"}))


def test_other_settings_of_the_aspects_plugin_are_left_alone(tmp_path: Path) -> None:
    others = {name: "x" for name in TUTOR_5 if name.startswith("ASPECTS_")}
    others |= {"ASPECTS_VECTOR_RAW_XAPI_TABLE": "x", "ASPECTS_DATA": "x", "ASPECTS_XAPI_S3_BUCKET": "x"}
    assert load_settings(others) == load_settings({})
    assert load_settings(with_config(tmp_path, others)).is_embedded

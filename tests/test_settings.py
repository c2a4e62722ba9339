"""Settings: where they come from, which are refused, and that no secret is ever shown."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings import (
    ClickHouseAddress,
    Settings,
    documented_settings,
    effective_settings,
    load_settings,
)

PROJECT = Path(__file__).resolve().parent.parent
TTL = "toDateTime(emission_time) + INTERVAL 1 YEAR"

# As `tutor config save` writes it with the Aspects plugin: what the site set, and generated names and passwords.
TUTOR_4 = {
    "LMS_HOST": "lms.example.org",
    "CMS_HOST": "studio.{{ LMS_HOST }}",
    "ENABLE_HTTPS": True,
    "CLICKHOUSE_ADMIN_USER": "ch_admin",
    "CLICKHOUSE_ADMIN_PASSWORD": "hunter2hunter2",
    "CLICKHOUSE_SECURE_CONNECTION": False,
    "ASPECTS_CLICKHOUSE_CMS_USER": "ch_cms",
    "ASPECTS_CLICKHOUSE_CMS_PASSWORD": "another",
    "ASPECTS_CLICKHOUSE_LRS_USER": "ch_lrs",
    "ASPECTS_CLICKHOUSE_REPORT_USER": "ch_report",
    "ASPECTS_CLICKHOUSE_VECTOR_USER": "ch_vector",
    "ASPECTS_INSTRUCTOR_DASHBOARDS": [{"name": "Course dashboard", "slug": "course"}],
    "ASPECTS_XAPI_TABLE": "xapi_events_all_parsed",
    "PLUGINS": ["aspects"],
}
TUTOR_5 = {**TUTOR_4, "ASPECTS_XAPI_S3_ACCESS_KEY": "", "ASPECTS_XAPI_S3_SECRET_KEY": ""}


def with_config(folder: Path, content: object, **environ: str) -> dict[str, str]:
    path = folder / "config.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return {"ASPECTS_TUTOR_CONFIG": str(path), **environ}


def sources(settings: Settings) -> dict[str, str]:
    return {row.name: row.source for row in effective_settings(settings)}


def values(settings: Settings) -> dict[str, str]:
    return {row.name: row.value for row in effective_settings(settings)}


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ)
    return str(refused.value)


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


# --- ClickHouse


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://ch:8123"),
        ({"CLICKHOUSE_SECURE_CONNECTION": "True"}, "https://ch:8443"),
        ({"CLICKHOUSE_PORT": "9000"}, "http://ch:8123"),
        ({"CLICKHOUSE_PORT": "9440", "CLICKHOUSE_SECURE_CONNECTION": "true"}, "https://ch:8443"),
        ({"CLICKHOUSE_PORT": "9440"}, "https://ch:8443"),
        ({"CLICKHOUSE_PORT": "18123"}, "http://ch:18123"),
        ({"CLICKHOUSE_INTERNAL_HTTP_PORT": "8124"}, "http://ch:8124"),
        ({"CLICKHOUSE_INTERNAL_HTTP_PORT": "8124", "CLICKHOUSE_PORT": "8125"}, "http://ch:8125"),
        ({"CLICKHOUSE_PORT": "tcp://10.43.0.9:9000"}, "http://ch:8123"),
    ],
)
def test_the_port_is_that_of_http(environ: dict[str, str], url: str) -> None:
    settings = load_settings({"CLICKHOUSE_HOST": "ch", **environ})
    assert settings.clickhouse is not None
    assert settings.clickhouse.url == url


def test_a_derived_port_says_so() -> None:
    settings = load_settings({"CLICKHOUSE_HOST": "ch", "CLICKHOUSE_PORT": "9000"})
    assert values(settings)["CLICKHOUSE_PORT"] == "8123"
    assert sources(settings)["CLICKHOUSE_PORT"] == "derived from CLICKHOUSE_PORT (environment)"


def test_clickhouse_in_one_url(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("-")
    url = f"https://ana:p%40ss%2Fw%3Ard@cloud.example:9443/?verify=false&ca_cert={authority}"
    address = load_settings({"ASPECTS_CLICKHOUSE_URL": url}).clickhouse
    assert address is not None
    assert address.password.get_secret_value() == "p@ss/w:rd"
    assert (address.url, address.user, address.verify) == ("https://cloud.example:9443", "ana", False)
    assert address.ca_cert == authority


def test_a_url_with_an_ipv6_host() -> None:
    address = load_settings({"ASPECTS_CLICKHOUSE_URL": "http://[::1]:8123"}).clickhouse
    assert address == ClickHouseAddress("::1", 8123)
    assert address is not None
    assert address.url == "http://[::1]:8123"


def test_a_url_leaves_to_the_pieces_what_it_does_not_say(tmp_path: Path) -> None:
    environ = with_config(tmp_path, TUTOR_4, ASPECTS_CLICKHOUSE_URL="https://ch.example.org")
    address = load_settings(environ).clickhouse
    assert address is not None
    assert (address.url, address.user) == ("https://ch.example.org:8443", "ch_admin")
    assert address.password.get_secret_value() == "hunter2hunter2"


def test_a_password_is_not_sent_for_another_user(tmp_path: Path) -> None:
    environ = with_config(tmp_path, TUTOR_4, ASPECTS_CLICKHOUSE_URL="https://reader@ch.example.org")
    address = load_settings(environ).clickhouse
    assert address is not None
    assert (address.user, address.password.get_secret_value()) == ("reader", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLICKHOUSE_HOST", "other"),
        ("CLICKHOUSE_PORT", "8124"),
        ("CLICKHOUSE_SECURE_CONNECTION", "true"),
        ("CLICKHOUSE_ADMIN_USER", "eve"),
        ("CLICKHOUSE_ADMIN_PASSWORD", "different"),
    ],
)
def test_a_url_and_pieces_that_differ_are_refused(name: str, value: str) -> None:
    url = {"ASPECTS_CLICKHOUSE_URL": "http://ana:secret@ch:8123"}
    assert name in refusal({**url, name: value})
    agreeing = {"CLICKHOUSE_HOST": "ch", "CLICKHOUSE_PORT": "9000", "CLICKHOUSE_ADMIN_PASSWORD": "secret"}
    assert load_settings({**url, **agreeing}).clickhouse == load_settings(url).clickhouse


def test_a_url_in_config_yml_wins_over_what_tutor_generated(tmp_path: Path) -> None:
    content = {**TUTOR_4, "ASPECTS_CLICKHOUSE_URL": "https://ana:secret@ch.example.org:8443"}
    address = load_settings(with_config(tmp_path, content)).clickhouse
    assert address is not None
    assert (address.url, address.user) == ("https://ch.example.org:8443", "ana")


def test_pieces_without_a_host_are_refused() -> None:
    assert "CLICKHOUSE_ADMIN_PASSWORD" in refusal({"CLICKHOUSE_ADMIN_PASSWORD": "pw"})
    assert "CLICKHOUSE_HOST" in refusal({"CLICKHOUSE_PORT": "8123"})


def test_an_authority_without_tls_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-")
    environ = {"CLICKHOUSE_HOST": "ch", "CLICKHOUSE_CA_CERT": str(tmp_path / "ca.pem")}
    assert "CLICKHOUSE_CA_CERT" in refusal(environ)
    assert load_settings({**environ, "CLICKHOUSE_SECURE_CONNECTION": "1"}).clickhouse is not None


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
    ("CLICKHOUSE_CLUSTER_NAME", "my-cluster"),
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


# --- secrets


def test_secrets_are_masked_wherever_settings_are_shown(tmp_path: Path) -> None:
    environ = with_config(
        tmp_path,
        {**TUTOR_4, "ASPECTS_ALERT_URLS": ["slack://TopSecretToken/x", "mailto://u:TopSecret@h?to=a,b"]},
        ASPECTS_LMS_DATABASE_URL="mysql+pymysql://reader:TopSecret@replica:3306/openedx?password=TopSecret",
        AWS_SECRET_ACCESS_KEY="TopSecret",
        AWS_ENDPOINT_URL_S3="http://u:TopSecret@127.0.0.1:8333",
    )
    settings = load_settings(environ)
    assert [url.get_secret_value() for url in settings.alert_urls] == [
        "slack://TopSecretToken/x",
        "mailto://u:TopSecret@h?to=a,b",
    ]
    shown = values(settings)
    assert shown["ASPECTS_LMS_DATABASE_URL"] == "mysql+pymysql://reader:********@replica:3306/openedx?…"
    assert shown["CLICKHOUSE_ADMIN_PASSWORD"] == "********"
    assert shown["AWS_ENDPOINT_URL_S3"] == "http://u:********@127.0.0.1:8333"
    for text in (repr(settings), str(settings), json.dumps(shown)):
        assert "TopSecret" not in text
        assert "hunter2" not in text


SECRETS = st.text(st.sampled_from("abXY019 @:/?#[]%&+=,;'\"\\{}<>|~\té"), min_size=1, max_size=12).map(
    lambda text: f"sEcReT{text}sEcReT"
)
PLACES = [
    ("CLICKHOUSE_ADMIN_PASSWORD", "{raw}"),
    ("ASPECTS_CLICKHOUSE_URL", "https://ana:{encoded}@ch:8443"),
    ("ASPECTS_CLICKHOUSE_URL", "https://ana:{raw}@ch:8443"),
    ("ASPECTS_CLICKHOUSE_URL", "{raw}"),
    ("ASPECTS_LMS_DATABASE_URL", "mysql+pymysql://reader:{encoded}@replica/openedx"),
    ("ASPECTS_LMS_DATABASE_URL", "mysql://reader:{raw}@replica/openedx?charset={encoded}"),
    ("ASPECTS_LMS_DATABASE_URL", "{raw}"),
    ("ASPECTS_ALERT_URLS", "slack://{raw}, mailto://me:{encoded}@example.org"),
    ("ASPECTS_ALERT_URLS", "{raw}"),
    ("ASPECTS_TRACKING_LOGS", "s3://KEY:{encoded}@bucket/logs"),
    ("LMS_ROOT_URL", "https://me:{raw}@lms.example.org"),
    ("AWS_SECRET_ACCESS_KEY", "{raw}"),
    ("REDIS_PASSWORD", "{raw}"),
    ("EVENT_BUS_KAFKA_API_SECRET", "{raw}"),
    ("EVENT_BUS_REDIS_CONNECTION_URL", "redis://lms:{encoded}@redis:6379/0"),
    ("EVENT_BUS_REDIS_CONNECTION_URL", "redis://:{raw}@redis:6379/0"),
    ("EVENT_BUS_REDIS_CONNECTION_URL", "{raw}"),
    ("REDIS_HOST", "redis://:{raw}@redis"),
    ("RALPH_HOST", "http://me:{raw}@ralph"),
]


@pytest.mark.parametrize(("name", "form"), PLACES)
@pytest.mark.parametrize("in_config", [False, True], ids=["environment", "config.yml"])
@given(secret=SECRETS)
@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_secret_is_ever_shown(tmp_path: Path, name: str, form: str, in_config: bool, secret: str) -> None:
    value = form.format(raw=secret, encoded=quote(secret, safe=""))
    given_there = (
        {name: value, "CLICKHOUSE_HOST": "ch"} if name == "CLICKHOUSE_ADMIN_PASSWORD" else {name: value}
    )
    try:
        settings = load_settings(with_config(tmp_path, given_there) if in_config else given_there)
        shown = f"{settings!r} {settings} {effective_settings(settings)} {settings.clickhouse!r}"
    except SettingsError as refused:
        shown = f"{refused} {refused!r} {refused.__cause__!r} {refused.__context__!r}"
    assert "sEcReT" not in shown


def test_settings_cross_process_borders() -> None:
    settings = load_settings({"ASPECTS_CLICKHOUSE_URL": "https://ana:secret@ch:8443"})
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301


# --- the command


def run_command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ASPECTS_", "CLICKHOUSE_", "AWS_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "aspects_orchestration.settings", *arguments],
        env={**kept, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_prints_values_and_where_they_came_from(tmp_path: Path) -> None:
    environ = with_config(tmp_path, TUTOR_5, ASPECTS_FIRST_MONTH="2021-09")
    text = run_command(**environ)
    assert text.returncode == 0, text.stderr
    assert re.search(r"^ASPECTS_FIRST_MONTH +2021-09 +environment$", text.stdout, re.MULTILINE)
    assert re.search(r"^CLICKHOUSE_ADMIN_PASSWORD +\*{8} +config\.yml \(", text.stdout, re.MULTILINE)
    assert "hunter2" not in text.stdout
    rows = json.loads(run_command("--json", **environ).stdout)
    assert rows == [vars(row) for row in effective_settings(load_settings(environ))]
    assert [row["name"] for row in rows] == [d.name for d in documented_settings()]


def test_the_command_names_what_it_refuses_and_exits_with_2() -> None:
    refused = run_command(ASPECTS_FIRST_MONTH="soon", ASPECTS_CLICKHOUSE_URL="http://ana:TopSecret@ch:port")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "ASPECTS_FIRST_MONTH: 'soon' is not a month" in refused.stderr
    assert "ASPECTS_CLICKHOUSE_URL: " in refused.stderr
    assert "TopSecret" not in refused.stderr
    assert "Traceback" not in refused.stderr


# --- what is watched besides ClickHouse


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

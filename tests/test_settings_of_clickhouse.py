"""Settings of the ClickHouse to talk to: in pieces, in one URL, or both."""

from pathlib import Path

import pytest
from services.settings_given import TUTOR_4, refusal, sources, values, with_config

from aspects_orchestration.settings import (
    ClickHouseAddress,
    load_settings,
)


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

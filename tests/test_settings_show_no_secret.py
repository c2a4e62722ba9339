"""No secret among the settings is ever shown, by the command either."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from services.settings_given import TUTOR_4, TUTOR_5, values, with_config

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings import (
    documented_settings,
    effective_settings,
    load_settings,
)

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
        timeout=300,
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

"""The Tutor plugin beside real tutor and tutor-contrib-aspects: what is rendered is what Aspects is set to."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import clickhouse_connect
import pytest
import sqlalchemy as sa
import yaml
from dagster import DagsterInstance
from pydantic import SecretStr
from services.documents import DOCUMENTS, blocks
from services.lms_rows import LmsTables
from services.mariadb import MariaDb
from services.site import stop_server
from services.tutor import OURS, PLUGIN, ROOT, Rendered, Tutor, save, tutor

from aspects_orchestration.settings import Settings, documented_settings, load_settings
from aspects_orchestration.settings.watched import RedisAddress
from aspects_orchestration.warehouse import server

pytestmark = pytest.mark.slow
__all__ = ["tutor"]  # a fixture
SERVICES = {f"{OURS}-code", f"{OURS}-daemon", f"{OURS}-webserver"}
CONFIGURATIONS: dict[str, dict[str, str]] = {
    "defaults": {},
    "external_tls": {
        "RUN_CLICKHOUSE": "false",
        "CLICKHOUSE_HOST": "clickhouse.example.org",
        "CLICKHOUSE_SECURE_CONNECTION": "true",
        "ENABLE_HTTPS": "true",
        "LMS_HOST": "learn.example.org",
        "RALPH_HOST": "ralph.example.org",
        "RALPH_RUN_HTTPS": "true",
        "RUN_REDIS": "false",
        "REDIS_HOST": "redis.example.org",
        "REDIS_PORT": "6380",
        "REDIS_USERNAME": "openedx",
        "REDIS_PASSWORD": "of-redis",
        "ASPECTS_REDIS_TLS": "true",
        "RUN_SUPERSET": "false",
        "RUN_VECTOR": "false",
        "ASPECTS_DATA_TTL_EXPRESSION": "toDateTime(emission_time) + INTERVAL 18 MONTH",
    },
    "pii_ralph": {
        "ASPECTS_ENABLE_PII": "true",
        "ASPECTS_XAPI_SOURCE": "ralph",
        "RALPH_DATABASE": "statements",
        "ASPECTS_EVENT_SINK_DATABASE": "sink",
        "XAPI_AGENT_IFI_TYPE": "mbox",
        "ORCHESTRATION_CLICKHOUSE_PASSWORD": 'it\'s $HOME #1 "quoted"',
        "ORCHESTRATION_MYSQL_PASSWORD": 'it\'s \\ $HOME `id` "quoted"',
        "RUN_RALPH": "true",
        "RALPH_PORT": "8123",
        "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": "true",
        "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": "true",
    },
    "cluster_s3": {
        "CLICKHOUSE_CLUSTER_NAME": "main",
        "ASPECTS_ENABLE_EVENT_BUS_CONSUMER": "true",
        "ASPECTS_ENABLE_EVENT_BUS_PRODUCER": "true",
        "EVENT_BUS_KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092,kafka-2:9092",
        "EVENT_BUS_KAFKA_API_SECRET": "of-kafka",
        "EVENT_BUS_TOPIC_PREFIX": "prod",
        "ASPECTS_TRACKING_LOGS": "s3://bucket/logs",
        "ASPECTS_TRACKING_LOG_ARCHIVE": "s3://bucket/archive",
        "AWS_SECRET_ACCESS_KEY": "of-the-bucket",
        "ASPECTS_ALERT_URLS": "json://alerts.example.org/hook",
        "ASPECTS_DATA_TTL_EXPRESSION": "",
    },
}


@pytest.fixture(scope="session")
def sites(tutor: Tutor, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    folder = tmp_path_factory.mktemp("sites")
    return {name: save(tutor, folder / name, given) for name, given in CONFIGURATIONS.items()}


@pytest.fixture(params=sorted(CONFIGURATIONS))
def site(request: pytest.FixtureRequest, sites: dict[str, Rendered]) -> Rendered:
    return sites[request.param]


def environment(site: Rendered, *files: str) -> dict[str, str]:
    """An env file as Docker Compose reads it: values in single quotes are literal, but for backslash and quote."""
    found = {}
    for file in files or ("settings", "secrets"):
        for line in site.text(f"plugins/{OURS}/apps/{file}.env").splitlines():
            matched = re.fullmatch(r"([A-Z0-9_]+)='((?:[^'\\]|\\.)*)'", line)
            assert matched, f"{file}.env has a line that is no setting"
            found[matched[1]] = matched[2].replace("\\'", "'")
    return found


def in_kubernetes(site: Rendered) -> dict[str, str]:
    documents = site.documents(f"plugins/{OURS}/k8s/settings.yml")
    assert [one["kind"] for one in documents] == ["ConfigMap", "Secret", "Secret"]
    return {**documents[0]["data"], **documents[1]["stringData"]}


def loaded(values: dict[str, str]) -> Settings:
    return load_settings({"ASPECTS_HOME": "/var/lib/aspects-orchestration/aspects", **values})


def test_settings_are_those_of_aspects(site: Rendered) -> None:
    values = environment(site)
    # In Kubernetes no service leads to Vector.
    assert {**values, "ASPECTS_VECTOR_HOST": ""} == {**in_kubernetes(site), "ASPECTS_VECTOR_HOST": ""}
    settings = loaded(values)
    printed = site.printed(
        "CLICKHOUSE_INTERNAL_HTTP_PORT",
        "CLICKHOUSE_HOST",
        "CLICKHOUSE_SECURE_CONNECTION",
        "ORCHESTRATION_CLICKHOUSE_USER",
        "CLICKHOUSE_CLUSTER_NAME",
        "ASPECTS_XAPI_DATABASE",
        "ASPECTS_RAW_XAPI_TABLE",
        "ASPECTS_EVENT_SINK_DATABASE",
        "ASPECTS_DATA_TTL_EXPRESSION",
        "ASPECTS_ENABLE_PII",
        "ENABLE_HTTPS",
        "LMS_HOST",
        "ASPECTS_TRACKING_LOGS",
        "RUN_RALPH",
    )
    assert settings.clickhouse is not None
    assert (settings.clickhouse.host, str(settings.clickhouse.port)) == (
        printed["CLICKHOUSE_HOST"],
        printed["CLICKHOUSE_INTERNAL_HTTP_PORT"],
    )
    assert settings.clickhouse.secure == (printed["CLICKHOUSE_SECURE_CONNECTION"].lower() == "true")
    assert settings.clickhouse.user == printed["ORCHESTRATION_CLICKHOUSE_USER"]
    assert values["CLICKHOUSE_ADMIN_PASSWORD"] == site.config["ORCHESTRATION_CLICKHOUSE_PASSWORD"]
    assert settings.cluster_name == printed["CLICKHOUSE_CLUSTER_NAME"]
    assert settings.xapi_database == printed["ASPECTS_XAPI_DATABASE"]
    assert settings.raw_xapi_table == printed["ASPECTS_RAW_XAPI_TABLE"]
    assert settings.event_sink_database == printed["ASPECTS_EVENT_SINK_DATABASE"]
    assert settings.data_ttl_expression == printed["ASPECTS_DATA_TTL_EXPRESSION"]
    assert settings.enable_pii == (printed["ASPECTS_ENABLE_PII"].lower() == "true")
    https = printed["ENABLE_HTTPS"].lower() == "true"
    assert settings.lms_root_url == f"{'https' if https else 'http'}://{printed['LMS_HOST']}"
    assert settings.tracking_log_prefixes == tuple(printed["ASPECTS_TRACKING_LOGS"].split(","))
    assert not settings.is_embedded
    assert not settings.uses_sample_logs
    # Ralph as the LMS reaches it, for loads that go through it.
    if settings.watched.ralph is not None:
        assert settings.ralph_username == site.config["RALPH_LMS_USERNAME"]
        assert settings.ralph_password.get_secret_value() == site.config["RALPH_LMS_PASSWORD"]
    else:
        assert printed["RUN_RALPH"].lower() != "true"
        assert "RALPH_LMS_PASSWORD" not in values


def test_the_configurations_differ_as_they_should(sites: dict[str, Rendered]) -> None:
    by_name = {name: loaded(environment(site)) for name, site in sites.items()}
    assert by_name["defaults"].xapi_database == "openedx"
    assert by_name["pii_ralph"].xapi_database == "statements"
    assert by_name["pii_ralph"].enable_pii
    assert not by_name["defaults"].enable_pii
    assert by_name["cluster_s3"].cluster_name == "main"
    assert by_name["cluster_s3"].data_ttl_expression == ""
    tls = by_name["external_tls"].clickhouse
    assert tls is not None
    assert (tls.secure, tls.port) == (True, 8443)


def test_what_is_watched_is_where_the_deployment_has_it(sites: dict[str, Rendered]) -> None:
    by_name = {name: loaded(environment(site)).watched for name, site in sites.items()}
    usual, elsewhere, ralph, kafka = (
        by_name[name] for name in ("defaults", "external_tls", "pii_ralph", "cluster_s3")
    )
    assert usual.celery == RedisAddress("redis", 6379, 0)
    assert usual.cache == RedisAddress("redis", 6379, 1)
    assert (usual.ralph, usual.vector, usual.superset) == (
        None,
        ("http://vector:8686",),
        "http://superset:8088",
    )
    assert usual.bus_redis is usual.bus_kafka is None

    assert elsewhere.celery == RedisAddress(
        "redis.example.org", 6380, 0, "openedx", SecretStr("of-redis"), tls=True
    )
    assert (elsewhere.ralph, elsewhere.vector, elsewhere.superset) == (
        "https://ralph.example.org:443",
        (),
        None,
    )

    assert ralph.ralph == "http://ralph:8123"
    assert ralph.bus_redis == RedisAddress("redis", 6379, 0)
    assert (ralph.bus_topic, ralph.bus_groups) == ("dev-analytics", ("event_routing_backends",))

    assert kafka.bus_kafka is not None
    assert kafka.bus_kafka.bootstrap_servers == "kafka-1:9092,kafka-2:9092"
    assert kafka.bus_redis is None
    assert kafka.bus_topic == "prod-analytics"
    for site in sites.values():
        assert loaded(in_kubernetes(site)).watched.vector == ()
        config_map = str(site.documents(f"plugins/{OURS}/k8s/settings.yml")[0])
        assert "of-redis" not in config_map
        assert "of-kafka" not in config_map


def test_every_setting_is_passed_on_or_said_not_to_be(sites: dict[str, Rendered]) -> None:
    """A new setting is either taken from Tutor, or stands in docs/tutor.md as one that is not."""
    plugin = "".join(one.read_text() for one in (PLUGIN / "tutoraspectsorchestration").glob("*.py"))
    named = set(
        re.findall(r"`([A-Z_]+)`", (ROOT / "docs/tutor.md").read_text().partition("Not passed on")[2])
    )
    missing = {one.name for one in documented_settings()} - set(re.findall(r'"([A-Z_0-9]+)"', plugin)) - named
    assert missing == set()
    assert sites


def test_the_documents_read_settings_from_tutors_own_root(sites: dict[str, Rendered], tmp_path: Path) -> None:
    """What they show with `tutor config printroot`, with this Tutor."""
    shown = {
        one.text
        for document in DOCUMENTS
        for one in blocks(document)
        if "$(tutor config printroot)" in one.text
    }
    assert len(shown) >= 2
    site = sites["pii_ralph"]
    program = site.tutor.python.with_name("tutor")
    tutor = f'tutor() {{ PYTHONPATH={site.tutor.plugin} {site.tutor.python} {program} "$@"; }}'
    names = ("ASPECTS_", "CLICKHOUSE_", "AWS_", "LMS_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    environ |= {
        "TUTOR_ROOT": str(site.root),
        "ASPECTS_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
    }
    for text in shown:
        commands = f"{tutor}\n{text}\npython -m aspects_orchestration.settings\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"^ASPECTS_ENABLE_PII +true +.*config\.yml", done.stdout, re.MULTILINE), done.stdout


def test_only_documented_settings_are_passed_on(site: Rendered) -> None:
    assert {name for name in environment(site) if not name.startswith("AWS_")} <= {
        one.name for one in documented_settings()
    }


def test_compose_services_are_hardened_and_publish_nothing(site: Rendered) -> None:
    services = site.documents("local/docker-compose.yml")[0]["services"]
    jobs = site.documents("local/docker-compose.jobs.yml")[0]["services"]
    assert {name for name in services if name.startswith(OURS)} == SERVICES
    for name in SERVICES:
        published = services[name].get("ports", [])
        assert published == (["127.0.0.1:3100:3000"] if name.endswith("webserver") else [])
        assert set(services[name]["depends_on"]) <= set(services)
        assert services[name]["healthcheck"]["test"][0] == "CMD"
    for service in [*(services[name] for name in SERVICES), jobs[f"{OURS}-job"]]:
        assert (service["user"], service["read_only"], service["cap_drop"]) == ("1000:1000", True, ["ALL"])
        mounts = dict(reversed(one.split(":")[:2]) for one in service["volumes"])
        logs = [one for one in service["volumes"] if "/logs" in one]
        assert [one.rsplit(":", 1)[1] for one in logs] == ["ro", "ro"]
        assert mounts["/openedx/logs/lms"] == "../../data/lms/logs"
        assert mounts["/openedx/logs/cms"] == "../../data/cms/logs"
        local = site.root / "env/local"
        files = [one for one in mounts.values() if "plugins" in one] + service["env_file"]
        assert all((local / one).resolve().is_file() for one in files)
    assert OURS not in site.text("apps/caddy/Caddyfile")


def test_no_secret_outside_of_the_files_for_secrets(site: Rendered) -> None:
    ours = {
        site.config[name] for name in ("ORCHESTRATION_CLICKHOUSE_PASSWORD", "ORCHESTRATION_MYSQL_PASSWORD")
    } | {site.config[name] for name in ("AWS_SECRET_ACCESS_KEY", "ASPECTS_ALERT_URLS") if name in site.config}
    allowed = {
        site.root / f"env/plugins/{OURS}" / one
        for one in ("apps/secrets.env", "apps/mysql-init.env", "k8s/settings.yml")
    }
    for file in (site.root / "env").rglob("*"):
        if file.is_file() and file not in allowed:
            assert not [one for one in ours if one in file.read_text(errors="replace")], file
    config_map = site.documents(f"plugins/{OURS}/k8s/settings.yml")[0]
    assert not [one for one in site.secrets() if one in str(config_map)]


def test_kubernetes_manifests_fit_together(site: Rendered) -> None:
    every = [
        one
        for file in ("deployments", "services", "volumes", "jobs")
        for one in site.documents(f"k8s/{file}.yml")
    ]
    mine = {
        (one["kind"], one["metadata"]["name"]): one
        for one in every
        if "orchestration" in one["metadata"]["name"]
    }
    assert set(mine) == {
        ("Deployment", OURS),
        ("Service", OURS),
        ("PersistentVolumeClaim", OURS),
        ("Job", f"{OURS}-job"),
        ("Job", "orchestration-mysql-job"),
    }
    deployment, service = mine["Deployment", OURS]["spec"], mine["Service", OURS]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels == service["selector"]
    assert service["type"] == "ClusterIP"
    config_files = {"dagster.yaml", "workspace.yaml"}
    for pod in (deployment["template"]["spec"], mine["Job", f"{OURS}-job"]["spec"]["template"]["spec"]):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        volumes = {one["name"] for one in pod["volumes"]}
        for container in pod["containers"]:
            assert {one["name"] for one in container["volumeMounts"]} <= volumes
            assert {one["subPath"] for one in container["volumeMounts"] if "subPath" in one} <= config_files
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["resources"]["limits"]["memory"] == "4Gi"
            assert {one["name"] for one in container.get("env", [])} <= {"DAGSTER_MODULE_NAME"}
    assert [one["name"] for one in deployment["template"]["spec"]["containers"]] == [
        "code",
        "daemon",
        "webserver",
    ]
    assert all("livenessProbe" in one for one in deployment["template"]["spec"]["containers"])


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which builds the kustomization, is not here"
)
def test_kustomize_builds_it(site: Rendered) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", site.root / "env"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    built = [one for one in yaml.safe_load_all(done.stdout) if one]
    (deployment,) = [one for one in built if (one["kind"], one["metadata"]["name"]) == ("Deployment", OURS)]
    (config,) = [
        one["configMap"]["name"]
        for one in deployment["spec"]["template"]["spec"]["volumes"]
        if one["name"] == "config"
    ]
    (held,) = [one for one in built if one["kind"] == "ConfigMap" and one["metadata"]["name"] == config]
    assert set(held["data"]) == {"dagster.yaml", "workspace.yaml"}
    named = {(one["kind"], one["metadata"]["name"]) for one in built}
    assert {("ConfigMap", f"{OURS}-settings"), ("Secret", OURS)} <= named


def test_grants_are_those_of_the_project(sites: dict[str, Rendered]) -> None:
    """Every grant of sql/grants.sql, with the site's names; those for clusters and personal data where they belong."""
    wanted = [line for line in (ROOT / "sql/grants.sql").read_text().splitlines() if line.startswith("GRANT")]
    patch = (PLUGIN / "tutoraspectsorchestration/patches/clickhouse-extra-sql").read_text()
    names = {
        "ORCHESTRATION_CLICKHOUSE_USER": "aspects_pipeline",
        "ASPECTS_XAPI_DATABASE": "xapi",
        "ASPECTS_RAW_XAPI_TABLE": "xapi_events_all",
        "ASPECTS_EVENT_SINK_DATABASE": "event_sink",
        "ASPECTS_ORCHESTRATION_DATABASE": "aspects_orchestration",
        "DBT_PROFILE_TARGET_DATABASE": "reporting",
    }
    for name, value in names.items():
        patch = patch.replace(f"{{{{ {name} }}}}", value)
    patch = re.sub(r"\{%.*?%\}", "", patch).replace("GRANT {{ on }} ", "GRANT ")
    assert [line for line in patch.splitlines() if line.startswith("GRANT")] == wanted
    assert sites  # rendered without a template error


def test_the_dagster_instance_is_that_of_the_project(sites: dict[str, Rendered], tmp_path: Path) -> None:
    text = sites["defaults"].text(f"plugins/{OURS}/apps/dagster.yaml")
    rendered = yaml.safe_load(text)
    kept = {"storage", "local_artifact_storage", "compute_logs"}
    project = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    assert {name: value for name, value in rendered.items() if name not in kept} == project
    home, state = tmp_path / "etc", tmp_path / "state"
    home.mkdir()
    (home / "dagster.yaml").write_text(text.replace("/var/lib/aspects-orchestration", str(state)))
    home.chmod(0o555)
    with DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("months", ["2024-05"])
        assert instance.get_dynamic_partitions("months") == ["2024-05"]
    assert (state / "dagster/storage").is_dir()
    assert [one.name for one in home.iterdir()] == ["dagster.yaml"]


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A `docker` on the path that writes down what it was asked, one argument a record."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" >> '{tmp_path}/asked'\necho '[]'\n")
    program.chmod(0o755)
    return folder


def test_backfill_asks_for_the_month_and_names_no_secret(
    sites: dict[str, Rendered], docker: Path, tmp_path: Path
) -> None:
    site = sites["cluster_s3"]
    done = site.run("local", "do", "aspects-backfill", "--month", "2024-05", "--dry-run", path=docker)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().split("\0")
    assert f"{OURS}-job" in asked
    (command,) = [one for one in asked if "dagster asset" in one]
    config = '{"ops": {"xapi_events_all": {"config": {"dry_run": true}}}}'
    assert command.strip().endswith(
        f"dagster asset materialize --select xapi_events_all --config-json '{config}' --partition 2024-05"
    )
    seen = "\0".join(asked) + done.stdout + done.stderr
    assert not [secret for secret in site.secrets() if secret in seen]


def test_the_backfill_that_was_asked_for_runs(
    sites: dict[str, Rendered], docker: Path, tmp_path: Path
) -> None:
    """The very command line of the job, run here on the sample logs with an embedded ClickHouse."""
    arguments = ("--month", "2024-05", "--dry-run", "--since", "2024-05-03", "--until", "2024-05-04T12:00")
    done = sites["defaults"].run("local", "do", "aspects-backfill", *arguments, path=docker)
    assert done.returncode == 0, done.stderr
    (command,) = [one for one in (tmp_path / "asked").read_text().split("\0") if "dagster asset" in one]
    home = tmp_path / "home"
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "ASPECTS_HOME": str(home),
        "DAGSTER_MODULE_NAME": "aspects_orchestration.definitions",
    }
    try:
        run = subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    finally:
        stop_server(home)
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    # A dry run materializes nothing, so that there is nothing to check after it.
    assert "skipped dependencies: ['xapi_events_all.result']" in run.stderr


@pytest.mark.parametrize("name", ["pii_ralph", "cluster_s3"])
def test_clickhouse_can_read_the_grants_and_is_told_a_hash(
    sites: dict[str, Rendered], docker: Path, tmp_path: Path, name: str
) -> None:
    """The SQL that Aspects' own initialisation hands to ClickHouse for us; the embedded server parses it."""
    site = sites[name]
    done = site.run("local", "do", "init", "--limit", "aspects", path=docker)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text()
    password = site.config["ORCHESTRATION_CLICKHOUSE_PASSWORD"]
    assert password not in asked
    sql = asked[asked.index("CREATE USER IF NOT EXISTS `ch_orchestration`") :].split("\nEOF", 1)[0]
    statements = [one.strip() for one in sql.split(";") if one.strip()]
    assert len(statements) > 30
    assert hashlib.sha256(password.encode()).hexdigest() in statements[0]
    assert all(("ON CLUSTER 'main'" in one) == (name == "cluster_s3") for one in statements)
    assert any("INSERT ON `sink`.user_profile" in one for one in statements) == (name == "pii_ralph")
    home = tmp_path / "home"
    try:
        address = server.ensure_running(home, grants=())
        port = {"host": address.host, "port": address.http_port}
        admin = clickhouse_connect.get_client(
            **port, username=address.admin_user, password=address.admin_password
        )
        for statement in statements:
            assert admin.command(f"EXPLAIN AST {statement}")
        admin.close()
    finally:
        stop_server(home)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--month", "2024-13"),
        ("--month", "2024-05; reboot"),
        ("--month", "2024-05", "--source", "{{ CLICKHOUSE_ADMIN_PASSWORD }}"),
        ("--month", "2024-05", "--since", "yesterday"),
        (),
    ],
)
def test_what_is_no_month_or_time_is_refused(
    sites: dict[str, Rendered], docker: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = sites["defaults"].run("local", "do", "aspects-backfill", *arguments, path=docker)
    assert done.returncode == 2
    assert not (tmp_path / "asked").exists()


def test_initialisation_tells_no_password_of_ours(
    sites: dict[str, Rendered], docker: Path, tmp_path: Path
) -> None:
    site = sites["pii_ralph"]
    done = site.run("local", "do", "init", "--limit", OURS, path=docker)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text()
    assert "orchestration-mysql-job" in asked
    assert (
        "GRANT SELECT (id, username, email, is_active, date_joined) ON \\`openedx\\`.auth_user TO 'orchestration'@'%'"
        in asked
    )
    assert site.config["ORCHESTRATION_MYSQL_PASSWORD"] not in asked + done.stdout
    assert site.config["MYSQL_ROOT_PASSWORD"] not in asked + done.stdout


def test_the_initialisation_of_mysql_makes_the_reader(
    sites: dict[str, Rendered], docker: Path, tmp_path: Path, mariadb: MariaDb, lms: LmsTables
) -> None:
    """The very script of the job, run here by a shell with MariaDB's own client; its password has every kind of quote."""
    site = sites["pii_ralph"]
    done = site.run("local", "do", "init", "--limit", OURS, path=docker)
    assert done.returncode == 0, done.stderr
    script = next(one for one in (tmp_path / "asked").read_text().split("\0") if "READER_PASSWORD" in one)
    database = str(lms.engine.url.database)
    # As it stands but for where the server is, and the database's name.
    script = script.replace("`openedx\\`", f"`{database}\\`")
    script = re.sub(r"--host '\S+' --port \d+", f"--socket '{mariadb.folder / 's'}'", script)
    init = environment(site, "mysql-init")
    for _ in range(2):
        run = subprocess.run(
            ["sh", "-e", "-c", script],
            env={"PATH": os.environ["PATH"], "READER_PASSWORD": init["READER_PASSWORD"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
    url = sa.URL.create(
        "mysql+pymysql",
        "orchestration",
        CONFIGURATIONS["pii_ralph"]["ORCHESTRATION_MYSQL_PASSWORD"],
        "127.0.0.1",
        mariadb.port,
        database,
    )
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as reader:
        assert reader.scalar(sa.text("SELECT count(email) FROM auth_user")) == 0
        with pytest.raises(sa.exc.OperationalError, match="SELECT command denied"):
            reader.execute(sa.text("SELECT password FROM auth_user"))
    # The address that loads get is that user's too.
    rendered = sa.make_url(environment(site, "secrets")["ASPECTS_LMS_DATABASE_URL"])
    assert (rendered.username, rendered.password) == (url.username, url.password)
    root = sa.create_engine(mariadb.root_url, poolclass=sa.NullPool)
    with root.begin() as connection:
        connection.execute(sa.text("DROP USER 'orchestration'@'%'"))


def test_the_image_is_built_from_a_mounted_checkout(tutor: Tutor, docker: Path, tmp_path: Path) -> None:
    site = save(tutor, tmp_path / "root", {})
    checkout = tmp_path / OURS
    checkout.mkdir()
    assert site.run("mounts", "add", str(checkout)).returncode == 0
    done = site.run("images", "build", OURS, path=docker)
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().split("\0")
    assert f"--build-context=source={checkout}" in asked
    dockerfile = site.text(f"plugins/{OURS}/build/{OURS}/Dockerfile")
    assert "--require-hashes -r requirements.lock" in dockerfile
    assert dockerfile.rstrip().endswith("USER 1000:1000")
    copied = re.findall(r"^COPY --from=source (.*) \S+$", dockerfile, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())

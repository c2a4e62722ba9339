"""deploy/celery and deploy/kubernetes hold what Dagster, Celery, systemd and Kubernetes read, as far as can be seen here.

There is no cluster and no helm: the chart's values are given to the classes that the chart configures with them, and
manifests are held against the Kubernetes API's own model.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from dagster import DagsterInstance
from dagster._config import process_config, resolve_to_config_type
from dagster_aws.s3 import S3ComputeLogManager
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
from services.web import ROOT

from aspects_orchestration.scale_out.launcher import WatchedCeleryRunLauncher
from aspects_orchestration.settings import documented_settings, load_settings

CELERY, KUBERNETES = ROOT / "deploy/celery", ROOT / "deploy/kubernetes"
MANIFESTS = ["settings.yaml", "secrets.example.yaml", "network-policy.yaml"]


def environment_example() -> dict[str, str]:
    lines = (CELERY / "environment.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def manifests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in MANIFESTS:
        found += yaml.safe_load_all((KUBERNETES / name).read_text())
    return found


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / "values.yaml").read_text())
    return found


def requirement(name: str) -> str:
    return re.search(rf"^{name}==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]  # type: ignore[index]


# --- Celery ------------------------------------------------------------------------------------------------------


def test_dagster_takes_the_instance_of_deploy_celery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(CELERY / "dagster.yaml", tmp_path)
    for name, value in environment_example().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    config = yaml.safe_load((tmp_path / "dagster.yaml").read_text())
    assert process_config(WatchedCeleryRunLauncher.config_type(), config["run_launcher"]["config"]).success
    # All but the storage, which connects when it is made: the test of the workers does that.
    config["storage"] = {"sqlite": {"base_dir": str(tmp_path / "storage")}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with DagsterInstance.get() as instance:
        assert isinstance(instance.run_launcher, WatchedCeleryRunLauncher)
        assert isinstance(instance.compute_log_manager, S3ComputeLogManager)
        assert instance.run_launcher.celery.conf.result_expires == 604800
        assert instance.run_monitoring_enabled
        assert not instance.run_launcher.supports_resume_run


def test_the_example_environment_is_accepted_and_names_settings_that_exist() -> None:
    given = environment_example()
    ours = {name for name in given if not name.startswith("DAGSTER_")}
    assert ours <= {one.name for one in documented_settings()}
    settings = load_settings(given)
    assert settings.several_machines
    assert settings.quarantine_uri == "s3://my-bucket/archive/quarantine"
    wanted = set(re.findall(r"\{env: (\w+)\}", (CELERY / "dagster.yaml").read_text()))
    assert wanted <= given.keys()


@pytest.mark.parametrize("unit", sorted(CELERY.glob("*.service")), ids=lambda unit: unit.stem)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze")
    # Programs and users of the machine that it is for are not here.
    here = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(here.replace("User=aspects-orchestration\n", ""))
    done = subprocess.run(
        [program, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not said, said
    assert "NoNewPrivileges=yes" in here
    assert "EnvironmentFile=" in here


def test_the_units_start_programs_that_are_installed_with_options_that_they_have() -> None:
    for unit in CELERY.glob("*.service"):
        line = re.search(
            r"^ExecStart=/opt/aspects-orchestration/\.venv/bin/(.+)$", unit.read_text(), re.MULTILINE
        )
        assert line, unit
        program, *arguments = line[1].split()
        shown = subprocess.run(
            [
                str(ROOT / ".venv/bin" / program),
                *[one for one in arguments if one in {"run", "worker"}],
                "--help",
            ],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin", "DAGSTER_HOME": "/tmp"},
        ).stdout
        for option in (one for one in arguments if one.startswith("--")):
            assert option in shown, (unit.name, option)


# --- Kubernetes --------------------------------------------------------------------------------------------------


def unknown_fields(manifest: Any, kind: str, path: str = "") -> list[str]:
    """Fields of a manifest that the Kubernetes API's model of its kind does not have."""
    scalar = {"str", "int", "bool", "object", "float", "datetime", "IntOrString"}
    if kind in scalar:
        return []
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(manifest, list), path
        return [one for item in manifest for one in unknown_fields(item, found[1], f"{path}[]")]
    if found := re.fullmatch(r"dict\(str, (.+)\)|dict\[str, (.+)\]", kind):
        assert isinstance(manifest, dict), path
        return []
    model = getattr(kubernetes.client, kind)
    names = {shown: (name, model.openapi_types[name]) for name, shown in model.attribute_map.items()}
    bad = []
    for name, value in manifest.items():
        if name not in names:
            bad.append(f"{path}.{name}")
        else:
            bad += unknown_fields(value, names[name][1], f"{path}.{name}")
    return bad


def test_manifests_are_what_the_api_knows() -> None:
    kinds = [one["kind"] for one in manifests()]
    assert kinds == ["ConfigMap", "Secret", "Secret", "NetworkPolicy"]
    for one in manifests():
        assert unknown_fields(one, f"V1{one['kind']}") == []
    (policy,) = (one for one in manifests() if one["kind"] == "NetworkPolicy")
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": {}}]}], "nobody from outside the namespace"


def test_settings_and_secrets_are_accepted_together() -> None:
    settings, secrets, *_ = manifests()
    ours = {**settings["data"], **secrets["stringData"]}
    known = {one.name for one in documented_settings()}
    assert {name for name in ours if not name.startswith("AWS_")} <= known
    found = load_settings({"ASPECTS_HOME": "/var/lib/aspects-orchestration", **ours})
    assert found.several_machines
    assert found.transform_workers == 4
    secret = {one.name for one in documented_settings() if "Secret." in one.meaning}
    assert secret
    assert not secret & settings["data"].keys()


def test_runs_become_jobs_of_least_privilege_that_the_api_knows() -> None:
    given = values()["runLauncher"]["config"]["k8sRunLauncher"]
    raw = given["runK8sConfig"]
    config = {
        "service_account_name": "dagster",
        "instance_config_map": "dagster-instance",
        "dagster_home": "/opt/dagster/dagster_home",
        "postgres_password_secret": "dagster-postgresql-secret",
        "image_pull_policy": given["imagePullPolicy"],
        # As the chart writes it into dagster.yaml.
        "run_k8s_config": {
            "container_config": raw["containerConfig"],
            "pod_spec_config": raw["podSpecConfig"],
            "job_spec_config": raw["jobSpecConfig"],
        },
    }
    taken = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), config)
    assert taken.success, taken.errors
    deployment = values()["dagster-user-deployments"]["deployments"][0]
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(
            job_image="registry.example.org/aspects-orchestration:0.1.0",
            dagster_home="/opt/dagster/dagster_home",
            instance_config_map="dagster-instance",
            env_config_maps=[one["name"] for one in deployment["envConfigMaps"]],
            env_secrets=[one["name"] for one in deployment["envSecrets"]],
            volumes=deployment["volumes"],
            volume_mounts=deployment["volumeMounts"],
        ),
        ["dagster", "api", "execute_run"],
        "a-run",
        user_defined_k8s_config=UserDefinedDagsterK8sConfig.from_dict(taken.value["run_k8s_config"]),
    )
    spec = job.to_dict()["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["security_context"]["run_as_non_root"] is True
    assert spec["termination_grace_period_seconds"] == 120
    assert container["security_context"]["read_only_root_filesystem"] is True
    assert container["security_context"]["capabilities"] == {"add": None, "drop": ["ALL"]}
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "4Gi"}
    written = {mount["mount_path"] for mount in container["volume_mounts"]}
    assert {"/tmp", "/var/lib/aspects-orchestration"} <= written, "what a read-only root lets a run write"
    names = {one["config_map_ref"]["name"] for one in container["env_from"] if one.get("config_map_ref")}
    assert names == {manifests()[0]["metadata"]["name"]}
    names = {one["secret_ref"]["name"] for one in container["env_from"] if one.get("secret_ref")}
    assert names == {manifests()[1]["metadata"]["name"]}


def test_every_pod_of_the_chart_is_hardened_probed_and_bounded() -> None:
    found = values()
    server, daemon = found["dagsterWebserver"], found["dagsterDaemon"]
    code = found["dagster-user-deployments"]["deployments"][0]
    for pod in (server, daemon, code):
        assert unknown_fields(pod["podSecurityContext"], "V1PodSecurityContext") == []
        assert unknown_fields(pod["securityContext"], "V1SecurityContext") == []
        assert unknown_fields(pod["resources"], "V1ResourceRequirements") == []
        assert unknown_fields(pod["volumes"], "list[V1Volume]") == []
        assert pod["podSecurityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["resources"]["limits"]["memory"]
        assert pod["image"] == server["image"]
    for probe in ("readinessProbe", "startupProbe", "livenessProbe"):
        assert unknown_fields(server[probe], "V1Probe") == []
        assert server[probe]["httpGet"]["port"] == server["service"]["port"]
    assert server["service"]["type"] == "ClusterIP"
    assert found["global"]["postgresqlSecretName"] == manifests()[2]["metadata"]["name"]
    assert not [
        one
        for one in re.findall(r"assword\w*: *(\S+)", (KUBERNETES / "values.yaml").read_text())
        if one != "false"
    ]


def test_versions_in_the_files_are_those_of_the_lock() -> None:
    assert f"--version {requirement('dagster')} " in (KUBERNETES / "values.yaml").read_text()


def test_the_image_is_made_of_files_that_are_here() -> None:
    text = (KUBERNETES / "Dockerfile").read_text()
    copied = [one for line in re.findall(r"^COPY ([^-].+) \S+$", text, re.MULTILINE) for one in line.split()]
    assert set(copied) == {
        "setup.py",
        "aspects_orchestration/native",
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "LICENSE",
        "aspects_orchestration",
        "sql",
    }
    assert all((ROOT / one).exists() for one in copied)
    assert "--require-hashes" in text
    assert text.rstrip().endswith("USER 1000:1000")


def test_images_have_the_compiled_part(tmp_path: Path) -> None:
    tutor = "tutor/tutoraspectsorchestration/templates/aspects-orchestration/build/aspects-orchestration/Dockerfile"
    made = "RUN python setup.py build_ext --inplace"
    for dockerfile in (KUBERNETES / "Dockerfile", KUBERNETES.parent / tutor):
        text = dockerfile.read_text()
        assert made in text
        assert (
            "COPY --from=compiled /build/aspects_orchestration/_native*.so ./aspects_orchestration/" in text
        )
        assert "aspects_orchestration._native" in text.split(made)[1]
    # As the stage does it, with what it has: this file and this folder.
    shutil.copy(ROOT / "setup.py", tmp_path)
    shutil.copytree(ROOT / "aspects_orchestration" / "native", tmp_path / "aspects_orchestration" / "native")
    subprocess.run([sys.executable, *made.split()[2:]], cwd=tmp_path, check=True, capture_output=True)
    assert list((tmp_path / "aspects_orchestration").glob("_native*.so"))

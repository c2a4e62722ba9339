"""Tutor with Aspects and this project's plugin, as a site has it: what it renders, and what it answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.venvs import python_with

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "deploy/tutor"
OURS = "aspects-orchestration"
PACKAGES = ["tutor-contrib-aspects==6.1.0", "tutor==22.0.2"]
# `tutor config printvalue` for many names in one process: each start of tutor takes seconds.
PRINT_VALUES = """
import json, sys
from tutor import config, hooks
hooks.Actions.CORE_READY.do()
hooks.Actions.PROJECT_ROOT_READY.do(sys.argv[1])
values = config.load(sys.argv[1])
print(json.dumps({name: str(values[name]) for name in sys.argv[2:]}))
"""


@dataclass(frozen=True)
class Tutor:
    """tutor, tutor-contrib-aspects and the plugin: a Python that has the first two, and a folder with the third."""

    python: Path
    plugin: Path


@dataclass(frozen=True)
class Rendered:
    """A Tutor project root after `tutor config save`."""

    root: Path
    tutor: Tutor

    def run(self, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self._python(str(self.tutor.python.with_name("tutor")), *arguments, path=path)

    def _python(self, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        search = os.environ["PATH"] if path is None else f"{path}{os.pathsep}{os.environ['PATH']}"
        environ = {
            "TUTOR_ROOT": str(self.root),
            "HOME": str(self.root),
            "PATH": search,
            "PYTHONPATH": str(self.tutor.plugin),
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.run(
            [self.tutor.python, *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def text(self, path: str) -> str:
        return (self.root / "env" / path).read_text()

    def documents(self, path: str) -> list[dict[str, Any]]:
        return [one for one in yaml.safe_load_all(self.text(path)) if one]

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load((self.root / "config.yml").read_text())  # type: ignore[no-any-return]

    def printed(self, *names: str) -> dict[str, str]:
        """What `tutor config printvalue` prints for each."""
        done = self._python("-c", PRINT_VALUES, str(self.root), *names)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def secrets(self) -> set[str]:
        """Passwords of this root, as they stand in config.yml."""
        return {
            str(value)
            for name, value in self.config.items()
            if value and re.search("PASSWORD|SECRET|ALERT_URLS", name)
        }


@pytest.fixture(scope="session")
def tutor(tmp_path_factory: pytest.TempPathFactory) -> Tutor:
    python = python_with("tutor-22.0.2-aspects-6.1.0", PACKAGES)
    folder = tmp_path_factory.mktemp("tutor")
    source = shutil.copytree(
        PLUGIN, folder / "source", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", folder / "plugin", source],
        check=True,
        timeout=120,
    )
    return Tutor(python, folder / "plugin")


def save(tutor: Tutor, root: Path, given: dict[str, str]) -> Rendered:
    root.mkdir()
    # YAML's own quoting, as tutor reads --set as YAML.
    (root / "config.yml").write_text(
        yaml.safe_dump(
            {
                "PLUGINS": ["aspects", OURS],
                **{k: {"true": True, "false": False}.get(v, v) for k, v in given.items()},
            }
        )
    )
    rendered = Rendered(root, tutor)
    done = rendered.run("config", "save")
    assert done.returncode == 0, done.stderr[-3000:]
    return rendered

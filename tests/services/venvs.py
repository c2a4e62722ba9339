"""Environments of their own for programs of others that pin other versions than this project has.

Each is made by pip once a machine, below the user's cache folder; of several processes of tests that find none, one
makes it and the others wait.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

_INSTALL_TIMEOUT_S = 500


def python_with(name: str, packages: list[str]) -> Path:
    """The Python that has these packages; made if it is not there yet.

    Where nothing can be installed the test is skipped, or fails where nothing may be skipped.

    Args:
        name: of the environment, with what it has of whose version.
        packages: as pip takes them, pinned.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    venv = cache / "aspects-orchestration-tests" / f"{name}-{version}"
    venv.parent.mkdir(parents=True, exist_ok=True)
    with venv.with_name(f"{venv.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            _make(venv, packages)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            why = f"{name} cannot be installed here by pip ({type(error).__name__}): {said.decode()[-300:]}"
            if os.environ.get("ASPECTS_TESTS_REQUIRE_ALL"):
                pytest.fail(f"ASPECTS_TESTS_REQUIRE_ALL is set, but {why}")
            pytest.skip(why)
    return venv / "bin/python"


def _make(venv: Path, packages: list[str]) -> None:
    # Written last, so that one whose making was interrupted is made again.
    whole, wanted = venv / "whole", "\n".join(packages)
    if whole.exists() and whole.read_text() == wanted:
        return
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [str(venv / "bin/python"), *pip, *packages],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_TIMEOUT_S)
    whole.write_text(wanted)

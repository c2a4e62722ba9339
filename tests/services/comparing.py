"""Comparisons that need a process of their own, since Django's settings and the patches are global."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Runs a module as `python -m` does, where the compiled part is not to be had.
_NOT_COMPILED = (
    "import runpy, sys; sys.modules['aspects_orchestration._native'] = None; del sys.argv[0];"
    " runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def compared(module: str, *arguments: str, compiled: bool = True) -> dict[str, Any]:
    """What `python -m services.<module>` found; its last word is one JSON object."""
    how = ["-m"] if compiled else ["-c", _NOT_COMPILED]
    found = subprocess.run(
        [sys.executable, *how, f"services.{module}", *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    result: dict[str, Any] = json.loads(found.stdout)
    return result

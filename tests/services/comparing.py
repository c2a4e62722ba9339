"""Comparisons that need a process of their own, since Django's settings and the patches are global."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def compared(module: str, *arguments: str) -> dict[str, Any]:
    """What `python -m services.<module>` found; its last word is one JSON object."""
    found = subprocess.run(
        [sys.executable, "-m", f"services.{module}", *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    result: dict[str, Any] = json.loads(found.stdout)
    return result

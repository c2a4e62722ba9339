"""The commands of this project: what each says of itself when it is asked for --help."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import aspects_orchestration

_PACKAGE = Path(aspects_orchestration.__file__).parent
_WIDTH = "100"


def commands() -> Iterator[str]:
    """A page in Markdown: every module that can be run and takes arguments."""
    yield "# Commands\n\nWhat can be run from a shell beside `dagster` and `dg`, as each says of itself with `--help`.\n"
    os.environ["COLUMNS"] = _WIDTH  # argparse fits its text to the terminal
    for name in runnable():
        told = _help(name)
        yield f"\n## {name.removeprefix('aspects_orchestration.')}\n\n```text\n{told.rstrip()}\n```\n"
        for command in re.findall(r"^    ([a-z]+)  ", _subcommands(told), re.MULTILINE):
            yield f"\n```text\n{_help(name, command).rstrip()}\n```\n"


def runnable() -> list[str]:
    """The modules for `python -m` that read a command line."""
    found = []
    for path in _PACKAGE.rglob("*.py"):
        text = path.read_text()
        reads = "argparse.ArgumentParser(" in text or "cli import main" in text
        if reads and ('__name__ == "__main__"' in text or path.name == "__main__.py"):
            module = path.relative_to(_PACKAGE.parent).with_suffix("")
            found.append(".".join(module.parts).removesuffix(".__main__"))
    return sorted(found)


def _subcommands(told: str) -> str:
    _, _, rest = told.partition("  COMMAND\n")
    return rest.partition("\n\n")[0]


def _help(name: str, *command: str) -> str:
    told, arguments = io.StringIO(), sys.argv
    sys.argv = [name, *command, "--help"]
    try:
        with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that it was imported before
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    finally:
        sys.argv = arguments
    return told.getvalue()

"""Every command that a document shows is run, here or by a test that is named here, or the document says why it is not.

A block of commands is fenced as `sh`, a statement for ClickHouse as `sql`. Those that cannot be run on a machine of the
tests have a line `*Not run here: …*` below them. Nothing else that is fenced may look like a command.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from services.documents import DOCUMENTS, ROOT, Block, blocks, named
from services.preloaded import preloaded
from services.receivers import Hook, web_hook
from services.site import stop_server

LANGUAGES = {"sh", "sql", "yaml", "json", "text"}
_COMMAND = re.compile(
    r"^(?:\$ )?(?:export|make|python3?|dagster|dg|tutor|kubectl|helm|pip|git|ssh|zcat|curl|docker|psql|aws|sudo|cd)\s"
    r"|python -m ",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Elsewhere:
    """Blocks that another test runs: those of a document, or of all, that begin with or have some words."""

    test: str
    document: str = ""
    words: str = ""

    def holds(self, block: Block) -> bool:
        """Whether a block is one of them."""
        return self.document in {"", block.document} and self.words in f"\n{block.text}"


ELSEWHERE = (
    Elsewhere("tests/test_demo.py", words="\nmake demo\n"),
    Elsewhere("tests/test_ui_in_a_browser.py", words="\nmake dev\n"),
    Elsewhere(".ci/run", words="\nmake test lint"),
    Elsewhere(".ci/run", words="\nmake docs\n"),
    Elsewhere("tests/test_metrics_are_what_prometheus_reads.py", words="aspects_orchestration.metrics\n"),
    Elsewhere("tests/test_the_runbook_restores_everything.py", "docs/disaster-recovery.md"),
    Elsewhere("tests/test_statements_go_through_ralph.py", "docs/replay-through-ralph.md", "destination"),
    Elsewhere("tests/test_statements_are_written_as_files.py", "docs/statements-as-files.md", "FROM s3("),
    Elsewhere("tests/test_a_cluster_is_loaded_whole.py", "docs/cluster.md", "ENGINE = Distributed("),
    Elsewhere("tests/test_tutor_plugin_renders.py", words="$(tutor config printroot)"),
)
_SEAL = 'dg launch --assets tracking_log_archive --partition "$(date -u -d "2 days ago" +%F)"\n'
_LOADED = (
    'test -d "$ASPECTS_HOME/archive/quarantine" || dg launch --assets xapi_events_all --partition 2024-05\n'
)
_LIVE = """
export ASPECTS_LIVE_LOG=$ASPECTS_HOME/live/tracking.log
mkdir -p "$ASPECTS_HOME/live"
echo "{}" > "$ASPECTS_LIVE_LOG"
touch -d "1 hour ago" "$ASPECTS_LIVE_LOG"
"""
#: What has to be there before the commands of a document make sense.
BEFORE = {
    "docs/archive-verify-and-release.md": _SEAL,
    "docs/log-rotation.md": _LIVE,
    "docs/personal-data.md": _LOADED,
    "docs/restore-drill.md": _SEAL + "python -m aspects_orchestration.jobs.recover all\n",
    "docs/when-something-fails.md": _LOADED,
}
#: They remove logs or add to them, of a site of their own.
OWN_HOME = {"docs/archive-verify-and-release.md", "docs/log-rotation.md", "docs/restore-drill.md"}
#: Commands that exit with 1 when they find something, as they do on a sample of 2024, and what they say then.
FINDS = {
    "python -m aspects_orchestration.doctor": "[1-9][0-9]* danger",
    "dagster job execute -j check_pipeline_health": "Newest statement|Age of the newest",
    "dagster job execute -j check_dashboards": "no materialized view hangs on",
}
#: What stands for something of the reader's own.
MEANT = {
    ". .venv/bin/activate\n": "",
    ".aspects/": '"$ASPECTS_HOME"/',
    "<id>": """'"$(plan)"'""",
}
_SHELL = r"""
plan() { grep -oE '\bplan:? [0-9a-f]{12}\b' "$SAID" | tail -n 1 | grep -oE '[0-9a-f]{12}'; }
said() { grep -qE "$1" "$SAID"; }
"""


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, preloaded(Path(folder)) as found:
        yield found


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("home")
    yield made
    stop_server(made)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Hook]:
    with web_hook() as hook:
        yield hook


def _shown() -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document)]


def _is_run_here(block: Block) -> bool:
    if block.language not in {"sh", "sql"} or block.why_not_run:
        return False
    return not any(one.holds(block) for one in ELSEWHERE)


RUN_HERE = [one for one in DOCUMENTS if any(map(_is_run_here, blocks(one)))]


def test_every_block_says_what_it_is() -> None:
    assert [str(one) for one in _shown() if one.language not in LANGUAGES] == []
    hidden = [
        str(one)
        for one in _shown()
        if one.language not in {"sh", "sql"} and not one.why_not_run and _COMMAND.search(one.text)
    ]
    assert hidden == [], "fence commands as sh, so that they are run, or say below why they are not"


def test_every_other_test_that_is_named_runs_something() -> None:
    for one in ELSEWHERE:
        assert (ROOT / one.test).exists(), one
        assert any(one.holds(block) and not block.why_not_run for block in _shown()), one


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN_HERE, ids=named)
def test_commands_run_as_they_are_shown(
    document: Path, shared_home: Path, tmp_path: Path, programs: Path, receiver: Hook
) -> None:
    """In a shell of an operator who has installed the project, in the checkout, with no setting of their own."""
    name = named(document)
    home = tmp_path / "home" if name in OWN_HOME else shared_home
    script = _SHELL + BEFORE.get(name, "") + "".join(map(_script, filter(_is_run_here, blocks(document))))
    # Messages go to a receiver of our own, in place of the addresses that are shown.
    script = re.sub(r'(?<=ASPECTS_ALERT_URLS=)".*"', f'"{receiver.url}"', script)
    names = ("ASPECTS_", "CLICKHOUSE_", "DAGSTER_", "AWS_", "LMS_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(names)}
    environ |= {
        "ASPECTS_HOME": str(home),
        "SAID": str(tmp_path / "said"),
        "PATH": f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}",
    }
    try:
        with (tmp_path / "said").open("wb") as said:
            done = subprocess.run(
                ["bash", "-xeuo", "pipefail", "-c", script],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
            )
    finally:
        if home != shared_home:
            stop_server(home)
    assert done.returncode == 0, (tmp_path / "said").read_text(errors="replace")[-5000:]
    if "aspects_orchestration.alerts test" in script:
        assert receiver.titles


@pytest.mark.slow
def test_commands_within_sentences_know_their_options(programs: Path) -> None:
    """`python -m … --option` in a sentence: the module is there, and its --help has the option."""
    asked: dict[tuple[str, ...], set[str]] = {}
    for document in DOCUMENTS:
        for command in re.findall(r"`(python -m aspects_orchestration[^`\n]*)`", document.read_text()):
            words = shlex.split(command)
            given = {one.partition("=")[0] for one in words if one.startswith("--")}
            # A subcommand is a plain word right behind the module.
            module = words[2 : 4 if re.fullmatch("[a-z]+", "".join(words[3:4])) else 3]
            asked.setdefault(tuple(module), set()).update(given)
    assert len(asked) > 5
    for module, options in asked.items():
        told = subprocess.run(
            [programs / "python", "-m", *module, "--help"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, (module, told.stderr)
        assert {one for one in options if one not in told.stdout} == set(), module


def _script(block: Block) -> str:
    text = block.text
    for shown, meant in MEANT.items():
        text = text.replace(shown, meant)
    if block.language == "sql":
        server = "python -m aspects_orchestration.warehouse.server sql --admin"
        return f"{server} 'SYSTEM FLUSH LOGS'\n{server} {shlex.quote(text)}\n"
    if block.sets_only:
        # Each line by itself: two may set the same, one in place of the other.
        settings = "python -m aspects_orchestration.settings > /dev/null\n"
        return f"(\n{''.join(line + settings for line in text.splitlines(keepends=True))})\n"
    for command, found in FINDS.items():
        text = re.sub(
            rf"^{re.escape(command)}.*$", rf"\g<0> || said {shlex.quote(found)}", text, flags=re.MULTILINE
        )
    return text

"""Runs in processes of their own: to start, to listen to, to kill, and to see them gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from services.site import Site

_PROGRAM = Path(__file__).with_name("load_once.py")


def start(site: Site, month: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `load_once.py`: MONTH [STATEMENTS_A_SLICE [MODE [DESTINATION]]]."""
    return site.popen(
        *("-u", str(_PROGRAM), month, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def materializing(site: Site, month: str) -> subprocess.Popen[bytes]:
    """Start the real command."""
    return site.popen(
        *("dagster", "asset", "materialize", "--select", "xapi_events_all", "--partition", month),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def said(process: subprocess.Popen[bytes], what: str) -> bool:
    """Read on until a line holds these words; False if the process ended before."""
    assert process.stdout is not None
    return any(what.encode() in line for line in process.stdout)


def kill(process: subprocess.Popen[bytes], after_s: float) -> None:
    """Kill a run -9 after so many seconds if it has not ended by then; its workers are not touched, but must go."""
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    # A worker that was just starting has its imports before it, and only then looks around for its parent.
    assert_gone(process, within_s=30)


def assert_gone(process: subprocess.Popen[bytes], within_s: float) -> None:
    """See that no process of a run outlives it for longer than so many seconds."""
    deadline = time.monotonic() + within_s
    while left := _session_of(process):
        assert time.monotonic() < deadline, f"{len(left)} processes outlive their run"
        time.sleep(0.05)


def _session_of(process: subprocess.Popen[bytes]) -> list[int]:
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == process.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found

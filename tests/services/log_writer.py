"""A process that writes tracking events into a log as the LMS does, at a steady pace.

`python -m services.log_writer LOG NAME LINES LINES_A_SECOND HANDLER`, with PYTHONPATH of the tests: the handler is `watched`
(Python's WatchedFileHandler, as edx-platform has it) or `deaf` (a FileHandler, which does not follow renames). Prints
`ready` when its first line is written; ends when its last one is, or when it is told to (SIGTERM), and prints how many it
wrote. With 0 lines a second it writes a line for each that it reads from its standard input.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
Writing = subprocess.Popen[str]


def start(
    log: Path, name: str, lines: int = 1, rate: int = 0, handler: str = "watched"
) -> subprocess.Popen[str]:
    """Start one and wait for its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "services.log_writer", str(log), name, str(lines), str(rate), handler],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def write_line(process: Writing) -> None:
    """Let one that was started without a pace write a line."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "written\n"


def end(process: Writing) -> None:
    """End one that was started without a pace."""
    process.communicate(timeout=300)


def told_to_end(process: Writing) -> int:
    """Let one that writes at a pace end with the line that it is at; how many it wrote."""
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return int(output)


def event(writer: str, number: int, at: datetime) -> str:
    """A line as the LMS writes it."""
    body = {
        "name": "edx.course.enrollment.activated",
        "event_type": "edx.course.enrollment.activated",
        "event_source": "server",
        "username": writer,
        "context": {"course_id": "course-v1:edX+DemoX+Demo_Course"},
        "time": at.isoformat(),
        "event": {"number": number, "padding": "x" * 900},
    }
    return json.dumps(body)


def main(log: str, name: str, lines: str, rate: str, handler: str) -> None:
    """Write."""
    kind = {"watched": WatchedFileHandler, "deaf": logging.FileHandler}[handler]
    tracking = logging.getLogger("tracking")
    tracking.propagate = False
    tracking.addHandler(kind(log))
    tracking.error(event(name, 0, datetime.now(UTC)))
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    _say("ready")
    started = time.monotonic()
    if not int(rate):
        for number, _ in enumerate(sys.stdin, 1):
            tracking.error(event(name, number, datetime.now(UTC)))
            _say("written")
        return
    number = 1
    while number < int(lines) and not told:
        time.sleep(max(0.0, started + number / int(rate) - time.monotonic()))
        tracking.error(event(name, number, datetime.now(UTC)))
        number += 1
    _say(str(number))


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

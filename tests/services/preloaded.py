"""Commands such as `dagster …` and `python -m …`, seconds sooner: each is a process that has its imports already.

The real command line in a process of its own, with its own arguments, environment, folder and output. But that process is
forked from one that has loaded Dagster and this project, which takes a processor longer than most commands do.

    with preloaded(folder) as programs:
        subprocess.run(["bash", "-c", "dagster --version"], env={**os.environ, "PATH": f"{programs}:/usr/bin:/bin"})
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("dagster", "dg", "python")
_MODULES = (
    "dagster._cli",
    "dagster_dg_cli.cli",
    "aspects_orchestration.definitions",
    "aspects_orchestration.doctor.examine",
    "aspects_orchestration.jobs.recover",
)
#: Hands over arguments, environment, folder and the three streams; then waits for the exit code.
_CLIENT = """#!{python} -SI
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
program = os.path.basename(sys.argv[0])
asked = json.dumps([program, sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(server, [len(asked).to_bytes(8, "big")], [0, 1, 2])
server.sendall(asked)
code = server.recv(4)
sys.exit(int(code) if code else 70)
"""


@contextmanager
def preloaded(folder: Path) -> Iterator[Path]:
    """A folder with the programs, to be put first on PATH. What still runs at the end is stopped.

    Args:
        folder: an empty one. Its path should be short, as that of a socket may have some hundred characters only.
    """
    path = folder / "socket"
    for name in PROGRAMS:
        program = folder / name
        program.write_text(_CLIENT.format(python=sys.executable, path=str(path)))
        program.chmod(0o755)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(path)],
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == b"ready\n", (folder / "log").read_text()
        yield folder
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _serve(path: str) -> None:
    for module in _MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the collector of a fork would copy every page that it looks at
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever has answered is not waited for
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            asking, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(asking)
                os._exit(0)
            asking.close()


def _answer(asking: socket.socket) -> None:
    size, streams, _, _ = socket.recv_fds(asking, 8, 3)
    with asking.makefile("rb") as whole:
        program, arguments, environ, folder = json.loads(whole.read(int.from_bytes(size, "big")))
    child = os.fork()
    if child == 0:
        asking.close()
        for to, stream in enumerate(streams):
            os.dup2(stream, to)
            os.close(stream)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        os._exit(_run(program, arguments))
    _, status = os.waitpid(child, 0)
    asking.sendall(str(max(os.waitstatus_to_exitcode(status), -1) % 256).encode())


def _run(program: str, arguments: list[str]) -> int:
    """Run a program to its end, with all that the interpreter does then, save taking to pieces what was loaded."""
    code = 0
    try:
        if program != "python":
            path = str(Path(sys.executable).with_name(program))
            sys.argv = [path, *arguments]
            runpy.run_path(path, run_name="__main__")
        else:
            assert arguments[:1] == ["-m"], arguments
            sys.argv = arguments[1:]
            sys.path[0] = ""
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        if isinstance(left.code, str):
            sys.stderr.write(f"{left.code}\n")
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])

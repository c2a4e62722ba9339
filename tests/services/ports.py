"""Ports of 127.0.0.1 for servers that must be told theirs: each is given once, to one process of the tests.

A port that was only looked for (bound to 0 and let go) may be taken before its server has started: by another server,
or by any connection, whose near end lies in the system's own range. Those given here lie below that range, and a lock
that lasts as long as the process keeps other processes of the tests from giving them too. So a server that is killed
finds its port again, and a port where nobody listens stays so.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from functools import cache
from pathlib import Path

_FIRST = 15_000
# The system's own ports begin at 32768 on Linux, higher elsewhere.
_END = 32_000
_HELD: list[int] = []


def free_port() -> int:
    """A port that nobody listens on, and that is given to nobody else while this process runs.

    Raises:
        RuntimeError: all are taken.
    """
    for port in itertools.islice(_ports(), _END - _FIRST):
        descriptor = os.open(_folder() / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(descriptor)
            continue
        _HELD.append(descriptor)
        return port
    raise RuntimeError(f"no port between {_FIRST} and {_END} is free")


@cache
def _ports() -> itertools.cycle[int]:
    # Processes begin at different places, for a short search.
    begin = _FIRST + os.getpid() * 97 % (_END - _FIRST)
    return itertools.cycle([*range(begin, _END), *range(_FIRST, begin)])


@cache
def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"aspects-orchestration-tests-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder

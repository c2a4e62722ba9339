"""The embedded ClickHouse server: start it on demand, find it, stop it.

`ensure_running(home)` is all that most callers need. From a shell:
`python -m aspects_orchestration.warehouse.server --help`.
"""

from __future__ import annotations

import sys

from aspects_orchestration.warehouse.embedded.control import (
    ServerAddress,
    ensure_running,
    query,
    require_engine,
    status,
    stop,
)

__all__ = ["ServerAddress", "ensure_running", "query", "require_engine", "status", "stop"]

if __name__ == "__main__":
    from aspects_orchestration.warehouse.embedded.cli import main

    sys.exit(main(sys.argv[1:]))

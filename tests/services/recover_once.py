"""Recovery in a process of its own that ends itself by SIGKILL after the first step not among STEPS: STEPS ARGUMENTS….

The arguments are those of `python -m aspects_orchestration.jobs.recover`; STEPS are by comma. A step is anything that this
process changes in ClickHouse, named after its SQL file or table; the second time, and any later one, it is another step.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from aspects_orchestration.jobs.recover import main
from aspects_orchestration.warehouse.client import Warehouse


def watch(passed: set[str]) -> None:
    """Let each step be known, and the first that is new be the last."""
    seen: set[str] = set()

    def reached(name: str) -> None:
        step = f"{name} again" if name in seen else name
        seen.add(name)
        if step not in passed:
            sys.stderr.write(f"killed after: {step}\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(method: str, named: Callable[[tuple[Any, ...], dict[str, Any]], str]) -> None:
        send = getattr(Warehouse, method)

        def sending(self: Warehouse, *values: Any, **more: Any) -> Any:
            done = send(self, *values, **more)
            reached(named(values, more))
            return done

        setattr(Warehouse, method, sending)

    wrap("run_statement", lambda _, more: more["step"].split()[0])
    wrap("insert_rows", lambda values, _: _into(values[1]))
    wrap("insert_json", lambda values, _: _into(values[1]))
    wrap("insert_from", lambda values, _: values[0])


def _into(table: str) -> str:
    return f"insert into {table.split('_', maxsplit=1)[0]}"


if __name__ == "__main__":
    watch(set(sys.argv[1].split(",")))
    sys.exit(main(sys.argv[2:]))

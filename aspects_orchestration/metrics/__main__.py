"""`python -m aspects_orchestration.metrics`: serve the readings of all signals to Prometheus."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.metrics.collect import FRESH_S, LookNow, Signals
from aspects_orchestration.monitoring.model import Standing
from aspects_orchestration.monitoring.readers import all_readers
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.monitoring.watch import Look, look
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings

_PORT = 9360


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it, or print once.

    Returns:
        The exit code: 1 if the settings cannot be used or the port cannot be had.
    """
    given = _parser().parse_args(arguments)
    try:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Signals(_look_now(), fresh_s=given.fresh_seconds))
    except AspectsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if given.once:
        sys.stdout.write(generate_latest(registry).decode())
        return 0
    try:
        server, thread = start_http_server(given.port, addr=given.host, registry=registry)
    except OSError as error:
        sys.stderr.write(
            f"Port {given.port} of {given.host} cannot be had ({error.strerror}). Give another: --port.\n"
        )
        return 1
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sys.stdout.write(f"http://{given.host}:{server.server_port}/metrics\n")
    sys.stdout.flush()
    ended.wait()
    server.shutdown()
    thread.join()
    return 0


def _look_now() -> LookNow:
    """Takes looks at all signals of the site, for the settings in force now."""
    settings = load_settings()
    rules = load_rules(settings.alerts_file)

    def look_now(before: Mapping[str, Standing]) -> Look:
        return look(all_readers(settings), rules=rules, before=before, now=utc_now())

    return look_now


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.metrics",
        description="Serve the readings of all signals in Prometheus' text format. They are read at a scrape.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine alone)"
    )
    parser.add_argument(
        "--port", type=int, default=_PORT, help="port to listen on (%(default)s; 0: any free one)"
    )
    parser.add_argument(
        "--fresh-seconds",
        type=float,
        default=FRESH_S,
        metavar="SECONDS",
        help="a scrape that comes sooner gets the same readings again (%(default)s)",
    )
    parser.add_argument("--once", action="store_true", help="print them and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())

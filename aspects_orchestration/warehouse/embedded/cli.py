"""The command line of the embedded server."""

from __future__ import annotations

# ruff: noqa: T201 - printing is what a command line is for
import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.warehouse.embedded.control import (
    ServerAddress,
    ensure_running,
    query,
    status,
    stop,
)
from aspects_orchestration.warehouse.embedded.place import Place
from aspects_orchestration.warehouse.schema import SchemaNames, pipeline_grants

RUNNING, STOPPED, FAILED = 0, 3, 1


def main(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: what follows the program's name.

    Returns:
        exit code: 0, 1 after an error, 3 from `status` when no server runs.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(_site(options.home), options))
    except AspectsError as error:
        print(error, file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.warehouse.server",
        description="The ClickHouse server that this project brings along, for a machine that has no other. "
        "It starts by itself when something needs it; these commands start, stop and look at it by hand.",
        epilog="Its data, passwords and logs are in <home>/clickhouse. It listens on 127.0.0.1 only.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home", type=Path, help="the project's state directory (default: the setting ASPECTS_HOME)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    start = commands.add_parser("start", parents=[common], help="start it, unless it runs already")
    start.add_argument("--http-port", type=int, default=0, help="default 0: the last one, or a free one")
    start.add_argument("--tcp-port", type=int, default=0, help="likewise, for the native protocol")
    start.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="default %(default)g")
    start.set_defaults(command=_start)

    halt = commands.add_parser("stop", parents=[common], help="stop it in order")
    halt.add_argument("--timeout", type=float, default=30, metavar="SECONDS", help="default %(default)g")
    halt.set_defaults(command=_stop)

    state = commands.add_parser(
        "status", parents=[common], help="does it run, and where (exit code 0: running, 3: stopped)"
    )
    state.add_argument("--json", action="store_true", help="url, user, password, pid and path, for programs")
    state.add_argument("--admin", action="store_true", help="with --json: the admin's user and password")
    state.set_defaults(command=_status)

    sql = commands.add_parser("sql", parents=[common], help="run one statement; starts the server if need be")
    sql.add_argument("statement", nargs="?", help="default: read from standard input")
    sql.add_argument("--format", default="PrettyCompact", help="of the answer (default: %(default)s)")
    sql.add_argument("--admin", action="store_true", help="as the admin, not as the pipeline's user")
    sql.set_defaults(command=_sql)
    return parser


@dataclass(frozen=True)
class _Site:
    home: Path
    grants: Sequence[str] | None


def _site(home: Path | None) -> _Site:
    if home is not None:
        return _Site(home, None)
    from aspects_orchestration.settings import load_settings  # --home must not have to pay for it

    settings = load_settings()
    names = SchemaNames(
        settings.xapi_database,
        settings.raw_xapi_table,
        settings.event_sink_database,
        settings.orchestration_database,
    )
    return _Site(settings.home, pipeline_grants(names))


def _start(site: _Site, options: argparse.Namespace) -> int:
    address = ensure_running(
        site.home,
        timeout_s=options.timeout,
        grants=site.grants,
        http_port=options.http_port,
        tcp_port=options.tcp_port,
    )
    _describe(address)
    return RUNNING


def _stop(site: _Site, options: argparse.Namespace) -> int:
    root = Place.of(site.home).root
    print(f"Stopped {root}" if stop(site.home, options.timeout) else f"None was running in {root}")
    return 0


def _status(site: _Site, options: argparse.Namespace) -> int:
    address = status(site.home)
    if options.json:
        print(json.dumps(_for_programs(site, address, admin=options.admin), indent=2))
    elif address is None:
        print(f"Stopped: {Place.of(site.home).root}")
    else:
        _describe(address)
    return STOPPED if address is None else RUNNING


def _sql(site: _Site, options: argparse.Namespace) -> int:
    statement = options.statement if options.statement is not None else sys.stdin.read()
    address = ensure_running(site.home, grants=site.grants)
    for piece in query(
        address, statement, admin=options.admin, timeout_s=3600, options={"default_format": options.format}
    ):
        sys.stdout.buffer.write(piece)
    sys.stdout.flush()
    return 0


def _for_programs(site: _Site, address: ServerAddress | None, *, admin: bool) -> dict[str, object]:
    if address is None:
        return {"running": False, "path": str(Place.of(site.home).root)}
    return {
        "running": True,
        "url": address.url,
        "user": address.admin_user if admin else address.user,
        "password": address.admin_password if admin else address.password,
        "pid": address.pid,
        "path": str(address.path),
        "http_port": address.http_port,
        "tcp_port": address.tcp_port,
    }


def _describe(address: ServerAddress) -> None:
    print(f"Running: {address.url} (native {address.tcp_port}), process {address.pid}, in {address.path}")

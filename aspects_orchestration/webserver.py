"""Dagster's web server, which no other site can speak to through an operator's browser.

    python -m aspects_orchestration.webserver -w workspace.yaml -h 127.0.0.1 -p 3000

takes what `dagster-webserver` takes. Dagster answers a mutation that comes as GET, whatever page it comes from and whatever
host is asked for: a picture on any web page that an operator opens could start a job, on the loopback, through a tunnel, or
with the cookie of a login. Here a request is let through if it names a host that is ours and comes from our own pages.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings import load_settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_READS: Final = {"GET", "HEAD"}
#: Names that no stranger can have: without a dot, or within a cluster.
_INSIDE: Final = re.compile(r"[a-z0-9_-]+|(?:[a-z0-9_-]+\.)+(?:localhost|svc|svc\.cluster\.local|internal)")


class Guard:
    """Lets through what an operator's own page asks for.

    Args:
        app: the web server.
        hosts: names under which operators reach it, besides those inside of a network and addresses.
    """

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        why = self._refusal(scope)
        if not why:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = f"Refused: {why}.\n".encode()
            head = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 403, "headers": head})
            await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> str:
        """Why a request is not let through; nothing if it is."""
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = _name(f"//{given.get('host', '')}")
        if not self._is_ours(host):
            return "this host is not known; name it in ASPECTS_DAGSTER_URL"
        is_graphql = scope["path"].rstrip("/").endswith("/graphql")
        is_read = scope["type"] == "http" and scope["method"] in _READS
        if (
            is_graphql
            and is_read
            and {"query", "id"} & parse_qs(scope["query_string"].decode("latin-1")).keys()
        ):
            return "queries come by POST"
        if is_read and not is_graphql:
            return ""  # pages, to which anybody may link
        return "" if self._from_our_pages(given, host) else "it comes from another site"

    def _from_our_pages(self, given: Mapping[str, str], host: str) -> bool:
        if given.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return False
        origin = given.get("origin")
        # Programs send none; a browser does with all that changes something.
        return origin is None or (
            _name(origin) == host and _port(origin) == _port(f"//{given.get('host', '')}")
        )

    def _is_ours(self, host: str) -> bool:
        if host in self._hosts or _INSIDE.fullmatch(host):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _port(url: str) -> int | None:
    """The port that is named; None for the usual one of either scheme, since a proxy may have ended TLS."""
    try:
        port = urlsplit(url).port
    except ValueError:
        return 0
    return None if port in {80, 443} else port


def main() -> None:
    """`dagster-webserver`, guarded. ASPECTS_DAGSTER_URL names the host under which operators reach it."""
    # What it starts is put behind the guard; its own options, logging and code locations stay as they are.
    cli: Any = import_module("dagster_webserver.cli")
    make = cli.create_app_from_workspace_process_context
    try:
        hosts = frozenset({_name(load_settings().dagster_url)})
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)

    def guarded(*given: Any, **how: Any) -> Any:
        return Guard(make(*given, **how), hosts)

    cli.create_app_from_workspace_process_context = guarded
    cli.main()


if __name__ == "__main__":
    main()

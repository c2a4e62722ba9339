"""A connection to ClickHouse that goes to the server that was named, and to no other.

clickhouse-connect follows redirects. The password stays behind then, but the statements would go to wherever somebody on
the way, or a balancer that was set up wrongly, sends them: with the rows of an insert in them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from urllib3 import PoolManager

    from aspects_orchestration.settings import ClickHouseAddress

_LOCK = threading.Lock()
#: What connections that are checked by the machine's own authorities share.
_SHARED: dict[str, PoolManager] = {}


def connect(
    address: ClickHouseAddress, *, connect_s: int, answer_s: int, alone: bool
) -> tuple[Client, PoolManager | None]:
    """Connect.

    Args:
        address: where, and as whom.
        connect_s, answer_s: how long to wait for a connection, and for each piece of an answer.
        alone: not from the pool that connections share.

    Returns:
        The client, and a pool of its own, which `let_go` ends; None where it shares one.
    """
    import clickhouse_connect

    pool, is_own = _pool(address, alone=alone)
    try:
        client = clickhouse_connect.get_client(
            host=address.host,
            port=address.port,
            username=address.user,
            password=address.password.get_secret_value(),
            secure=address.secure,
            autogenerate_session_id=False,
            connect_timeout=connect_s,
            send_receive_timeout=answer_s,
            pool_mgr=pool,
            query_retries=0,
            client_name="aspects-orchestration",
            form_encode_query_params=True,  # thousands of URIs do not fit into a URL
            compress=address.host not in {"127.0.0.1", "localhost", "::1"},
        )
    except BaseException:
        if is_own:
            let_go(pool)
        raise
    return client, pool if is_own else None


def let_go(pool: PoolManager) -> None:
    """End the connections of a pool of a client's own."""
    from clickhouse_connect.driver.httputil import all_managers

    pool.clear()
    all_managers.pop(pool, None)


def _pool(address: ClickHouseAddress, *, alone: bool) -> tuple[PoolManager, bool]:
    from clickhouse_connect.driver.httputil import check_env_proxy, get_pool_manager

    scheme = "https" if address.secure else "http"
    proxy = check_env_proxy(scheme, address.host, address.port)
    how: dict[str, Any] = {f"{scheme}_proxy": proxy} if proxy else {}
    if address.secure and (address.ca_cert is not None or not address.verify):
        how |= {"verify": address.verify, "ca_cert": str(address.ca_cert) if address.ca_cert else None}
        alone = True
    if alone:
        return _staying(get_pool_manager(**how)), True
    with _LOCK:
        key = f"{scheme} {proxy}"
        if key not in _SHARED:
            _SHARED[key] = _staying(get_pool_manager(**how))
        return _SHARED[key], False


def _staying(pool: PoolManager) -> PoolManager:
    """The pool, for which an answer that names another place is an answer and no more."""
    go = pool.urlopen

    def urlopen(method: str, url: str, redirect: bool = True, **how: Any) -> Any:  # noqa: ARG001
        return go(method, url, redirect=False, **how)

    pool.urlopen = urlopen  # type: ignore[method-assign]
    return pool

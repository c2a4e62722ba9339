"""ClickHouse behind TLS, a balancer and somebody's upgrade: nobody reads along, and a load goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from services.site import Site
from services.theirs import TheirServer
from services.tls import TlsProxy, certificate, tls_in_front_of
from services.views import COUNTS, chain_views

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.replay import load as replay_load
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.warehouse.answers import UnreachableError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.publish import plan_publish

SPEC = SampleSpec(lines=6_000, damage=0.01)
MONTH = "2024-05"
#: So few that publishing is many inserts.
SLICE = 150


def connection(site: Site) -> Warehouse:
    """As the site's settings say, without making or looking at any table."""
    address = site.settings.clickhouse
    assert address is not None
    return Warehouse(address, run_id="tls")


@pytest.fixture
def behind_tls(site: Site, theirs: TheirServer, tmp_path: Path) -> Iterator[TlsProxy]:
    """Their server behind TLS, in the site's settings, its authority known."""
    cert, key = certificate(tmp_path / "tls")
    with tls_in_front_of(theirs.address.http_port, cert, key) as proxy:
        site.environ["ASPECTS_CLICKHOUSE_URL"] = theirs.url(port=proxy.port, scheme="https")
        site.environ["CLICKHOUSE_CA_CERT"] = str(cert)
        site.environ["ASPECTS_DATA_TTL_EXPRESSION"] = ""
        yield proxy


# --- certificates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "known", "what", "do"),
    [
        ({}, False, "self-signed certificate", "CLICKHOUSE_CA_CERT"),
        ({"of": "127.0.0.2"}, True, "not valid for '127.0.0.1'", "CLICKHOUSE_HOST"),
        ({"until": timedelta(days=-1)}, True, "expired", "renewed"),
        ({"since": timedelta(hours=1)}, True, "not yet valid", "clock"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused_before_a_password_is_sent(
    site: Site,
    theirs: TheirServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    made: dict[str, object],
    known: bool,
    what: str,
    do: str,
) -> None:
    cert, key = certificate(tmp_path / "tls", **made)  # type: ignore[arg-type]
    with tls_in_front_of(theirs.address.http_port, cert, key) as proxy:
        site.environ["ASPECTS_CLICKHOUSE_URL"] = theirs.url(port=proxy.port, scheme="https")
        if known:
            site.environ["CLICKHOUSE_CA_CERT"] = str(cert)
        with pytest.raises(WarehouseError) as refused:
            connection(site).rows("server_time_zone")
        assert proxy.received == 0
        assert what in refused.value.what
        assert do in refused.value.do
        assert theirs.address.password not in caplog.text + str(refused.value)
        site.environ["CLICKHOUSE_VERIFY"] = "false"
        site.environ.pop("CLICKHOUSE_CA_CERT", None)
        assert connection(site).rows("server_time_zone"), "only who says so goes without"


def test_who_mistakes_one_port_for_the_other_is_told(
    site: Site, theirs: TheirServer, behind_tls: TlsProxy
) -> None:
    assert connection(site).rows("server_time_zone")
    site.environ["ASPECTS_CLICKHOUSE_URL"] = theirs.url(scheme="https")
    with pytest.raises(WarehouseError, match=r"does not answer in TLS.*8443"):
        connection(site).rows("server_time_zone")
    before = behind_tls.received
    site.environ.pop("CLICKHOUSE_CA_CERT")
    site.environ["ASPECTS_CLICKHOUSE_URL"] = theirs.url(port=behind_tls.port)
    with pytest.raises(UnreachableError, match="CLICKHOUSE_SECURE_CONNECTION"):
        connection(site).rows("server_time_zone")
    assert behind_tls.received == before


# --- connections that end, servers that restart ------------------------------------------------------------------


class Told(list[str]):
    """What a load says; at every line something happens."""

    def __init__(self, happens: Callable[[str], None]) -> None:
        super().__init__()
        self._happens = happens

    def append(self, line: str) -> None:
        super().append(line)
        self._happens(line)


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_load, "plan_publish", partial(plan_publish, limit=SLICE))


def all_rows(theirs: TheirServer) -> list[tuple[object, ...]]:
    found = (
        theirs.admin()
        .client()
        .query("SELECT event_id, emission_time, event FROM xapi.xapi_events_all ORDER BY ALL")
    )
    return list(found.result_rows)


def empty(theirs: TheirServer) -> None:
    for table in ("xapi.xapi_events_all", "reporting.by_event", "reporting.by_day"):
        theirs.admin().client().command(f"TRUNCATE TABLE {table}")


def test_connections_that_a_balancer_ends_are_opened_again(
    site: Site, behind_tls: TlsProxy, small_slices: None
) -> None:
    warehouse = connection(site)
    for number in range(1, 6):
        assert warehouse.rows("server_time_zone")
        assert behind_tls.connections == number
        behind_tls.drop()
    site.write_samples(SPEC, files=4)
    said = Told(lambda _: behind_tls.drop())
    loaded = site.load(MONTH, said)
    assert loaded.statements is not None
    assert loaded.statements.inserted == loaded.ids > 1_000
    assert len(said) >= 3


def test_a_load_goes_on_when_the_server_restarts_in_the_middle_of_it(
    site: Site, theirs: TheirServer, behind_tls: TlsProxy, small_slices: None
) -> None:
    site.write_samples(SPEC, files=4)
    chain_views(site, command=theirs.admin().client().command)
    behind_tls.received = 0
    undisturbed = site.load(MONTH)
    in_all, rows = behind_tls.received, all_rows(theirs)
    assert len(rows) == undisturbed.ids > 1_000

    restarts = 0

    def restart() -> None:
        nonlocal restarts
        restarts += 1
        theirs.restart()
        behind_tls.target = theirs.address.http_port

    # In the first bytes it reads what is there, then it stages, and of the last ones nearly all are publishing.
    for share in (0.02, 0.5, 0.9, 0.97):
        empty(theirs)
        behind_tls.received, behind_tls.at, behind_tls.act = 0, int(share * in_all), restart
        loaded = site.load(MONTH)
        assert behind_tls.act is None, "the load was over before the restart"
        assert loaded.ids == undisturbed.ids
        assert all_rows(theirs) == rows
        raw, ids, behind, counted = theirs.admin().client().query(COUNTS).result_rows[0]
        assert raw == ids == behind == counted, "each statement once, here and behind both views"
    assert restarts == 4

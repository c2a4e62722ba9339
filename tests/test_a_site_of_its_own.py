"""Pointed at a site: logs, users and quarantine in S3, and a ClickHouse that somebody else runs, reached by URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from services.seaweedfs import S3Server
from services.site import Site
from services.tls import certificate, tls_in_front_of

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.retention.expired import ExpiredError
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.settings import ClickHouseAddress
from aspects_orchestration.tracking.stores import open_store
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import create_missing, pipeline_grants

SPEC = SampleSpec(lines=4_000, damage=0.02)


@pytest.fixture
def theirs(tmp_path: Path, site: Site) -> Iterator[server.ServerAddress]:
    """A ClickHouse with Aspects' tables, made by its administrator; the site's settings name it by URL."""
    home = tmp_path / "theirs"
    names = schema_names(site.settings)
    address = server.ensure_running(home, grants=pipeline_grants(names))
    admin = ClickHouseAddress(
        address.host, address.http_port, user=address.admin_user, password=SecretStr(address.admin_password)
    )
    create_missing(Warehouse(admin, run_id="admin").client(), names)
    credentials = f"{address.user}:{quote(address.password, safe='')}"
    site.environ["ASPECTS_CLICKHOUSE_URL"] = f"http://{credentials}@{address.host}:{address.http_port}"
    yield address
    server.stop(home)


def in_s3(site: Site, s3: S3Server) -> None:
    """Put the site's sample logs, users and courses into S3, and its quarantine too."""
    for path in site.write_samples(SPEC, files=5):
        s3.put(f"logs/lms-1/{path.name}", path.read_bytes())
        path.unlink()
    for name in ("identities.csv", "courses.csv"):
        s3.put(name, (site.folder / name).read_bytes())
        (site.folder / name).unlink()
    site.environ |= s3.environment() | {
        "ASPECTS_TRACKING_LOGS": f"{s3.uri}/logs",
        "ASPECTS_IDENTITIES": f"{s3.uri}/identities.csv",
        "ASPECTS_COURSES": f"{s3.uri}/courses.csv",
        "ASPECTS_TRACKING_LOG_ARCHIVE": f"{s3.uri}/archive",
    }


def test_a_month_is_loaded_from_s3_into_their_clickhouse(
    site: Site, s3: S3Server, theirs: server.ServerAddress
) -> None:
    in_s3(site, s3)
    with pytest.raises(ExpiredError, match="ASPECTS_DATA_TTL_EXPRESSION"):
        site.load("2024-05")  # a site keeps a year unless it says otherwise
    site.environ["ASPECTS_DATA_TTL_EXPRESSION"] = ""
    done = site.materialize("2024-05")
    assert done.returncode == 0, done.stdout.decode()
    assert theirs.password.encode() not in done.stdout
    assert server.status(site.home) is None, "the embedded server was started though another is named"
    found = site.check("2024-05")
    assert [name for name, finding in found.items() if not finding.passed] == []
    again = site.load("2024-05")
    assert again.statements is not None
    assert again.statements.inserted == 0
    assert again.ids > 500
    quarantined = list(open_store(f"{s3.uri}/archive/quarantine").list())
    assert any(file.uri.endswith(".ndjson.gz") for file in quarantined)
    assert again.account.total.quarantined_lines > 0


def test_a_wrong_password_is_told_without_telling_it(site: Site, theirs: server.ServerAddress) -> None:
    site.write_samples(SampleSpec(lines=100), files=1)
    wrong = "not-the-password"
    site.environ["ASPECTS_CLICKHOUSE_URL"] = f"http://{theirs.user}:{wrong}@{theirs.host}:{theirs.http_port}"
    done = site.materialize("2024-05")
    assert done.returncode != 0
    assert b"refused user aspects_pipeline" in done.stdout
    assert b"ASPECTS_CLICKHOUSE_URL" in done.stdout
    assert wrong.encode() not in done.stdout


def test_tls_is_spoken_and_a_certificate_that_nobody_vouches_for_is_refused(
    site: Site, theirs: server.ServerAddress, tmp_path: Path
) -> None:
    site.write_samples(SampleSpec(lines=1_000), files=2)
    site.environ["ASPECTS_DATA_TTL_EXPRESSION"] = ""
    cert, key = certificate(tmp_path / "tls")
    with tls_in_front_of(theirs.http_port, cert, key) as port:
        credentials = f"{theirs.user}:{quote(theirs.password, safe='')}"
        site.environ["ASPECTS_CLICKHOUSE_URL"] = f"https://{credentials}@127.0.0.1:{port}"
        with pytest.raises(WarehouseError, match="CLICKHOUSE_SECURE_CONNECTION") as refused:
            site.load("2024-05")
        assert theirs.password not in str(refused.value)
        site.environ["CLICKHOUSE_CA_CERT"] = str(cert)
        loaded = site.load("2024-05")
    assert loaded.statements is not None
    assert loaded.statements.inserted == loaded.ids > 100

"""Pointed at a site: logs, users and quarantine in S3, and a ClickHouse that somebody else runs, reached by URL."""

from __future__ import annotations

import pytest
from services.seaweedfs import S3Server
from services.site import Site
from services.theirs import TheirServer

from aspects_orchestration.retention.expired import ExpiredError
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.tracking.stores import open_store
from aspects_orchestration.warehouse import server

SPEC = SampleSpec(lines=4_000, damage=0.02)


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
    site: Site, s3: S3Server, theirs: TheirServer
) -> None:
    in_s3(site, s3)
    with pytest.raises(ExpiredError, match="ASPECTS_DATA_TTL_EXPRESSION"):
        site.load("2024-05")  # a site keeps a year unless it says otherwise
    site.environ["ASPECTS_DATA_TTL_EXPRESSION"] = ""
    done = site.materialize("2024-05")
    assert done.returncode == 0, done.stdout.decode()
    assert theirs.address.password.encode() not in done.stdout
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


def test_a_wrong_password_is_told_without_telling_it(site: Site, theirs: TheirServer) -> None:
    site.write_samples(SampleSpec(lines=100), files=1)
    wrong = "not-the-password"
    site.environ["ASPECTS_CLICKHOUSE_URL"] = (
        f"http://{theirs.address.user}:{wrong}@{theirs.address.host}:{theirs.address.http_port}"
    )
    done = site.materialize("2024-05")
    assert done.returncode != 0
    assert b"refused user aspects_pipeline" in done.stdout
    assert b"ASPECTS_CLICKHOUSE_URL" in done.stdout
    assert wrong.encode() not in done.stdout

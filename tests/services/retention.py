"""A site with months of statements, views behind the raw table, a policy, and an archive of the test's own making."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from aspects_orchestration.retention.apply import UNSEEN, Applied, apply_plan, only_one
from aspects_orchestration.retention.log import log_held
from aspects_orchestration.retention.policy import goes_at
from aspects_orchestration.retention.sealed import Sealed, SealedMonths
from aspects_orchestration.retention.world import World, look
from aspects_orchestration.settings import ClickHouseAddress
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Warehouse
from services.site import Site, stop_server

RAW = "xapi.xapi_events_all"
_BEHIND = {
    # As dbt makes them: a target, and a view that writes to it.
    "reporting.by_event": """
        CREATE TABLE reporting.by_event (event_id UUID, emission_time DateTime64(6), verb String)
        ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, event_id){ttl};
        CREATE MATERIALIZED VIEW reporting.by_event_mv TO reporting.by_event AS
        SELECT event_id, emission_time, JSONExtractString(event, 'verb') AS verb FROM xapi.xapi_events_all""",
    # A view with storage of its own.
    "xapi.parsed": """
        CREATE MATERIALIZED VIEW xapi.parsed
        ENGINE = ReplacingMergeTree PARTITION BY (toYYYYMM(emission_time)) ORDER BY (emission_time, event_id){ttl}
        AS SELECT event_id, emission_time, event FROM xapi.xapi_events_all""",
    # A second link of the chain.
    "reporting.by_day": """
        CREATE TABLE reporting.by_day (emission_time DateTime64(6), events UInt64)
        ENGINE = SummingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY emission_time{ttl};
        CREATE MATERIALIZED VIEW reporting.by_day_mv TO reporting.by_day AS
        SELECT toDateTime64(toStartOfDay(emission_time), 6) AS emission_time, count() AS events
        FROM reporting.by_event GROUP BY emission_time""",
}


@pytest.fixture(scope="module")
def server_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a server for all tests of a module."""
    made = Site(tmp_path_factory.mktemp("retention"))
    made.logs.mkdir()
    made.warehouse()
    yield made.home
    stop_server(made.home)


@pytest.fixture
def site(server_of_the_module: Path, tmp_path: Path) -> Site:
    """A site of its own on the module's server, in which nothing stands yet."""
    made = Site(tmp_path)
    made.logs.mkdir()
    made.home.symlink_to(server_of_the_module)
    for database in ("xapi", "reporting", "event_sink", "elsewhere", "aspects_orchestration"):
        made.sql(f"DROP DATABASE IF EXISTS {database} SYNC", admin=True)
    made.sql("SYSTEM START TTL MERGES", admin=True)
    return made


@dataclass(frozen=True)
class Archive:
    """An archive that holds certain months, or all of them."""

    months: frozenset[str] | None = None

    def sealed(self, month: str) -> Sealed:
        """Whether it is one of them."""
        known = self.months is None or month in self.months
        return Sealed(known, "" if known else f"{month} is not in the archive")


EVERY_MONTH = Archive()


def chain(site: Site, ttl: str = "") -> None:
    """Three tables behind the raw one: behind a view, behind a second one, and a view's own storage."""
    site.warehouse()
    site.sql("CREATE DATABASE IF NOT EXISTS reporting", admin=True)
    clause = f" TTL {ttl}" if ttl else ""
    for statements in _BEHIND.values():
        for statement in statements.replace("{ttl}", clause).split(";"):
            site.sql(statement, admin=True)


def months_back(now: datetime, first: int, last: int = 0) -> list[str]:
    """Keys of the months from `first` to `last` months before `now`, the oldest first."""
    number = now.year * 12 + now.month - 1
    return [f"{(number - n) // 12:04d}-{(number - n) % 12 + 1:02d}" for n in range(first, last - 1, -1)]


def months_around(now: datetime, keep: int, due: int) -> list[str]:
    """So many due months and the ones that are kept, but for the one in between: it expires row by row as days go by."""
    border = months_back(now, keep, keep)
    return [month for month in months_back(now, keep + due) if month not in border]


def fill(site: Site, months: Iterable[str], rows: int = 10) -> None:
    """Insert statements into each month; the views follow."""
    firsts = ", ".join(f"toDateTime64('{month}-01 06:00:00', 6)" for month in months)
    site.sql(
        f'INSERT INTO {RAW} SELECT generateUUIDv4(), moment + toIntervalHour(number), \'{{"verb": "v"}}\''
        f" FROM numbers({rows}) ARRAY JOIN [{firsts}] AS moment SETTINGS max_partitions_per_insert_block = 0",
        admin=True,
    )


def rows_by_month(site: Site, table: str = RAW) -> dict[str, int]:
    """Rows of a table by month."""
    query = f"SELECT formatDateTime(emission_time, '%Y-%m') AS month, count() FROM {table} GROUP BY month ORDER BY month"
    found = site.sql(f"{query} FORMAT TSV", admin=True)
    return {month: int(rows) for month, rows in (line.split("\t") for line in found.decode().splitlines())}


def parts(site: Site, *databases: str) -> list[str]:
    """Names of all active parts with rows."""
    names = ", ".join(f"'{one}'" for one in databases or ("xapi", "reporting"))
    found = site.sql(
        f"SELECT concat(database, '.', table, ' ', name) FROM system.parts WHERE active AND rows > 0"
        f" AND database IN ({names}) ORDER BY 1 FORMAT TSV",
        admin=True,
    )
    return found.decode().splitlines()


def engine_of(site: Site, table: str) -> str:
    """Engine, TTL and settings of a table as ClickHouse shows them."""
    database, _, name = table.partition(".")
    query = f"SELECT engine_full FROM system.tables WHERE database = '{database}' AND name = '{name}' FORMAT TSVRaw"
    return site.sql(query, admin=True).decode().strip()


def settle(site: Site) -> None:
    """Let ClickHouse do what its TTLs tell it: merge every partition to its end."""
    tables = site.sql(
        "SELECT concat('`', database, '`.`', name, '`') FROM system.tables WHERE database IN ('xapi', 'reporting')"
        " AND endsWith(engine, 'MergeTree') FORMAT TSVRaw",
        admin=True,
    )
    for table in tables.decode().splitlines():
        site.sql(f"OPTIMIZE TABLE {table} FINAL", admin=True)


def policy(site: Site, text: str) -> Path:
    """Write a retention.yaml and name it in the site's environment."""
    file = site.folder / "retention.yaml"
    file.write_text(text)
    site.environ["ASPECTS_RETENTION_FILE"] = str(file)
    return file


def seen(
    site: Site, *, now: datetime | None = None, archive: SealedMonths | None = EVERY_MONTH, **how: Any
) -> World:
    """One look at the site."""
    warehouse = how.get("warehouse") or site.warehouse()
    return look(site.settings, warehouse, s3=S3Options(), now=now or datetime.now(UTC), archive=archive)


def applied(
    site: Site,
    *,
    asked: str = UNSEEN,
    said: list[str] | None = None,
    now: datetime | None = None,
    archive: SealedMonths | None = EVERY_MONTH,
    warehouse: Warehouse | None = None,
) -> Applied:
    """A real run, as the job does it."""
    warehouse = warehouse or site.warehouse()
    say = said.append if said is not None else lambda _: None
    with only_one(site.settings, warehouse, say=say):
        world = seen(site, now=now, archive=archive, warehouse=warehouse)
        log_held(site.settings, warehouse, world.plan)
        return apply_plan(site.settings, warehouse, world.plan, asked=asked, s3=S3Options(), say=say)


def as_admin(site: Site) -> Warehouse:
    """The embedded server as its administrator sees it."""
    site.warehouse()
    at = server.ensure_running(site.home)
    address = ClickHouseAddress(
        at.host, at.http_port, user=at.admin_user, password=SecretStr(at.admin_password)
    )
    return Warehouse(address, run_id=uuid.uuid4().hex)


def due(months: Sequence[str], keep: int, now: datetime) -> list[str]:
    """Those of some months that are due to go."""
    return [month for month in months if goes_at(month, keep) <= now]

"""Tables chained behind the raw one by materialized views, as a reporting project has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from services.site import Site

# Without SQL SECURITY, as dbt makes them: the inserting user then needs SELECT on what a chained view reads.
_CREATE = """
CREATE DATABASE IF NOT EXISTS reporting;

CREATE TABLE reporting.by_event (event_id UUID, emission_time DateTime64(6), verb String)
ENGINE = MergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, event_id);

CREATE MATERIALIZED VIEW reporting.by_event_mv TO reporting.by_event AS
SELECT event_id, emission_time, JSONExtractString(event, 'verb', 'id') AS verb FROM xapi.xapi_events_all;

CREATE TABLE reporting.by_day (emission_time DateTime64(6), verb String, events UInt64)
ENGINE = SummingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, verb);

CREATE MATERIALIZED VIEW reporting.by_day_mv TO reporting.by_day AS
SELECT toDateTime64(toStartOfDay(emission_time), 6) AS emission_time, verb, count() AS events
FROM reporting.by_event GROUP BY emission_time, verb
"""


#: Rows of the raw table, different ids in it, rows behind the first view, events counted behind the second.
COUNTS = (
    "SELECT (SELECT count() FROM xapi.xapi_events_all), (SELECT uniqExact(event_id) FROM xapi.xapi_events_all),"
    " (SELECT count() FROM reporting.by_event), (SELECT sum(events) FROM reporting.by_day)"
)


def chain_views(site: Site, *, command: Callable[[str], object] | None = None) -> None:
    """Put a view behind the raw table, and a second one behind the first.

    Neither target removes what comes twice: a statement that is inserted twice is counted twice.

    Args:
        site: whose tables are made if they are not there.
        command: runs a statement as administrator; the embedded server's does if none is given.
    """
    site.warehouse()
    for statement in _CREATE.split(";"):
        (command or partial(site.sql, admin=True))(statement)


def counts(site: Site) -> tuple[int, int, int, int]:
    """What `COUNTS` asks, of the site's embedded server."""
    found = site.sql(f"{COUNTS} FORMAT TSV", admin=True)
    raw, ids, behind, counted = map(int, found.split())
    return raw, ids, behind, counted


def left_over(site: Site) -> bytes:
    """Names of the tables that a load needs only while it runs."""
    return site.sql(
        "SELECT name FROM system.tables WHERE database = 'aspects_orchestration'"
        " AND match(name, '^(staging|progress|lock)_') FORMAT TSV",
        admin=True,
    )

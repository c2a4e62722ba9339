"""What a reporting project hangs behind the raw table, in the shape of Aspects' dbt project, by statements of our own."""

from __future__ import annotations

from services.site import Site

# As dbt makes them: a table, and beside it a view that writes to it, chained one behind the other.
_CREATE = """
CREATE DATABASE IF NOT EXISTS reporting;

CREATE TABLE xapi.parsed (event_id UUID, emission_time DateTime64(6), verb LowCardinality(String), actor String,
    object String, event String)
ENGINE = ReplacingMergeTree PARTITION BY (toYYYYMM(emission_time)) ORDER BY (verb, actor, emission_time, event_id);

CREATE MATERIALIZED VIEW xapi.parsed_mv TO xapi.parsed AS
SELECT event_id, emission_time, JSON_VALUE(event, '$.verb.id') AS verb,
    coalesce(nullIf(JSON_VALUE(event, '$.actor.account.name'), ''), JSON_VALUE(event, '$.actor.mbox')) AS actor,
    JSON_VALUE(event, '$.object.id') AS object, event
FROM xapi.xapi_events_all;

CREATE TABLE xapi.played (event_id UUID, emission_time DateTime, actor String, object String)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (object, emission_time, actor, event_id);

CREATE MATERIALIZED VIEW xapi.played_mv TO xapi.played AS
WITH chosen AS (SELECT * FROM xapi.parsed WHERE verb LIKE '%video%')
SELECT event_id, cast(emission_time AS DateTime) AS emission_time, actor, object FROM chosen;

CREATE TABLE reporting.two_rows (event_id UUID, emission_time DateTime64(6), part UInt8)
ENGINE = MergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY emission_time;

CREATE MATERIALIZED VIEW reporting.two_rows_mv TO reporting.two_rows AS
SELECT event_id, emission_time, arrayJoin([1, 2]) AS part FROM xapi.parsed WHERE verb LIKE '%video%';

CREATE TABLE reporting.last_visit (actor String, emission_time DateTime)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY actor;

CREATE MATERIALIZED VIEW reporting.last_visit_mv TO reporting.last_visit AS
SELECT actor, max(emission_time) AS emission_time FROM xapi.played GROUP BY actor;

CREATE TABLE reporting.by_hour (emission_hour DateTime, events AggregateFunction(uniqCombined, UUID))
ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(emission_hour) ORDER BY emission_hour;

CREATE MATERIALIZED VIEW reporting.by_hour_mv TO reporting.by_hour AS
SELECT toStartOfHour(toDateTime(emission_time)) AS emission_hour, uniqCombinedState(event_id) AS events
FROM xapi.parsed GROUP BY emission_hour;

CREATE TABLE reporting.by_day (emission_time DateTime64(6), verb LowCardinality(String), events UInt64)
ENGINE = SummingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, verb);

CREATE MATERIALIZED VIEW reporting.by_day_mv TO reporting.by_day AS
SELECT toDateTime64(toStartOfDay(emission_time), 6) AS emission_time, verb, count() AS events
FROM xapi.parsed GROUP BY emission_time, verb
"""

#: Aspects has some like this: the newest row of each learner, without partitions.
UNPARTITIONED = """
CREATE TABLE reporting.latest (actor String, emission_time DateTime) ENGINE = ReplacingMergeTree ORDER BY actor;

CREATE MATERIALIZED VIEW reporting.latest_mv TO reporting.latest AS
SELECT actor, max(emission_time) AS emission_time FROM xapi.played GROUP BY actor
"""

_DICTIONARY = """
CREATE DICTIONARY event_sink.course_names (course_key String, course_name String) PRIMARY KEY course_key
SOURCE(CLICKHOUSE(USER '{user}' PASSWORD '{password}'
    QUERY 'SELECT course_key, display_name FROM event_sink.course_overviews'))
{layout}
"""

#: Tables behind the raw one, nearest first.
TABLES = (
    "xapi.parsed",
    "reporting.by_day",
    "reporting.by_hour",
    "reporting.two_rows",
    "xapi.played",
    "reporting.last_visit",
)


def hang(site: Site, statements: str = _CREATE) -> None:
    """Hang the tables and views behind the raw table."""
    site.warehouse()
    for statement in statements.split(";"):
        site.sql(statement, admin=True)


def add_dictionary(site: Site, layout: str = "LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(MIN 0 MAX 120)") -> None:
    """A dictionary of course names upon the copies of the LMS's courses."""
    from aspects_orchestration.warehouse import server

    address = server.ensure_running(site.home)
    made = _DICTIONARY.format(user=address.admin_user, password=address.admin_password, layout=layout)
    site.sql(made, admin=True)


def write_statements(site: Site, number: int, *, since: str = "2024-05-01") -> None:
    """Insert statements of ten learners, spread over the month, every second about a video."""
    site.sql(
        "INSERT INTO xapi.xapi_events_all"
        f" SELECT reinterpretAsUUID(sipHash128(number, toDate('{since}'))) AS event_id,"
        f" toDateTime64('{since}', 6) + toIntervalSecond(intDiv(number * 2592000, {number})) AS emission_time,"
        " concat('{\"verb\":{\"id\":\"https://verbs/', if(number % 2 = 0, 'video/played', 'asked'),"
        ' \'"},"actor":{"account":{"name":"\', toString(number % 20), \'"}},'
        '"object":{"id":"o"}}\') AS event'
        f" FROM numbers({number})",
        admin=True,
    )

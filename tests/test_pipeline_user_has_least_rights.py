"""The grants of sql/grants.sql are enough for the pipeline, and no more than that."""

import re
from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from services.site import stop_server

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse import schema
from aspects_orchestration.warehouse.schema import SchemaNames
from aspects_orchestration.warehouse.server import ServerAddress, ensure_running
from aspects_orchestration.warehouse.statements import ddl, statements_folder

NAMES = SchemaNames()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerAddress]:
    home = tmp_path_factory.mktemp("aspects")
    yield ensure_running(home, grants=schema.pipeline_grants(NAMES))
    stop_server(home)


@pytest.fixture(scope="module")
def admin(server: ServerAddress) -> Iterator[Client]:
    client = connect(server, server.admin_user, server.admin_password)
    schema.create_missing(client, NAMES)
    client.command("CREATE DATABASE IF NOT EXISTS reporting")
    client.command(
        "CREATE MATERIALIZED VIEW reporting.parsed (event_id UUID, emission_time DateTime64(6), org String)"
        " ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(emission_time) ORDER BY (emission_time, event_id)"
        " AS SELECT event_id, emission_time, coalesce(get_org_from_course_url(event), '') AS org"
        " FROM xapi.xapi_events_all"
    )
    yield client
    client.close()


@pytest.fixture
def pipeline(server: ServerAddress, admin: Client) -> Iterator[Client]:
    client = connect(server, server.user, server.password)
    yield client
    client.close()


def connect(server: ServerAddress, user: str, password: str) -> Client:
    return clickhouse_connect.get_client(
        host=server.host,
        port=server.http_port,
        username=user,
        password=password,
        autogenerate_session_id=False,
    )


def run(client: Client, name: str, **parameters: object) -> None:
    creation = ddl(name, cluster="", **parameters)
    client.command(creation.sql, parameters=dict(creation.parameters))


def test_the_server_understands_every_grant_and_grants_just_these(pipeline: Client) -> None:
    def privileges(grants: list[str]) -> set[tuple[str, str]]:
        found = set()
        for grant in grants:
            rights, _, where = grant.removeprefix("GRANT ").partition(" TO ")[0].rpartition(" ON ")
            rights = rights.replace("TABLE ENGINE ON ", "TABLE ENGINE ")
            for right in re.split(r",\s*(?![^(]*\))", rights):
                columns = re.fullmatch(r"SELECT\((.+)\)", right)
                # Column by column: the server shows those of several grants as one.
                names = [f"SELECT of {one}" for one in re.split(r",\s*", columns[1])] if columns else [right]
                found |= {(name.replace("`", ""), where.replace("`", "")) for name in names}
        return found

    shown = [row[0] for row in pipeline.query("SHOW GRANTS").result_rows]
    assert privileges(shown) == privileges(schema.pipeline_grants(NAMES))


def test_enough_to_load_publish_and_rebuild_a_month(admin: Client, pipeline: Client) -> None:
    run(pipeline, "staging_create", database=NAMES.orchestration_database, table="staging_1")
    run(pipeline, "lock_create", database=NAMES.orchestration_database, table="lock_1")
    pipeline.command(
        "INSERT INTO aspects_orchestration.staging_1"
        " SELECT generateUUIDv4(), '2024-05-07 01:02:03.000004', 'http://lms/course/course-v1:edX+D+R',"
        " 1, 2, 3"
    )
    pipeline.command(
        "INSERT INTO xapi.xapi_events_all SELECT event_id, emission_time, event"
        " FROM aspects_orchestration.staging_1"
        " WHERE event_id NOT IN (SELECT event_id FROM xapi.xapi_events_all)"
    )
    assert pipeline.query("SELECT count() FROM xapi.xapi_events_all FINAL").result_rows == [(1,)]
    assert admin.query("SELECT org FROM reporting.parsed").result_rows == [("edX",)]

    chained = pipeline.query(
        "SELECT dependencies_database, dependencies_table FROM system.tables"
        " WHERE database = 'xapi' AND name = 'xapi_events_all'"
    ).result_rows
    assert chained == [(["reporting"], ["parsed"])]
    pipeline.command("ALTER TABLE reporting.parsed DROP PARTITION ID '202405'")
    pipeline.command("ALTER TABLE xapi.xapi_events_all DROP PARTITION ID '202405'")
    assert admin.query("SELECT count() FROM reporting.parsed").result_rows == [(0,)]

    pipeline.command("RENAME TABLE aspects_orchestration.lock_1 TO aspects_orchestration.lock_2")
    pipeline.command("DELETE FROM aspects_orchestration.expected_ids WHERE run_id = 'x'")
    for table in ("staging_1", "lock_2"):
        pipeline.command(
            "DROP TABLE {t:Identifier}.{n:Identifier} SYNC",
            parameters={"t": NAMES.orchestration_database, "n": table},
        )


def test_enough_to_create_and_drop_the_scratch_of_a_drill(pipeline: Client) -> None:
    scratch = schema.drill_database(NAMES.orchestration_database)
    names = SchemaNames(scratch, NAMES.xapi_table, NAMES.event_sink_database, scratch)
    assert schema.create_missing(pipeline, names)[:2] == [scratch, f"{scratch}.{NAMES.xapi_table}"]
    run(pipeline, "database_drop", database=scratch)
    assert pipeline.query(
        "SELECT count() FROM system.databases WHERE startsWith(name, 'aspects_drill')"
    ).result_rows == [(0,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count() FROM system.parts",
        "SELECT count() FROM system.merges",
        "SELECT count() FROM system.mutations",
        "SELECT count() FROM system.merge_tree_settings",
        "SELECT min(unreserved_space) FROM system.disks",
        "SELECT count() FROM system.processes",
        "KILL QUERY WHERE query_id = 'none such'",
        "SELECT * FROM event_sink.external_id",
        "SELECT * FROM event_sink.course_overviews",
        "SELECT user_id, username, email, time_last_dumped FROM event_sink.user_profile",
        "SELECT get_org_from_course_url('course-v1:a+b+c')",
        "SELECT sum(number) FROM numbers(10)",
    ],
)
def test_enough_to_look_around(pipeline: Client, query: str) -> None:
    pipeline.query(query) if query.startswith("SELECT") else pipeline.command(query)


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE TABLE xapi.xapi_events_all",
        "DROP TABLE xapi.xapi_events_all",
        "DROP DATABASE xapi",
        "DROP DATABASE aspects_orchestration",
        "CREATE DATABASE another",
        "CREATE DATABASE aspects_drill_another",
        "CREATE TABLE aspects_drill_aspects_orchestration.elsewhere (a String) ENGINE = URL('http://127.0.0.1:1/', CSV)",
        "CREATE TABLE xapi.another (a Int8) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE aspects_orchestration.elsewhere (a String) ENGINE = URL('http://127.0.0.1:1/', CSV)",
        "CREATE FUNCTION another AS (x) -> x",
        "CREATE USER another",
        "GRANT SELECT ON xapi.* TO aspects_pipeline",
        "ALTER TABLE xapi.xapi_events_all ADD COLUMN another Int8",
        "ALTER TABLE event_sink.external_id MODIFY TTL toDateTime(time_last_dumped) + INTERVAL 1 DAY",
        "ALTER TABLE system.query_log MODIFY TTL event_date + INTERVAL 1 DAY",
        "ALTER TABLE xapi.xapi_events_all UPDATE event = '' WHERE 1",
        "ALTER TABLE event_sink.external_id UPDATE username = '' WHERE 1",
        "ALTER TABLE event_sink.course_overviews DELETE WHERE 1",
        "TRUNCATE TABLE event_sink.course_overviews",
        "ALTER TABLE event_sink.user_profile UPDATE bio = '' WHERE 1",
        "CREATE TABLE event_sink.another (a Int8) ENGINE = MergeTree ORDER BY a",
        "SELECT * FROM system.users",
        "SELECT * FROM file('/etc/hostname', LineAsString)",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP MERGES xapi.xapi_events_all",
    ],
)
def test_no_more_than_that(pipeline: Client, statement: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        pipeline.command(statement)
    assert refused.value.code == 497


def test_a_user_who_may_not_create_finds_a_complete_schema_complete(pipeline: Client) -> None:
    assert schema.create_missing(pipeline, NAMES) == []
    assert schema.differences(pipeline, NAMES) == []


def test_what_is_missing_is_named_with_its_grant(pipeline: Client) -> None:
    with pytest.raises(WarehouseError, match=r"sql/grants\.sql") as refused:
        schema.create_missing(pipeline, SchemaNames(xapi_database="openedx"))
    assert "openedx is missing" in refused.value.what
    assert "CREATE DATABASE ON openedx.*" in refused.value.what
    with pytest.raises(WarehouseError, match=r"CREATE TABLE ON xapi\.other"):
        schema.create_missing(pipeline, SchemaNames(xapi_table="other"))


def test_the_file_is_valid_as_it_stands(admin: Client) -> None:
    text = (statements_folder() / "grants.sql").read_text(encoding="utf-8")
    grants = [
        part.strip() for part in re.sub(r"^--.*$", "", text, flags=re.MULTILINE).split(";") if part.strip()
    ]
    for grant in grants:
        parsed = admin.query("SELECT formatQuery({sql:String})", parameters={"sql": grant}).result_rows[0][0]
        assert parsed.startswith("GRANT ")
        assert parsed.endswith(" TO aspects_pipeline")
    assert len(grants) == len(schema.pipeline_grants(NAMES, cluster="aspects"))
    for paragraph in text.split("\n\n"):
        assert paragraph.startswith("-- "), "every grant says why"


def test_a_sites_names_take_the_place_of_the_defaults() -> None:
    grants = "\n".join(schema.pipeline_grants(SchemaNames("openedx", "raw`x", "sink", "own")))
    assert r"GRANT INSERT ON `openedx`.`raw\`x`" in grants
    assert "ON `sink`.external_id" in grants
    assert "ON `own`.*" in grants
    for default in ("`xapi`", "`event_sink`", "`aspects_orchestration`", " TO ", "CLUSTER"):
        assert default not in grants
    assert "GRANT CLUSTER ON *.*" in schema.pipeline_grants(NAMES, cluster="aspects")

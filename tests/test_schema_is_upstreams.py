"""What Aspects' own migrations would create is created to the letter; what stands is compared, not altered."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from services.site import stop_server

from aspects_orchestration.errors import SettingsError, WarehouseError
from aspects_orchestration.warehouse import schema
from aspects_orchestration.warehouse.schema import Difference, SchemaNames
from aspects_orchestration.warehouse.server import ServerAddress, ensure_running
from aspects_orchestration.warehouse.statements import ddl, statement, statements_folder

# Written from upstream's tables, not from this project's SQL: columns in order, engine, partition key, sorting key,
# primary key.
UPSTREAM_TABLES = {
    "xapi_events_all": (
        """event_id UUID, emission_time DateTime64(6), event String""",
        "ReplacingMergeTree",
        "toYYYYMM(emission_time)",
        "emission_time, event_id",
        "emission_time, event_id",
    ),
    "course_overviews": (
        """org String, course_key String, display_name String, course_start String, course_end String,
        enrollment_start String, enrollment_end String, self_paced Bool, course_data_json String,
        created String, modified String, dump_id UUID, time_last_dumped String""",
        "MergeTree",
        "",
        "org, course_key, modified, time_last_dumped",
        "org, course_key, modified, time_last_dumped",
    ),
    "course_blocks": (
        """org String, course_key String, location String, display_name String, xblock_data_json String,
        order Int32 DEFAULT 0, edited_on String, dump_id UUID, time_last_dumped String""",
        "MergeTree",
        "",
        "org, course_key, location, edited_on, order",
        "org, course_key, location, edited_on",
    ),
    "external_id": (
        """external_user_id UUID, external_id_type String, username String, user_id Int32, dump_id UUID,
        time_last_dumped String""",
        "ReplacingMergeTree",
        "user_id % 100",
        "external_user_id, time_last_dumped",
        "external_user_id, time_last_dumped",
    ),
    "user_profile": (
        """id Int32, user_id Int32, name String, username String DEFAULT '', email String DEFAULT '',
        meta String, courseware String, language String, location String, year_of_birth String,
        gender String, level_of_education String, mailing_address String, city String, country String,
        state String, goals String, bio String, profile_image_uploaded_at String, phone_number String,
        dump_id UUID, time_last_dumped String""",
        "ReplacingMergeTree",
        "user_id % 100",
        "id, time_last_dumped",
        "id, time_last_dumped",
    ),
    "course_enrollment": (
        """id Int32, course_key String, created String, is_active Bool, mode LowCardinality(String),
        username String, user_id Int32, dump_id UUID, time_last_dumped String""",
        "MergeTree",
        "",
        "course_key, user_id, time_last_dumped",
        "course_key, user_id, time_last_dumped",
    ),
    "tag": (
        """id Int32, taxonomy Int32, parent Int32, value String, external_id String, lineage String,
        dump_id UUID, time_last_dumped String""",
        "ReplacingMergeTree",
        "",
        "id, time_last_dumped",
        "id, time_last_dumped",
    ),
    "taxonomy": (
        """id Int32, name String, dump_id UUID, time_last_dumped String""",
        "ReplacingMergeTree",
        "",
        "id, time_last_dumped",
        "id, time_last_dumped",
    ),
    "object_tag": (
        """id Int32, object_id String, taxonomy Int32, tag Int32, _value String, _export_id String,
        lineage String, dump_id UUID, time_last_dumped String""",
        "ReplacingMergeTree",
        "",
        "id, time_last_dumped",
        "id, time_last_dumped",
    ),
}
UPSTREAM = {
    table: (" ".join(columns.split()), *others) for table, (columns, *others) in UPSTREAM_TABLES.items()
}

RAW_AS_UPSTREAM_WRITES_IT = """
CREATE TABLE {database:Identifier}.{table:Identifier} (
    event_id UUID NOT NULL,
    emission_time DateTime64(6) NOT NULL,
    event String NOT NULL
) ENGINE ReplacingMergeTree
PRIMARY KEY (emission_time, event_id)
ORDER BY (emission_time, event_id)
PARTITION BY (toYYYYMM(emission_time))
"""

CREATIONS = sorted(path.stem for path in statements_folder().glob("*_create.sql"))
ONE_STATEMENT_FILES = sorted(path for path in statements_folder().rglob("*.sql") if path.name != "grants.sql")

_numbers = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerAddress]:
    home = tmp_path_factory.mktemp("aspects")
    yield ensure_running(home, grants=schema.pipeline_grants(SchemaNames()))
    stop_server(home)


@pytest.fixture
def admin(server: ServerAddress) -> Iterator[Client]:
    client = connect(server)
    yield client
    client.close()


@pytest.fixture
def names() -> SchemaNames:
    number = next(_numbers)
    return SchemaNames(f"xapi_{number}", f"raw_{number}", f"event_sink_{number}", f"orchestration_{number}")


def connect(server: ServerAddress) -> Client:
    return clickhouse_connect.get_client(
        host=server.host,
        port=server.http_port,
        username=server.admin_user,
        password=server.admin_password,
        autogenerate_session_id=False,
    )


def drop_functions(admin: Client) -> None:
    for function in schema.FUNCTIONS:
        admin.command(f"DROP FUNCTION IF EXISTS {function}")


def described(admin: Client, database: str, table: str) -> tuple[str, str, str, str, str]:
    columns = ", ".join(
        f"{name} {kind} {default_kind} {default}".rstrip()
        for name, kind, default_kind, default, *_ in admin.query(
            "DESCRIBE TABLE {database:Identifier}.{table:Identifier}",
            parameters={"database": database, "table": table},
        ).result_rows
    )
    keys = admin.query(
        "SELECT engine, partition_key, sorting_key, primary_key FROM system.tables"
        " WHERE database = {database:String} AND name = {table:String}",
        parameters={"database": database, "table": table},
    ).result_rows[0]
    return (columns, *(str(key).replace("`", "") for key in keys))  # type: ignore[return-value]


def alter(admin: Client, change: str, database: str, table: str) -> None:
    admin.command(
        "ALTER TABLE {database:Identifier}.{table:Identifier} " + change,
        parameters={"database": database, "table": table},
    )


def recreate(admin: Client, database: str, table: str, definition: str) -> None:
    at = {"database": database, "table": table}
    admin.command("DROP TABLE {database:Identifier}.{table:Identifier} SYNC", parameters=at)
    admin.command("CREATE TABLE {database:Identifier}.{table:Identifier} " + definition, parameters=at)


def test_created_tables_are_upstreams_to_the_letter(admin: Client, names: SchemaNames) -> None:
    schema.create_missing(admin, names)
    found = {"xapi_events_all": described(admin, names.xapi_database, names.xapi_table)} | {
        table: described(admin, names.event_sink_database, table)
        for table in UPSTREAM
        if table != "xapi_events_all"
    }
    assert found == UPSTREAM


def test_no_created_table_has_a_ttl(admin: Client, names: SchemaNames) -> None:
    schema.create_missing(admin, names)
    rows = admin.query(
        "SELECT count(), countIf(position(engine_full, 'TTL') > 0) FROM system.tables"
        " WHERE database IN {databases:Array(String)}",
        parameters={"databases": list(names.databases())},
    ).result_rows
    assert rows == [(len(names.tables()), 0)]


def test_created_once_and_reported_by_name(admin: Client, names: SchemaNames) -> None:
    drop_functions(admin)
    created = schema.create_missing(admin, names)
    assert created == [
        names.xapi_database,
        names.event_sink_database,
        names.orchestration_database,
        f"{names.xapi_database}.{names.xapi_table}",
        *(f"{names.event_sink_database}.{table}" for table in UPSTREAM if table != "xapi_events_all"),
        f"{names.orchestration_database}.runs",
        f"{names.orchestration_database}.expected_ids",
        f"{names.orchestration_database}.tracking_log_catalog",
        f"{names.orchestration_database}.lms_copies",
        f"{names.orchestration_database}.retention_log",
        f"{names.orchestration_database}.loaded_hours",
        f"{names.orchestration_database}.recoveries",
        f"{names.orchestration_database}.drills",
        "get_org_from_course_url()",
        "get_org_from_ccx_course_url()",
    ]
    assert schema.create_missing(admin, names) == []
    assert schema.differences(admin, names) == []


def test_all_in_one_database(admin: Client, names: SchemaNames) -> None:
    together = replace(
        names, event_sink_database=names.xapi_database, orchestration_database=names.xapi_database
    )
    assert together.databases() == (names.xapi_database,)
    schema.create_missing(admin, together)
    assert schema.create_missing(admin, together) == []
    assert schema.differences(admin, together) == []


def test_names_are_bound_not_pasted(admin: Client) -> None:
    odd = SchemaNames("xapi; DROP --", "raw {x:String}", "event.sink", "Aspects-Ü")
    schema.create_missing(admin, odd)
    assert schema.differences(admin, odd) == []
    assert {name for (name,) in admin.query("SHOW DATABASES").result_rows} >= set(odd.databases())


def test_several_processes_may_create_at_once(server: ServerAddress, names: SchemaNames) -> None:
    def create(_: int) -> list[str]:
        client = connect(server)
        created = schema.create_missing(client, names)
        client.close()
        return created

    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(create, range(6)))
    assert set().union(*created) >= {f"{names.xapi_database}.{names.xapi_table}"}
    client = connect(server)
    assert schema.differences(client, names) == []
    client.close()


def test_an_existing_upstream_table_is_left_alone(admin: Client, names: SchemaNames) -> None:
    schema.create_missing(admin, names)
    at = {"database": names.xapi_database, "table": names.xapi_table}
    admin.command("DROP TABLE {database:Identifier}.{table:Identifier} SYNC", parameters=at)
    admin.command(RAW_AS_UPSTREAM_WRITES_IT, parameters=at)
    admin.command(
        "INSERT INTO {database:Identifier}.{table:Identifier}"
        " SELECT generateUUIDv4(), '2024-05-01 10:00:00', '{}'",
        parameters=at,
    )
    alter(
        admin,
        "MODIFY TTL toDateTime(emission_time) + INTERVAL 99 YEAR",
        names.xapi_database,
        names.xapi_table,
    )

    def standing() -> list[tuple[object, ...]]:
        return [
            tuple(row)
            for row in admin.query(
                "SELECT database, name, uuid, metadata_modification_time, create_table_query, total_rows"
                " FROM system.tables WHERE database IN {databases:Array(String)} ORDER BY ALL",
                parameters={"databases": list(names.databases())},
            ).result_rows
        ]

    before = standing()
    assert schema.create_missing(admin, names) == []
    assert schema.differences(admin, names) == []
    assert standing() == before


def test_differences_are_named_and_not_mended(admin: Client, names: SchemaNames) -> None:
    schema.create_missing(admin, names)
    sink = names.event_sink_database
    alter(admin, "MODIFY COLUMN name Nullable(String)", sink, "taxonomy")
    alter(admin, "DROP COLUMN bio", sink, "user_profile")
    alter(admin, "ADD COLUMN site LowCardinality(String) DEFAULT 'main'", sink, "course_enrollment")
    alter(admin, "MODIFY COLUMN email String DEFAULT 'none'", sink, "user_profile")
    alter(admin, "MODIFY COLUMN value String AFTER external_id", sink, "tag")
    recreate(
        admin,
        names.xapi_database,
        names.xapi_table,
        "(event_id UUID, emission_time DateTime64(3), event String) ENGINE = MergeTree"
        " PARTITION BY toYYYYMMDD(emission_time) ORDER BY (event_id, emission_time) PRIMARY KEY event_id",
    )
    admin.command("DROP TABLE {database:Identifier}.object_tag SYNC", parameters={"database": sink})
    admin.command("DROP FUNCTION get_org_from_ccx_course_url")

    raw = f"{names.xapi_database}.{names.xapi_table}"
    expected = [
        Difference(raw, "(engine)", "ReplacingMergeTree", "MergeTree"),
        Difference(raw, "(partition key)", "toYYYYMM(emission_time)", "toYYYYMMDD(emission_time)"),
        Difference(raw, "(sorting key)", "(emission_time, event_id)", "event_id, emission_time"),
        Difference(raw, "(primary key)", "(emission_time, event_id)", "event_id"),
        Difference(raw, "emission_time", "DateTime64(6)", "DateTime64(3)"),
        Difference(f"{sink}.user_profile", "email", "String DEFAULT ''", "String DEFAULT 'none'"),
        Difference(f"{sink}.user_profile", "bio", "String", "missing"),
        Difference(f"{sink}.course_enrollment", "site", "absent", "LowCardinality(String) DEFAULT 'main'"),
        Difference(
            f"{sink}.tag",
            "(column order)",
            "id, taxonomy, parent, value, external_id, lineage, dump_id, time_last_dumped",
            "id, taxonomy, parent, external_id, value, lineage, dump_id, time_last_dumped",
        ),
        Difference(f"{sink}.taxonomy", "name", "String", "Nullable(String)"),
        Difference(f"{sink}.object_tag", "(table)", "present", "missing"),
        Difference("get_org_from_ccx_course_url()", "(function)", "present", "missing"),
    ]
    assert schema.differences(admin, names) == expected

    assert schema.create_missing(admin, names) == [f"{sink}.object_tag", "get_org_from_ccx_course_url()"]
    assert schema.differences(admin, names) == expected[:-2]
    assert str(expected[4]) == f"{raw} emission_time: expected DateTime64(6), found DateTime64(3)"


@pytest.mark.parametrize("prefix", ["Replicated", "Shared"])
def test_replicated_and_shared_engines_are_no_difference(prefix: str) -> None:
    expected = schema.definition("xapi_events_all_create")
    found = replace(expected, engine=prefix + expected.engine, sorting_key="emission_time, event_id")
    assert list(schema.table_differences("xapi.raw", expected, found)) == []
    other = replace(expected, engine=prefix + "MergeTree")
    assert [d.found for d in schema.table_differences("xapi.raw", expected, other)] == [prefix + "MergeTree"]


@pytest.mark.parametrize(
    ("url", "org", "ccx_org"),
    [
        ("http://lms.example.org/course/course-v1:edX+DemoX+Demo_Course", "edX", None),
        ("course-v1:Org.with-dash_and~tilde+C1+R", "Org.with-dash_and~tilde", None),
        ("http://lms.example.org/course/course-v1:Écolé+C+2024", "Écolé", None),
        ("http://lms.example.org/course/ccx-v1:my-Org+C+R+ccx@12", None, "my-Org"),
        ("http://lms.example.org/xblock/block-v1:edX+D+R+type@html+block@x", None, None),
        ("http://lms.example.org/course/course-v1:", None, None),
        ("http://lms.example.org/course/course-v1:+C+R", None, None),
        ("http://lms.example.org/course/course-v1:Lonely?next=/a+b", "Lonely", None),
        ("", None, None),
    ],
)
def test_functions_give_the_organisation_or_null(
    admin: Client, names: SchemaNames, url: str, org: str | None, ccx_org: str | None
) -> None:
    schema.create_missing(admin, names)
    row = admin.query(
        "SELECT get_org_from_course_url({url:String}), get_org_from_ccx_course_url({url:String}),"
        " get_org_from_course_url(toLowCardinality({url:String})),"
        " coalesce(get_org_from_course_url({url:String}), get_org_from_ccx_course_url({url:String}), '')",
        parameters={"url": url},
    ).result_rows[0]
    assert row == (org, ccx_org, org, org or ccx_org or "")


def test_staging_and_lock_are_created_once(admin: Client, names: SchemaNames) -> None:
    schema.create_missing(admin, names)
    for name in ("staging_create", "lock_create"):
        creation = ddl(name, database=names.orchestration_database, table=name)
        admin.command(creation.sql, parameters=dict(creation.parameters))
        with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError) as refused:
            admin.command(creation.sql, parameters=dict(creation.parameters))
        assert refused.value.code == 57


def test_a_batch_sent_twice_to_staging_is_there_once(admin: Client, names: SchemaNames) -> None:
    schema.create_missing(admin, names)
    creation = ddl("staging_create", database=names.orchestration_database, table="staging")
    admin.command(creation.sql, parameters=dict(creation.parameters))
    for token in ("batch 1", "batch 2", "batch 1"):
        admin.command(
            "INSERT INTO {database:Identifier}.staging SELECT generateUUIDv4(), now64(6), '{}', 1, 2, 3",
            parameters={"database": names.orchestration_database},
            settings={"insert_deduplication_token": token, "insert_deduplicate": 1},
        )
    found = admin.query(
        "SELECT count() FROM {database:Identifier}.staging",
        parameters={"database": names.orchestration_database},
    ).result_rows
    assert found == [(2,)]


def rendered(name: str, *, cluster: str = "") -> str:
    placeholders: dict[str, object] = dict.fromkeys(re.findall(r"\{(\w+):", statement(name)), "x")
    return ddl(name, cluster=cluster, **placeholders).sql


def parsed(admin: Client, sql: str) -> str:
    """The statement as the engine reads it; it raises for anything but one valid statement."""
    return str(admin.query("SELECT formatQuery({sql:String})", parameters={"sql": sql}).result_rows[0][0])


@pytest.mark.parametrize("cluster", ["aspects", "{cluster}", "eu-west.1"])
@pytest.mark.parametrize("name", CREATIONS)
def test_on_a_cluster_every_creation_is_valid_and_replicated(admin: Client, name: str, cluster: str) -> None:
    sql = parsed(admin, rendered(name, cluster=cluster)).replace("`", "")
    assert f"ON CLUSTER {cluster}" in sql
    if "CREATE TABLE" in sql:
        assert re.search(r"^ENGINE = Replicated(Replacing)?MergeTree(\(\w+\))?$", sql, re.MULTILINE)


@pytest.mark.parametrize("name", CREATIONS)
def test_without_a_cluster_nothing_is_replicated(admin: Client, name: str) -> None:
    sql = parsed(admin, rendered(name))
    assert "Replicated" not in sql
    assert "CLUSTER" not in sql
    assert sql == parsed(admin, statement(name)), "the file must be valid as it stands"


@pytest.mark.parametrize("cluster", ["a'b", "a b", "a;DROP TABLE x", "a`b", "a\nb", "a\\"])
def test_an_impossible_cluster_name_is_refused_by_name(cluster: str) -> None:
    with pytest.raises(SettingsError, match="CLICKHOUSE_CLUSTER_NAME"):
        ddl("database_create", cluster=cluster, database="xapi")


def test_a_cluster_that_is_not_there_is_explained(admin: Client, names: SchemaNames) -> None:
    with pytest.raises(WarehouseError, match="CLICKHOUSE_CLUSTER_NAME") as refused:
        schema.create_missing(admin, names, cluster="nowhere")
    assert names.xapi_database in refused.value.what


def test_a_missing_file_and_wrong_bindings_are_named() -> None:
    with pytest.raises(WarehouseError, match=r"no_such_statement\.sql"):
        statement("no_such_statement")
    with pytest.raises(
        WarehouseError, match=r"sql/database_create\.sql binds database, but was given nothing"
    ):
        ddl("database_create")
    with pytest.raises(WarehouseError, match="given database, table"):
        ddl("database_create", database="x", table="y")
    with pytest.raises(WarehouseError, match=r"sql/database_create\.sql does not create a table"):
        schema.definition("database_create")


@pytest.mark.parametrize("path", ONE_STATEMENT_FILES, ids=lambda path: path.stem)
def test_every_sql_file_is_a_comment_and_one_statement(admin: Client, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"-- [A-Z].{10,}\.\n(?!--)", text), "the first line says what the statement does"
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    name = path.relative_to(statements_folder()).with_suffix("").as_posix()
    assert parsed(admin, statement(name))

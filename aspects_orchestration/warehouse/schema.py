"""The tables, functions and grants: created where absent, compared where present, never altered.

The SQL files are the schema: what `sql/*_create.sql` says is created, and what stands is compared with it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.warehouse.statements import Statement, ddl, statement, statements_folder

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

EVENT_SINK_TABLES = (
    "course_overviews",
    "course_blocks",
    "external_id",
    "user_profile",
    "course_enrollment",
    "tag",
    "taxonomy",
    "object_tag",
)
ORCHESTRATION_TABLES = (
    "runs",
    "expected_ids",
    "tracking_log_catalog",
    "lms_copies",
    "retention_log",
    "loaded_hours",
    "recoveries",
    "drills",
)
FUNCTIONS = ("get_org_from_course_url", "get_org_from_ccx_course_url")

# Error codes of the server: src/Common/ErrorCodes.cpp of ClickHouse.
_ACCESS_DENIED = 497
_CLUSTER_ERRORS = frozenset(
    {139, 170, 225, 701}
)  # no such element in the configuration, bad get, no Keeper, no cluster


def drill_database(orchestration_database: str) -> str:
    """The scratch database of a site's restore drills; it stands only while one runs."""
    return "aspects_drill_" + orchestration_database


@dataclass(frozen=True)
class SchemaNames:
    """The names that a site may choose.

    Attributes:
        xapi_database: database of the raw statements (ASPECTS_XAPI_DATABASE, or the Vector layout's).
        xapi_table: table of the raw statements (ASPECTS_RAW_XAPI_TABLE).
        event_sink_database: database of the copies of LMS tables (ASPECTS_EVENT_SINK_DATABASE).
        orchestration_database: the project's own database (ASPECTS_ORCHESTRATION_DATABASE).
    """

    xapi_database: str = "xapi"
    xapi_table: str = "xapi_events_all"
    event_sink_database: str = "event_sink"
    orchestration_database: str = "aspects_orchestration"

    def databases(self) -> tuple[str, ...]:
        """Each database once, in the order in which they are created."""
        return tuple(
            dict.fromkeys((self.xapi_database, self.event_sink_database, self.orchestration_database))
        )

    def tables(self) -> dict[tuple[str, str], str]:
        """The SQL file that creates each table, by database and table."""
        return {
            (self.xapi_database, self.xapi_table): "xapi_events_all_create",
            **{
                (self.event_sink_database, table): "event_sink_" + table + "_create"
                for table in EVENT_SINK_TABLES
            },
            **{(self.orchestration_database, table): table + "_create" for table in ORCHESTRATION_TABLES},
        }


@dataclass(frozen=True)
class Difference:
    """One place where what stands is not what the SQL files say.

    Attributes:
        table: `database.table`, or a function's name with `()`.
        column: the column's name, or in parentheses what of the whole differs: `(table)`, `(engine)`,
            `(partition key)`, `(sorting key)`, `(primary key)`, `(column order)`, `(function)`.
        expected: as the SQL files have it; `absent` for a column that should not be there.
        found: as the server has it; `missing` where there is nothing that this user can see.
    """

    table: str
    column: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.table} {self.column}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class TableDefinition:
    """What a table is made of, in the words of `system.tables` and `system.columns`.

    Attributes:
        columns: type and default (`Int32 DEFAULT 0`) by name, in order.
        engine: without arguments.
        partition_key: expression; empty for none.
        sorting_key: expression.
        primary_key: expression; the sorting key unless the table has its own.
    """

    columns: dict[str, str]
    engine: str
    partition_key: str
    sorting_key: str
    primary_key: str


def create_missing(client: "Client", names: SchemaNames, cluster: str = "") -> list[str]:
    """Create the databases, tables and functions that are absent; leave all others as they are.

    Where all of it stands, nothing is sent but three questions to the system tables, so a user who may create
    nothing may call it.

    Args:
        client: connected as a user who may create what is missing.
        names: the site's names.
        cluster: CLICKHOUSE_CLUSTER_NAME; empty for none.

    Returns:
        What was created, in order: `xapi`, `xapi.xapi_events_all`, `get_org_from_course_url()`.

    Raises:
        WarehouseError: the server refused: a grant is missing, or the cluster is not what the setting says.
        SettingsError: the cluster's name cannot be one.
    """
    created = []
    for name, creation in _missing(client, names, cluster):
        _create(client, name, creation)
        created.append(name)
    return created


def differences(client: "Client", names: SchemaNames) -> list[Difference]:
    """Compare every table, column by column, with the SQL files; change nothing.

    Replicated and Shared engines count as their plain family. TTLs, comments, codecs, settings and indexes
    are the operator's own business. Of a function, only its absence is a difference.

    Args:
        client: connected as a user who sees the tables and columns (SHOW TABLES, SHOW COLUMNS).
        names: the site's names.

    Returns:
        The differences, by table in the order of `SchemaNames.tables`; empty if there are none.

    Raises:
        WarehouseError: a table is visible, but not its columns.
    """
    found_tables = _tables(client, names)
    found: list[Difference] = []
    for (database, table), file in names.tables().items():
        full_name = database + "." + table
        if (database, table) in found_tables:
            found += table_differences(full_name, definition(file), found_tables[database, table])
        else:
            found.append(Difference(full_name, "(table)", "present", "missing"))
    functions = _functions(client)
    found += [
        Difference(name + "()", "(function)", "present", "missing")
        for name in FUNCTIONS
        if name not in functions
    ]
    return found


def table_differences(table: str, expected: TableDefinition, found: TableDefinition) -> Iterator[Difference]:
    """Compare one table with what it should be.

    Args:
        table: `database.table`, to name it in the differences.
        expected: from its SQL file.
        found: from the server.
    """
    if _family(found.engine) != expected.engine:
        yield Difference(table, "(engine)", expected.engine, found.engine)
    for key, wanted, actual in (
        ("(partition key)", expected.partition_key, found.partition_key),
        ("(sorting key)", expected.sorting_key, found.sorting_key),
        ("(primary key)", expected.primary_key, found.primary_key),
    ):
        if _expression(wanted) != _expression(actual):
            yield Difference(table, key, wanted or "none", actual or "none")
    for column, kind in expected.columns.items():
        if found.columns.get(column) != kind:
            yield Difference(table, column, kind, found.columns.get(column, "missing"))
    for column, kind in found.columns.items():
        if column not in expected.columns:
            yield Difference(table, column, "absent", kind)
    wanted_order = [column for column in expected.columns if column in found.columns]
    actual_order = [column for column in found.columns if column in expected.columns]
    if wanted_order != actual_order:
        yield Difference(table, "(column order)", ", ".join(wanted_order), ", ".join(actual_order))


@cache
def definition(name: str) -> TableDefinition:
    """The table that `sql/<name>.sql` creates.

    Args:
        name: the file's name without `.sql`, such as `xapi_events_all_create`.

    Raises:
        WarehouseError: there is no such file, or it is not laid out as the others: a column a line between
            two lines of parentheses, then a clause a line.
    """
    block = re.search(r"^\(\n(?P<columns>.*?)^\)\n(?P<clauses>.*)", statement(name), re.DOTALL | re.MULTILINE)
    if block is None:
        raise WarehouseError(
            f"sql/{name}.sql does not create a table as the other files do",
            do="Put every column on a line of its own, and every clause after them.",
        )
    columns = [line.strip().rstrip(",").split(maxsplit=1) for line in block["columns"].splitlines()]
    clauses: dict[str, str] = dict(
        re.findall(r"^(ENGINE =|PARTITION BY|PRIMARY KEY|ORDER BY) (.+)$", block["clauses"], re.MULTILINE)
    )
    engine = clauses["ENGINE ="].removeprefix("/*replicated*/").partition("(")[0]
    return TableDefinition(
        columns={column.strip("`"): kind for column, kind in columns},
        engine=engine,
        partition_key=clauses.get("PARTITION BY", ""),
        sorting_key=clauses["ORDER BY"],
        primary_key=clauses.get("PRIMARY KEY", clauses["ORDER BY"]),
    )


@dataclass(frozen=True)
class GrantNeeded:
    """One grant of `sql/grants.sql`, with the site's names.

    Attributes:
        text: the GRANT statement without `TO user` and without semicolon.
        why: what the file says it is for.
    """

    text: str
    why: str

    @property
    def is_optional(self) -> bool:
        """Whether it is for one purpose alone that a site may do without."""
        return self.why.startswith("Optional")

    @property
    def needs_pii(self) -> bool:
        """Whether it is for sites that let personal data into ClickHouse."""
        return self.why.startswith("Only with ASPECTS_ENABLE_PII")


def pipeline_grants(names: SchemaNames, *, cluster: str = "") -> list[str]:
    """The texts of `needed_grants`, as `<grants>` in a server's `users.xml` has them."""
    return [one.text for one in needed_grants(names, cluster=cluster)]


def needed_grants(names: SchemaNames, *, cluster: str = "") -> list[GrantNeeded]:
    """The grants of `sql/grants.sql` with the site's names: the least that the pipeline's user needs.

    Args:
        names: the site's names; they take the place of the file's defaults.
        cluster: CLICKHOUSE_CLUSTER_NAME; without one, what only a cluster needs is left out.

    Returns:
        Each of them, in the file's order.

    Raises:
        WarehouseError: the file names something in backticks that is not a name of the site.
    """
    site = {
        "xapi": names.xapi_database,
        "xapi_events_all": names.xapi_table,
        "event_sink": names.event_sink_database,
        "aspects_orchestration": names.orchestration_database,
        "aspects_drill_aspects_orchestration": drill_database(names.orchestration_database),
        "reporting": "reporting",
    }

    def quoted(match: re.Match[str]) -> str:
        try:
            name = site[match[1]]
        except KeyError:
            raise WarehouseError(
                f"sql/grants.sql names `{match[1]}`, which is no name that a site can choose",
                do="Take the backticks away, or add the name to SchemaNames.",
            ) from None
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

    grants: list[GrantNeeded] = []
    for paragraph in (statements_folder() / "grants.sql").read_text(encoding="utf-8").split("\n\n"):
        if paragraph.startswith("-- Only with CLICKHOUSE_CLUSTER_NAME") and not cluster:
            continue
        why = " ".join(re.findall(r"^-- ?(.*)$", paragraph, re.MULTILINE))
        found = re.findall(r"^(GRANT .+) TO `aspects_pipeline`;$", paragraph, re.MULTILINE)
        grants += [GrantNeeded(re.sub(r"`([^`]+)`", quoted, grant), why) for grant in found]
    return grants


def _missing(client: "Client", names: SchemaNames, cluster: str) -> Iterator[tuple[str, Statement]]:
    rows = client.query(
        statement("schema_databases"), parameters={"databases": list(names.databases())}
    ).result_rows
    databases = {name for (name,) in rows}
    tables = _table_rows(client, names)
    if not cluster and tables.get((names.xapi_database, names.xapi_table), ("",))[0] == "Distributed":
        raise WarehouseError(
            f"{names.xapi_database}.{names.xapi_table} is Distributed over a cluster, and CLICKHOUSE_CLUSTER_NAME is empty",
            do="Set CLICKHOUSE_CLUSTER_NAME to the cluster that SHOW CREATE TABLE names (docs/cluster.md).",
        )
    functions = _functions(client)
    for database in names.databases():
        if database not in databases:
            yield database, ddl("database_create", cluster=cluster, database=database)
    for (database, table), file in names.tables().items():
        if (database, table) not in tables:
            yield database + "." + table, ddl(file, cluster=cluster, database=database, table=table)
    for function in FUNCTIONS:
        if function not in functions:
            yield function + "()", ddl(function + "_create", cluster=cluster)


def _create(client: "Client", name: str, creation: Statement) -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    try:
        client.command(creation.sql, parameters=dict(creation.parameters))
    except DatabaseError as error:
        if error.code == _ACCESS_DENIED:
            grant = re.search(r"have the grant (.+?)\. \(ACCESS_DENIED\)", str(error))
            raise WarehouseError(
                f"{name} is missing in ClickHouse, or hidden from this user, who may not create it"
                f" (grant {grant[1] if grant else 'CREATE'})",
                do="Let an administrator create the schema, and grant what sql/grants.sql lists.",
            ) from error
        if error.code in _CLUSTER_ERRORS and "ON CLUSTER" in creation.sql:
            raise WarehouseError(
                f"{name} could not be created on the cluster: {error}",
                do="Compare CLICKHOUSE_CLUSTER_NAME with system.clusters; leave it empty for one server.",
            ) from error
        raise WarehouseError(
            f"{name} could not be created: {error}", do="Mend what the server says, then run again."
        ) from error


def _functions(client: "Client") -> set[str]:
    rows = client.query(statement("schema_functions"), parameters={"functions": list(FUNCTIONS)}).result_rows
    return {name for (name,) in rows}


def _table_rows(client: "Client", names: SchemaNames) -> dict[tuple[str, str], tuple[str, str, str, str]]:
    """Engine, partition key, sorting key and primary key of the tables that stand."""
    rows = client.query(
        statement("schema_tables"), parameters={"databases": list(names.databases())}
    ).result_rows
    wanted = names.tables()
    return {
        (database, table): (engine, partition_key, sorting_key, primary_key)
        for database, table, engine, partition_key, sorting_key, primary_key in rows
        if (database, table) in wanted
    }


def _tables(client: "Client", names: SchemaNames) -> dict[tuple[str, str], TableDefinition]:
    rows = _table_rows(client, names)
    columns: dict[tuple[str, str], dict[str, str]] = {key: {} for key in rows}
    for wanted in names.databases():
        tables = [table for database, table in rows if database == wanted]
        for table, name, kind, default_kind, default in client.query(
            statement("schema_columns"), parameters={"database": wanted, "tables": tables}
        ).result_rows:
            columns[wanted, table][name] = " ".join(filter(None, (kind, default_kind, default)))
    for (database, table), found in columns.items():
        if not found:
            raise WarehouseError(
                f"The columns of {database}.{table} are hidden from this user",
                do="Grant SHOW COLUMNS, as sql/grants.sql does.",
            )
    return {key: TableDefinition(columns[key], *row) for key, row in rows.items()}


def _family(engine: str) -> str:
    return engine.removeprefix("Replicated").removeprefix("Shared")


def _expression(key: str) -> str:
    """A key without the marks that one version of the server writes and another does not."""
    return re.sub(r"[\s`()]", "", key)

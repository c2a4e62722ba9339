"""The SQL files of `sql/`: one statement a file, read by name.

Values and names are bound by the server (`{name:Type}`, `{name:Identifier}`). Only what its grammar does not
let be bound is written into the text, at marks that leave a file valid as it stands, for one server:

- `/*on_cluster*/` becomes `ON CLUSTER '<name>'`
- `/*replicated*/MergeTree` becomes `ReplicatedMergeTree`, whose path and replica are the server's defaults
- `/*of_every_node*/system.metrics` becomes `clusterAllReplicas('<name>', system.metrics)`
- `/*of_each_shard*/system.parts` becomes `cluster('<name>', system.parts)`: one replica of each, this node of its own
- `/*global*/ IN` becomes `GLOBAL IN`: what is looked for is asked here once, not by each shard of its own tables
- `/*numbers:name*/0` becomes whole numbers by comma, where a bound one would be kept as a cast in a table's definition
- `/*select_of_view*/…` (to the end of its line) becomes what a view selects, as ClickHouse itself has written it down
- `/*cast:name*/0` becomes columns by comma, each cast to its type; `/*sum:name*/0` their sum as whole numbers
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from aspects_orchestration.errors import SettingsError, WarehouseError

_PACKAGE = Path(__file__).resolve().parents[1]
# Beside the package in a checkout, inside it where it was built.
_FOLDERS = (_PACKAGE.parent / "sql", _PACKAGE / "sql")

_ON_CLUSTER = "/*on_cluster*/"
_REPLICATED = "/*replicated*/"
_GLOBAL = "/*global*/"
_OF_NODES = re.compile(r"/\*(of_every_node|of_each_shard)\*/([\w.]+)")
_TABLE_FUNCTIONS = {"of_every_node": "clusterAllReplicas", "of_each_shard": "cluster"}
# Braces, because a cluster is often named by a macro of the server: {cluster}.
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9_.{}-]+")
_NUMBERS = re.compile(r"/\*numbers:(\w+)\*/0")
_SELECT_OF_VIEW = re.compile(r"/\*select_of_view\*/.*")
_COLUMNS = re.compile(r"/\*(cast|sum):(\w+)\*/0")
_PLACEHOLDER = re.compile(r"\{(\w+):[^}]+\}")


@dataclass(frozen=True)
class Statement:
    """A statement for ClickHouse, and what the server binds into it.

    Pass both to clickhouse-connect: `client.command(statement.sql, parameters=statement.parameters)`.
    """

    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    def shown(self) -> str:
        """The statement on one line with its parameters written in, for people to read; never to be sent."""

        def written(found: re.Match[str]) -> str:
            value = self.parameters[found[1]]
            if found[0].endswith(":Identifier}"):
                name = str(value)
                plain = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
                return name if plain else "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
            return repr(value)

        lines = (line for line in self.sql.splitlines() if not line.startswith("--"))
        return " ".join(_PLACEHOLDER.sub(written, " ".join(lines)).split())


def statements_folder() -> Path:
    """The folder of the SQL files.

    Raises:
        WarehouseError: the installation has none.
    """
    for folder in _FOLDERS:
        if (folder / "grants.sql").is_file():
            return folder
    raise WarehouseError(
        f"The SQL files are missing: there is no {_FOLDERS[0]} and no {_FOLDERS[1]}",
        do="Install the package from a complete checkout.",
    )


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`, without its closing semicolon.

    Args:
        name: the file's name without `.sql`, such as `staging_create` or `monitoring/lag`.

    Raises:
        WarehouseError: there is no such file.
    """
    path = statements_folder() / f"{name}.sql"
    try:
        return path.read_text(encoding="utf-8").strip().removesuffix(";").rstrip()
    except FileNotFoundError:
        raise WarehouseError(
            f"The SQL file {path} is missing", do="Install the package from a complete checkout."
        ) from None


def ddl(name: str, /, *, cluster: str = "", **parameters: object) -> Statement:
    """A statement for one server or for a cluster.

    Args:
        name: the file's name without `.sql`.
        cluster: CLICKHOUSE_CLUSTER_NAME; empty for a single server, a Cloud service or a Replicated database.
        parameters: what the file's placeholders are bound to, all of them and no other.

    Returns:
        The statement, ready to be sent.

    Raises:
        WarehouseError: there is no such file, or its placeholders are others.
        SettingsError: the cluster's name cannot be one.

    Example:
        >>> ddl("database_create", database="xapi").parameters
        {'database': 'xapi'}
    """
    text = statement(name)
    placeholders = set(_PLACEHOLDER.findall(text))
    if placeholders != parameters.keys():
        raise WarehouseError(
            f"sql/{name}.sql binds {', '.join(sorted(placeholders)) or 'nothing'},"
            f" but was given {', '.join(sorted(parameters)) or 'nothing'}",
            do="This is a mistake in the project: please report it.",
        )
    if cluster and not _CLUSTER_NAME.fullmatch(cluster):
        raise SettingsError(
            f"CLICKHOUSE_CLUSTER_NAME: {cluster!r} cannot be the name of a cluster",
            do="Give a name from system.clusters: letters, digits, '_', '-', '.' and macros in braces.",
        )
    on_cluster = "ON CLUSTER '" + cluster + "'" if cluster else ""
    replicated = "Replicated" if cluster else ""
    globally = "GLOBAL" if cluster else ""
    if cluster:
        text = _OF_NODES.sub(lambda found: f"{_TABLE_FUNCTIONS[found[1]]}('{cluster}', {found[2]})", text)
    for mark, written in ((_ON_CLUSTER, on_cluster), (_REPLICATED, replicated), (_GLOBAL, globally)):
        text = text.replace(mark, written)
    return Statement("\n".join(line.rstrip() for line in text.splitlines()), dict(parameters))


def with_numbers(found: Statement, numbers: Mapping[str, Sequence[int]]) -> Statement:
    """A statement with whole numbers written at its marks for them.

    Args:
        found: made by `ddl`.
        numbers: for every mark, and for no other.

    Raises:
        WarehouseError: the marks are others.
    """
    marks = set(_NUMBERS.findall(found.sql))
    if marks != numbers.keys():
        raise WarehouseError(
            f"a statement has marks for the numbers {', '.join(sorted(marks)) or 'none'}, but was given"
            f" {', '.join(sorted(numbers)) or 'none'}",
            do="This is a mistake in the project: please report it.",
        )
    sql = _NUMBERS.sub(lambda mark: ", ".join(str(int(one)) for one in numbers[mark[1]]), found.sql)
    return Statement(sql, found.parameters)


def with_select(found: Statement, select: str) -> Statement:
    """A statement that asks of what a view selects.

    Args:
        found: made by `ddl`.
        select: `as_select` of `system.tables`. That is the server's own writing of a SELECT that it has parsed, which no
            text in it can end early; it stands in parentheses, on lines of its own, and is to be sent `readonly`.

    Raises:
        WarehouseError: there is no mark for it, or the text is no SELECT.
    """
    if not _SELECT_OF_VIEW.search(found.sql):
        raise WarehouseError(
            "a statement has no mark for a view's SELECT",
            do="This is a mistake in the project: please report it.",
        )
    if not re.match(r"(?:WITH|SELECT|\()\s*\S", select):
        raise WarehouseError(
            "ClickHouse says of a materialized view that it selects nothing",
            do="Compare SHOW CREATE TABLE of the view with the Aspects dbt project.",
        )
    return Statement(_SELECT_OF_VIEW.sub(lambda _: select, found.sql), found.parameters)


def with_columns(found: Statement, columns: Mapping[str, Mapping[str, str]]) -> Statement:
    """A statement with columns written at its marks for them.

    Args:
        found: made by `ddl`.
        columns: for every mark, and for no other: types by names.

    Raises:
        WarehouseError: the marks are others.
    """
    marks = {mark[1] for mark in _COLUMNS.findall(found.sql)}
    if marks != columns.keys():
        raise WarehouseError(
            f"a statement has marks for the columns {', '.join(sorted(marks)) or 'none'}, but was given"
            f" {', '.join(sorted(columns)) or 'none'}",
            do="This is a mistake in the project: please report it.",
        )

    def written(mark: re.Match[str]) -> str:
        names = columns[mark[2]]
        if mark[1] == "sum":
            return " + ".join(f"toInt128({quoted_name(one)})" for one in names) or "toInt128(0)"
        return ", ".join(f"CAST({quoted_name(one)}, {quoted_text(of)})" for one, of in names.items())

    return Statement(_COLUMNS.sub(written, found.sql), found.parameters)


def quoted_name(name: str) -> str:
    """An identifier as ClickHouse reads it."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quoted_text(text: str) -> str:
    """A text as ClickHouse reads it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

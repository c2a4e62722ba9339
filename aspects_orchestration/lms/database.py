"""The LMS database: read, never written, in short read-only transactions, with errors that say what to do.

MySQL 8 and MariaDB by PyMySQL, SQLite for the demo. Nothing that is raised or shown holds a value that was read or
bound, nor a password.
"""

from __future__ import annotations

import codecs
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from aspects_orchestration.errors import LmsError

T = TypeVar("T")

Row = tuple[Any, ...]
Selectable = sa.Select[Any] | sa.CompoundSelect[Any] | sa.TextClause
#: Makes the statement of one page: the rows behind a key, in its order, at most so many; their first column is the key.
Page = Callable[[Any, int], sa.Select[Any]]

_CONNECT_S = 10
#: A page is small; a replica that says nothing for so long has hung.
_READ_S = 600
#: So many rows are held by the driver at a time: some carry texts of many megabytes.
_DRIVER_ROWS = 16
#: A replica that went away is waited for so long.
_PATIENCE_S = 60.0
_PORTION_CHARACTERS = 8_000_000
_READ_ONLY = "SET SESSION TRANSACTION READ ONLY"
_LOSSY_UTF8 = "aspects_lossy_utf8"

_URL = "ASPECTS_LMS_DATABASE_URL"
#: Errors of MySQL and MariaDB (their references of server and client errors) that trying again may mend.
_PASSING = frozenset({1040, 1053, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 2014, 2055})
_REFUSED = frozenset({1044, 1045, 1130, 1698, 3159, 4151})
_WRITES = frozenset({1290, 1792, 1836})
_ABSENT = {1049: "database", 1146: "table", 1054: "column", 1356: "view"}
_REPORT = "This is a mistake in the project: please report it."
_DENIED = re.compile(
    r"for (?:table|column) (?:'[^']*' in table )?[`']?(?:[^`'.]*[`']?\.[`']?)?([A-Za-z0-9_]+)[`']?\s*$"
)
_NAMED = re.compile(r"'(?:[^'.]*\.)?([A-Za-z0-9_]+)'")


class LmsUnreachableError(LmsError):
    """The LMS database does not answer, or the connection broke; trying again may help."""


class LmsAbsentError(LmsError):
    """The LMS database has no such table or column: another release of Open edX, or a replica of some tables only."""


class LmsDatabase:
    """The LMS database as one run sees it; for one thread at a time.

    The session is read-only: the server itself refuses a statement that would write.

    Args:
        url: ASPECTS_LMS_DATABASE_URL: `mysql+pymysql://…`, `mysql://…`, `mariadb://…` or `sqlite:///…`.
        patience_s: how long `pages` waits, in seconds, for a database that went away.

    Raises:
        LmsError: the URL cannot be used. Nothing is connected to yet.
    """

    def __init__(self, url: SecretStr, *, patience_s: float = _PATIENCE_S) -> None:
        self._given = url
        self._url = _usable(url)
        self._patience_s = patience_s
        self._lossy = False
        self._engine = self._made()

    @property
    def where(self) -> str:
        """The database in words: its name, host and port, without user and password."""
        if self.is_sqlite:
            return f"the LMS database {self._url.database}"
        port = f":{self._url.port}" if self._url.port else ""
        return f"the LMS database {self._url.database} at {self._url.host}{port}"

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of SQLite."""
        return self._url.get_backend_name() == "sqlite"

    def rows(self, statement: Selectable, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """All rows of a statement, in one read-only transaction; for results that fit in memory.

        Args:
            statement: what to select.
            parameters: what the names bound in it stand for.

        Raises:
            LmsUnreachableError: the database does not answer.
            LmsError: it refuses: wrong password, unknown host, a grant or table (named) that is missing.
        """
        for _ in range(2):
            try:
                with self._answering() as connection:
                    found = connection.execute(statement, dict(parameters or {}))
                    return [tuple(row) for row in found]
            except UnicodeDecodeError:
                self._decode_loosely()
        raise AssertionError("lossy decoding cannot fail")  # pragma: no cover

    def row(self, statement: Selectable, parameters: Mapping[str, object] | None = None) -> Row:
        """The first row of a statement; see `rows`."""
        return self.rows(statement, parameters)[0]

    def pages(
        self,
        page: Page,
        *,
        after: Any = None,
        size: int = 10_000,
        read: Callable[[int], None] = lambda _: None,
        between: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[list[Row]]:
        """All rows behind a key, page by page along it, each page in a read-only transaction of its own.

        A page whose texts are large is handed over in several portions, so that memory stays bounded. When the database
        goes away in between, it is waited for, and reading goes on behind the last row that was handed over.

        Args:
            page: makes the statement of a page; see `keyset`.
            after: the key to start behind, or None for the beginning.
            size: rows a page.
            read: told after each portion how many rows it has, before the portion is handed over; may sleep.
            between: called between two pages, when no transaction is open.
            say: told when the database has gone away.

        Yields:
            Rows whose first column is the key, ascending.

        Raises:
            LmsUnreachableError: the database stayed away.
            LmsError: as `rows`.
        """
        away_since: float | None = None
        pause = 0.25
        while True:
            got = 0
            try:
                for portion in self._portions(page(after, size)):
                    away_since, pause = None, 0.25
                    got += len(portion)
                    after = portion[-1][0]
                    read(len(portion))
                    yield portion
            except UnicodeDecodeError:
                self._decode_loosely()
                continue
            except LmsUnreachableError as error:
                now = time.monotonic()
                if away_since is None:
                    say(f"{error} Waiting for it.")
                    away_since = now
                if now - away_since + pause > self._patience_s:
                    raise
                time.sleep(pause)
                pause = min(pause * 2, 8.0)
                continue
            if got < size:
                return
            between()

    def missing_columns(self, table: sa.Table) -> frozenset[str]:
        """Names of declared columns that this release of the LMS does not have.

        Raises:
            LmsError: as `rows`; the table itself does not exist.
        """
        everything = sa.select(sa.text("*")).select_from(sa.table(table.name)).limit(0)
        with self._answering() as connection:
            try:
                there = {str(name).lower() for name in connection.execute(everything).keys()}  # noqa: SIM118
            except DBAPIError as error:
                if _code(error) in {1142, 1143}:
                    return frozenset()  # granted column by column: each that is needed is asked for by name
                raise
        return frozenset(
            name for name in (column.name for column in table.columns) if name.lower() not in there
        )

    def utf8_columns(self) -> frozenset[tuple[str, str]]:
        """Tables and columns whose texts the server keeps as UTF-8, or as a part of it; none for SQLite.

        Raises:
            LmsError: as `rows`.
        """
        if self.is_sqlite:
            return frozenset()
        columns = sa.table(
            "columns",
            *(
                sa.column(name)
                for name in ("table_schema", "table_name", "column_name", "character_set_name")
            ),
            schema="information_schema",
        )
        found = self.rows(
            sa.select(columns.c.table_name, columns.c.column_name).where(
                columns.c.table_schema == sa.func.database(),
                columns.c.character_set_name.in_(("utf8mb4", "utf8mb3", "utf8", "ascii")),
            )
        )
        return frozenset((str(table).lower(), str(column).lower()) for table, column in found)

    def another(self) -> LmsDatabase:
        """The same database with a connection of its own."""
        return LmsDatabase(self._given, patience_s=self._patience_s)

    def close(self) -> None:
        """Close all connections; the next call opens them anew."""
        self._engine.dispose()

    def _portions(self, statement: sa.Select[Any]) -> Iterator[list[Row]]:
        with self._answering() as connection:
            found = connection.execution_options(stream_results=True, max_row_buffer=_DRIVER_ROWS).execute(
                statement
            )
            portion: list[Row] = []
            held = 0
            for row in found:
                portion.append(tuple(row))
                held += sum([len(value) for value in row if type(value) is str or type(value) is bytes])
                if held >= _PORTION_CHARACTERS:
                    yield portion
                    portion, held = [], 0
        if portion:
            yield portion

    def _made(self) -> Engine:
        if self.is_sqlite:
            engine = sa.create_engine(
                self._url, hide_parameters=True, creator=lambda: _open_sqlite(str(self._url.database))
            )
        else:
            engine = sa.create_engine(
                self._url,
                hide_parameters=True,
                pool_size=1,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": _CONNECT_S,
                    "read_timeout": _READ_S,
                    "init_command": _READ_ONLY,
                    "charset": "utf8mb4",
                },
            )
            if self._lossy:
                sa.event.listen(engine, "connect", _decode_by_replacing)
        return engine

    def _decode_loosely(self) -> None:
        """From now on bytes that are no UTF-8 become U+FFFD. Not from the start: the driver is slower that way."""
        self.close()
        self._lossy = True
        self._engine = self._made()

    @contextmanager
    def _answering(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                try:
                    yield connection
                except UnicodeDecodeError:
                    connection.invalidate()  # the rest of the answer is still on its way
                    raise
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.Error):
                raise _explained_sqlite(str(error.orig), self.where) from None
            raise _explained(error, self._url, self.where) from None
        except SQLAlchemyError as error:
            raise LmsError(
                f"{self.where} cannot be read ({type(error).__name__})", do=f"Look at {_URL}, then run again."
            ) from None


def keyset(
    key: sa.Column[Any], columns: list[sa.Column[Any]], *where: sa.ColumnElement[bool]
) -> Callable[[Any, int], sa.Subquery]:
    """Pages of one table along its key, as derived tables to join others to.

    The LIMIT is inside, so that only a page's own rows are joined: the server walks its key and stops.

    Args:
        key: an indexed, unique column; it comes first.
        columns: the other columns that are needed.
        where: what else must hold.
    """

    def page(after: Any, size: int) -> sa.Subquery:
        behind = [] if after is None else [key > after]
        found = sa.select(key, *[one for one in columns if one is not key]).where(*behind, *where)
        return found.order_by(key).limit(size).subquery("page")

    return page


def _usable(url: SecretStr) -> URL:
    do = (
        f"Give {_URL} as mysql+pymysql://user:password@host:3306/openedx, special characters of the password"
        " percent-encoded."
    )
    try:
        parsed = make_url(url.get_secret_value())
        if parsed.drivername in {"mysql", "mariadb"}:
            parsed = parsed.set(drivername=f"{parsed.drivername}+pymysql")
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise LmsError(f"{_URL} is no URL of a database that can be read", do=do) from None
    if parsed.drivername not in {"mysql+pymysql", "mariadb+pymysql", "sqlite", "sqlite+pysqlite"}:
        raise LmsError(f"{_URL} names the driver {parsed.drivername}, which is not used here", do=do)
    if not parsed.database:
        raise LmsError(f"{_URL} names no database", do=do)
    return parsed


def _open_sqlite(path: str) -> sqlite3.Connection:
    from pathlib import Path
    from urllib.parse import quote

    connection = sqlite3.connect(
        f"file:{quote(str(Path(path).absolute()))}?mode=ro", uri=True, check_same_thread=False
    )
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _lossy_utf8(name: str) -> codecs.CodecInfo | None:
    if name != _LOSSY_UTF8:
        return None
    utf8 = codecs.lookup("utf-8")
    return codecs.CodecInfo(
        name=name, encode=utf8.encode, decode=lambda raw, _errors="strict": utf8.decode(raw, "replace")
    )


codecs.register(_lossy_utf8)


def _decode_by_replacing(connection: Any, _record: object) -> None:
    connection.encoding = _LOSSY_UTF8


def _code(error: DBAPIError) -> int | None:
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _explained(error: DBAPIError, url: URL, where: str) -> LmsError:
    code = _code(error)
    text = str(getattr(error.orig, "args", ("", ""))[-1])
    if code in _REFUSED:
        what = "may not use this database" if code == 1044 else "was refused"
        return LmsError(
            f"{where}: user {url.username} {what} (error {code})",
            do=f"Mend user and password in {_URL}, or grant that user SELECT on `{url.database}`.*.",
        )
    if code in {1142, 1143}:
        found = _DENIED.search(text)
        table = found[1] if found else "a table"
        return LmsError(
            f"{where}: user {url.username} lacks SELECT on the table {table}",
            do=f"As its administrator: GRANT SELECT ON `{url.database}`.`{table}` TO '{url.username}'@'…'; then run again.",
        )
    if code in _ABSENT:
        found = _NAMED.search(text)
        return LmsAbsentError(
            f"{where} has no {_ABSENT[code]} {found[1] if found else ''}".rstrip(),
            do=f"Look whether {_URL} names the LMS's own database, and whether the replica has all of its tables.",
        )
    if code in _PASSING or error.connection_invalidated:
        return LmsUnreachableError(
            f"{where} does not answer (error {code})",
            do=f"Check that it runs, that this machine may reach it, and host and port in {_URL}; then run again:"
            " it goes on where it was.",
        )
    if code in _WRITES:
        return LmsError(f"{where} refused a statement that writes (error {code})", do=_REPORT)
    return LmsError(
        f"{where} answered with error {code} ({type(error.orig).__name__})",
        do="Look the number up in the server's reference and at its log, then run again: it goes on where it was.",
    )


def _explained_sqlite(text: str, where: str) -> LmsError:
    found = re.search(r"no such (table|column): (?:\w+\.)?(\w+)", text)
    if found:
        return LmsAbsentError(
            f"{where} has no {found[1]} {found[2]}",
            do=f"Look whether {_URL} names a copy of the LMS's database.",
        )
    if "unable to open" in text:
        return LmsError(
            f"{where} cannot be opened", do=f"Check that the file of {_URL} is there and readable."
        )
    if "locked" in text or "busy" in text:
        return LmsUnreachableError(f"{where} is locked", do="Wait for whoever writes it, then run again.")
    if "readonly" in text:
        return LmsError(
            f"{where} refused a statement that writes",
            do="This is a mistake in the project: please report it.",
        )
    return LmsError(
        f"{where} cannot be read by SQLite", do=f"Look whether the file of {_URL} is a database of SQLite."
    )

"""Users and courses from files of the site, indexed once into private SQLite files, so that any number fits."""

from __future__ import annotations

import hashlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from aspects_orchestration.errors import IdentityError
from aspects_orchestration.xapi.erb import Identity
from aspects_orchestration.xapi.site_files import rows

IDENTITY_COLUMNS = ("user_id", "username", "external_user_id")
COURSE_COLUMNS = ("course_key", "display_name")
#: Personal data in a cache is worth a day, no more.
_EXPIRES_S = 24 * 3600
_LARGEST_ID = 2**63 - 1

_CREATE_USERS = (
    "CREATE TABLE users (user_id INTEGER PRIMARY KEY, username TEXT NOT NULL, external_id TEXT, email TEXT)"
)
_CREATE_COURSES = (
    "CREATE TABLE courses (course_key TEXT PRIMARY KEY, display_name TEXT NOT NULL) WITHOUT ROWID"
)


def index_file(
    kind: str,
    uri: str,
    etag: str,
    opened: Callable[[], BinaryIO],
    folder: Path,
    *,
    setting: str,
) -> Path:
    """Index a file of identities or courses, once for each version of it.

    Args:
        kind: `users` or `courses`.
        uri, etag: of the file; the index is kept by both.
        opened: opens the file.
        folder: where indexes lie (mode 0700; an index is 0600 and is thrown away after a day).
        setting: ASPECTS_IDENTITIES or ASPECTS_COURSES, for errors.

    Returns:
        The index's path, for `FileIdentities` or `FileCourses`.

    Raises:
        IdentityError: missing columns, values that cannot be, or two rows that contradict each other.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    throw_away_expired(folder)
    digest = hashlib.sha256(f"{kind}\n{uri}\n{etag}".encode()).hexdigest()[:24]
    path = folder / f"{kind}-{digest}.sqlite"
    if path.exists():
        return path
    unfinished = folder / f".{path.name}.{uuid.uuid4().hex}"
    unfinished.touch(mode=0o600)
    try:
        with closing(opened()) as stream, closing(sqlite3.connect(unfinished)) as index:
            index.execute("PRAGMA journal_mode=OFF")
            index.execute("PRAGMA synchronous=OFF")
            fill = _fill_users if kind == "users" else _fill_courses
            fill(index, stream, uri, setting, folder)
            index.commit()
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def throw_away_expired(folder: Path) -> None:
    """Delete what lies in the folder of indexes and answers for longer than a day."""
    limit = time.time() - _EXPIRES_S
    for old in folder.glob("*.sqlite"):
        if old.stat().st_mtime < limit:
            old.unlink(missing_ok=True)


def _fill_users(index: sqlite3.Connection, stream: BinaryIO, uri: str, setting: str, spool: Path) -> None:
    index.execute(_CREATE_USERS)
    found = rows(stream, uri=uri, setting=setting, required=IDENTITY_COLUMNS, spool=spool)
    add = "INSERT INTO users VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    _fill(index, _users(found, uri, setting), add, "users", uri, setting)
    try:
        index.execute("CREATE UNIQUE INDEX by_username ON users (username)")
    except sqlite3.IntegrityError:
        raise IdentityError(
            f"{setting}: {uri} gives one username to two users", do="Keep one row a user and write it anew."
        ) from None


def _users(
    found: Iterator[tuple[int, dict[str, str]]], uri: str, setting: str
) -> Iterator[tuple[int, tuple[object, ...]]]:
    for number, row in found:
        if row.get("external_id_type", "xapi") not in {"xapi", ""}:
            continue  # the actor of a statement is named by the xapi id alone
        try:
            user_id = int(row["user_id"])
            if abs(user_id) > _LARGEST_ID:
                raise ValueError
        except ValueError:
            raise _bad_row(uri, setting, number, "user_id is no whole number") from None
        try:
            external_id = str(uuid.UUID(row["external_user_id"])) if row["external_user_id"] else None
        except ValueError:
            raise _bad_row(uri, setting, number, "external_user_id is no UUID") from None
        if not row["username"]:
            raise _bad_row(uri, setting, number, "username is empty")
        yield number, (user_id, row["username"], external_id, row.get("email") or None)


def _fill_courses(index: sqlite3.Connection, stream: BinaryIO, uri: str, setting: str, spool: Path) -> None:
    index.execute(_CREATE_COURSES)
    found = rows(stream, uri=uri, setting=setting, required=COURSE_COLUMNS, spool=spool)
    values = ((number, (row["course_key"], row["display_name"])) for number, row in found)
    _fill(index, values, "INSERT INTO courses VALUES (?, ?) ON CONFLICT DO NOTHING", "courses", uri, setting)


_SAME = {
    "users": "SELECT 1 FROM users WHERE user_id IS ? AND username IS ? AND external_id IS ? AND email IS ?",
    "courses": "SELECT 1 FROM courses WHERE course_key IS ? AND display_name IS ?",
}


def _fill(
    index: sqlite3.Connection,
    values: Iterator[tuple[int, tuple[object, ...]]],
    add: str,
    kind: str,
    uri: str,
    setting: str,
) -> None:
    contradicting: list[int] = []
    for number, value in values:
        if index.execute(add, value).rowcount == 0 and index.execute(_SAME[kind], value).fetchone() is None:
            contradicting.append(number)
    if contradicting:
        shown = ", ".join(map(str, contradicting[:5]))
        raise IdentityError(
            f"{setting}: {uri} has {len(contradicting)} rows that contradict an earlier one (rows {shown}"
            f"{', …' if len(contradicting) > 5 else ''})",
            do=f"Keep one row for each of its {kind} and write it anew.",
        )


def _bad_row(uri: str, setting: str, number: int, why: str) -> IdentityError:
    return IdentityError(f"{setting}: {uri}, row {number}: {why}", do="Mend the row and write the file anew.")


class FileIdentities:
    """Identities from an indexed file; safe to open in many processes."""

    asks_for_many = False

    def __init__(self, path: Path) -> None:
        self._index = _read_only(path)

    def by_id(self, user_id: int) -> Identity | None:
        """The user with this LMS id, or None."""
        if abs(user_id) > _LARGEST_ID:
            return None
        return self._one("SELECT user_id, username, external_id, email FROM users WHERE user_id = ?", user_id)

    def by_username(self, username: str) -> Identity | None:
        """The user with this username, or None."""
        try:
            return self._one(
                "SELECT user_id, username, external_id, email FROM users WHERE username = ?", username
            )
        except UnicodeEncodeError:
            return None  # a lone surrogate is nobody's name

    def prefetch(self, user_ids: set[int], usernames: set[str]) -> None:
        """Nothing to do: one look-up takes microseconds."""

    def _one(self, query: str, key: object) -> Identity | None:
        row = self._index.execute(query, (key,)).fetchone()
        return Identity(*row) if row else None


class FileCourses:
    """Course names from an indexed file."""

    def __init__(self, path: Path) -> None:
        self._index = _read_only(path)

    def display_name(self, course_key: str) -> str | None:
        """The course's display name, or None for an unknown course."""
        row = self._index.execute(
            "SELECT display_name FROM courses WHERE course_key = ?", (course_key,)
        ).fetchone()
        return row[0] if row else None


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
    )

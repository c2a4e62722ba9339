"""Who is who: the site's own mapping from users to external ids, and its course names.

Two sources: a file (indexed once into a private SQLite file, so that any number of users fits), or the `event_sink`
tables in ClickHouse (asked for many users at once). Nothing is ever invented: a user that the source does not know
stays unknown.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from aspects_orchestration.errors import IdentityError
from aspects_orchestration.warehouse.client import Warehouse, parameter_batches, with_retries
from aspects_orchestration.xapi.erb import Courses, Identities, Identity
from aspects_orchestration.xapi.site_files import rows

IDENTITY_COLUMNS = ("user_id", "username", "external_user_id")
COURSE_COLUMNS = ("course_key", "display_name")
#: Personal data in a cache is worth a day, no more.
_EXPIRES_S = 24 * 3600
#: Users and courses that a worker keeps at hand.
_KEPT = 100_000
_LARGEST_ID = 2**63 - 1
_IDS_AT_A_TIME = 4_000
#: No username of the LMS is longer; what is must not make the query for all others too large.
_LONGEST_NAME = 255

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
    _throw_away_expired(folder)
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


def _throw_away_expired(folder: Path) -> None:
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


class WarehouseIdentities:
    """Identities from `event_sink.external_id` (and `event_sink.user_profile` for e-mail addresses).

    Args:
        warehouse: a connection.
        event_sink: the database's name.
        with_email: also ask for e-mail addresses; needs personal data in ClickHouse (ASPECTS_ENABLE_PII).
        kept: so many users and names are kept at hand.
    """

    asks_for_many = True

    def __init__(self, warehouse: Warehouse, event_sink: str, *, with_email: bool, kept: int = _KEPT) -> None:
        self._kept = kept
        self._warehouse = warehouse
        self._event_sink = event_sink
        self._query = "identities_with_email" if with_email else "identities"
        self._by_id: dict[int, Identity | None] = {}
        self._by_username: dict[str, Identity | None] = {}

    def by_id(self, user_id: int) -> Identity | None:
        """The user with this LMS id, or None."""
        if user_id not in self._by_id:
            self.prefetch({user_id}, set())
        return self._by_id.get(user_id)

    def by_username(self, username: str) -> Identity | None:
        """The user with this username, or None."""
        if username not in self._by_username:
            self.prefetch(set(), {username})
        return self._by_username.get(username)

    def prefetch(self, user_ids: set[int], usernames: set[str]) -> None:
        """Ask for all of these that are not known yet, in one query."""
        if len(self._by_id) + len(self._by_username) > self._kept:
            # First of all: whoever is forgotten here must be asked for again below, not taken for unknown.
            self._by_id.clear()
            self._by_username.clear()
        # The column is Int32: what does not fit is nobody, and must not fail the query for all.
        ids = {one for one in user_ids - self._by_id.keys() if 0 <= one < 2**31}
        names = {one for one in usernames - self._by_username.keys() if _may_be_a_name(one)}
        self._by_id.update(dict.fromkeys(user_ids - self._by_id.keys()))
        self._by_username.update(dict.fromkeys(usernames - self._by_username.keys()))
        if not ids and not names:
            return
        for wanted_ids, wanted_names in _batches(sorted(ids), sorted(names)):
            self._fetch(wanted_ids, wanted_names)

    def _fetch(self, user_ids: list[int], usernames: list[str]) -> None:
        found = with_retries(
            lambda: self._warehouse.rows(
                self._query, event_sink=self._event_sink, user_ids=user_ids, usernames=usernames
            )
        )
        for user_id, username, external_id, email in found:
            identity = Identity(user_id, username, str(external_id), email or None)
            self._by_id[user_id] = identity
            self._by_username[username] = identity


class WarehouseCourses:
    """Course names from `event_sink.course_overviews`."""

    def __init__(self, warehouse: Warehouse, event_sink: str) -> None:
        self._warehouse = warehouse
        self._event_sink = event_sink
        self._names: dict[str, str | None] = {}

    def display_name(self, course_key: str) -> str | None:
        """The course's newest display name, or None for an unknown course."""
        if course_key not in self._names:
            if len(self._names) > _KEPT:
                self._names.clear()
            found = with_retries(
                lambda: self._warehouse.rows(
                    "course_name", event_sink=self._event_sink, course_key=course_key
                )
            )
            self._names[course_key] = found[0][0] if found else None
        return self._names[course_key]


@dataclass(frozen=True)
class SiteSource:
    """Where a worker finds users and courses: the paths of indexed files, or None for `event_sink`."""

    event_sink: str
    with_email: bool
    users_index: Path | None
    courses_index: Path | None

    def open(self, warehouse: Warehouse) -> tuple[Identities, Courses]:
        """The site's users and courses, for the seams of the transformers."""
        identities: Identities = (
            FileIdentities(self.users_index)
            if self.users_index
            else WarehouseIdentities(warehouse, self.event_sink, with_email=self.with_email)
        )
        courses: Courses = (
            FileCourses(self.courses_index)
            if self.courses_index
            else WarehouseCourses(warehouse, self.event_sink)
        )
        return identities, courses


def wanted(keys: Sequence[object]) -> tuple[set[int], set[str]]:
    """User ids and usernames among the keys that transformers will ask for, by event-routing-backends' own rule:
    what reads as a whole number is an id first, and a username after."""
    ids: set[int] = set()
    names: set[str] = set()
    for key in keys:
        if not key or isinstance(key, dict | list):
            continue
        try:
            ids.add(int(key))  # type: ignore[call-overload]
        except (TypeError, ValueError, OverflowError):
            names.add(str(key))
    return ids, names


def _batches(user_ids: list[int], usernames: list[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Ids and names in portions that each fit into one query; most often there is one."""
    portions = [user_ids[first : first + _IDS_AT_A_TIME] for first in range(0, len(user_ids), _IDS_AT_A_TIME)]
    yield from zip_longest(portions, parameter_batches(usernames), fillvalue=[])


def _may_be_a_name(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and len(text) <= _LONGEST_NAME

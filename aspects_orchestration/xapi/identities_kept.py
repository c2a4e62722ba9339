"""Users and courses at hand in a worker, and one answer for each of them throughout a run.

A worker keeps what it was told last, up to a number. The workers of a run also share their answers, in a file of the
run's own below ASPECTS_HOME: the first answer about a user stands until the run has ended, for every worker, though
somebody may register or be renamed meanwhile; and the source is asked about each user once, not once a worker.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import orjson

from aspects_orchestration.errors import IdentityError
from aspects_orchestration.xapi.erb import Identity
from aspects_orchestration.xapi.identities_lookups import CourseLookup, UserLookup, may_be_asked

Key = TypeVar("Key", int, str)

#: Users, and courses, that a worker keeps at hand: about 50 MB.
_KEPT = 100_000
#: LMS ids are MySQL's int, and Int32 in ClickHouse.
_IDS_END = 2**31
#: As long as the longest pause of a crowded disk; an answer is written in milliseconds.
_BUSY_S = 120.0

_CREATE_USERS = (
    "CREATE TABLE IF NOT EXISTS users (asked TEXT PRIMARY KEY, user_id INTEGER, username TEXT, external_id TEXT,"
    " email TEXT) WITHOUT ROWID"
)
_CREATE_COURSES = (
    "CREATE TABLE IF NOT EXISTS courses (asked TEXT PRIMARY KEY, display_name TEXT) WITHOUT ROWID"
)
_READ_USERS = "SELECT * FROM users WHERE asked IN (SELECT value FROM json_each(?))"
_ADD_USER = "INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?, ?)"
_READ_COURSE = "SELECT display_name FROM courses WHERE asked = ?"
_ADD_COURSE = "INSERT OR IGNORE INTO courses VALUES (?, ?)"

Answers = dict[str, Identity | None]


class SharedAnswers:
    """What the workers of one run were told, in a file that only its owner may read.

    Args:
        path: of the file; it is made where it is absent, with mode 0600.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._file = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            # Nothing of it outlives the run: if the machine dies, so does what the file is for.
            self._file.execute("PRAGMA journal_mode=MEMORY")
            self._file.execute("PRAGMA synchronous=OFF")
            self._file.execute(_CREATE_USERS)
            self._file.execute(_CREATE_COURSES)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from None

    def users(self, asked: Iterable[str]) -> Answers:
        """What was answered about some users; whoever is not in it was not asked about."""
        keys = orjson.dumps(list(asked)).decode()
        try:
            rows = self._file.execute(_READ_USERS, (keys,)).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        return {row[0]: None if row[1] is None else Identity(*row[1:]) for row in rows}

    def stand(self, answers: Answers) -> Answers:
        """Hand in new answers; returns those that stand, which may be another worker's."""
        rows = [
            (asked, one.user_id, one.username, one.external_id, one.email)
            if one is not None
            else (asked, None, None, None, None)
            for asked, one in answers.items()
        ]
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(_ADD_USER, rows)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed(error) from None
        return self.users(answers)

    def course(self, course_key: str, lookup: CourseLookup) -> str | None:
        """The name of a course, by the answer that stands, or else by a new one."""
        try:
            if (found := self._file.execute(_READ_COURSE, (course_key,)).fetchone()) is None:
                self._file.execute(_ADD_COURSE, (course_key, lookup.display_name(course_key)))
                found = self._file.execute(_READ_COURSE, (course_key,)).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        name: str | None = found[0]
        return name

    def _failed(self, error: OSError | sqlite3.Error) -> IdentityError:
        return IdentityError(
            f"what the workers of this run know of users cannot be kept in {self._path.parent} ({type(error).__name__})",
            do="Free space there, or point ASPECTS_HOME to a folder that this user can write to; then run again.",
        )


class KeptIdentities:
    """Users of a source, asked for many at once and kept at hand.

    Args:
        lookup: the source.
        kept: so many users and names are kept; the least lately used are forgotten first, and asked for again.
        answers: those of the whole run; None if this process is all there is.
    """

    asks_for_many = True

    def __init__(
        self, lookup: UserLookup, *, kept: int = _KEPT, answers: SharedAnswers | None = None
    ) -> None:
        self._lookup = lookup
        self._kept = kept
        self._answers = answers
        self._at_hand: OrderedDict[int | str, Identity | None] = OrderedDict()

    def by_id(self, user_id: int) -> Identity | None:
        """The user with this LMS id, or None."""
        if user_id not in self._at_hand:
            self.prefetch({user_id}, set())
        self._at_hand.move_to_end(user_id)
        return self._at_hand[user_id]

    def by_username(self, username: str) -> Identity | None:
        """The user with this username, or None."""
        if username not in self._at_hand:
            self.prefetch(set(), {username})
        self._at_hand.move_to_end(username)
        return self._at_hand[username]

    def prefetch(self, user_ids: set[int], usernames: set[str]) -> None:
        """Ask for all of these that are not at hand, at once."""
        wanted: list[int | str] = []
        asked: tuple[int | str, ...] = (*user_ids, *usernames)
        for key in asked:
            if key in self._at_hand:
                self._at_hand.move_to_end(key)
            else:
                wanted.append(key)
        # Before the new ones come: whoever is forgotten here is not among those who were asked for.
        while len(self._at_hand) > max(0, self._kept - len(wanted)) and self._first_may_go(
            user_ids, usernames
        ):
            self._at_hand.popitem(last=False)
        self._at_hand.update(dict.fromkeys(wanted))
        self._fetch(
            sorted(key for key in wanted if isinstance(key, int) and 0 <= key < _IDS_END),
            sorted(key for key in wanted if isinstance(key, str) and may_be_asked(key)),
        )

    def _first_may_go(self, user_ids: set[int], usernames: set[str]) -> bool:
        first = next(iter(self._at_hand))
        return first not in user_ids and first not in usernames

    def _fetch(self, user_ids: Sequence[int], usernames: Sequence[str]) -> None:
        if self._answers is None:
            found = self._lookup.find(user_ids, usernames) if user_ids or usernames else None
            if found is not None:
                self._take(user_ids, found.by_id)
                self._take(usernames, found.by_username)
            return
        asked: dict[str, int | str] = {f"id {key}": key for key in user_ids}
        asked |= {f"name {key}": key for key in usernames}
        known = self._answers.users(asked) if asked else {}
        new = {text: key for text, key in asked.items() if text not in known}
        if new:
            found = self._lookup.find(
                [key for key in new.values() if isinstance(key, int)],
                [key for key in new.values() if isinstance(key, str)],
            )
            known |= self._answers.stand(
                {
                    text: found.by_id.get(key) if isinstance(key, int) else found.by_username.get(key)
                    for text, key in new.items()
                }
            )
        for text, key in asked.items():
            self._at_hand[key] = known[text]

    def _take(self, keys: Sequence[Key], found: Mapping[Key, Identity]) -> None:
        for key in keys:
            self._at_hand[key] = found.get(key)


class KeptCourses:
    """Course names of a source, kept at hand.

    Args:
        lookup: the source.
        answers: those of the whole run; None if this process is all there is.
    """

    def __init__(self, lookup: CourseLookup, *, answers: SharedAnswers | None = None) -> None:
        self._lookup = lookup
        self._answers = answers
        self._names: dict[str, str | None] = {}

    def display_name(self, course_key: str) -> str | None:
        """The course's display name, or None for an unknown course."""
        if course_key not in self._names:
            if len(self._names) >= _KEPT:
                self._names.clear()
            self._names[course_key] = (
                self._lookup.display_name(course_key)
                if self._answers is None
                else self._answers.course(course_key, self._lookup)
            )
        return self._names[course_key]


def forget_answers(path: Path) -> None:
    """Delete the answers of a run that has ended."""
    with suppress(OSError):
        path.unlink()

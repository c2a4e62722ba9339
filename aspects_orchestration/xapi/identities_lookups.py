"""Where users and courses are looked up: many at once, and nothing kept.

Each source answers what it knows and leaves out what it does not; nothing is ever invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol, TypeVar

from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse, parameter_batches
from aspects_orchestration.xapi.erb import Identity
from aspects_orchestration.xapi.identities_files import FileCourses, FileIdentities

Key = TypeVar("Key", int, str)

_IDS_AT_A_TIME = 4_000
#: No username of the LMS is longer; what is must not make the query for all others too large.
_LONGEST_NAME = 255
#: A source that does not answer is waited for so long, in seconds: a load of hours outlives a restart of the replica.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Found:
    """Users by the LMS id, and by the username, that they were asked for by. Who is not in it is unknown."""

    by_id: Mapping[int, Identity] = field(default_factory=dict)
    by_username: Mapping[str, Identity] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Found({len(self.by_id)} ids, {len(self.by_username)} usernames)"


class UserLookup(Protocol):
    """A source of users."""

    def find(self, user_ids: Sequence[int], usernames: Sequence[str]) -> Found:
        """The users with these LMS ids (from 0, below 2³¹), and those with these usernames.

        Raises:
            AspectsError: the source could not be asked.
        """


class CourseLookup(Protocol):
    """A source of course names."""

    def display_name(self, course_key: str) -> str | None:
        """The course's display name, or None for an unknown course."""


class EventSinkUsers:
    """Users from `event_sink.external_id` (and `event_sink.user_profile` for e-mail addresses).

    Args:
        warehouse: a connection.
        event_sink: the database's name.
        with_email: also ask for e-mail addresses; needs personal data in ClickHouse (ASPECTS_ENABLE_PII).
    """

    def __init__(self, warehouse: Warehouse, event_sink: str, *, with_email: bool) -> None:
        self._warehouse = warehouse
        self._event_sink = event_sink
        self._query = "identities_with_email" if with_email else "identities"

    def find(self, user_ids: Sequence[int], usernames: Sequence[str]) -> Found:
        """See `UserLookup`; as many queries as the parameters' size asks for, most often one."""
        by_id: dict[int, Identity] = {}
        by_username: dict[str, Identity] = {}
        portions = [
            user_ids[first : first + _IDS_AT_A_TIME] for first in range(0, len(user_ids), _IDS_AT_A_TIME)
        ]
        for ids, names in zip_longest(portions, parameter_batches(usernames), fillvalue=()):
            for identity in self._ask(list(ids), list(names)):
                by_id[identity.user_id] = identity
                by_username[identity.username] = identity
        return Found(by_id, by_username)

    def _ask(self, user_ids: list[int], usernames: list[str]) -> Iterator[Identity]:
        found = with_retries(
            lambda: self._warehouse.rows(
                self._query, event_sink=self._event_sink, user_ids=user_ids, usernames=usernames
            )
        )
        for user_id, username, external_id, email in found:
            yield Identity(user_id, username, str(external_id), email or None)


class EventSinkCourses:
    """Course names from `event_sink.course_overviews`."""

    def __init__(self, warehouse: Warehouse, event_sink: str) -> None:
        self._warehouse = warehouse
        self._event_sink = event_sink

    def display_name(self, course_key: str) -> str | None:
        """The course's newest display name, or None for an unknown course."""
        found = with_retries(
            lambda: self._warehouse.rows("course_name", event_sink=self._event_sink, course_key=course_key)
        )
        return found[0][0] if found else None


class FileUsers:
    """Users from an indexed file, as one source of several."""

    def __init__(self, identities: FileIdentities) -> None:
        self._identities = identities

    def find(self, user_ids: Sequence[int], usernames: Sequence[str]) -> Found:
        """See `UserLookup`."""
        by_id = {key: found for key in user_ids if (found := self._identities.by_id(key)) is not None}
        by_username = {
            key: found for key in usernames if (found := self._identities.by_username(key)) is not None
        }
        return Found(by_id, by_username)


class UsersInOrder:
    """Several sources of users: the first that knows a user with the id that statements need is believed.

    Args:
        sources: in their order.
        with_email: statements name users by e-mail address, not by external id.
    """

    def __init__(self, sources: Sequence[UserLookup], *, with_email: bool) -> None:
        self._sources = sources
        self._complete: Callable[[Identity], bool] = _has_email if with_email else _has_external_id

    def find(self, user_ids: Sequence[int], usernames: Sequence[str]) -> Found:
        """See `UserLookup`; a later source is asked only for those who are still wanted."""
        by_id: dict[int, Identity] = {}
        by_username: dict[str, Identity] = {}
        for source in self._sources:
            user_ids = [key for key in user_ids if key not in by_id or not self._complete(by_id[key])]
            usernames = [
                key for key in usernames if key not in by_username or not self._complete(by_username[key])
            ]
            if not user_ids and not usernames:
                break
            found = source.find(user_ids, usernames)
            self._take(by_id, found.by_id)
            self._take(by_username, found.by_username)
        return Found(by_id, by_username)

    def _take(self, known: dict[Key, Identity], found: Mapping[Key, Identity]) -> None:
        for key, identity in found.items():
            if key not in known or (self._complete(identity) and not self._complete(known[key])):
                known[key] = identity


class CoursesInOrder:
    """Several sources of courses: the first that knows a course is believed."""

    def __init__(self, sources: Sequence[CourseLookup | FileCourses]) -> None:
        self._sources = sources

    def display_name(self, course_key: str) -> str | None:
        """The course's display name, or None for a course that none of them knows."""
        for source in self._sources:
            name = source.display_name(course_key)
            if name is not None:
                return name
        return None


def may_be_asked(username: str) -> bool:
    """Whether anybody can be called so; what is no text, or far too long, would only fail the query for all others."""
    try:
        username.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in username and len(username) <= _LONGEST_NAME


def _has_external_id(identity: Identity) -> bool:
    return bool(identity.external_id)


def _has_email(identity: Identity) -> bool:
    return bool(identity.email)

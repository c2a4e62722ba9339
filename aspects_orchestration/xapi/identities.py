"""Who is who: the site's own mapping from users to external ids, and its course names.

The sources, one or several in order: the LMS database, the `event_sink` tables in ClickHouse, files. Nothing is ever
invented: a user that no source knows stays unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.xapi.erb import Courses, Identities
from aspects_orchestration.xapi.identities_files import FileCourses, FileIdentities
from aspects_orchestration.xapi.identities_kept import (
    KeptCourses,
    KeptIdentities,
    SharedAnswers,
    forget_answers,
)
from aspects_orchestration.xapi.identities_lookups import (
    PATIENCE_S,
    CourseLookup,
    CoursesInOrder,
    EventSinkCourses,
    EventSinkUsers,
    FileUsers,
    UserLookup,
    UsersInOrder,
)

if TYPE_CHECKING:
    from pydantic import SecretStr

    from aspects_orchestration.lms.database import LmsDatabase

LMS = "lms"
EVENT_SINK = "event_sink"

#: LMS, EVENT_SINK, or the path of an indexed file.
Source = str | Path


@dataclass(frozen=True)
class SiteSource:
    """Where a worker finds users and courses.

    Attributes:
        event_sink: name of the database of LMS copies.
        with_email: statements name users by e-mail address.
        users, courses: the sources, in the order in which they are believed.
        lms_url: SQLAlchemy URL of the LMS database, where it is among them.
        patience_s: how long to wait for an LMS database that does not answer, in seconds.
        answers: path of the file in which the workers of a run share what they were told; None shares nothing.
    """

    event_sink: str
    with_email: bool = False
    users: tuple[Source, ...] = (EVENT_SINK,)
    courses: tuple[Source, ...] = (EVENT_SINK,)
    lms_url: SecretStr | None = None
    patience_s: float = PATIENCE_S
    answers: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What it is made of, in words that hold no secret; other words, other statements."""
        return ("users", *map(str, self.users), "courses", *map(str, self.courses))

    def open(self, warehouse: Warehouse) -> tuple[Identities, Courses]:
        """The site's users and courses, for the seams of the transformers.

        Raises:
            AspectsError: a source cannot be reached.
        """
        lms = self._lms()
        answers = SharedAnswers(self.answers) if self.answers and self._may_change() else None
        return self._identities(warehouse, lms, answers), self._courses(warehouse, lms, answers)

    def forget(self) -> None:
        """Delete what the workers of the run that has ended were told."""
        if self.answers is not None:
            forget_answers(self.answers)

    def _may_change(self) -> bool:
        """Whether a source may answer otherwise later in the run; an indexed file cannot."""
        return any(isinstance(one, str) for one in (*self.users, *self.courses))

    def _lms(self) -> LmsDatabase | None:
        if self.lms_url is None or LMS not in (*self.users, *self.courses):
            return None
        # Only here: SQLAlchemy takes its time to import, and most sites' workers do without.
        from aspects_orchestration.lms.database import LmsDatabase

        return LmsDatabase(self.lms_url)

    def _identities(
        self, warehouse: Warehouse, lms: LmsDatabase | None, answers: SharedAnswers | None
    ) -> Identities:
        if len(self.users) == 1 and isinstance(self.users[0], Path):
            return FileIdentities(self.users[0])
        sources: list[UserLookup] = []
        for one in self.users:
            if isinstance(one, Path):
                sources.append(FileUsers(FileIdentities(one)))
            elif one == EVENT_SINK:
                sources.append(EventSinkUsers(warehouse, self.event_sink, with_email=self.with_email))
            elif lms is not None:
                from aspects_orchestration.lms.identities import LmsUsers

                sources.append(LmsUsers(lms, with_email=self.with_email, patience_s=self.patience_s))
        lookup = sources[0] if len(sources) == 1 else UsersInOrder(sources, with_email=self.with_email)
        return KeptIdentities(lookup, answers=answers)

    def _courses(
        self, warehouse: Warehouse, lms: LmsDatabase | None, answers: SharedAnswers | None
    ) -> Courses:
        if len(self.courses) == 1 and isinstance(self.courses[0], Path):
            return FileCourses(self.courses[0])
        sources: list[CourseLookup] = []
        for one in self.courses:
            if isinstance(one, Path):
                sources.append(FileCourses(one))
            elif one == EVENT_SINK:
                sources.append(EventSinkCourses(warehouse, self.event_sink))
            elif lms is not None:
                from aspects_orchestration.lms.identities import LmsCourses

                sources.append(LmsCourses(lms, patience_s=self.patience_s))
        return KeptCourses(sources[0] if len(sources) == 1 else CoursesInOrder(sources), answers=answers)


def answers_of(folder: Path, run_id: str) -> Path:
    """Where the workers of a run share their answers, below the folder of private files."""
    return folder / f"answers-{hashlib.sha256(run_id.encode()).hexdigest()[:24]}.sqlite"


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

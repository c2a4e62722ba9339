"""The site that the sample logs come from: learners, courses and units, each computed from its number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aspects_orchestration.samples.spec import SampleSpec

FIRST_USER_ID: Final = 1001

_GIVEN: Final = (
    "ana",
    "Zoë",
    "maria",
    "Łukasz",
    "chen",
    "José",
    "fatima",
    "Юлия",
    "david",
    "小明",
    "priya",
    "Ngọc",
    "omar",
    "Søren",
    "grace",
    "أمل",
    "lena",
    "kofi",
    "yuki",
    "Ελένη",
)
_FAMILY: Final = (
    "silva",
    "okafor",
    "Müller",
    "tanaka",
    "garcia",
    "Ivanova",
    "nguyen",
    "haddad",
    "smith",
    "Åberg",
    "rossi",
    "kim",
    "mensah",
)
_SUBJECTS: Final = (
    ("DemoX", "STAT101", "Introducción a la estadística"),
    ("OpenU", "DB201", 'Databases & SQL: "the good parts"'),
    ("KyotoX", "LA1.1x", "線形代数入門"),
    ("Uni_Bern", "PHY-7", "Физика для всех"),
    ("TLSx", "ECR3", "Écrire en français — niveau B2"),
    ("OpenU", "DS500", "Data Science Foundations"),
    ("NileX", "HIST10", "تاريخ النيل"),
    ("DemoX", "CS50_2", "Programming with Python 🐍"),
)
_RUNS: Final = ("2024_T1", "2024_T2", "2023-Fall", "SelfPaced")
_UNIT_TITLES: Final = (
    "Checkpoint 1",
    "Übung: Wahrscheinlichkeit",
    "Reading & quiz",
    "Práctica guiada",
    "復習問題",
    'The "law" of large numbers',
    "Lab 3 <setup>",
    "Discussion",
    "Итоговый тест",
    "Week 2\\Part B",
)


@dataclass(frozen=True)
class Learner:
    """A user of the site, as the LMS database and its external ids know them."""

    user_id: int
    username: str
    email: str
    external_user_id: str


@dataclass(frozen=True)
class Course:
    """A course, or a custom course (CCX) made from one.

    Args:
        key: the course key, such as ``course-v1:Org+Number+Run`` or ``ccx-v1:Org+Number+Run+ccx@1``.
        org: the organisation in the key.
        block_prefix: what its usage keys start with, up to ``+type@``.
        display_name: its title.
    """

    key: str
    org: str
    block_prefix: str
    display_name: str


@dataclass(frozen=True)
class Unit:
    """One unit of a course and the blocks in it; the ids are block ids of 32 hexadecimal digits."""

    chapter: str
    sequential: str
    vertical: str
    html: str
    video: str
    problem: str
    title: str
    video_seconds: int
    tabs: int


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=32).digest()


def learner(seed: int, number: int) -> Learner:
    """The learner of this number, counted from 0."""
    digest = _digest(seed, "learner", number)
    username = f"{_GIVEN[digest[16] % len(_GIVEN)]}_{_FAMILY[digest[17] % len(_FAMILY)]}{number}"
    domain = ("example.org", "example.com", "mail.example.net")[digest[18] % 3]
    return Learner(
        user_id=FIRST_USER_ID + number,
        username=username,
        email=f"learner.{number}@{domain}",
        external_user_id=str(UUID(bytes=digest[:16], version=4)),
    )


def course(number: int) -> Course:
    """The course of this number, counted from 0; every third is a CCX of the course two before it."""
    if number % 3 == 2:
        origin = course(number - 2)
        path = f"{origin.key.removeprefix('course-v1:')}+ccx@{number // 3 + 1}"
        return Course(
            f"ccx-v1:{path}",
            origin.org,
            f"ccx-block-v1:{path}",
            f"{origin.display_name} (CCX {number // 3 + 1})",
        )
    round_, place = divmod(number, len(_SUBJECTS))
    org, subject, title = _SUBJECTS[place]
    path = f"{org}+{subject}{f'.{round_}' if round_ else ''}+{_RUNS[number % len(_RUNS)]}"
    return Course(f"course-v1:{path}", org, f"block-v1:{path}", title)


def unit(course_number: int, number: int) -> Unit:
    """The unit of this number in a course; a CCX has the blocks of the course it was made from."""
    origin = course_number - 2 if course_number % 3 == 2 else course_number

    def block(kind: str, place: int) -> str:
        return _digest("block", origin, kind, place)[:16].hex()

    return Unit(
        chapter=block("chapter", number // 8),
        sequential=block("sequential", number // 4),
        vertical=block("vertical", number),
        html=block("html", number),
        video=block("video", number),
        problem=block("problem", number),
        title=_UNIT_TITLES[number % len(_UNIT_TITLES)],
        video_seconds=90 + (number * 37) % 700,
        tabs=4 + number // 4 % 5,
    )


def learners(spec: SampleSpec) -> Iterator[Learner]:
    """All learners of the site, by user id."""
    return (learner(spec.seed, number) for number in range(spec.users))


def courses(spec: SampleSpec) -> Iterator[Course]:
    """All courses of the site."""
    return (course(number) for number in range(spec.courses))

"""What to generate: one frozen value from which every byte follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aspects_orchestration.errors import AspectsError

STYLES: Final = ("plain", "tutor", "syslog", "docker", "cri", "vector")


class SampleError(AspectsError):
    """Sample logs cannot be generated or written as asked."""


@dataclass(frozen=True)
class SampleSpec:
    """Everything that determines a set of sample logs.

    Two equal specs give the same lines, byte for byte, on any machine.

    Args:
        lines: how many log records to write, damaged ones included. A record is one line, save that the
            styles ``docker`` and ``cri`` split one over 16 KiB into several lines, as container runtimes do.
        seed: of every choice made.
        start: time of the earliest event, with a time zone.
        end: all events are earlier than this, with a time zone.
        users: how many learners the site has.
        courses: how many courses the site has; every third is a CCX.
        transformable: share of the records, 0 to 1, whose event becomes xAPI statements.
        damage: share of the records, 0 to 1, that are damaged in one of the ways of ``DAMAGES``.
        style: what stands around the event: one of ``STYLES``.
        lms_root_url: the site's own, for hosts, pages and referers.

    Raises:
        SampleError: a field has an impossible value.
    """

    lines: int
    seed: int = 1
    start: datetime = datetime(2024, 4, 20, tzinfo=UTC)
    end: datetime = datetime(2024, 6, 10, tzinfo=UTC)
    users: int = 200
    courses: int = 6
    transformable: float = 0.4
    damage: float = 0.0
    style: str = "tutor"
    lms_root_url: str = "http://local.openedx.io:8000"

    def __post_init__(self) -> None:
        for name, least in (("lines", 0), ("users", 1), ("courses", 1)):
            if getattr(self, name) < least:
                raise SampleError(f"Sample {name} is {getattr(self, name)}", do=f"Ask for {least} or more.")
        for name in ("transformable", "damage"):
            if not 0 <= getattr(self, name) <= 1:
                raise SampleError(f"Sample {name} is {getattr(self, name)}", do="Give a share from 0 to 1.")
        if self.style not in STYLES:
            raise SampleError(
                f"Sample style {self.style!r} is unknown", do=f"Use one of: {', '.join(STYLES)}."
            )
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise SampleError(
                "The span of the sample has no time zone", do="Give start and end with one, such as UTC."
            )
        if self.start >= self.end:
            raise SampleError("The span of the sample is empty", do="Give an end after the start.")

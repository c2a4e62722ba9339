"""How many transformable lines the logs hold of each hour, each line counted once however often it is kept.

Logs are copied: rotated by copy and truncate, shipped to S3 while the LMS still has them, sealed in an archive that is
among the logs too, copied every night while they grow. What a file holds, as the catalog has it, tells such copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aspects_orchestration.tracking.account import LineAccount

_SECOND_MICROS = 1_000_000


@dataclass(frozen=True)
class FileHours:
    """What one file holds of some stretch of time.

    Attributes:
        uri: of the file.
        lines, undated: of the whole file; lines without an event included.
        first_micros, last_micros: its first and last transformable event (microseconds since 1970-01-01 UTC).
        hours: its transformable lines by hour (hours since 1970-01-01 UTC), of that stretch of time.
        source: of an object of the archive, the URI of the log that it is, or is a part of.
    """

    uri: str
    lines: int
    undated: int
    first_micros: int
    last_micros: int
    hours: Mapping[int, int]
    source: str = ""

    @property
    def of_the_stretch(self) -> int:
        """Transformable lines of the stretch of time."""
        return sum(self.hours.values())


def file_hours(uri: str, account: LineAccount, first_hour: int, end_hour: int) -> FileHours | None:
    """What a reading found in a file, of the hours from `first_hour` to before `end_hour`; None: nothing."""
    hours = {hour: lines for hour, lines in account.hours.items() if first_hour <= hour < end_hour}
    if not hours or account.first_micros is None or account.last_micros is None:
        return None
    return FileHours(uri, account.lines, account.undated, account.first_micros, account.last_micros, hours)


def each_once(files: Iterable[FileHours]) -> list[FileHours]:
    """Leave out files whose lines another of them holds.

    That is so where two agree in all that is known of them (a copy, be it compressed otherwise), and where one begins, or
    ends, in the same microsecond as another that has no fewer lines of any hour (a copy made while the other grew, or what
    it grew by). Times that were written without a fraction of a second do not tell that, so there only whole copies do.
    An object of the archive is left out beside its source, which may have been sealed in many parts, in the same way.

    Args:
        files: what each holds of one and the same stretch of time.

    Returns:
        Those that are left, the largest first.
    """
    copies: dict[tuple[object, ...], FileHours] = {}
    for file in sorted(files, key=lambda one: one.uri):
        known = (
            *(file.lines, file.undated, file.first_micros, file.last_micros),
            tuple(sorted(file.hours.items())),
        )
        copies.setdefault(known, file)
    kept: list[FileHours] = []
    by_uri: dict[str, FileHours] = {}
    beginning: dict[int, list[FileHours]] = {}
    ending: dict[int, list[FileHours]] = {}
    for file in sorted(copies.values(), key=lambda one: (-one.of_the_stretch, -one.lines, one.uri)):
        alike = [
            *([by_uri[file.source]] if file.source in by_uri else []),
            *(beginning.get(file.first_micros, []) if file.first_micros % _SECOND_MICROS else []),
            *(ending.get(file.last_micros, []) if file.last_micros % _SECOND_MICROS else []),
        ]
        if any(_holds(other, file) for other in alike):
            continue
        kept.append(file)
        by_uri[file.uri] = file
        beginning.setdefault(file.first_micros, []).append(file)
        ending.setdefault(file.last_micros, []).append(file)
    return kept


def lines_by_hour(files: Iterable[FileHours]) -> Counter[int]:
    """Transformable lines by hour (hours since 1970-01-01 UTC), summed over files."""
    total: Counter[int] = Counter()
    for file in files:
        total.update(file.hours)
    return total


def _holds(larger: FileHours, file: FileHours) -> bool:
    return larger.lines >= file.lines and all(
        larger.hours.get(hour, 0) >= lines for hour, lines in file.hours.items()
    )

"""Live logs: the files that the LMS writes now, and those that were renamed and that a writer may still write to.

Nothing is remembered: what has been rotated, when, and whether its writers have moved on is read from the names, the times
of last writing and the open handles. So a rotation that was killed leaves nothing to mend.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from aspects_orchestration.archive.writers import Inode, Writer, writers_of
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.events import UnreadableEventError, event_time, parse_event
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.stores import local_path

#: Seconds without a new line after which a renamed file counts as left by its writers: so long may a machine that shares
#: the folder believe in a name that is gone (`acdirmax` in nfs(5)).
GRACE_S: Final = 60.0
#: Seconds after which an open handle alone says nothing any more. A WatchedFileHandler lets go of a renamed file with its
#: next event only, and a worker that has none, such as many of Celery's, holds it until it is restarted.
IDLE_S: Final = 3600.0
#: Seconds after its rotation at which a file that still gets lines has a writer that does not follow renames.
STRAGGLER_S: Final = 2 * GRACE_S

_HEAD_BYTES: Final = 256 * 1024
#: As logrotate's `dateformat -%Y%m%d-%s` names files, and as they are named here.
_ROTATED_NAME: Final = re.compile(r"-\d{8}-(\d{9,11})(\.[A-Za-z0-9]+)?\Z")

State = Literal["written", "held", "idle", "closed"]


@dataclass(frozen=True)
class RotatedLog:
    """A file beside a live log that was once that log.

    Attributes:
        path: where it is now.
        size: bytes.
        modified: when it was last written (UTC).
        rotated: when it was renamed (UTC), by its name; None if the name does not say.
        writers: who has it open for writing, as far as can be seen.
    """

    path: Path
    size: int
    modified: datetime
    rotated: datetime | None
    writers: tuple[Writer, ...] = ()

    def state(self, now: datetime, *, grace_s: float = GRACE_S) -> State:
        """How far its writers are.

        Args:
            now: the time, with zone.
            grace_s: seconds without a new line, after which it counts as left where nobody is seen to hold it.

        Returns:
            `written` (it got a line just now), `held` (somebody has it open for writing), `idle` (somebody has, but it got
            no line for an hour), or `closed`.
        """
        # A clock that is far ahead of ours says nothing about what happens now.
        quiet_s = (now - self.modified).total_seconds()
        if self.writers:
            return "idle" if quiet_s >= IDLE_S or quiet_s < -IDLE_S else "held"
        return "written" if -grace_s < quiet_s < grace_s else "closed"

    @property
    def outlived_s(self) -> float:
        """Seconds for which it got lines after it was renamed; 0 where its name does not say when that was.

        Of a file that was compressed since, the time of last writing says nothing.
        """
        if self.rotated is None or not self.path.name[-1].isdigit():
            return 0.0
        return max(0.0, (self.modified - self.rotated).total_seconds())

    def is_followed_late(self, now: datetime) -> bool:
        """Whether a writer that does not follow renames wrote to it, within the last day."""
        return self.outlived_s > STRAGGLER_S and abs(now - self.modified) < timedelta(days=1)


@dataclass(frozen=True)
class LiveLog:
    """A live log as it is found.

    Attributes:
        path: as ASPECTS_LIVE_LOG names it.
        target: the file itself, where `path` is or goes through a symbolic link.
        status: of the file; None if there is none.
        begun: when its first line was written (UTC); None if that cannot be told.
        rotated: those of its rotated files of which a writer may not have let go, and those that a writer did not let go of
            in time; by name.
        writers: who has it open for writing, as far as can be seen.
        ever_rotated: whether any file stands beside it under its name and more.
    """

    path: Path
    target: Path
    status: os.stat_result | None
    begun: datetime | None
    rotated: tuple[RotatedLog, ...]
    writers: tuple[Writer, ...]
    ever_rotated: bool

    @property
    def size(self) -> int:
        """Bytes; 0 if there is no file."""
        return self.status.st_size if self.status else 0

    @property
    def inode(self) -> Inode | None:
        """Device and inode; None if there is no file."""
        return (self.status.st_dev, self.status.st_ino) if self.status else None


def live_files(settings: Settings, *, now: datetime | None = None, idle_too: bool = False) -> set[Path]:
    """The files of this machine that may still be written to: live logs, and rotated ones that a writer still writes to.

    Each is named by every path under which a listing of ASPECTS_TRACKING_LOGS, or the setting itself, may name it.

    Args:
        settings: ASPECTS_LIVE_LOG says which logs are live; without it none is known to be.
        now: the time, with zone, where it is not the clock's.
        idle_too: also rotated files that got no line for an hour and that a process still has open for writing. Whoever
            deletes asks for these as well; whoever archives need not wait for them.

    Returns:
        Absolute paths, of files that may not be there at this moment too.

    Raises:
        LogStoreError: the folder of a live log cannot be read.
    """
    at = now or datetime.now(UTC)
    states = {"written", "held", "idle"} if idle_too else {"written", "held"}
    found: set[Path] = set()
    for log in look(settings.live_logs, now=at):
        for file in (log.target, *(one.path for one in log.rotated if one.state(at) in states)):
            found |= listed_paths(file, settings)
            found.add(log.path.parent / file.name)
        found.add(log.path)
    return found


def look(paths: Sequence[Path], *, now: datetime) -> list[LiveLog]:
    """Look at live logs and what was rotated of them; reads the first lines of each.

    Args:
        paths: of the live logs, absolute.
        now: the time, with zone.

    Raises:
        LogStoreError: a log, or its folder, cannot be read.
    """
    targets = [(path, _target(path)) for path in paths]
    beside = [list(_rotated(target)) for _, target in targets]
    statuses = [_status(target) for _, target in targets]
    held = writers_of(
        {inode for status in statuses if (inode := _inode(status))}
        | {_inode_of(status) for files in beside for _, status in files}
    )
    found = []
    for (path, target), status, files in zip(targets, statuses, beside, strict=True):
        inode = _inode(status)
        rotated = [_rotated_log(file, at, held) for file, at in files]
        last = max((one.rotated for one in rotated if one.rotated), default=None)
        found.append(
            LiveLog(
                path,
                target,
                status,
                _begun(target, status, last, now) if status else None,
                tuple(
                    sorted(
                        (one for one in rotated if one.state(now) != "closed" or one.is_followed_late(now)),
                        key=lambda one: one.path.name,
                    )
                ),
                held.get(inode, ()) if inode else (),
                bool(files),
            )
        )
    return found


def rotated_name(log: str, at: datetime) -> str:
    """The name of a log that is rotated at a moment: `tracking.log-20240501-1714521600`; date and seconds are of UTC."""
    moment = at.astimezone(UTC)
    return f"{log}-{moment:%Y%m%d}-{int(moment.timestamp())}"


def listed_paths(file: Path, settings: Settings) -> set[Path]:
    """The paths by which listings of ASPECTS_TRACKING_LOGS name a file: they follow no link in a prefix.

    Args:
        file: its own path, without links.
        settings: ASPECTS_TRACKING_LOGS.
    """
    found = {file}
    for prefix in settings.tracking_log_prefixes:
        root = local_path(prefix)
        if root is not None and file.is_relative_to(resolved := _target(root)):
            found.add(root / file.relative_to(resolved))
    return found


def look_again(files: Iterable[Path]) -> list[RotatedLog]:
    """Rotated files as they are now; without those that are gone (compressed, or taken away).

    Raises:
        LogStoreError: one cannot be looked at.
    """
    there = [(path, status) for path in files if (status := _status(path))]
    held = writers_of({_inode_of(status) for _, status in there})
    return [_rotated_log(path, status, held) for path, status in there]


def _rotated_log(path: Path, status: os.stat_result, held: dict[Inode, tuple[Writer, ...]]) -> RotatedLog:
    named = _ROTATED_NAME.search(path.name)
    return RotatedLog(
        path,
        status.st_size,
        datetime.fromtimestamp(status.st_mtime, UTC),
        datetime.fromtimestamp(int(named[1]), UTC) if named else None,
        held.get(_inode_of(status), ()),
    )


def _rotated(log: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What stands beside a log under its name and more, whoever renamed it: `tracking.log.1`, `tracking.log-20240501.gz`."""
    try:
        with os.scandir(log.parent) as entries:
            for entry in entries:
                if entry.name.startswith(log.name) and entry.name[len(log.name) :][:1] in {"-", "."}:
                    try:
                        found = entry.stat()
                    except OSError:
                        continue  # gone since
                    if stat.S_ISREG(found.st_mode):
                        yield Path(entry.path), found
    except OSError as error:
        raise LogStoreError(
            f"the folder {log.parent} of a live log cannot be read: {error.strerror}",
            do="Check ASPECTS_LIVE_LOG; the user of this process needs read access to the folder. In a container, mount it.",
        ) from None


def _begun(log: Path, status: os.stat_result, last: datetime | None, now: datetime) -> datetime | None:
    """When the first line of a log was written.

    That line's event may be much older than the line (a phone that was offline), so the last rotation counts if it is later.
    """
    first = _first_event(log) if status.st_size else None
    known = [one for one in (first, last) if one is not None and one <= now]
    return max(known, default=None)


def _first_event(log: Path) -> datetime | None:
    try:
        with log.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LogStoreError(
            f"the live log {log} cannot be read: {error.strerror}",
            do="Give the user of this process read access to it, or run rotation as the user of the LMS.",
        ) from None
    for line in unwrap(head[: head.rfind(b"\n") + 1]):
        if line.body is not None:
            try:
                micros, _ = event_time(parse_event(line.body))
            except UnreadableEventError:
                continue
            return datetime.fromtimestamp(micros / 1e6, UTC)
    return None


def _target(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        raise LogStoreError(
            f"{path} is a link that leads nowhere, or to itself", do="Check ASPECTS_LIVE_LOG."
        ) from None


def _status(path: Path) -> os.stat_result | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LogStoreError(
            f"{path} cannot be looked at: {error.strerror}",
            do="Check ASPECTS_LIVE_LOG; the user of this process needs access to its folder.",
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise LogStoreError(f"the live log {path} is no file", do="Name a file in ASPECTS_LIVE_LOG.")
    return found


def _inode(status: os.stat_result | None) -> Inode | None:
    return _inode_of(status) if status else None


def _inode_of(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino

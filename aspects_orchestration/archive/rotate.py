"""Rotating live logs: renamed, never truncated or copied, and then waited for until their writers have moved on.

A writer that follows renames, as Python's WatchedFileHandler does, opens a new log with its next event; what was in flight
still reaches the renamed one. So a rotation loses nothing, whenever it is killed, and however many writers there are.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aspects_orchestration.archive.live import (
    GRACE_S,
    STRAGGLER_S,
    LiveLog,
    RotatedLog,
    live_files,
    look,
    look_again,
    rotated_name,
)
from aspects_orchestration.archive.rotation_rules import RotationRules
from aspects_orchestration.archive.writers import Credentials, credentials_of, credentials_of_owner
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.settings import Settings

__all__ = [
    "WAIT_S",
    "Renaming",
    "Rotated",
    "RotationPlan",
    "live_files",
    "plan_rotation",
    "rotate",
    "said_of",
]

#: Seconds: long enough to tell a writer that does not follow in the very run that renamed its log.
WAIT_S: Final = STRAGGLER_S + 30.0
_POLL_S: Final = 0.5
#: Names tried one after the other, a second apart, where one is taken.
_NAMES_TRIED: Final = 60
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
#: Kernels, file systems (NFS) and C libraries that do not know how to rename without replacing.
_UNKNOWN_HERE: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})

Say = Callable[[str], None]


@dataclass(frozen=True)
class Renaming:
    """A live log that is to be renamed.

    Attributes:
        log: as it was found; if another file is there by then, it is left alone.
        to: its new path.
        why: it is due.
    """

    log: LiveLog
    to: Path
    why: str


@dataclass(frozen=True)
class RotationPlan:
    """What a rotation will do.

    Attributes:
        now: the moment for which it was made (UTC).
        renamings: of the logs that are due.
        left: the logs that are not, each with the reason.
        refused: the logs that are due and cannot be rotated safely, each with what to do.
        earlier: files that were renamed before and whose writers may not have moved on.
    """

    now: datetime
    renamings: tuple[Renaming, ...]
    left: tuple[str, ...]
    refused: tuple[LogStoreError, ...]
    earlier: tuple[RotatedLog, ...]

    def described(self) -> list[str]:
        """The plan in sentences."""
        return [
            *(f"rename {one.log.path} to {one.to.name}: {one.why}" for one in self.renamings),
            *(f"leave {one}" for one in self.left),
            *(f"refused: {one}" for one in self.refused),
            *(f"wait for the writers of {one.path}" for one in self.earlier),
        ]


@dataclass(frozen=True)
class Rotated:
    """What a rotation did.

    Attributes:
        now: when it ended (UTC).
        renamed: the files that it renamed, as they are in the end.
        waiting: all renamed files, of this rotation and earlier ones, that a writer may still write to.
        failed: why logs that were due could not be renamed, each with what to do.
    """

    now: datetime
    renamed: tuple[RotatedLog, ...]
    waiting: tuple[RotatedLog, ...]
    failed: tuple[LogStoreError, ...]

    @property
    def stragglers(self) -> tuple[RotatedLog, ...]:
        """Files with a writer that does not follow renames."""
        return tuple(one for one in self.waiting if one.is_followed_late(self.now))


def plan_rotation(settings: Settings, *, now: datetime, force: bool = False) -> RotationPlan:
    """Find out which live logs are due.

    Args:
        settings: ASPECTS_LIVE_LOG and ASPECTS_ROTATE.
        now: the time, with zone.
        force: rotate every log that holds anything, due or not.

    Raises:
        LogStoreError: ASPECTS_LIVE_LOG is not set, or a log cannot be looked at.
    """
    if not settings.live_logs:
        raise LogStoreError(
            "No live log is named, so there is nothing to rotate",
            do="Set ASPECTS_LIVE_LOG to the log that the LMS writes, such as /openedx/data/logs/tracking.log. Logs that"
            " others rotate need no rotation here.",
        )
    renamings, left, refused = [], [], []
    logs = look(settings.live_logs, now=now)
    for log in logs:
        why = _why(log, settings.rotation_rules, now, force=force)
        unsafe = _why_unsafe(log)
        if why is None:
            left.append(f"{log.path}: {_why_not(log)}")
        elif unsafe is not None:
            refused.append(unsafe)
        else:
            renamings.append(Renaming(log, _free_name(log.target, now), why))
    earlier = [one for log in logs for one in log.rotated if one.state(now) in {"written", "held"}]
    return RotationPlan(now, tuple(renamings), tuple(left), tuple(refused), tuple(earlier))


def rotate(
    plan: RotationPlan,
    *,
    say: Say,
    wait_s: float = WAIT_S,
    grace_s: float = GRACE_S,
) -> Rotated:
    """Do what was planned: rename, and wait until the writers have moved on. That a writer is slow is no failure.

    What one log does keeps no other from being rotated.

    Args:
        plan: of `plan_rotation`.
        say: told what was done.
        wait_s: seconds to wait at most; a file that is still written to then is waited for by the next rotation.
        grace_s: seconds without a new line, after which a file counts as left where nobody is seen to hold it.

    Raises:
        LogStoreError: a renamed file cannot be looked at. It stays renamed, and is found by the next rotation.
    """
    renamed: list[Path] = []
    failed = []
    for renaming in plan.renamings:
        try:
            to = _rename(renaming, plan.now)
        except LogStoreError as error:
            failed.append(error)
            continue
        if to is None:
            say(f"{renaming.log.path} was rotated by somebody else in the meantime")
            continue
        say(f"renamed {renaming.log.path} to {to.name}: {renaming.why}")
        renamed.append(to)
    files = look_again([*(one.path for one in plan.earlier), *renamed])
    waiting = files
    end = time.monotonic() + wait_s
    while True:
        now = datetime.now(UTC)
        waiting = [one for one in files if one.state(now, grace_s=grace_s) in {"written", "held"}]
        if not waiting or time.monotonic() >= end:
            break
        time.sleep(_POLL_S)
        files = look_again(one.path for one in files)
    return Rotated(now, tuple(one for one in files if one.path in renamed), tuple(waiting), tuple(failed))


def said_of(file: RotatedLog, now: datetime) -> str:
    """A renamed file that is not closed, in a sentence that says what to do, if anything."""
    who = " and ".join(map(str, file.writers)) or "a process that cannot be seen from here"
    if file.is_followed_late(now):
        return (
            f"{file.path} still got lines {file.outlived_s:,.0f} seconds after it was renamed: {who} does not follow"
            " renames. In the LMS its handler must be logging.handlers.WatchedFileHandler, as edx-platform has it;"
            " any other program must be told to reopen its log. Put that right and restart the process. No line is lost:"
            " the renamed file counts as live until then, and is not archived or deleted."
        )
    if file.state(now) == "idle":
        return (
            f"{file.path} is still open in {who}, which wrote nothing for an hour; it counts as closed, and what may still"
            " come is archived after it."
        )
    if file.writers:
        return (
            f"{file.path} is still open in {who}, which moves on with its next event; until then, or for an hour, the file"
            " counts as live."
        )
    return f"{file.path} got a line just now, and counts as live until it gets no more."


def _why(log: LiveLog, rules: RotationRules, now: datetime, *, force: bool) -> str | None:
    why = rules.why_due(log.size, log.begun, now)
    return why or ("it was asked for" if force and log.size else None)


def _why_not(log: LiveLog) -> str:
    if log.status is None:
        writing = sorted({str(writer) for one in log.rotated for writer in one.writers})
        return "there is no such file" + (
            f"; its writers ({', '.join(writing)}) will make one with their next event, if they follow renames"
            if writing
            else " yet; its writers make one with their next event"
        )
    if not log.size:
        return "it is empty"
    since = f" since {log.begun.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if log.begun else ""
    return f"it holds {log.size:,} bytes{since}, and is not due"


def _why_unsafe(log: LiveLog) -> LogStoreError | None:
    """After a rename each writer makes a new file, and drops events if it may not."""
    if log.status is None:
        return None
    folder = log.target.parent
    known = {str(writer): found for writer in log.writers if (found := credentials_of(writer))}
    who: dict[str, Credentials] = known or {"its owner": credentials_of_owner(log.status)}
    try:
        unable = [(name, one) for name, one in who.items() if not one.may_create_in(folder)]
    except OSError as error:
        return LogStoreError(
            f"The folder {folder} of a live log cannot be looked at: {error.strerror}",
            do="Check ASPECTS_LIVE_LOG.",
        )
    if not unable:
        return None
    name, one = unable[0]
    return LogStoreError(
        f"{log.path} is not rotated, because {name} (user {one.user}) may not make files in {folder}: after a rename it"
        " could write no event at all",
        do="Give that user the right to write into the folder (chown, chmod, or an access list).",
    )


def _free_name(target: Path, now: datetime) -> Path:
    names = (
        target.with_name(rotated_name(target.name, now + timedelta(seconds=n))) for n in range(_NAMES_TRIED)
    )
    return next(
        (one for one in names if not os.path.lexists(one)), target.with_name(rotated_name(target.name, now))
    )


def _rename(renaming: Renaming, now: datetime) -> Path | None:
    log, to = renaming.log, renaming.to
    try:
        for _ in range(_NAMES_TRIED):
            found = log.target.stat()
            if (found.st_dev, found.st_ino) != log.inode:
                return None
            if rename_aside(log.target, to):
                return to
            to = _free_name(log.target, now)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot_rename(log.path, error) from None
    raise LogStoreError(
        f"{log.path} cannot be renamed: every name for it is taken",
        do=f"Look into {log.target.parent}: something makes files of such names. Then rotate again.",
    )


def rename_aside(source: Path, target: Path) -> bool:
    """Rename a file to a name that is free.

    Args:
        source: the file.
        target: its new name, in the same folder.

    Returns:
        False if there is a file of that name; nothing was done.

    Raises:
        OSError: it cannot be renamed.
    """
    try:
        _rename_without_replacing(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN_HERE:
            raise
        return rename_over_own(source, target)
    return True


def rename_over_own(source: Path, target: Path) -> bool:
    """As `rename_aside`, where the file system cannot do it in one step: by a name that was reserved first.

    Killed between the two, it leaves an empty file behind, which is a log without lines.
    """
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    try:
        source.rename(target)
    except OSError:
        target.unlink()
        raise
    return True


def _rename_without_replacing(source: Path, target: Path) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    paths = (os.fsencode(source), os.fsencode(target))
    if function(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source))


def _cannot_rename(log: Path, error: OSError) -> LogStoreError:
    what = f"{log} cannot be renamed: {error.strerror}"
    if error.errno == errno.EBUSY:
        return LogStoreError(
            what, do="It is mounted as a single file: mount its folder instead, for the LMS and here."
        )
    if isinstance(error, PermissionError):
        return LogStoreError(
            what,
            do="Give the user of this process the right to write into its folder, or run rotation as the user of the LMS.",
        )
    if error.errno == errno.EROFS:
        return LogStoreError(what, do="Its folder is mounted read-only here: mount it for writing.")
    return LogStoreError(what, do="Look at the disk or mount that it is on.")

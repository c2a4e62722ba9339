"""Who has a file open for writing, as far as Linux shows it to this user, and what they may do."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_ACCESS_MODE = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
#: CAP_DAC_OVERRIDE (capabilities(7)): modes do not bind who has it.
_OVERRIDE = 1 << 1

#: A file by its device and inode: the same whatever its name is by now.
Inode = tuple[int, int]


@dataclass(frozen=True, order=True)
class Writer:
    """A process that has a file open for writing.

    Args:
        pid: its number, as this process sees it.
        program: the name of its program.
    """

    pid: int
    program: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.program})" if self.program else f"process {self.pid}"


def writers_of(
    inodes: Collection[Inode], *, processes: Path = Path("/proc")
) -> dict[Inode, tuple[Writer, ...]]:
    """Find who has files open for writing. Whoever only reads (a shipper, `tail -f`, a load) is no writer.

    What is not there may still be: processes of other users (unless this one is root), in other containers (unless this
    one sees the host's), and on other machines that share the folder.

    Args:
        inodes: the files.
        processes: where Linux shows processes (proc(5)).

    Returns:
        The writers of each file that has one.
    """
    wanted, found = set(inodes), dict[Inode, set[Writer]]()
    if not wanted:
        return {}
    try:
        pids = [int(name) for name in os.listdir(processes) if name.isdigit()]  # noqa: PTH208 - names alone
    except OSError:
        return {}
    for pid in pids:
        try:
            handles = os.listdir(processes / str(pid) / "fd")  # noqa: PTH208 - names alone
        except OSError:
            continue  # it ended, or is another user's
        for handle in handles:
            try:
                status = os.stat(processes / str(pid) / "fd" / handle)  # noqa: PTH116 - many of them, and fast
                inode = (status.st_dev, status.st_ino)
                if inode in wanted and _writes(processes / str(pid) / "fdinfo" / handle):
                    found.setdefault(inode, set()).add(Writer(pid, _program(processes / str(pid) / "comm")))
            except OSError:
                continue  # closed since
    return {inode: tuple(sorted(writers)) for inode, writers in found.items()}


def _writes(handle: Path) -> bool:
    for line in handle.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return int(value, 8) & _ACCESS_MODE != os.O_RDONLY
    return False


def _program(comm: Path) -> str:
    try:
        return comm.read_text(errors="replace").strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Credentials:
    """What a process may do to files.

    Args:
        user: its user's number, on file systems.
        groups: of that user.
        everything: whether modes do not bind it, as root.
    """

    user: int
    groups: frozenset[int]
    everything: bool = False

    def may_create_in(self, folder: Path) -> bool:
        """Whether a file can be made in a folder, by its mode; where an access list says more, True.

        Raises:
            OSError: the folder cannot be looked at.
        """
        found = folder.stat()
        if self.everything or "system.posix_acl_access" in _attributes(folder):
            return True
        if found.st_uid == self.user:
            needed = stat.S_IWUSR | stat.S_IXUSR
        elif found.st_gid in self.groups:
            needed = stat.S_IWGRP | stat.S_IXGRP
        else:
            needed = stat.S_IWOTH | stat.S_IXOTH
        return found.st_mode & needed == needed


def credentials_of(writer: Writer, *, processes: Path = Path("/proc")) -> Credentials | None:
    """What a process may do to files; None if it ended or does not say."""
    try:
        status = (processes / str(writer.pid) / "status").read_text(errors="replace")
    except OSError:
        return None
    said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    try:
        user, group = (int(said[name].split()[3]) for name in ("Uid", "Gid"))
        groups = frozenset({group, *map(int, said.get("Groups", "").split())})
        return Credentials(user, groups, bool(int(said["CapEff"], 16) & _OVERRIDE))
    except (KeyError, IndexError, ValueError):
        return None


def credentials_of_owner(file: os.stat_result) -> Credentials:
    """What the owner of a file may do to others, as far as this machine knows that user."""
    groups = {file.st_gid}
    try:
        named = pwd.getpwuid(file.st_uid)
        groups |= set(os.getgrouplist(named.pw_name, named.pw_gid))
    except (KeyError, OSError):
        pass  # a user of a container, or of another machine
    return Credentials(file.st_uid, frozenset(groups), everything=file.st_uid == 0)


def _attributes(folder: Path) -> list[str]:
    try:
        return os.listxattr(folder)
    except OSError:
        return []

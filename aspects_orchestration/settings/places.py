"""What a setting's value may be that is a place: a file, a folder, log storage.

As in `values`, each reader raises `ImpossibleValueError` with what is wrong, and nothing shown is a secret.
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aspects_orchestration.settings.values import ImpossibleValueError, shown

_BUCKETS = {"s3", "s3a", "s3n", "gs"}


def storage_uri(value: str) -> str:
    """One place in log storage. Passwords are refused: URIs are shown in reports and in the web UI."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(/*)", value)
    if scheme is None:
        if not value:
            raise ImpossibleValueError("is empty; give a folder or a URI such as s3://bucket/prefix")
        return str(against_project(value))
    if scheme.group(2) not in {"//", "///"}:
        raise ImpossibleValueError(
            f"{shown(value)} is neither a folder nor a URI; write it as s3://bucket/prefix or file:///folder"
        )
    where = value.partition("://")[2].partition("/")[0]
    try:
        parts = urlsplit(value)
        host, unreadable = parts.netloc, parts.password is None and parts.port == 0
    except ValueError:
        unreadable = True
    if unreadable or (
        parts.scheme in _BUCKETS and not re.fullmatch(r"[A-Za-z0-9._@:+/=-]*", where, re.ASCII)
    ):
        raise ImpossibleValueError("is not a URI that can be read; write it as s3://bucket/prefix")
    if parts.password is not None or (parts.scheme in _BUCKETS and re.search("[@:]", where)):
        raise ImpossibleValueError(
            "carries credentials, and URIs are shown in reports; take them out and give them as AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, a profile or a role"
        )
    if parts.scheme != "file" and parts.query:
        raise ImpossibleValueError(
            "carries a query, which may hold credentials, and URIs are shown in reports; take it out"
        )
    if parts.scheme == "file":
        if host not in {"", "localhost"}:
            raise ImpossibleValueError(f"{shown(value)} names a host; write it as file:///folder")
    elif not host:
        raise ImpossibleValueError(
            f"{shown(value)} has no bucket or host; write it as {parts.scheme}://bucket/prefix"
        )
    return value


def storage_uris(value: str) -> str:
    """Places in log storage by comma, each once."""
    uris = [storage_uri(part.strip()) for part in value.split(",") if part.strip()]
    if not uris:
        raise ImpossibleValueError("names no place; give a folder or a URI, several by comma")
    return ",".join(dict.fromkeys(uris))


def log_paths(value: str) -> str:
    """Files of this machine by comma, as absolute paths, each once. They need not be there yet."""
    return ",".join(dict.fromkeys(_live_log(part.strip()) for part in value.split(",") if part.strip()))


def _live_log(value: str) -> str:
    path = unquote(value[7:].removeprefix("localhost")) if value.startswith("file://") else value
    if "://" in path or value.endswith("/"):
        raise ImpossibleValueError(
            f"{shown(value)} is no file on a filesystem; name the log that the LMS writes, for instance"
            " /openedx/data/logs/tracking.log, and leave it unset for logs that others rotate or ship"
        )
    found = against_project(path)
    try:
        is_folder = found.is_dir()
    except OSError:
        is_folder = False
    if is_folder:
        raise ImpossibleValueError(f"{shown(found)} is a folder; name the log in it, several by comma")
    return str(found)


def records_sources(value: str) -> str:
    """Sources of users or courses by comma, in their order: `lms`, `event_sink`, or where a file is."""
    sources = [_records_source(one.strip()) for one in value.split(",")]
    if len(set(sources)) < len(sources):
        raise ImpossibleValueError(f"{shown(value)} names a source twice; name each once")
    return ",".join(sources)


def _records_source(value: str) -> str:
    if value in {"lms", "event_sink"}:
        return value
    if not re.search(r"[/.\\]", value):
        raise ImpossibleValueError(f"{shown(value)} is not known; set lms, event_sink, or the URI of a file")
    return storage_uri(value)


def home_folder(value: str) -> str:
    """A folder that is there or can be made, as an absolute path."""
    path = against_project(value)
    try:
        taken = path.exists() and not path.is_dir()
    except OSError:
        raise ImpossibleValueError(f"{shown(value)} is not a usable folder; give another") from None
    if taken:
        raise ImpossibleValueError(f"{shown(path)} is a file; give a folder")
    return str(path)


def existing_file(value: str) -> str:
    """A file that is there, as an absolute path."""
    path = against_project(value)
    try:
        there = path.is_file()
    except OSError:
        there = False
    if not there:
        raise ImpossibleValueError(
            f"there is no file {shown(path)}; give the path of one that this user can read"
        )
    return str(path)


def against_project(path: str) -> Path:
    """An absolute path. Relative ones count from the checkout, so that processes started anywhere agree.

    Raises:
        ImpossibleValueError: it cannot be a path.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        root = Path.cwd()
    try:
        if "\0" in path:
            raise ValueError
        return Path(os.path.normpath(root / Path(path).expanduser()))
    except (RuntimeError, ValueError):
        raise ImpossibleValueError(f"{shown(path)} cannot be a path; give another") from None


def absolute_path(value: str) -> str:
    """A path, made absolute."""
    return str(against_project(value))

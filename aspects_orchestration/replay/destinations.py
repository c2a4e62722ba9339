"""Where the statements of a load go: into ClickHouse, to Ralph, or into files."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aspects_orchestration.errors import AspectsError, SettingsError
from aspects_orchestration.settings import Settings
from aspects_orchestration.window import Window

if TYPE_CHECKING:
    from aspects_orchestration.replay.plan import LoadRequest

#: A load that Ralph refuses more statements of stops: then it is not some statements that are wrong.
MAX_REFUSED: Final = 1_000


class Destination(StrEnum):
    """clickhouse inserts into the raw table; ralph sends statements to Ralph; files writes them to log storage."""

    CLICKHOUSE = "clickhouse"
    RALPH = "ralph"
    FILES = "files"


class DestinationError(AspectsError):
    """A destination that cannot do what is asked of it, or that is not set up."""


def stands_here(settings: Settings, destination: Destination) -> bool:
    """Whether a load's statements stand in the raw table afterwards."""
    if destination is Destination.RALPH:
        return settings.ralph_store == "clickhouse"
    return destination is Destination.CLICKHOUSE


def files_folder(settings: Settings, month: str) -> str:
    """URI of the folder of a month's statement files."""
    prefix = settings.statement_files_uri.rstrip("/")
    return f"{prefix}/{settings.raw_xapi_table}/{settings.statement_format}/{month}"


def place_of(settings: Settings, destination: Destination, month: str) -> str:
    """Where a load's statements go, for people to read."""
    if destination is Destination.RALPH:
        return f"Ralph at {settings.watched.ralph}"
    if destination is Destination.FILES:
        return files_folder(settings, month)
    return f"{settings.xapi_database}.{settings.raw_xapi_table}"


def require_possible(settings: Settings, request: LoadRequest) -> None:
    """Refuse what a destination cannot do, before anything is read.

    Raises:
        DestinationError: naming what is asked for, and what would do.
        SettingsError: a setting that the destination needs is missing.
    """
    destination = request.destination
    if destination is Destination.CLICKHOUSE:
        if request.resend or request.per_second is not None:
            raise DestinationError(
                "resend and statements_per_second are about Ralph",
                do="Set destination to ralph, or leave them out.",
            )
        return
    if request.mode.value == "rebuild":
        raise DestinationError(
            f"mode rebuild drops a month of ClickHouse, and destination {destination} does not fill it again by itself",
            do="Rebuild with destination clickhouse, or load with mode merge.",
        )
    if destination is Destination.RALPH:
        _require_ralph(settings)
    else:
        _require_files(settings, request)


def _require_ralph(settings: Settings) -> None:
    if settings.watched.ralph is None:
        raise SettingsError(
            "destination ralph: no Ralph is named",
            do="Set RALPH_HOST (and RALPH_PORT, RALPH_RUN_HTTPS), and see that RUN_RALPH is not false.",
        )
    if not settings.ralph_password.get_secret_value():
        raise SettingsError(
            f"destination ralph: there is no password for Ralph's user {settings.ralph_username}",
            do="Set RALPH_LMS_PASSWORD (and RALPH_LMS_USERNAME), or name the site's config.yml in ASPECTS_TUTOR_CONFIG.",
        )


def _require_files(settings: Settings, request: LoadRequest) -> None:
    if request.resend or request.per_second is not None:
        raise DestinationError(
            "resend and statements_per_second are about Ralph",
            do="Set destination to ralph, or leave them out.",
        )
    if request.sources != ("live",) and not request.reads_archive:
        raise DestinationError(
            "a file holds all statements of its day, and this load reads only some of the lines",
            do="Use source live, archive or both with destination files.",
        )
    if settings.several_machines and Path(
        settings.statement_files_uri.removeprefix("file://")
    ).is_relative_to(settings.home):
        raise SettingsError(
            "ASPECTS_STATEMENT_FILES lies in ASPECTS_HOME, which each of several machines has for itself",
            do="Name a place that all of them reach, such as s3://bucket/prefix.",
        )


def whole_days(window: Window) -> Window:
    """The window, widened to whole days (UTC): files are replaced as a whole, so each must hold all of its day."""
    start = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    end = window.end.replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(start, end if end == window.end else end + timedelta(days=1))

"""The scratch database of a drill: the site's own settings, pointed at a place where nothing can be harmed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.replay.reading import Say
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import SchemaNames, create_missing, drill_database


def scratch_names(settings: Settings) -> SchemaNames:
    """The scratch's names: raw table and records in one database of its own, users and courses where they are."""
    scratch = drill_database(settings.orchestration_database)
    return SchemaNames(scratch, settings.raw_xapi_table, settings.event_sink_database, scratch)


def scratch_settings(settings: Settings) -> Settings:
    """The site's settings for a load into the scratch.

    What it quarantines is kept beside the scratch, on this machine and only until the drill ends: the site's quarantine
    is for lines that nobody has loaded.
    """
    names = scratch_names(settings)
    return replace(
        settings,
        xapi_database=names.xapi_database,
        orchestration_database=names.orchestration_database,
        quarantine_uri=str(_folder(settings) / "quarantine"),
    )


@contextmanager
def fresh_scratch(settings: Settings, warehouse: Warehouse, *, say: Say) -> Iterator[Settings]:
    """An empty scratch for the time of a `with` block; what an earlier drill has left is dropped first.

    Only one drill of a site may be in here at a time: its caller holds the lock.

    Args:
        settings: of the site.
        warehouse: whose user may create and drop that database (sql/grants.sql).
        say: told of what is created and dropped.

    Raises:
        WarehouseError: a grant is missing.
        LogStoreError: there is no place for what it quarantines.
    """
    scratch = scratch_settings(settings)
    if drop_scratch(settings, warehouse):
        say(f"dropped {scratch.xapi_database}, left by a drill that ended early")
    try:
        _folder(settings).mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise LogStoreError(
            f"{_folder(settings)}, which holds what a drill quarantines, cannot be made anew ({error.strerror})",
            do="Remove that folder, or let this user write below ASPECTS_HOME; then run the drill again.",
        ) from None
    say(f"creating {scratch.xapi_database}")
    try:
        create_missing(warehouse.client(), scratch_names(settings), warehouse.cluster)
        yield scratch
    finally:
        say(f"dropping {scratch.xapi_database}")
        drop_scratch(settings, warehouse)


def drop_scratch(settings: Settings, warehouse: Warehouse) -> bool:
    """Drop the scratch and the files beside it; returns whether there was one."""
    database = scratch_names(settings).xapi_database
    shutil.rmtree(_folder(settings), ignore_errors=True)
    there = bool(warehouse.rows("schema_databases", databases=[database]))
    if there:
        warehouse.run("database_drop", database=database)
    return there


def _folder(settings: Settings) -> Path:
    return settings.home / "drill"

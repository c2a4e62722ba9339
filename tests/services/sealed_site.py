"""A site of three months whose logs are all sealed, loaded from them; and other machines that have its archive only."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.samples.lms import write_lms_database
from services.archive import TestArchive, by_day, write_archive
from services.site import Site

MONTHS = ("2024-04", "2024-05", "2024-06")


def write_sealed_site(folder: Path, spec: SampleSpec, *, files: int = 9) -> tuple[Site, TestArchive]:
    """Write logs, people and an LMS database, load every month, and seal every log."""
    site = Site(folder)
    paths = site.write_samples(spec, files=files)
    closed = datetime(2024, 6, 11, tzinfo=UTC).timestamp()
    os.utime(paths[-1], (closed, closed))
    write_lms_database(spec, folder / "lms.sqlite")
    for month in MONTHS:
        site.load(month)
    return site, write_archive(str(folder / "archive"), by_day(paths))


def machine_with_the_archive(original: Site, site: Site) -> Site:
    """Give another machine, which has an empty ClickHouse and no logs, the archive and who is who."""
    shutil.copytree(
        original.folder / "archive", site.folder / "archive", ignore=shutil.ignore_patterns("quarantine")
    )
    for name in ("identities.csv", "courses.csv", "lms.sqlite"):
        shutil.copy(original.folder / name, site.folder / name)
    return site

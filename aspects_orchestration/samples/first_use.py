"""The demo's logs: written where no tracking logs are configured, the first time they are needed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from aspects_orchestration.samples.lms import write_course_blocks, write_lms_database
from aspects_orchestration.samples.spec import SampleError, SampleSpec
from aspects_orchestration.samples.write import write_courses, write_identities, write_logs

SAMPLE: Final = SampleSpec(lines=30_000, damage=0.002)
"""About seven weeks around May 2024, small enough that a month loads in seconds."""

_FILES: Final = 12


def write_sample(home: Path, spec: SampleSpec = SAMPLE) -> bool:
    """Write the demo's logs, users and courses, unless they are there.

    Any number of processes may call this at once: what appears is whole, and is there once.

    Args:
        home: the project's state directory (ASPECTS_HOME); the sample lives in `<home>/sample`.
        spec: what to write.

    Returns:
        False if the sample was there before.

    Raises:
        SampleError: the folder cannot be written.
    """
    sample = home / "sample"
    if sample.exists():
        _complete(home, sample, spec)
        return False
    try:
        home.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix="sample-", dir=home))
    except OSError as error:
        raise SampleError(
            f"Sample logs cannot be written to {sample}: {error.strerror}",
            do="Set ASPECTS_HOME to a folder that is writable and has space.",
        ) from error
    try:
        write_logs(spec, part / "logs", files=_FILES)
        write_identities(spec, part / "identities.csv")
        write_courses(spec, part / "courses.csv")
        _write_lms(spec, part)
        # Fails if another process was first; what it wrote is the same.
        with contextlib.suppress(OSError):
            part.replace(sample)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _write_lms(spec: SampleSpec, folder: Path) -> None:
    write_lms_database(spec, folder / "lms.sqlite")
    write_course_blocks(spec, folder / "course_blocks.ndjson")


def _complete(home: Path, sample: Path, spec: SampleSpec) -> None:
    """Give a sample of an earlier release the LMS database that it lacks."""
    if (sample / "lms.sqlite").exists() or not (sample / "identities.csv").exists():
        return
    part = Path(tempfile.mkdtemp(prefix="sample-", dir=home))
    try:
        _write_lms(spec, part)
        for one in sorted(part.iterdir()):
            one.replace(sample / one.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)

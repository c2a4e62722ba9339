"""Sample logs as files, named and compressed the way logrotate leaves them, and the site's own tables."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, Final, cast

from backports import zstd

from aspects_orchestration.samples import site
from aspects_orchestration.samples.generate import SampleLine, generate
from aspects_orchestration.samples.spec import SampleError, SampleSpec

COMPRESSIONS: Final = ("mixed", "none", "gz", "zst", "bz2", "xz")

_SUFFIXES: Final = {"none": "", "gz": ".gz", "zst": ".zst", "bz2": ".bz2", "xz": ".xz"}
_BATCH: Final = 1_000


@contextmanager
def _compressing(path: Path, compression: str) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw:
        if compression == "gz":
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as stream:
                yield cast(IO[bytes], stream)
        elif compression == "zst":
            with zstd.ZstdFile(raw, "wb", level=3) as stream:
                yield cast(IO[bytes], stream)
        elif compression == "bz2":
            with bz2.BZ2File(raw, "wb") as stream:
                yield cast(IO[bytes], stream)
        elif compression == "xz":
            with lzma.LZMAFile(raw, "wb", preset=1) as stream:
                yield cast(IO[bytes], stream)
        else:
            yield raw


def _write(samples: Iterator[SampleLine], path: Path, compression: str) -> datetime | None:
    """Write all of the samples; returns the time of the last one."""
    last: SampleLine | None = None
    with _compressing(path, compression) as stream:
        while batch := list(islice(samples, _BATCH)):
            stream.write(b"".join([sample.raw for sample in batch]))
            last = batch[-1]
    return datetime.fromisoformat(last.time.decode()) if last else None


def write_logs(spec: SampleSpec, folder: Path, *, files: int = 12, compression: str = "mixed") -> list[Path]:
    """Write a site's logs into a folder: rotated files by time, and the live file.

    Memory stays the same whatever the size. The lines are the same on every machine; compressed bytes depend
    on the compression library too. A file that is being written ends with ``.part``.

    Args:
        spec: what to generate.
        folder: is made if need be; files of the same names are replaced, others are left.
        files: how many. The last of two or more is the live, plain ``tracking.log``.
        compression: of the rotated files, one of ``COMPRESSIONS``; ``mixed`` is mostly gz with some zst.

    Returns:
        The files, by the time of their events.

    Raises:
        SampleError: an argument is impossible, or the folder cannot be written.
    """
    if files < 1:
        raise SampleError(f"{files} sample files were asked for", do="Ask for 1 or more.")
    if compression not in COMPRESSIONS:
        raise SampleError(
            f"Compression {compression!r} is unknown", do=f"Use one of: {', '.join(COMPRESSIONS)}."
        )
    samples = generate(spec)
    paths: list[Path] = []
    rotated_at = spec.start
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            share = islice(samples, spec.lines * (number + 1) // files - spec.lines * number // files)
            live = number == files - 1 and (files > 1 or compression in {"mixed", "none"})
            used = (
                "none"
                if live
                else compression
                if compression != "mixed"
                else "zst"
                if number % 5 == 3
                else "gz"
            )
            part = folder / f"tracking.log-{number}.part"
            last = _write(share, part, used)
            rotated_at = max((last or rotated_at) + timedelta(minutes=1), rotated_at + timedelta(seconds=1))
            stamp = f"{rotated_at.astimezone(UTC):%Y%m%d}-{int(rotated_at.timestamp())}"
            path = folder / ("tracking.log" if live else f"tracking.log-{stamp}{_SUFFIXES[used]}")
            part.replace(path)
            if not live:
                os.utime(path, (rotated_at.timestamp(), rotated_at.timestamp()))
            paths.append(path)
    except OSError as error:
        raise SampleError(
            f"Sample logs cannot be written to {folder}: {error.strerror}",
            do="Give a folder that is writable and has space.",
        ) from error
    return paths


def _write_table(path: Path, header: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(header)
            table.writerows(rows)
    except OSError as error:
        raise SampleError(
            f"{path} cannot be written: {error.strerror}", do="Give a folder that is writable and has space."
        ) from error


def write_identities(spec: SampleSpec, path: Path) -> None:
    """Write the site's learners as CSV: user_id, username, external_user_id, email, external_id_type.

    Args:
        spec: the site.
        path: of the file; its folder is made if need be.

    Raises:
        SampleError: the file cannot be written.
    """
    rows = (
        (who.user_id, who.username, who.external_user_id, who.email, "xapi") for who in site.learners(spec)
    )
    _write_table(path, ("user_id", "username", "external_user_id", "email", "external_id_type"), rows)


def write_courses(spec: SampleSpec, path: Path) -> None:
    """Write the site's courses as CSV: course_key, display_name.

    Args:
        spec: the site.
        path: of the file; its folder is made if need be.

    Raises:
        SampleError: the file cannot be written.
    """
    _write_table(
        path,
        ("course_key", "display_name"),
        ((course.key, course.display_name) for course in site.courses(spec)),
    )

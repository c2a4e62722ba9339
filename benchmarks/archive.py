"""Archiving, measured: against `zstd -T2` and an upload of the same bytes, and verifying against sha256 of the same bytes.

    python benchmarks/archive.py archive [--s3] [--megabytes 1000] [--level 9] [--style plain] [--pairs 5] [--json FILE]
    python benchmarks/archive.py verify  [--s3] [--megabytes 1000] [--pairs 5] [--json FILE]

`archive`: ours is all that archiving a plain log is: recompress it, hash it raw and stored, count its lines by month, write
the object, read it back from storage and compare. The other side compresses the same log with the program zstd, at the
same level and with as many threads, into a file, and writes that file to the same storage in the same way.
`verify`: ours reads archived objects back and hashes them; the other side is nothing but sha256, over the same bytes in
memory and on one CPU.

Both sides run in turn, on the same machine and the same bytes; what is printed are medians, and the ratio of speeds. The
machine may be busy with other things: the ratio is what to look at. CPU seconds are of both sides' own processes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backports import zstd

from aspects_orchestration.archive.recompress import DEFAULT_LEVELS, Content, Recompressed
from aspects_orchestration.samples import SampleSpec, generate_lines, lines_for_size
from aspects_orchestration.tracking.stores import LogFile, LogStore, open_store

_HERE = Path(__file__).resolve().parent
_THREADS = 2
_PIECE = 1024 * 1024
#: Of one object in `verify`, as one hour of a busy site.
_OBJECT_BYTES = 16 * 1024 * 1024


def log(folder: Path, megabytes: int, style: str) -> Path:
    """A log of a realistic mix of events."""
    path = folder / f"tracking.log-{style}"
    spec = SampleSpec(
        lines=1, style=style, start=datetime(2024, 5, 1, tzinfo=UTC), end=datetime(2024, 6, 1, tzinfo=UTC)
    )
    lines = lines_for_size(spec, megabytes * 1_000_000)
    say(f"writing {lines:,} lines …")
    with path.open("wb") as stream:
        stream.writelines(
            generate_lines(
                SampleSpec(lines=lines, style=style, start=spec.start, end=spec.end),
            )
        )
    return path


def archive(
    folder: Path, store: LogStore, megabytes: int, *, level: int, style: str, count: int
) -> dict[str, Any]:
    """The whole of archiving, against zstd and upload."""
    source = log(folder, megabytes, style)
    ours, theirs, content = [], [], None
    for turn in range(count + 1):  # the first is to warm up, on both sides
        content, took = measured(lambda turn=turn: archived(store, f"ours-{turn}", source, level))
        _, base = measured(lambda turn=turn: compressed_and_uploaded(store, f"theirs-{turn}", source, level))
        if turn:
            ours.append(took)
            theirs.append(base)
            say(f"pair {turn}: ours {took[0]:.2f} s, zstd -T{_THREADS} and upload {base[0]:.2f} s")
    assert content is not None
    ratio = _median(theirs, 0) / _median(ours, 0)
    return {
        "raw_mb": round(content.raw_bytes / 1e6),
        "stored_mb": round(content.stored_bytes / 1e6, 1),
        "lines": content.lines,
        "level": level,
        "ours_mb_per_s": round(content.raw_bytes / 1e6 / _median(ours, 0)),
        "zstd_and_upload_mb_per_s": round(content.raw_bytes / 1e6 / _median(theirs, 0)),
        "ours_cpu_s": round(_median(ours, 1), 2),
        "zstd_and_upload_cpu_s": round(_median(theirs, 1), 2),
        "ratio": round(ratio, 2),
    }


def archived(store: LogStore, name: str, source: Path, level: int) -> Content:
    """Archive a log: the object is there, and was read back."""
    made = Recompressed(lambda: source.open("rb"), level=level, threads=_THREADS)
    folder = f"{store.uri}/{name}"
    assert store.create(f"{folder}/tracking.log.zst", made)
    (found,) = listed(folder)
    digest = hashlib.sha256()
    with store.open(found) as stream:
        while block := stream.read(_PIECE):
            digest.update(block)
    if digest.hexdigest() != made.content.stored_sha256:
        raise SystemExit("what was read back is not what was written")
    return made.content


def compressed_and_uploaded(store: LogStore, name: str, source: Path, level: int) -> None:
    """The same log through zstd, and its output into the same storage."""
    made = source.with_suffix(".zst")
    if shutil.which("zstd"):
        command = ["zstd", "-q", "-f", f"-{level}", f"-T{_THREADS}", source, "-o", made]
        subprocess.run(command, check=True)
    else:
        parameter = zstd.CompressionParameter
        options = {
            parameter.compression_level: level,
            parameter.nb_workers: _THREADS,
            parameter.checksum_flag: 1,
        }
        with source.open("rb") as stream, zstd.open(made, "wb", options=options) as target:
            shutil.copyfileobj(stream, target, _PIECE)
    with made.open("rb") as stream:
        assert store.create(f"{store.uri}/{name}/tracking.log.zst", iter(lambda: stream.read(_PIECE), b""))


def verify(store: LogStore, megabytes: int, *, count: int) -> dict[str, Any]:
    """Reading objects back as `verify_archive` does, against sha256 alone."""
    from aspects_orchestration.archive.read_back import read_data

    blocks = [os.urandom(_OBJECT_BYTES) for _ in range(max(1, megabytes * 1_000_000 // _OBJECT_BYTES))]
    for number, block in enumerate(blocks):
        store.create(f"{store.uri}/objects/{number:06d}.zst", [block])
    files = listed(f"{store.uri}/objects")
    wanted = {hashlib.sha256(block).hexdigest() for block in blocks}

    def ours() -> None:
        found = {one.sha256 for one in read_data(store, files, _THREADS)}
        if found != wanted:
            raise SystemExit("what was read back is not what was written")

    def theirs() -> None:
        for block in blocks:
            hashlib.sha256(block)

    took, base = [], []
    for turn in range(count + 1):
        one, other = measured(ours)[1], measured(theirs)[1]
        if turn:
            took.append(one)
            base.append(other)
            say(f"pair {turn}: ours {one[0]:.2f} s, sha256 {other[0]:.2f} s")
    size = sum(map(len, blocks)) / 1e6
    return {
        "mb": round(size),
        "objects": len(blocks),
        "ours_mb_per_s": round(size / _median(took, 0)),
        "sha256_mb_per_s": round(size / _median(base, 0)),
        "ours_cpu_s": round(_median(took, 1), 2),
        "sha256_cpu_s": round(_median(base, 1), 2),
        "ratio": round(_median(base, 0) / _median(took, 0), 2),
    }


def listed(uri: str) -> list[LogFile]:
    """The files below a prefix."""
    return list(open_store(uri).list())


def measured(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What some work gives, its seconds, and its CPU seconds, children included."""
    os.sync()  # what one side has left to be written is not the other's
    cpu, started = _cpu(), time.perf_counter()
    found = work()
    return found, (time.perf_counter() - started, _cpu() - cpu)


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _median(runs: Iterable[tuple[float, float]], which: int) -> float:
    return statistics.median(run[which] for run in runs)


def say(text: str) -> None:
    """Progress, beside the figures."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _storage(folder: Path, *, on_s3: bool) -> Iterator[LogStore]:
    """An empty place: a folder, or a prefix of the S3 that the tests have."""
    if not on_s3:
        yield open_store(str(folder / "archive"))
        return
    sys.path.insert(0, str(_HERE.parent / "tests"))
    from services.seaweedfs import serving

    (folder / "s3").mkdir()
    with serving(folder / "s3") as server:
        os.environ.update(server.environment())
        store = open_store(f"s3://{server.bucket}/archive")
        store.create(f"{store.uri}/warm", [b"up"])  # a bucket's first write takes longer
        yield store


def main() -> None:
    """Measure what was asked for, and print it as a table and as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("archive", "verify"))
    parser.add_argument("--s3", action="store_true", help="in SeaweedFS instead of a folder")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the log, or of the objects")
    parser.add_argument("--level", type=int, default=DEFAULT_LEVELS["zst"], help="of zstd, on both sides")
    parser.add_argument("--style", default="plain", help="what stands around events: plain, tutor, docker, …")
    parser.add_argument("--pairs", type=int, default=5, help="how often both sides run")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="aspects-bench-") as made,
        _storage(Path(made), on_s3=options.s3) as store,
    ):
        if options.what == "archive":
            found = archive(
                Path(made),
                store,
                options.megabytes,
                level=options.level,
                style=options.style,
                count=options.pairs,
            )
        else:
            found = verify(store, options.megabytes, count=options.pairs)
    name = f"{options.what} {'on S3' if options.s3 else 'in a folder'}"
    machine = {
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    out = io.StringIO()
    for key, value in found.items():
        print(f"{name}  {key:26s} {value:>12,}", file=out)
    print(out.getvalue(), end="")
    print(json.dumps({"machine": machine, name: found}))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, name: found}, indent=2))


if __name__ == "__main__":
    main()

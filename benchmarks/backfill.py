"""Backfill, measured: the whole job against upstream's own command, the machine's limit, growth, cores, and selecting.

    python benchmarks/backfill.py pairs   [--lines 600000] [--mixed-lines 1000000] [--pairs 3] [--json FILE]
    python benchmarks/backfill.py growth  [--sizes 500000,2000000,8000000] [--counts 1,10,100]
    python benchmarks/backfill.py large   [--gigabytes 10] [--rows 20000000]
    python benchmarks/backfill.py select  [--files 100000] [--s3]
    python benchmarks/backfill.py cores   [--workers 1,2,4,8,16] [--lines-a-worker 1000000] [--turns 3]

Both sides of a pair run in the same run, on the same machine and the same generated logs, one after the other in turn;
what is printed are medians and their ratio. The machine may be busy with other things: the ratio is what to look at.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import aspects_orchestration
from aspects_orchestration.samples import (
    SampleSpec,
    lines_for_size,
    write_courses,
    write_identities,
    write_logs,
)
from aspects_orchestration.warehouse import server

_HERE = Path(__file__).resolve().parent
_MONTH = "2024-05"
_SPAN = {"start": datetime(2024, 5, 1, tzinfo=UTC), "end": datetime(2024, 6, 1, tzinfo=UTC)}
_MIXED = SampleSpec(lines=1, transformable=0.4, style="plain", **_SPAN)


@dataclass
class Bench:
    """A scratch folder with an embedded ClickHouse of its own."""

    folder: Path

    def logs(self, name: str, spec: SampleSpec, *, files: int, compression: str) -> Path:
        """Write logs of a shape once; returns the site's folder (logs/, identities.csv, courses.csv)."""
        site = self.folder / name
        if not site.exists():
            say(f"writing {spec.lines:,} lines for {name} …")
            write_logs(spec, site / "logs", files=files, compression=compression)
            write_identities(spec, site / "identities.csv")
            write_courses(spec, site / "courses.csv")
        return site

    def environ(self, site: Path) -> dict[str, str]:
        """The settings of a site."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ASPECTS_", "CLICKHOUSE_"))}
        return {
            **kept,
            "ASPECTS_HOME": str(self.folder / "home"),
            "ASPECTS_TRACKING_LOGS": str(site / "logs"),
            "ASPECTS_IDENTITIES": str(site / "identities.csv"),
            "ASPECTS_COURSES": str(site / "courses.csv"),
            "ASPECTS_TRACKING_LOG_ARCHIVE": str(self.folder / "archive"),
        }

    def ours(self, site: Path, ids: Path | None = None, *, clean: bool = True) -> dict[str, Any]:
        """One load by this project, into an empty table unless told otherwise."""
        if clean:
            self.empty()
        chosen = ("--ids", str(ids)) if ids else ()
        return self.run("load_once.py", _MONTH, *chosen, environ=self.environ(site))

    def transform(self, site: Path, workers: int) -> dict[str, Any]:
        """The part of a load that workers do but for their inserts: a dry run."""
        environ = {**self.environ(site), "ASPECTS_TRANSFORM_WORKERS": str(workers)}
        return self.run("load_once.py", _MONTH, "--dry-run", environ=environ)

    def empty(self) -> None:
        """Empty the table of statements, and the catalog."""
        for table in ("xapi.xapi_events_all", "aspects_orchestration.tracking_log_catalog"):
            with contextlib.suppress(Exception):  # not there yet before the first load
                self.query(f"TRUNCATE TABLE {table}")

    def fill(self, rows: int) -> None:
        """Fill the month with statements of others: of another id, spread over the month, as large as most are."""
        self.query(
            "INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(),"
            " toDateTime64('2024-05-01 00:00:00', 6) + toIntervalMicrosecond(rand64() % 2678400000000),"
            f" concat('{{\"id\":\"', toString(number), '\",', repeat('\"some\":\"thing\",', 75), '}}')"
            f" FROM numbers({rows:d})"
        )

    def query(self, sql: str) -> list[bytes]:
        """Run a statement as the server's own admin."""
        address = server.ensure_running(self.folder / "home")
        return list(server.query(address, sql, admin=True, timeout_s=3600))

    def stock(self, site: Path, ids: Path) -> dict[str, Any]:
        """One run of upstream's command."""
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch / "stock", ignore_errors=True)
        scratch.mkdir(exist_ok=True)
        arguments = (site / "logs", site / "identities.csv", site / "courses.csv", scratch, ids)
        return self.run("stock_command.py", *map(str, arguments), environ=self.environ(site))

    def limit(self, site: Path) -> dict[str, Any]:
        """The machine's limit on the logs that were loaded last."""
        workers = str(len(os.sched_getaffinity(0)))
        return self.run("physical_limit.py", _MONTH, workers, environ=self.environ(site))

    def run(self, script: str, *arguments: str, environ: dict[str, str]) -> dict[str, Any]:
        """Run a script of this folder; returns what its last line says."""
        command = [sys.executable, str(_HERE / script), *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{script} failed:\n{done.stderr[-4000:]}")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found


def pairs(bench: Bench, lines: int, mixed_lines: int, count: int) -> dict[str, Any]:
    """The whole job against stock, all lines transformable (plain files), and a realistic mix (gz)."""
    plain = SampleSpec(lines=lines, transformable=1.0, style="plain", **_SPAN)
    mixed = SampleSpec(lines=mixed_lines, transformable=0.4, style="plain", **_SPAN)
    found = {}
    for name, spec, compression in (("all_transformable", plain, "none"), ("realistic_mix", mixed, "gz")):
        theirs = bench.logs(f"{name}_plain", spec, files=8, compression="none")
        site = theirs if compression == "none" else bench.logs(name, spec, files=8, compression=compression)
        our_ids, their_ids = bench.folder / "ours.ids", bench.folder / "theirs.ids"
        bench.ours(site)  # warms the page cache and the server, for both sides
        ours, stock, limit = [], [], []
        for turn in range(count):
            ours.append(bench.ours(site, our_ids))
            limit.append(bench.limit(site))
            stock.append(bench.stock(theirs, their_ids))
            same = our_ids.read_text() == their_ids.read_text()
            if not same:
                raise SystemExit(f"{name}: the two sides' event ids differ ({our_ids}, {their_ids})")
            say(
                f"{name}, pair {turn + 1}: ours {ours[-1]['seconds']:.2f} s, limit {limit[-1]['seconds']:.2f} s,"
                f" stock {stock[-1]['seconds']:.1f} s, event ids equal"
            )
        found[name] = {
            "lines": spec.lines,
            "ours_lines_per_s": round(spec.lines / _median(ours)),
            "stock_lines_per_s": round(spec.lines / _median(stock)),
            "times_faster": round(_median(stock) / _median(ours), 1),
            "limit_lines_per_s": round(spec.lines / _median(limit)),
            "share_of_limit": round(_median(limit) / _median(ours), 2),
            "peak_mb": max(one["peak_mb"] for one in ours),
            **{
                f"{who}_cpu_us": round(
                    statistics.median(one["cpu_seconds"][who] for one in ours) / spec.lines * 1e6, 2
                )
                for who in ("parent", "workers", "clickhouse")
            },
            "statements": ours[-1]["statements"],
            "event_ids_equal": True,
        }
    return found


def growth(bench: Bench, sizes: list[int], files: list[int]) -> dict[str, Any]:
    """Time per line and peak memory as the month grows, as it is cut into more files, and loaded twice."""
    found: dict[str, Any] = {}
    for size in sizes:
        spec = SampleSpec(lines=size, transformable=0.4, style="plain", **_SPAN)
        site = bench.logs(f"growth_{size}", spec, files=8, compression="gz")
        took = bench.ours(site)
        found[f"{size} lines"] = _per_line(took)
        say(f"{size:,} lines: {found[f'{size} lines']}")
        again = bench.ours(site, clean=False)
        found[f"{size} lines, again"] = {**_per_line(again), "inserted": again["inserted"]}
        say(f"{size:,} lines again: {found[f'{size} lines, again']}")
        if size != sizes[0]:
            shutil.rmtree(site)
    for count in files:
        spec = SampleSpec(lines=sizes[0], transformable=0.4, style="plain", **_SPAN)
        site = bench.logs(f"files_{count}", spec, files=count, compression="gz")
        found[f"{count} files"] = _per_line(bench.ours(site))
        say(f"{count} files: {found[f'{count} files']}")
        shutil.rmtree(site)
    return found


def _per_line(took: dict[str, Any]) -> dict[str, Any]:
    return {
        "microseconds_per_line": round(took["seconds"] / took["lines"] * 1e6, 2),
        "publish_share": round(1 - took["read_seconds"] / took["seconds"], 2),
        "peak_mb": took["peak_mb"],
    }


def large(bench: Bench, gigabytes: float, rows: int) -> dict[str, Any]:
    """One large plain file; and a load into a month that holds many rows of others already, then the same again."""
    spec = SampleSpec(
        lines=lines_for_size(_MIXED, int(gigabytes * 1e9)), transformable=0.4, style="plain", **_SPAN
    )
    site = bench.logs("large_file", spec, files=1, compression="none")
    found = {f"one file of {gigabytes:g} GB": _per_line(bench.ours(site))}
    say(str(found))
    shutil.rmtree(site)
    spec = SampleSpec(lines=2_000_000, transformable=0.4, style="plain", **_SPAN)
    site = bench.logs("rows_there", spec, files=8, compression="gz")
    bench.empty()
    say(f"writing {rows:,} rows of others …")
    bench.fill(rows)
    for name in (f"2,000,000 lines beside {rows:,} rows", "the same again"):
        took = bench.ours(site, clean=False)
        found[name] = {**_per_line(took), "seconds": round(took["seconds"], 1), "inserted": took["inserted"]}
        say(f"{name}: {found[name]}")
    shutil.rmtree(site)
    return found


def select(bench: Bench, count: int, *, on_s3: bool) -> dict[str, Any]:
    """Listing many files and matching them to a month, with a warm catalog; on S3 or in a local folder."""
    site = bench.folder / "select"
    spec = SampleSpec(lines=count, transformable=1.0, style="plain", **_SPAN)
    write_logs(spec, site / "source", files=1, compression="none")
    write_identities(spec, site / "identities.csv")
    write_courses(spec, site / "courses.csv")
    (source,) = (site / "source").iterdir()
    with contextlib.ExitStack() as left, source.open("rb") as lines:
        environ = bench.environ(site)
        put: Callable[[str, bytes], object] = _in_folder(site / "logs")
        if on_s3:
            server = left.enter_context(_serving(bench.folder / "s3"))
            environ |= {**server.environment(), "ASPECTS_TRACKING_LOGS": f"s3://{server.bucket}/logs"}
            put = _in_bucket(server)
        say(f"writing {count:,} small files …")
        with ThreadPoolExecutor(16) as writers:
            # All but one in a thousand are of another month.
            named = (
                (f"{number // 1000:03d}/tracking.log-{number:06d}", line)
                for number, line in enumerate(
                    line if number % 1000 == 0 else line.replace(b"2024-05", b"2023-05")
                    for number, line in enumerate(lines)
                )
            )
            while several := list(islice(named, 1000)):
                list(writers.map(lambda one: put(*one), several))
        started = time.perf_counter()
        command = [sys.executable, "-m", "aspects_orchestration.jobs.catalog", "update"]
        subprocess.run(command, env=environ, check=True, capture_output=True)
        cold = time.perf_counter() - started
        warm = [bench.run("select_once.py", _MONTH, environ=environ) for _ in range(3)]
    say(f"cataloged in {cold:.0f} s; then selected {warm[0]['files']} of {count:,} files")
    return {
        "files": count,
        "catalog_s": round(cold, 1),
        "select_s": round(statistics.median(one["seconds"] for one in warm), 2),
        "files_to_read": warm[0]["files"],
    }


def cores(bench: Bench, counts: list[int], lines: int, turns: int) -> dict[str, Any]:
    """The transform part by one worker and by several, each of which has as many lines to do."""
    found: dict[str, Any] = {}
    spec = SampleSpec(lines=lines, transformable=0.4, style="plain", **_SPAN)
    for compression in ("none", "gz"):
        source = bench.logs(f"cores_{compression}", spec, files=8, compression=compression)
        sites = {count: _so_many_times(source, count) for count in counts}
        took: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
        for turn in range(turns):
            for count in counts:
                took[count].append(bench.transform(sites[count], count))
                say(
                    f"{compression}, {count} workers, turn {turn + 1}: {took[count][-1]['read_seconds']:.1f} s"
                )
        alone = statistics.median(one["read_seconds"] for one in took[counts[0]])
        for count in counts:
            seconds = statistics.median(one["read_seconds"] for one in took[count])
            found[f"{'plain' if compression == 'none' else compression}, {count} workers"] = {
                "lines_per_s": round(count * lines / seconds),
                "share_of_linear": round(alone / seconds, 2),
                "parent_cores": round(
                    statistics.median(one["cpu_seconds"]["parent"] / one["seconds"] for one in took[count]), 2
                ),
                "peak_mb": max(one["peak_mb"] for one in took[count]),
            }
            shutil.rmtree(sites[count])
    return found


def _so_many_times(source: Path, count: int) -> Path:
    """A site that has each log of another so many times, as hard links: as many bytes, and no more of the disk."""
    site = source.with_name(f"{source.name}_{count}")
    for log in (source / "logs").iterdir():
        for number in range(count):
            to = site / "logs" / f"{number:02d}" / log.name
            to.parent.mkdir(parents=True, exist_ok=True)
            os.link(log, to)
    for name in ("identities.csv", "courses.csv"):
        os.link(source / name, site / name)
    return site


def _in_folder(folder: Path) -> Callable[[str, bytes], object]:
    def put(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return put


def _in_bucket(server: Any) -> Callable[[str, bytes], object]:
    client = server.client()
    return lambda name, data: client.put_object(Bucket=server.bucket, Key=f"logs/{name}", Body=data)


def _serving(folder: Path) -> contextlib.AbstractContextManager[Any]:
    """The S3 that the tests have."""
    sys.path.insert(0, str(_HERE.parent / "tests"))
    from services.seaweedfs import serving

    folder.mkdir()
    return serving(folder)


def _median(runs: list[dict[str, Any]]) -> float:
    return statistics.median(run["seconds"] for run in runs)


def say(text: str) -> None:
    """Progress, beside the figures."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _bench(folder: Path | None) -> Iterator[Bench]:
    made = folder or Path(tempfile.mkdtemp(prefix="aspects-bench-"))
    made.mkdir(parents=True, exist_ok=True)
    try:
        yield Bench(made)
    finally:
        server.stop(made / "home")
        if folder is None:
            shutil.rmtree(made, ignore_errors=True)


def _table(found: dict[str, Any]) -> str:
    rows = []
    for name, values in found.items():
        shown = "  ".join(
            f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}"
            for key, value in values.items()
        )
        rows.append(f"{name:28s} {shown}")
    return "\n".join(rows)


def main() -> None:
    """Measure what was asked for, and print it as a table and as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pairs", "growth", "large", "select", "cores"))
    parser.add_argument("--lines", type=int, default=600_000, help="lines of the all-transformable logs")
    parser.add_argument("--mixed-lines", type=int, default=1_000_000, help="lines of the realistic mix")
    parser.add_argument("--pairs", type=int, default=3, help="how often both sides run")
    parser.add_argument("--sizes", default="500000,2000000,8000000", help="lines, for growth")
    parser.add_argument("--counts", default="1,10,100", help="files, for growth")
    parser.add_argument("--gigabytes", type=float, default=10, help="size of the one file, for large")
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows that are there already, for large")
    parser.add_argument("--s3", action="store_true", help="select from S3 instead of a folder")
    parser.add_argument("--files", type=int, default=100_000, help="files, for select")
    cpus = len(os.sched_getaffinity(0))
    doubled = ",".join(str(1 << power) for power in range(cpus.bit_length()))
    parser.add_argument("--workers", default=doubled, help="worker processes, for cores")
    parser.add_argument("--lines-a-worker", type=int, default=1_000_000, help="for cores")
    parser.add_argument(
        "--turns", type=int, default=3, help="how often each number of workers runs, for cores"
    )
    parser.add_argument(
        "--folder", type=Path, help="scratch folder to keep; without it one is made and removed"
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    # As it is where the project is installed by pip: else each worker of a checkout may compile it for itself.
    compileall.compile_dir(Path(aspects_orchestration.__file__).parent, quiet=1)
    with _bench(options.folder) as bench:
        if options.what == "pairs":
            found = pairs(bench, options.lines, options.mixed_lines, options.pairs)
        elif options.what == "growth":
            found = growth(
                bench,
                [int(size) for size in options.sizes.split(",")],
                [int(n) for n in options.counts.split(",")],
            )
        elif options.what == "large":
            found = large(bench, options.gigabytes, options.rows)
        elif options.what == "cores":
            counts = [int(count) for count in options.workers.split(",")]
            found = cores(bench, counts, options.lines_a_worker, options.turns)
        else:
            where = "select on S3" if options.s3 else "select in a folder"
            found = {where: select(bench, options.files, on_s3=options.s3)}
    machine = {
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    print(_table(found))
    print(json.dumps({"machine": machine, **found}))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, **found}, indent=2))


if __name__ == "__main__":
    main()

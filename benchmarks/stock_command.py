"""event-routing-backends' own `transform_tracking_logs`, LOCAL to LOCAL, timed: the other side of the benchmark.

Run in a process of its own: `python benchmarks/stock_command.py LOGS_FOLDER IDENTITIES_CSV COURSES_CSV SCRATCH IDS_FILE`.
Prints one JSON line: seconds and CPU seconds of the command. As shipped, its LOCAL store does not transform (its first
processor is the whitelist); `processors[0]` is therefore the xAPI processor, called with a list as everywhere else. It
reads no gz, so it is given plain files. Which events it takes is upstream's whitelist, as in its default configuration.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.identities_files import FileCourses, FileIdentities, index_file


class _Transforming:
    """The xAPI processor, in the place and with the calling convention that the command's store uses."""

    def __init__(self, processor: Any) -> None:
        self.whitelist = erb.whitelist()
        self.ids: list[str] = []
        self._processor = processor

    def __call__(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        statements: list[dict[str, Any]] = self._processor([event])
        self.ids += [statement["id"] for statement in statements]
        return statements


def main(logs: Path, identities: Path, courses: Path, scratch: Path, ids_file: Path) -> None:
    """Run the command over every file of a folder."""
    erb.boot(lms_root_url=SampleSpec(lines=1).lms_root_url, actor_type="external_id")
    from django.core.management import call_command
    from event_routing_backends.processors.xapi.transformer_processor import XApiProcessor
    from eventtracking.tracker import register_tracker

    transforming = _Transforming(XApiProcessor())
    engine = SimpleNamespace(processors=[transforming], backends={"xapi": None})
    register_tracker(SimpleNamespace(backends={"event_transformer": engine}))
    users = FileIdentities(_index("users", identities, scratch))
    names = FileCourses(_index("courses", courses, scratch))
    destination = scratch / "stock"
    (destination / "out").mkdir(parents=True, exist_ok=True)
    with erb.site(users, names), contextlib.redirect_stdout(io.StringIO()):
        started, cpu = time.perf_counter(), time.process_time()
        call_command(
            "transform_tracking_logs",
            source_provider="LOCAL",
            source_config=json.dumps({"key": str(logs.parent), "container": logs.name, "prefix": ""}),
            destination_provider="LOCAL",
            destination_config=json.dumps({"key": str(destination), "container": "out", "prefix": "xapi"}),
            transformer_type="xapi",
            sleep_between_batches_secs=0,
        )
        took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    ids_file.write_text("\n".join(sorted(set(transforming.ids))))
    print(json.dumps(took))


def _index(kind: str, path: Path, scratch: Path) -> Path:
    stat = path.stat()
    etag = f"{stat.st_size}-{stat.st_mtime_ns}"
    return index_file(kind, str(path), etag, lambda: path.open("rb"), scratch / "index", setting="benchmark")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:6]))

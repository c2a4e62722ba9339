"""Long work says how far it is, within one large file too, and when it will be done."""

from __future__ import annotations

import re
from pathlib import Path

from aspects_orchestration.replay.progress import Progress
from aspects_orchestration.samples import SampleSpec, write_logs
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.chunks import read_log
from aspects_orchestration.tracking.stores import open_store


def test_shares_grow_with_the_bytes_of_one_file(tmp_path: Path) -> None:
    (path,) = write_logs(SampleSpec(lines=10_000), tmp_path / "logs", files=1, compression="none")
    store = open_store(str(path))
    (file,) = store.list()
    said: list[str] = []
    progress = Progress(file.size, said.append, every_s=0)
    positions = [0]
    for _ in read_log(store, file, chunk_bytes=200_000, reached=positions.append):
        progress.took(LineAccount(lines=100), positions[-1] - positions[-2])
        progress.tell()
    progress.tell(finally_=True)
    shares = [int(found[1]) for text in said if (found := re.match(r"read (\d+)%", text))]
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert shares[-1] == 100
    assert any("left" in text for text in said)
    assert all("lines/s" in text for text in said)

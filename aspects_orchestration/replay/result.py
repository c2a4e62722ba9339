"""What a load did: for the asset's report, for the record in ClickHouse, and for the checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from aspects_orchestration.tracking.account import LineAccount, StatementAccount
from aspects_orchestration.window import Window

#: So many files are listed one by one in a report and in a record; the rest is summed up.
LISTED_FILES = 200


@dataclass(frozen=True)
class FileDamage:
    """A part of a log that could not be decompressed, or an object of the archive that was left out.

    Attributes:
        file: its URI.
        kind: truncated, corrupt, trailing_data, unsupported or bomb; missing or changed of an object that is not what was
            sealed.
        at_byte: where, in the file as stored.
        resumed_at: where reading went on; None if the rest of the file is unread.
    """

    file: str
    kind: str
    at_byte: int
    resumed_at: int | None


@dataclass
class LoadAccount:
    """The account of a run, kept up while it reads.

    Attributes:
        total: all lines.
        files: by URI.
        counted_lines: by URI, line ends counted by the reader on its own, to hold the workers' accounts against.
        damages: parts that could not be decompressed.
        half_lines: URIs of live files whose last line was still being written, left for the next load.
        refused: statements that Ralph did not take, by reason.
        missing: different users and courses that the site does not know, by `users` and `courses`, once they are counted.
    """

    total: LineAccount = field(default_factory=LineAccount)
    files: dict[str, LineAccount] = field(default_factory=dict)
    counted_lines: Counter[str] = field(default_factory=Counter)
    damages: list[FileDamage] = field(default_factory=list)
    half_lines: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)

    def add(self, uri: str, account: LineAccount) -> None:
        """Add the account of a part of a file."""
        self.total += account
        self.files.setdefault(uri, LineAccount()).__iadd__(account)

    def check(self) -> None:
        """Refuse an account that does not add up, for any file or for all.

        Raises:
            AccountError: naming where.
        """
        for uri, account in self.files.items():
            account.check(uri)
            if account.lines != self.counted_lines[uri]:
                LineAccount(lines=self.counted_lines[uri], skipped=Counter(read=account.lines)).check(uri)
        self.total.check("the whole load")


@dataclass(frozen=True)
class LoadResult:
    """What one load did.

    Attributes:
        run_id, target, month, mode: of the load; target is `database.table`.
        window: the events loaded.
        dry_run: nothing was written, and `statements` is None.
        account: every line.
        statements: every statement.
        verdicts: files listed, by why they were read or not.
        ids: different event ids that the logs hold.
        rows_in_partition: rows in the month's partition afterwards.
        started_at, finished_at: UTC.
        read_s: seconds until all lines were read and staged; the rest went into publishing.
        stored_bytes: bytes of the files read, as stored.
        resumed_chunks: chunks that an earlier attempt had staged.
        dropped: rows dropped by mode rebuild, by table.
        destination: where the statements went: clickhouse, ralph or files.
        place: the same with its address.
        stands_here: they stand in the raw table now.
        notes: figures of the destination's own.
    """

    run_id: str
    target: str
    month: str
    mode: str
    window: Window
    dry_run: bool
    account: LoadAccount
    statements: StatementAccount | None
    verdicts: Counter[str]
    ids: int
    rows_in_partition: int
    started_at: datetime
    finished_at: datetime
    read_s: float
    stored_bytes: int
    resumed_chunks: int
    dropped: dict[str, int]
    destination: str = "clickhouse"
    place: str = ""
    stands_here: bool = True
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return (self.finished_at - self.started_at).total_seconds()

    def as_json(self) -> dict[str, Any]:
        """What is remembered of the load: accounts, damages, the largest files one by one."""
        largest = sorted(self.account.files.items(), key=lambda item: -item[1].lines)[:LISTED_FILES]
        return {
            "lines": _without_hours(self.account.total),
            "statements": asdict(self.statements) if self.statements else None,
            "files": {uri: _without_hours(account) for uri, account in largest},
            "files_read": len(self.account.files),
            "damages": [asdict(damage) for damage in self.account.damages],
            "half_lines": self.account.half_lines[:LISTED_FILES],
            "verdicts": dict(self.verdicts),
            "missing": dict(self.account.missing),
            "destination": self.place,
            "refused": dict(self.account.refused),
        }


def utc_now() -> datetime:
    """The time, with zone."""
    return datetime.now(UTC)


def _without_hours(account: LineAccount) -> dict[str, Any]:
    stored = account.as_json()
    stored["hours"] = {}
    return stored

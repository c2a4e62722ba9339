"""How far the archive reaches, and how much there is of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from aspects_orchestration.archive.index import ArchiveIndex


@dataclass(frozen=True)
class ArchiveStatus:
    """The archive in figures.

    Attributes:
        archive: URI prefix.
        days: that are sealed.
        first, last: of them; None if there is none.
        head: hash of the last day's manifest; kept elsewhere, it is a witness of the whole chain.
        objects, raw_bytes, stored_bytes, lines: sums over all days.
        newest_line: time of the newest event that is sealed (UTC); None if there is none.
        rpo: age of that event: what would be lost of the events if everything but the archive were gone.
    """

    archive: str
    days: int
    first: date | None
    last: date | None
    head: str
    objects: int
    raw_bytes: int
    stored_bytes: int
    lines: int
    newest_line: datetime | None
    rpo: timedelta | None

    @property
    def lines_of_text(self) -> list[str]:
        """The status for people."""
        if self.last is None:
            return [
                f"Archive:      {self.archive}",
                "Sealed:       nothing yet: materialize tracking_log_archive",
            ]
        ratio = f", {self.raw_bytes / self.stored_bytes:.1f} to 1" if self.stored_bytes else ""
        newest, rpo = "none", "no line is sealed"
        if self.newest_line is not None and self.rpo is not None:
            newest = f"{self.newest_line:%Y-%m-%d %H:%M:%S} UTC"
            rpo = f"{self.rpo.total_seconds() / 3600:,.1f} hours"
        return [
            f"Archive:      {self.archive}",
            f"Sealed:       {self.days:,} days, {self.first} to {self.last}",
            f"Objects:      {self.objects:,}",
            f"Lines:        {self.lines:,}",
            f"Bytes:        {self.stored_bytes:,} stored, {self.raw_bytes:,} raw{ratio}",
            f"Newest line:  {newest}",
            f"RPO:          {rpo} (age of the newest sealed line)",
            f"Chain's hash: {self.head}",
        ]


def status_of(index: ArchiveIndex, now: datetime) -> ArchiveStatus:
    """Sum the archive up from its manifests.

    Args:
        index: over the archive.
        now: the time, with zone.

    Raises:
        ManifestError: a manifest is missing or changed, or the chain is broken.
        LogStoreError: the archive cannot be listed or read.
    """
    days = index.update()
    newest = max((one.newest_line for one in days if one.newest_line is not None), default=None)
    return ArchiveStatus(
        archive=index.archive,
        days=len(days),
        first=days[0].day if days else None,
        last=days[-1].day if days else None,
        head=days[-1].sha256 if days else "",
        objects=sum(one.objects for one in days),
        raw_bytes=sum(one.raw_bytes for one in days),
        stored_bytes=sum(one.stored_bytes for one in days),
        lines=sum(one.lines for one in days),
        newest_line=newest,
        rpo=max(timedelta(0), now - newest) if newest else None,
    )

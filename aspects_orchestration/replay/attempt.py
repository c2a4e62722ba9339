"""One attempt at a load: its plan, and where things go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aspects_orchestration.replay.destinations import place_of, stands_here
from aspects_orchestration.replay.plan import LoadPlan, quarantine_folder, staging_prefix
from aspects_orchestration.replay.reading import Reached, Reading, Say, Staging
from aspects_orchestration.replay.refused import Refused
from aspects_orchestration.replay.result import FileDamage, LoadAccount, LoadResult, utc_now
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.account import StatementAccount
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.answers import with_retries
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import stored
from aspects_orchestration.warehouse.publish import Target
from aspects_orchestration.window import partition_id


@dataclass(frozen=True)
class Delivered:
    """What a destination did with the statements that were staged.

    Attributes:
        inserted: statements that were new to it.
        refused: file, place, reason and detail of each statement that it did not take.
        standing: ids of this load that the raw table holds afterwards, and their combined hash.
        notes: figures of the destination's own, for the report.
    """

    inserted: int
    refused: Refused = ()
    standing: tuple[int, int] = (0, 0)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a load."""

    settings: Settings
    plan: LoadPlan
    warehouse: Warehouse
    s3: S3Options
    say: Say
    started_at: datetime
    reached: Reached | None = None

    @property
    def staging(self) -> Staging:
        """Where its statements are staged."""
        table = staging_prefix(self.settings, self.plan.request.month) + self.plan.load
        return Staging(self.settings.orchestration_database, table)

    @property
    def target(self) -> Target:
        """The raw table and the staging table."""
        return Target(
            self.settings.xapi_database,
            self.settings.raw_xapi_table,
            partition_id(self.plan.request.month),
            self.staging.database,
            self.staging.table,
        )

    @property
    def quarantine(self) -> str:
        """URI of the folder of its quarantine."""
        return f"{quarantine_folder(self.settings, self.plan.request.month)}/{self.plan.load}"

    def run_again(self, name: str, **given: Any) -> None:
        """Run a statement that comes to the same when it is sent twice, so that a restart of the server ends no load."""
        with_retries(lambda: self.warehouse.run(name, **given))

    def reading(self) -> Reading:
        """A reading of the plan's files that stages and quarantines, or, for a dry run, neither."""
        dry = self.plan.request.dry_run
        return Reading(
            settings=self.settings,
            warehouse=self.warehouse,
            s3=self.s3,
            say=self.say,
            files=self.plan.files,
            window=self.plan.window,
            site=self.plan.site,
            reader=self.plan.reader,
            staging=None if dry else self.staging,
            quarantine="" if dry else self.quarantine,
            from_quarantine=self.plan.request.from_quarantine,
            catalogs=not dry,
            verify=self.plan.request.verify,
            uncataloged=self.plan.sealed,
            reached=self.reached,
            account=LoadAccount(
                damages=[FileDamage(one.uri, one.kind, 0, None) for one in self.plan.unsound]
            ),
        )


@dataclass(frozen=True)
class Published:
    """What a publish has done.

    Attributes:
        statements: the account of all statements.
        ids: different ids among those staged.
        dropped: rows dropped before, by table.
        refused: as `Delivered` has them; their lines are for the quarantine.
        notes: figures of the destination's own.
    """

    statements: StatementAccount
    ids: int
    dropped: dict[str, int]
    refused: Refused = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


def result_of(
    load: Attempt, reading: Reading, *, read_s: float, published: Published | None = None
) -> LoadResult:
    """What the load has done so far, for its report and its record."""
    plan, target = load.plan, load.target
    rows = load.warehouse.row(
        "partition_rows",
        partition_id=target.partition_id,
        **stored(load.warehouse, target.database, target.table).names(),
    )[0]
    return LoadResult(
        run_id=load.warehouse.run_id,
        target=f"{target.database}.{target.table}",
        month=plan.request.month,
        mode=plan.request.mode.value,
        window=plan.window,
        dry_run=plan.request.dry_run,
        account=reading.account,
        statements=published.statements if published else None,
        verdicts=plan.verdicts,
        ids=published.ids if published else 0,
        rows_in_partition=int(rows or 0),
        started_at=load.started_at,
        finished_at=utc_now(),
        read_s=read_s,
        stored_bytes=plan.stored_bytes,
        resumed_chunks=reading.resumed_chunks,
        dropped=published.dropped if published else {},
        destination=plan.request.destination.value,
        place=place_of(load.settings, plan.request.destination, plan.request.month),
        stands_here=stands_here(load.settings, plan.request.destination),
        notes=published.notes if published else {},
    )

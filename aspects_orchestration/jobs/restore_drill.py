"""The restore drill: proves, month by month, that what stands in ClickHouse comes back from the archive alone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import dagster as dg
from pydantic import Field

from aspects_orchestration.archive.seal import index_of
from aspects_orchestration.assets.restore_drill import RESTORE_DRILL, drill_metadata
from aspects_orchestration.checks.restore_drill import evaluations
from aspects_orchestration.drill.choose import turn_of
from aspects_orchestration.drill.report import plan_lines
from aspects_orchestration.drill.run import DrillRequest, drill, only_one, plan_drill
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.settings import load_settings
from aspects_orchestration.window import month_window


class DrillConfig(dg.Config):
    """What to drill."""

    day: str | None = Field(
        None,
        description="A sealed day, such as 2024-05-03. Without one, a day of each month whose turn it is: the calendar month"
        " before the drill's, in every year that is archived.",
    )
    turn: str | None = Field(
        None,
        description="The drill's month, such as 2026-11, from which its days follow. Default: the running one.",
    )
    max_raw_gb: float = Field(
        20.0,
        gt=0,
        description="Of one day replay at most so many GB of raw lines; of a larger one, a part by lot.",
    )
    dry_run: bool = Field(False, description="Say which days would be drilled; replay nothing.")

    def request(self, now: datetime) -> DrillRequest:
        """The request.

        Raises:
            AspectsError: a day or turn that is none.
        """
        turn = self.turn or turn_of(now)
        month_window(turn)
        try:
            day = date.fromisoformat(self.day) if self.day else None
        except ValueError:
            raise AspectsError(f"config day: {self.day!r} is no day", do="Write it as 2024-05-03.") from None
        return DrillRequest(turn, day, int(self.max_raw_gb * 1e9))


# A generator: what an op has only logged is lost where it fails, and a failed drill is the one to look at.
@dg.op(out={})
def drill_a_restore(
    context: dg.OpExecutionContext,
    config: DrillConfig,
    clickhouse: ClickHouseResource,
    log_storage: LogStorageResource,
) -> Iterator[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """Drill the days whose turn it is, write down how it went, and fail where anything differs."""
    settings, s3 = load_settings(), log_storage.s3()
    bad = []
    try:
        request = config.request(datetime.now(UTC))
        index = index_of(settings, s3=s3)
        sealed = index.update()
        plan = plan_drill(settings, index, sealed, request, now=utc_now())
        for line in plan_lines(plan):
            context.log.info(line)
        if config.dry_run:
            return
        warehouse = clickhouse.warehouse(run_id=context.run_id)
        with only_one(settings, warehouse, say=context.log.info):
            for one in drill(settings, warehouse, plan, s3=s3, say=context.log.info):
                yield dg.AssetObservation(RESTORE_DRILL, metadata=drill_metadata(one))
                if not one.passed:
                    bad.append(one.record.summary)
        yield from evaluations(settings, warehouse, s3=s3)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    if bad:
        raise dg.Failure(description="The restore drill failed. " + "\n".join(bad), allow_retries=False)


@dg.job(
    description="Replay a day of the archive into a scratch database, from the archive alone, and compare event ids and"
    " statements with what stands. Fails on any difference; measures RTO and RPO. What stands is only read."
)
def restore_drill() -> None:
    """Drill a restore."""
    drill_a_restore()


check_restore_drill = dg.define_asset_job(
    "check_restore_drill",
    selection=dg.AssetSelection.checks_for_assets(RESTORE_DRILL),
    description="Ask whether the last restore drill passed and is recent, and how much of the logs is not sealed yet."
    " Replays nothing.",
)

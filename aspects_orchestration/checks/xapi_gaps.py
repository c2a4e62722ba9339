"""Whether what the newest tracking logs hold stands in ClickHouse, hour by hour; run by the job `check_xapi_gaps`."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.gaps import report
from aspects_orchestration.gaps.compare import Limits
from aspects_orchestration.gaps.look import DAYS, LAG_HOURS, MOST_DAYS, Look, Request, look
from aspects_orchestration.replay.report import inline_picture
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import load_settings

XAPI_GAPS = dg.AssetCheckKey(TRACKING_LOGS, "xapi_gaps")
#: What it says of itself, here and in docs/accounts-and-checks.md.
DESCRIPTION = "No hour of the newest days has fewer statements in ClickHouse than its lines in the logs give at this site."


class GapsConfig(dg.Config):
    """Which hours to look at, and what they may fall short by."""

    days: int = Field(
        DAYS,
        ge=1,
        le=MOST_DAYS,
        description="So many days, back from `until` or from the hours that are too young.",
    )
    lag_hours: int = Field(LAG_HOURS, ge=0, description="Hours younger than that are left alone.")
    until: str | None = Field(
        None,
        description="Look at hours before this time (ISO 8601; UTC where it has no zone). Left out: now.",
    )
    tolerance: float = Field(
        Limits.tolerance, ge=0, le=1, description="An hour may fall short by this share of what is expected."
    )
    at_least: int = Field(
        Limits.at_least, ge=1, description="Fewer missing statements than this in an hour are no gap."
    )
    read_new: bool = Field(
        True, description="Read logs that the catalog does not know first; without it they do not count."
    )

    def request(self) -> Request:
        """What to look at.

        Raises:
            AspectsError: `until` is no time.
        """
        until = None
        if self.until is not None:
            try:
                given = datetime.fromisoformat(self.until)
            except ValueError:
                raise AspectsError(
                    f"config until: {self.until!r} is no time",
                    do="Write it as 2024-05-03 or 2024-05-03T12:00:00Z.",
                ) from None
            until = given.replace(tzinfo=UTC) if given.tzinfo is None else given
        return Request(self.days, self.lag_hours, until, Limits(self.tolerance, self.at_least))


def xapi_gaps_check() -> dg.AssetChecksDefinition:
    """The check, on the logs: it is about what they hold, of whatever months."""

    @dg.asset_check(asset=TRACKING_LOGS, name=XAPI_GAPS.name, description=DESCRIPTION)
    def check_gaps(
        context: dg.AssetCheckExecutionContext,
        config: GapsConfig,
        clickhouse: ClickHouseResource,
        log_storage: LogStorageResource,
    ) -> dg.AssetCheckResult:
        settings = load_settings()
        try:
            if settings.uses_sample_logs and settings.is_embedded:
                write_sample(settings.home)
            seen = look(
                settings,
                clickhouse.warehouse(run_id=context.run.run_id),
                s3=log_storage.s3(),
                now=utc_now(),
                request=config.request(),
                read_new=context.log.info if config.read_new else None,
            )
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        context.log.info(f"{report.summary(seen)}; {seen.comparison.usual}")
        severity = dg.AssetCheckSeverity.ERROR if report.is_severe(seen) else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(
            passed=not seen.comparison.gaps,
            severity=severity,
            description=report.summary(seen),
            metadata=gaps_metadata(seen),
        )

    return check_gaps


def gaps_metadata(seen: Look) -> dict[str, Any]:
    """What the check and the sensor show: hours that fall short, a picture, what is usual, commands, figures."""
    shown: dict[str, Any] = {}
    if seen.comparison.gaps:
        shown["gaps"] = dg.MetadataValue.md(report.gaps_table(seen))
        shown["replay"] = dg.MetadataValue.md(report.replays(seen))
    png = report.picture(seen)
    if png is not None:
        shown["by_hour"] = dg.MetadataValue.md(inline_picture(png, "expected and found statements by hour"))
    return {**shown, "usual": str(seen.comparison.usual), **report.numbers(seen)}

"""xapi_events_all: the raw xAPI statements, month by month, from the tracking logs.

Safe to materialize again at any time: ids that stand in the table are left alone, a run that was killed is gone on
with, and nothing is published before every line is accounted for.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import dagster as dg
from pydantic import Field

from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS, observed
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.recovery.months import load
from aspects_orchestration.replay import report
from aspects_orchestration.replay.destinations import MAX_REFUSED, Destination
from aspects_orchestration.replay.observe import summed_up
from aspects_orchestration.replay.plan import LoadRequest, Mode
from aspects_orchestration.replay.result import LoadResult
from aspects_orchestration.replay.sources import LIVE
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.window import month_window

XAPI_EVENTS_ALL = dg.AssetKey("xapi_events_all")
POOL = "clickhouse_insert"

_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("event_id", "UUID", description="The statement's id; no id stands twice."),
        dg.TableColumn("emission_time", "DateTime64(6)", description="The statement's timestamp, in UTC."),
        dg.TableColumn("event", "String", description="The whole xAPI statement as JSON."),
    ]
)


class LoadConfig(dg.Config):
    """What to load of the month, and how."""

    mode: Literal["merge", "rebuild"] = Field(
        "merge",
        description="merge: insert what is missing. rebuild: drop the month in the raw table and in every table that"
        " materialized views chain behind it, then insert all of it.",
    )
    since: str | None = Field(
        None, description="Only events from this time on (ISO 8601, UTC), inside the month."
    )
    until: str | None = Field(
        None, description="Only events before this time (ISO 8601, UTC), inside the month."
    )
    dry_run: bool = Field(False, description="Read, transform and count; write nothing.")
    source: str = Field(
        "live",
        description="live: every tracking log that touches the month (`logs` is the same). archive: what is sealed of the"
        " month, found without the catalog. both: the logs, and what is sealed and not among them any more. quarantine: the"
        " lines that earlier loads of the month quarantined. Or files to restrict to: URIs, paths or names, by comma.",
    )
    allow_expired: bool = Field(
        False,
        description="Load a month that the retention policy or a table's TTL drops; TTL merges are stopped first.",
    )
    allow_loss: bool = Field(
        False,
        description="For rebuild: go on although rows of the month stand in the table that the logs do not hold. For"
        " archive and both: go on without objects that are missing or are not the ones that were sealed.",
    )
    leave_unpartitioned: bool = Field(
        False,
        description="For rebuild: go on although chained tables have no partitions, where they keep one row a key. They keep"
        " what they hold, the month's rows replace newer ones in them, and are to be built anew afterwards (dbt).",
    )
    verify: float = Field(
        0.0,
        ge=0,
        le=1,
        description="This share of the events, such as 0.001, goes through both engines; a difference stops the run.",
    )

    destination: Literal["clickhouse", "ralph", "files"] = Field(
        "clickhouse",
        description="clickhouse: into the raw table. ralph: through Ralph, which writes them and may forward them. files: as"
        " files under ASPECTS_STATEMENT_FILES, a day each.",
    )
    resend: bool = Field(
        False,
        description="ralph: send statements too that stand in the raw table, so that Ralph forwards them.",
    )
    statements_per_second: int | None = Field(
        None,
        ge=0,
        description="ralph: at most so many; as ASPECTS_RALPH_STATEMENTS_PER_SECOND, unless given.",
    )
    max_refused: int = Field(
        MAX_REFUSED, ge=0, description="ralph: stop when it refuses more statements than that."
    )

    def request(self, month: str) -> LoadRequest:
        """The request for one partition."""
        return LoadRequest(
            month=month,
            mode=Mode(self.mode),
            since=moment("since", self.since),
            until=moment("until", self.until),
            dry_run=self.dry_run,
            sources=tuple(part.strip() for part in self.source.split(",") if part.strip()) or LIVE,
            allow_expired=self.allow_expired,
            allow_loss=self.allow_loss,
            leave_unpartitioned=self.leave_unpartitioned,
            verify=self.verify,
            destination=Destination(self.destination),
            resend=self.resend,
            per_second=self.statements_per_second,
            max_refused=self.max_refused,
        )


def xapi_events_all(months: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset, for the site's months."""

    @dg.asset(
        key=XAPI_EVENTS_ALL,
        partitions_def=months,
        deps=[TRACKING_LOGS],
        group_name="xapi",
        kinds={"clickhouse", "python"},
        pool=POOL,
        output_required=False,  # a dry run makes nothing, nor does what goes elsewhere
        description="Raw xAPI statements (xapi.xapi_events_all), one partition a month: every transformable line of the"
        " tracking logs, once, with an account of all the others.",
        metadata={"dagster/column_schema": _COLUMNS},
    )
    def materialize(
        context: dg.AssetExecutionContext,
        config: LoadConfig,
        clickhouse: ClickHouseResource,
        log_storage: LogStorageResource,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetObservation]:
        settings = load_settings()
        s3 = log_storage.s3()
        try:
            if settings.uses_sample_logs and settings.is_embedded:
                write_sample(settings.home)
            request = config.request(context.partition_key)
            warehouse = clickhouse.warehouse(run_id=context.run_id)
            result = load(settings, request, warehouse, s3=s3, say=context.log.info)
        except AspectsError as error:
            # The message says all there is to say; our own traceback would only bury it.
            raise dg.Failure(description=str(error), allow_retries=False) from None
        context.log.info(report.summary(result))
        if result.dry_run or not result.stands_here:
            yield dg.AssetObservation(
                XAPI_EVENTS_ALL, partition=context.partition_key, metadata=load_metadata(result, None)
            )
            return
        logs = summed_up(settings, warehouse, files_read=len(result.account.files))
        yield dg.AssetObservation(TRACKING_LOGS, metadata=observed(logs))
        yield dg.MaterializeResult(metadata=load_metadata(result, warehouse))

    return materialize


def moment(name: str, text: str | None) -> datetime | None:
    """A moment as config gives it.

    Raises:
        AspectsError: it is none.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise AspectsError(
            f"config {name}: {text!r} is no time", do="Write it as 2024-05-03 or 2024-05-03T12:00:00Z."
        ) from None


def load_metadata(
    result: LoadResult, warehouse: Warehouse | None
) -> dict[str, dg.MetadataValue | int | float | str]:
    """What a load shows of itself; a materialization, for which the table is looked at, more than a dry run."""
    total = result.account.total
    metadata: dict[str, dg.MetadataValue | int | float | str] = {
        "summary": dg.MetadataValue.md(report.summary(result)),
    }
    if warehouse is not None:
        metadata["heat_map"] = dg.MetadataValue.md(_picture(result, warehouse))
        metadata["dagster/partition_row_count"] = dg.MetadataValue.int(result.rows_in_partition)
        metadata["dagster/table_name"] = result.target
    metadata |= {
        "account_by_file": dg.MetadataValue.md(report.account_by_file(result.account)),
        "account_by_reason": dg.MetadataValue.md(report.account_by_reason(total, result.account.refused)),
        "statements_by_verb": dg.MetadataValue.md(report.by_verb(total)),
        "window": f"{result.window.start:%Y-%m-%dT%H:%M:%SZ} to {result.window.end:%Y-%m-%dT%H:%M:%SZ}",
        "mode": result.mode,
        "destination": result.place,
        **report.numbers(result),
    }
    if result.account.damages:
        metadata["damaged_logs"] = dg.MetadataValue.json([vars(one) for one in result.account.damages])
    metadata |= {f"destination_{name}": value for name, value in result.notes.items()}
    if result.dropped:
        metadata["dropped_rows"] = dg.MetadataValue.json(result.dropped)
    return metadata


def _picture(result: LoadResult, warehouse: Warehouse) -> str:
    database, _, table = result.target.partition(".")
    window = month_window(result.month)
    hours = warehouse.rows(
        "month_by_hour", database=database, table=table, start=window.start_micros, end=window.end_micros
    )
    png = report.heat_map(result.month, [(int(day), int(hour), int(count)) for day, hour, count in hours])
    return report.inline_picture(png, f"statements of {result.month} by day and hour")

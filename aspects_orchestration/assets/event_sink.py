"""event_sink: the LMS's tables beside the statements, one asset each, as platform-plugin-aspects would have filled them.

Safe to materialize again at any time: rows whose newest copy has the same content are left alone, and a run that was
killed is gone on with.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import dagster as dg
from pydantic import Field

from aspects_orchestration.errors import AspectsError, SettingsError
from aspects_orchestration.lms.copy import CopyRequest, CopyResult, copy_table
from aspects_orchestration.lms.course_blocks import copy_course_blocks
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import COURSE_BLOCKS, SINK_TABLES, SinkTable
from aspects_orchestration.resources.clickhouse import ClickHouseResource, schema_names
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import Settings, load_settings

GROUP = "event_sink"
POOL = "lms_database"
#: Daily runs, and two hours for one that waits or is run again.
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))

_SAID = {
    "course_overviews": "Courses: names, dates, settings, tags",
    "external_id": "Users' external ids (personal data: only with ASPECTS_ENABLE_PII)",
    "user_profile": "Users' profiles (personal data: only with ASPECTS_ENABLE_PII)",
    "course_enrollment": "Enrolments and their mode",
    "tag": "Tags and their lineage",
    "taxonomy": "Taxonomies that tags belong to",
    "object_tag": "Which course or block carries which tag",
}


class CopyConfig(dg.Config):
    """What to copy of the table, and how gently."""

    mode: Literal["changed", "compare", "refresh"] = Field(
        "changed",
        description="changed: rows that are new or have changed; where they say when they were modified, only those modified"
        " since the last copy are read. compare: the same, but every row is read. refresh: every row is inserted once more.",
    )
    ids: list[str] = Field(
        [], description="Only rows with these primary keys of the LMS (numbers, or course keys)."
    )
    ids_to_skip: list[str] = Field([], description="Not rows with these primary keys.")
    limit: int | None = Field(
        None, ge=0, description="Insert at most so many rows; the next run takes the next ones."
    )
    start_after: str | None = Field(None, description="Only rows whose primary key is greater than this.")
    batch_size: int = Field(10_000, ge=1, le=1_000_000, description="Rows a query to the LMS.")
    sleep_between_batches: float = Field(0.0, ge=0, description="Seconds to rest between two queries.")
    rows_per_second: int | None = Field(
        None,
        ge=0,
        description="Read at most so many rows a second; ASPECTS_LMS_ROWS_PER_SECOND unless given. 0: no cap.",
    )
    dry_run: bool = Field(False, description="Read, compare and count; insert nothing.")

    def request(self, settings: Settings, *, numbers: bool) -> CopyRequest:
        """The request for one table, whose primary key is a number or a text.

        Raises:
            SettingsError: a key is no number where it has to be one.
        """

        def key(name: str, text: str) -> int | str:
            try:
                return int(text) if numbers else text
            except ValueError:
                raise SettingsError(
                    f"config {name}: {text!r} is no primary key of this table", do="Give whole numbers."
                ) from None

        cap = settings.lms_rows_per_second if self.rows_per_second is None else self.rows_per_second
        return CopyRequest(
            mode=self.mode,
            ids=tuple(key("ids", one) for one in self.ids),
            ids_to_skip=tuple(key("ids_to_skip", one) for one in self.ids_to_skip),
            limit=self.limit,
            start_after=None if self.start_after is None else key("start_after", self.start_after),
            batch_size=self.batch_size,
            sleep_between_batches=self.sleep_between_batches,
            rows_per_second=cap,
            dry_run=self.dry_run,
        )


def event_sink_assets() -> list[dg.AssetsDefinition]:
    """The assets that come from the LMS database."""
    return [_asset(table) for table in SINK_TABLES.values()]


def _schema(table: SinkTable) -> dg.TableSchema:
    marks = {"dump_id": "UUID", "time_last_dumped": "String"}
    return dg.TableSchema(
        columns=[dg.TableColumn(name, kind) for name, kind in {**table.columns, **marks}.items()]
    )


def _asset(table: SinkTable) -> dg.AssetsDefinition:
    @dg.asset(
        name=table.name,
        group_name=GROUP,
        kinds={"clickhouse", "mysql"},
        pool=POOL,
        output_required=False,  # a dry run makes nothing, nor does a table that may not be filled
        description=f"{_SAID[table.name]}: event_sink.{table.name}, from the LMS database (ASPECTS_LMS_DATABASE_URL).",
        freshness_policy=FRESH,
        metadata={"dagster/column_schema": _schema(table)},
    )
    def materialize(
        context: dg.AssetExecutionContext, config: CopyConfig, clickhouse: ClickHouseResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetObservation]:
        settings = load_settings()
        if table.personal and not settings.enable_pii:
            why = (
                f"{table.name} was not copied: it holds personal data, and ASPECTS_ENABLE_PII is false. Set it to true, as"
                " in Aspects, to copy it. Nothing was read or written."
            )
            context.log.warning(why)
            yield dg.AssetObservation(table.name, metadata={"not_copied": why})
            return
        try:
            _write_sample(settings)
            if settings.lms_database_url is None:
                raise SettingsError(
                    f"{table.name} comes from the LMS database, and none is named",
                    do="Set ASPECTS_LMS_DATABASE_URL to a read replica: mysql+pymysql://user:password@host:3306/openedx.",
                )
            database = LmsDatabase(settings.lms_database_url)
            try:
                result = copy_table(
                    database,
                    clickhouse.warehouse(run_id=context.run.run_id),
                    schema_names(settings),
                    table,
                    config.request(settings, numbers=table.takes_numbers),
                    enable_pii=settings.enable_pii,
                    say=context.log.info,
                )
            finally:
                database.close()
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        yield _reported(context, settings, result)

    return materialize


def course_blocks(settings: Settings) -> dg.AssetsDefinition | dg.AssetSpec:
    """The asset of the CMS's export, or the table as it stands where there is no export."""
    if settings.course_blocks_uri is None:
        return dg.AssetSpec(
            COURSE_BLOCKS.name,
            group_name=GROUP,
            kinds={"clickhouse"},
            description="Blocks of the courses, as the CMS writes them into event_sink.course_blocks when a course is"
            " published. Observed by the job `observe_course_blocks`. Set ASPECTS_COURSE_BLOCKS to fill it from an export.",
            freshness_policy=FRESH,
            metadata={"dagster/column_schema": _schema(COURSE_BLOCKS)},
        )

    @dg.asset(
        name=COURSE_BLOCKS.name,
        group_name=GROUP,
        kinds={"clickhouse", "json"},
        output_required=False,
        description="Blocks of the courses: event_sink.course_blocks, from the CMS's export (ASPECTS_COURSE_BLOCKS).",
        freshness_policy=FRESH,
        metadata={"dagster/column_schema": _schema(COURSE_BLOCKS)},
    )
    def materialize(
        context: dg.AssetExecutionContext,
        config: CopyConfig,
        clickhouse: ClickHouseResource,
        log_storage: LogStorageResource,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetObservation]:
        settings = load_settings()
        try:
            _write_sample(settings)
            result = copy_course_blocks(
                str(settings.course_blocks_uri),
                clickhouse.warehouse(run_id=context.run.run_id),
                schema_names(settings),
                config.request(settings, numbers=True),
                s3=log_storage.s3(),
                spool=settings.home / "private",
                say=context.log.info,
            )
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        yield _reported(context, settings, result)

    return materialize


def _write_sample(settings: Settings) -> None:
    if settings.uses_sample_logs and settings.is_embedded:
        write_sample(settings.home)


def _reported(
    context: dg.AssetExecutionContext, settings: Settings, result: CopyResult
) -> dg.MaterializeResult[None] | dg.AssetObservation:
    context.log.info(copy_summary(result))
    metadata = copy_metadata(settings, result)
    if result.dry_run:
        return dg.AssetObservation(result.table, metadata=metadata)
    return dg.MaterializeResult(metadata=metadata)


def copy_summary(result: CopyResult) -> str:
    """What a copy did, in a sentence."""
    account = result.account
    verb = "would be inserted" if result.dry_run else "inserted"
    return (
        f"{result.table}: {account.read:,} rows read, {result.inserted:,} {verb}, {result.unchanged:,} left as they stand,"
        f" {account.retired:,} of retired users, {account.unusable:,} unusable"
    )


def copy_metadata(settings: Settings, result: CopyResult) -> dict[str, dg.MetadataValue | int | float | str]:
    """What a copy shows of itself."""
    account = result.account
    metadata: dict[str, dg.MetadataValue | int | float | str] = {
        "read": account.read,
        "inserted": result.inserted,
        "not_inserted": result.unchanged,
        "retired": account.retired,
        "unusable": account.unusable,
        "rows_per_second": round(account.read / max(result.seconds, 1e-3)),
        "seconds": round(result.seconds, 1),
        "dry_run": str(result.dry_run).lower(),
        "rows_in_table": result.rows,
    }
    if result.modified_since is not None:
        metadata["read_from"] = f"rows modified since {result.modified_since} UTC"
    if result.resumed_after is not None:
        metadata["resumed_after"] = str(result.resumed_after)
    if result.unusable_ids:
        metadata["unusable_ids"] = ", ".join(map(str, result.unusable_ids))
    if not result.dry_run:
        metadata |= {
            "dagster/row_count": result.keys,
            "dagster/table_name": f"{settings.event_sink_database}.{result.table}",
            "dump_id": result.dump_id,
            "time_last_dumped": result.time_last_dumped,
        }
    return metadata

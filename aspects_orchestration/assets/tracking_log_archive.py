"""tracking_log_archive: the site's tracking logs, sealed day by day, so that all else can be made again from them.

Safe to materialize again at any time, and twice at once: a day that is sealed stays as it is, a run that was killed is gone
on with, and of two runs one seals the day. It needs no ClickHouse.
"""

from collections.abc import Iterator
from datetime import date, datetime

import dagster as dg
from pydantic import Field

from aspects_orchestration.archive.manifest import ArchivedObject
from aspects_orchestration.archive.seal import SealResult, index_of, seal_day
from aspects_orchestration.archive.seal_plan import LeftOut
from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.markdown import cell
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import load_settings

TRACKING_LOG_ARCHIVE = dg.AssetKey("tracking_log_archive")
POOL = "tracking_log_archive"

_LISTED = 50

Metadata = dict[str, dg.MetadataValue | int | float | str]


class SealConfig(dg.Config):
    """How to seal a day."""

    dry_run: bool = Field(False, description="List and plan only; read and write nothing.")
    lateness_hours: float | None = Field(
        None,
        ge=0,
        description="Instead of ASPECTS_ARCHIVE_LATENESS_HOURS: so long the day must be over. 0 seals at once; files that"
        " come later are supplements of a later day.",
    )


def tracking_log_archive(days: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset, for the site's days."""

    @dg.asset(
        key=TRACKING_LOG_ARCHIVE,
        partitions_def=days,
        deps=[TRACKING_LOGS],
        group_name="archive",
        kinds={"s3"},
        pool=POOL,
        output_required=False,  # a dry run makes nothing
        description="The sealed archive of tracking logs (ASPECTS_TRACKING_LOG_ARCHIVE): every log file last written"
        " on the day (UTC), recompressed, read back, and listed in a manifest that carries its own hash and that of the day"
        " before. Seals the days before it that are missing, too.",
    )
    def seal(
        context: dg.AssetExecutionContext, config: SealConfig, log_storage: LogStorageResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetMaterialization | dg.AssetObservation]:
        settings, s3, now = load_settings(), log_storage.s3(), utc_now()
        try:
            if settings.uses_sample_logs:
                write_sample(settings.home)
            result = seal_day(
                settings,
                date.fromisoformat(context.partition_key),
                s3=s3,
                run_id=context.run.run_id,
                now=now,
                say=context.log.info,
                dry_run=config.dry_run,
                lateness_hours=config.lateness_hours,
            )
            if result.sealed is None:
                yield dg.AssetObservation(
                    TRACKING_LOG_ARCHIVE, partition=context.partition_key, metadata=_planned(result)
                )
                return
            index = index_of(settings, s3=s3)
            for one in result.sealed_now:
                if one.day != result.day:
                    yield dg.AssetMaterialization(
                        TRACKING_LOG_ARCHIVE,
                        partition=one.day.isoformat(),
                        metadata=_of_day(result, one.day, index.of_day(one.day), now),
                    )
            metadata = _of_day(result, result.day, index.of_day(result.day), now)
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        for left_out in result.left_out:
            context.log.error(f"left out: {left_out.why}")
        yield dg.MaterializeResult(metadata={**metadata, **_of_run(result)})

    return seal


def _planned(result: SealResult) -> Metadata:
    rows = ["| day | files | MB as stored | of earlier days | first files |", "|---|--:|--:|--:|---|"]
    rows += [
        f"| {one.day} | {one.files:,} | {one.stored_bytes / 1e6:,.1f} | {one.supplements:,} |"
        f" {'<br>'.join(map(cell, one.first))} |"
        for one in result.plan.days[-_LISTED:]
    ]
    return {
        "summary": "; ".join(result.plan.described()),
        "plan": dg.MetadataValue.md("\n".join(rows)),
        "files": result.plan.files,
        "bytes_to_archive": sum(one.stored_bytes for one in result.plan.days),
        "days_to_seal": len(result.plan.days),
        "dry_run": 1,
    }


def _of_day(result: SealResult, day: date, objects: Iterator[ArchivedObject], now: datetime) -> Metadata:
    """What the manifest of a day says, summed up in one pass over its objects."""
    sealed = next(one for one in result.days if one.day == day)
    supplements = verbatim = undated = 0
    first: datetime | None = None
    last: datetime | None = None
    rows = [
        "| object | source | MB raw | MB stored | lines | first event | last event |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    for number, one in enumerate(objects):
        supplements += one.supplements is not None
        verbatim += one.verbatim
        undated += one.undated
        first = min((at for at in (first, one.first_event) if at), default=None)
        last = max((at for at in (last, one.last_event) if at), default=None)
        if number < _LISTED:
            rows.append(
                f"| {cell(one.object)} | {cell(one.source)} | {one.raw_bytes / 1e6:,.3f} | {one.stored_bytes / 1e6:,.3f}"
                f" | {one.lines:,} | {_shown(one.first_event)} | {_shown(one.last_event)} |"
            )
    if sealed.objects > _LISTED:
        rows.append(f"| {sealed.objects - _LISTED:,} more objects | | | | | | |")
    metadata: Metadata = {
        "summary": f"{sealed.objects:,} files, {sealed.lines:,} lines, {sealed.raw_bytes / 1e6:,.1f} MB, stored as"
        f" {sealed.stored_bytes / 1e6:,.1f} MB; sealed by run {sealed.sealed_by} at {sealed.sealed_at:%Y-%m-%d %H:%M} UTC",
        "objects": dg.MetadataValue.md("\n".join(rows)),
        "files": sealed.objects,
        "supplements": supplements,
        "files_archived_as_they_are": verbatim,
        "lines": sealed.lines,
        "lines_undated": undated,
        "bytes": sealed.raw_bytes,
        "bytes_stored": sealed.stored_bytes,
        "ratio": round(sealed.raw_bytes / sealed.stored_bytes, 2) if sealed.stored_bytes else 0.0,
        "first_event": _shown(first),
        "last_event": _shown(last),
        "manifest_sha256": sealed.sha256,
        "follows": sealed.previous.isoformat()
        if sealed.previous
        else "nothing: it is the archive's first day",
    }
    if result.newest_line is not None:
        metadata["rpo_hours"] = round((now - result.newest_line).total_seconds() / 3600, 2)
    return metadata


def _of_run(result: SealResult) -> Metadata:
    return {
        "days_sealed_now": len(result.sealed_now),
        "days_in_archive": len(result.days),
        "bytes_in_archive": sum(one.stored_bytes for one in result.days),
        "lines_in_archive": sum(one.lines for one in result.days),
        "files_left_out": len(result.left_out),
        "left_out": dg.MetadataValue.md(_left_out(result.left_out)),
        "files_written_later": result.plan.later,
        "files_from_the_future": len(result.plan.from_the_future),
    }


def _left_out(left_out: tuple[LeftOut, ...]) -> str:
    return "\n".join(f"- {cell(one.why)}" for one in left_out[:_LISTED]) or "nothing"


def _shown(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z" if moment else "–"

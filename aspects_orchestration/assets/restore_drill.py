"""restore_drill: what drills have found, over time. It is observed by the job of the same name, not made."""

import dagster as dg

from aspects_orchestration.drill.report import differences, months_table
from aspects_orchestration.drill.run import DrilledDay

RESTORE_DRILL = dg.AssetKey("restore_drill")


def restore_drill_asset() -> dg.AssetSpec:
    """The restore drills; the job `restore_drill` says how each went."""
    return dg.AssetSpec(
        RESTORE_DRILL,
        description="Restore drills: a day of the archive replayed into a scratch database and compared with what stands."
        " Observed by the job `restore_drill`: how long it took (RTO, of the day and extrapolated to the whole archive), how"
        " old the newest sealed line was (RPO), and what differed.",
        group_name="archive",
        kinds={"clickhouse"},
    )


def drill_metadata(drilled: DrilledDay) -> dict[str, dg.MetadataValue | int | float | str]:
    """What an observation shows of one day: a sentence, tables, and the figures to follow over time."""
    record = drilled.record
    shown: dict[str, dg.MetadataValue | int | float | str] = {
        "summary": dg.MetadataValue.md(record.summary),
        "outcome": record.outcome,
        "day": record.day.isoformat(),
        "months": dg.MetadataValue.md(months_table(drilled.months)),
        "objects": record.objects,
        "stored_bytes": record.stored_bytes,
        "raw_bytes": record.raw_bytes,
        "lines": record.lines,
        "statements_restored": record.restored,
        "statements_missing": record.missing,
        "statements_different": record.different,
        "statements_gone_by_retention": record.expired,
        "lines_quarantined": record.quarantined,
        "lines_newly_quarantined": record.newly_quarantined,
    }
    if drilled.months or not drilled.error:
        shown |= {
            "rto_of_the_day_s": round(record.rto_day_s, 3),
            "rto_of_all_hours": round(record.rto_all_s / 3600, 4),
            "verified_in_s": round(drilled.verify_s, 3),
            "loaded_in_s": round(drilled.load_s, 3),
        }
    if record.rpo_s is not None:
        shown["rpo_hours"] = round(record.rpo_s / 3600, 3)
    if found := differences(drilled.months):
        shown["differences"] = dg.MetadataValue.md(found)
    return shown

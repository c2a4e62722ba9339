"""The part of the production audit that is about data: how long it is kept, what was there before, and its logs."""

from __future__ import annotations

from aspects_orchestration.doctor.logs import newest_logs, rotation
from aspects_orchestration.doctor.model import Answer, Patient, advice, danger, ok, worst
from aspects_orchestration.doctor.tutor_site import QUOTE, TutorSite, set_to
from aspects_orchestration.errors import WarehouseError


def lifetime(patient: Patient, site: TutorSite) -> Answer:
    """Somebody has decided how long statements are kept."""
    name = "ASPECTS_DATA_TTL_EXPRESSION"
    if not site.is_set(name):
        return advice(
            "nobody has set how long statements are kept: Aspects drops them after one year",
            f"Decide, and say so: {set_to(name, QUOTE + 'toDateTime(emission_time) + INTERVAL 3 YEAR' + QUOTE)}, or"
            f" {set_to(name, QUOTE * 2)} for ever.",
        )
    theirs = str(site.value(name))
    if not theirs:
        return ok("statements are kept for ever")
    if patient.settings.ttl_months() is None:
        return advice(
            f"statements go by days ({theirs}), while partitions are months: ClickHouse rewrites them for ever",
            f"Count in months or years: {set_to(name, QUOTE + 'toDateTime(emission_time) + INTERVAL 12 MONTH' + QUOTE)}",
        )
    return ok(f"statements are kept for {patient.settings.ttl_months()} months")


def backfilled(patient: Patient) -> Answer:
    """What the LMS held before Aspects was installed is in ClickHouse: courses, users where they are kept, statements."""
    names, settings = patient.names, patient.settings
    sink = names.event_sink_database
    wanted = ["course_overviews", *(["external_id", "user_profile"] if settings.enable_pii else [])]
    empty = [f"{sink}.{table}" for table in wanted if not _rows(patient, sink, table)]
    answers = []
    if empty:
        answers.append(
            advice(
                f"nothing was copied from the LMS yet: {', '.join(empty)}",
                "Materialize the group event_sink (docs/lms-tables.md); it spares the LMS with"
                " ASPECTS_LMS_ROWS_PER_SECOND.",
            )
        )
    if not _rows(patient, names.xapi_database, names.xapi_table):
        answers.append(
            advice(
                "there is no statement",
                "Load the months that are to be shown, and that the TTL keeps: docs/backfill.md.",
            )
        )
    return worst(answers, "courses and statements are there")


def _rows(patient: Patient, database: str, table: str) -> int:
    try:
        return int(patient.warehouse.row("table_rows", database=database, table=table)[0])
    except WarehouseError as error:
        if error.code in {60, 81}:  # no such table, no such database
            return 0
        raise


def tracking_logs_kept(patient: Patient) -> Answer:
    """Tracking logs are rotated, and kept somewhere else than beside the LMS."""
    settings = patient.settings
    answers = [rotation(patient)]
    here = settings.archive_uri.startswith(("/", "file:"))
    if here:
        answers.append(
            advice(
                f"the archive is on a disk of this machine ({settings.archive_uri}): lost with it",
                "Set ASPECTS_TRACKING_LOG_ARCHIVE to s3://… (docs/archive.md).",
            )
        )
    newest, _, _ = newest_logs(patient, 1)
    if not newest:
        answers.append(
            danger(
                f"there are no tracking logs under {', '.join(settings.tracking_log_prefixes)}: nothing could be replayed",
                "Mend ASPECTS_TRACKING_LOGS, or have the logs shipped there.",
            )
        )
    return worst(answers, "logs are rotated, and archived away from the LMS")

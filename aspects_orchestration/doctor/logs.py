"""Log storage: tracking logs can be listed and read and are rotated; archive and quarantine can be written."""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from itertools import islice
from typing import Final

from aspects_orchestration.archive.live_check import live_log_is_rotated
from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok, worst
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.replay.sources import live_logs
from aspects_orchestration.tracking.chunks import Chunk, read_log
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.tracking.stores import LogFile, LogStore, open_store

#: Listing takes no longer than that; of more logs, those listed by then count.
_LISTING_S: Final = 10.0
#: Nothing written for so long: the logs go elsewhere, or nobody uses the site.
_OLD: Final = timedelta(days=2)
_LINES: Final = 50


def newest_logs(patient: Patient, count: int = 3) -> tuple[list[LogFile], int, bool]:
    """The newest logs (that hold anything), how many were listed, and whether those are all.

    Raises:
        LogStoreError: storage cannot be listed.
    """
    started, listed, whole = time.monotonic(), 0, True
    newest: list[LogFile] = []
    for file in live_logs(patient.settings, patient.s3):
        listed += 1
        if file.size:
            newest = sorted([*newest, file], key=lambda one: one.modified, reverse=True)[:count]
        if listed % 1000 == 0 and time.monotonic() - started > _LISTING_S:
            whole = False
            break
    return newest, listed, whole


def first_lines(patient: Patient, file: LogFile, count: int = _LINES) -> list[bytes | None]:
    """What the first lines of a log hold: the JSON of an event, or None.

    Raises:
        LogStoreError: it cannot be read.
    """
    store = open_store(file.uri, s3=patient.s3)
    for item in islice(read_log(store, file, live=True), 1):
        if isinstance(item, Chunk):
            return [line.body or None for line in islice(unwrap(item.data), count)]
    return []


def storage(patient: Patient) -> Answer:
    """Tracking logs can be listed and read, are tracking logs, and are being written."""
    newest, listed, whole = newest_logs(patient)
    told = f"{listed:,}{'' if whole else ' and more'} logs"
    where = ", ".join(patient.settings.tracking_log_prefixes)
    if not newest:
        return danger(
            f"there are no tracking logs under {where}",
            "Mend ASPECTS_TRACKING_LOGS (a folder or URI prefix; several by comma), or mount the folder here.",
        )
    file = newest[0]
    lines = first_lines(patient, file)
    events = sum(line is not None for line in lines)
    age = patient.now - file.modified
    told = f"{told}; the newest was written {_shown(age)} ago"
    if lines and not events:
        return danger(
            f"{told}, and its first {len(lines)} lines hold no tracking event",
            f"Look into {file.uri}: is it the tracking log (logger `tracking`), and is it whole?",
        )
    if not whole:
        return advice(
            told,
            "So many logs make each look slow: archive them (job archive_tracking_logs), then release_archived_logs.",
        )
    if age > _OLD:
        return advice(
            f"{told}: nothing new comes here",
            "Check that this is where the LMS writes, or where its logs are shipped to: ASPECTS_TRACKING_LOGS.",
        )
    return ok(told)


def rotation(patient: Patient) -> Answer:
    """Live logs are rotated, and their writers follow."""
    finding = live_log_is_rotated(patient.settings, patient.now)
    if finding.passed:
        return ok(finding.summary)
    return advice(
        finding.summary,
        "docs/log-rotation.md: `python -m aspects_orchestration.jobs.rotate` says what it would do.",
        *finding.lines,
    )


def writable(patient: Patient) -> Answer:
    """Archive and quarantine can be written, and an object that is there cannot be overwritten."""
    answers = [
        _probe(patient, setting, uri)
        for setting, uri in (
            ("ASPECTS_TRACKING_LOG_ARCHIVE", patient.settings.archive_uri),
            ("ASPECTS_QUARANTINE", patient.settings.quarantine_uri),
        )
    ]
    return worst(answers, "archive and quarantine can be written")


def _probe(patient: Patient, setting: str, prefix: str) -> Answer:
    store = open_store(prefix, s3=patient.s3, setting=setting)
    # Hidden, so that no listing takes it for a log.
    probe = f"{store.uri.rstrip('/')}/.doctor-{secrets.token_hex(8)}"
    if not patient.write_probes:
        return advice(
            f"not tried whether {setting} can be written",
            f"With --write-probes, {probe.rpartition('/')[0]}/.doctor-… is created, read back and removed again.",
        )
    if not store.create(probe, [b"written by the doctor, may be removed\n"]):
        return danger(f"{probe} was there before it was written", "Look who else writes there.")
    answer = _second_and_back(store, probe, setting)
    try:
        store.delete(probe)
    except LogStoreError as error:
        return advice(
            f"{setting} can be written, and nothing can be removed from it, which is right for an archive",
            f"Remove {probe} by hand. ({error.what})",
        )
    return answer


def _second_and_back(store: LogStore, probe: str, setting: str) -> Answer:
    if store.create(probe, [b"written twice\n"]):
        return danger(
            f"{setting} lets an object be created twice: two archivers could overwrite each other",
            "Use storage that knows conditional writes (If-None-Match), as Amazon's S3 does.",
        )
    if store.get(probe) != b"written by the doctor, may be removed\n":
        return danger(
            f"{setting} does not give back what was written",
            "Look at the storage, and who else writes there.",
        )
    return ok(f"{setting} can be written and read, and what is there is not overwritten")


def _shown(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    if hours < 2:
        return f"{max(hours, 0) * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


DIAGNOSES: Final = (
    Diagnosis("logs", "tracking logs", storage, deadline_s=40.0),
    Diagnosis("rotation", "rotation of live logs", rotation),
    Diagnosis("writable", "archive and quarantine", writable, deadline_s=40.0),
)

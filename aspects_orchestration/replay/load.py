"""Load a month: read its logs, stage its statements, make the counts agree, publish what is missing.

Where statements go (ClickHouse, Ralph, files) differs in publishing alone.

Safe to run again, whatever happened before: a load that was killed goes on behind the chunks that it had staged,
what stands in the table is recognised by its id, and until the counts agree nothing is published at all.
"""

from __future__ import annotations

from dataclasses import replace

import orjson

from aspects_orchestration.archive.reading import refusal, unsound_among
from aspects_orchestration.replay import missing
from aspects_orchestration.replay.attempt import Attempt, result_of
from aspects_orchestration.replay.destinations import Destination
from aspects_orchestration.replay.plan import LoadPlan, Mode, lock_name, staging_prefix
from aspects_orchestration.replay.publishing import describe_drop, publish_statements, step_of
from aspects_orchestration.replay.reading import Reached, Reading, Say, Staging
from aspects_orchestration.replay.refused import Refused, forget_refused, keep_refused
from aspects_orchestration.replay.result import LoadResult, utc_now
from aspects_orchestration.replay.statement_files import cut_by_day, look_at_files
from aspects_orchestration.replay.through_ralph import look_at_ralph
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.quarantine import MISSING_REPORT, REPLAYED, SUMMARY
from aspects_orchestration.tracking.stores import S3Options, open_store
from aspects_orchestration.warehouse.client import Warehouse, parameter_batches
from aspects_orchestration.warehouse.cluster import catch_up, require_one_node
from aspects_orchestration.warehouse.lock import locked
from aspects_orchestration.warehouse.publish import PublishPlan, cut_slices, plan_publish
from aspects_orchestration.warehouse.records import (
    read_progress,
)


def load_month(
    settings: Settings,
    plan: LoadPlan,
    warehouse: Warehouse,
    *,
    s3: S3Options,
    say: Say,
    reached: Reached | None = None,
    keep_staging: bool = False,
) -> LoadResult:
    """Do what a plan says.

    Args:
        settings: of the site.
        plan: by `make_plan`.
        warehouse: its run id is this run's.
        s3: how to reach S3.
        say: told of progress and of what is waited for; safe to show.
        reached: told with the progress how many bytes have been read, as stored.
        keep_staging: leave the staging table to whoever wants to look into it, and drops it.

    Returns:
        The account of every line and statement.

    Raises:
        AspectsError: what went wrong, and what to do. Nothing is lost and nothing doubled: run again.
    """
    started_at = utc_now()
    say(_announcement(plan))
    try:
        require_one_node(warehouse)
        plan = _sound(settings, plan, s3, say)
        load = Attempt(settings, plan, warehouse, s3, say, started_at, reached)
        return _load(load, keep_staging=keep_staging)
    finally:
        plan.site.forget()


def _sound(settings: Settings, plan: LoadPlan, s3: S3Options, say: Say) -> LoadPlan:
    """The plan without objects of the archive that are not, byte for byte, the ones that were sealed.

    Raises:
        UnsoundArchiveError: there are such objects, and the request does not allow to go on without them.
    """
    sealed = [file for file in plan.files if file.uri in plan.sealed]
    if not sealed:
        return plan
    say(f"reading back {len(sealed)} objects of the archive, {sum(one.size for one in sealed) / 1e6:.1f} MB")
    unsound = unsound_among(settings.archive_uri, sealed, plan.sealed, s3=s3, say=say)
    if unsound and not plan.request.allow_loss:
        raise refusal(unsound)
    gone = {one.uri for one in unsound}
    return replace(
        plan,
        files=tuple(file for file in plan.files if file.uri not in gone),
        unsound=(*plan.unsound, *unsound),
    )


def _load(load: Attempt, *, keep_staging: bool) -> LoadResult:
    settings, plan, warehouse, say = load.settings, load.plan, load.warehouse, load.say
    reading = load.reading()
    if plan.request.dry_run:
        _look_at_destination(load)
        read_s = reading.read()
        if plan.request.mode is Mode.REBUILD:
            describe_drop(load)
        return result_of(load, reading, read_s=read_s)
    _look_at_destination(load)
    lock_table = lock_name(settings, plan.request.month)
    with locked(warehouse, settings.orchestration_database, lock_table, say=say) as lock:
        _prepare_staging(load, reading)
        read_s = reading.read()
        counted = _count(load)
        if counted.statements != reading.account.total.statements and reading.staged_before:
            # What an earlier attempt had staged last, it may not have remembered, and its log may have gone since.
            say("what an earlier attempt has staged does not fit the logs any more: reading them anew")
            _drop_staging(load, load.staging)
            reading = load.reading()
            _prepare_staging(load, reading)
            read_s += reading.read()
            counted = _count(load)
        published = publish_statements(load, reading, counted, lock)
        _seal_quarantine(load, reading, published.refused)
        result = result_of(load, reading, read_s=read_s, published=published)
        if not keep_staging:
            _drop_staging(load, load.staging)
    return result


# --- staging -----------------------------------------------------------------------------------------------------


def _prepare_staging(load: Attempt, reading: Reading) -> None:
    """Take over what an earlier attempt at the same load has staged; drop what other loads of the month have left."""
    staging = load.staging
    prefix = staging_prefix(load.settings, load.plan.request.month)
    rows = load.warehouse.rows("tables_like", database=staging.database, prefix=prefix)
    tables = {name for (name,) in rows}
    for name in sorted(tables - {staging.table}):
        load.say(f"dropping {staging.database}.{name}, left by a load that ended early")
        _drop_staging(load, Staging(staging.database, name))
    if staging.table not in tables:
        for name in (staging.progress_table, staging.sent_table):
            load.run_again("table_drop", database=staging.database, table=name)
        load.run_again("staging_create", database=staging.database, table=staging.table)
    load.run_again("progress_create", database=staging.database, table=staging.progress_table)
    catch_up(load.warehouse, (staging.database, staging.progress_table), (staging.database, staging.table))
    _read_progress(load, reading)


def _read_progress(load: Attempt, reading: Reading) -> None:
    staging = load.staging
    current = {(file.uri, file.etag) for file in load.plan.files}
    chunks = read_progress(load.warehouse, staging.database, staging.progress_table)
    stale = {chunk.file for chunk in chunks if (chunk.file, chunk.etag) not in current}
    if stale:
        # A file that changed since is read again from its beginning; nothing of its old version may stay.
        # Progress first: if this is cut off, the statements are read again, and staged twice is staged once.
        for table in (staging.progress_table, staging.table):
            for files in parameter_batches(sorted(stale)):
                load.run_again(
                    "staging_forget",
                    database=staging.database,
                    table=table,
                    files=files,
                    settings={"lightweight_deletes_sync": 2},
                )
    kept = [chunk for chunk in chunks if chunk.file not in stale]
    for chunk in kept:
        reading.staged_before.setdefault((chunk.file, chunk.etag), {})[chunk.byte_offset] = chunk.account
    if kept:
        load.say(f"going on behind {len(kept)} chunks that an earlier attempt has staged")


def _drop_staging(load: Attempt, staging: Staging) -> None:
    for name in (staging.table, staging.progress_table, staging.sent_table):
        load.run_again("table_drop", database=staging.database, table=name)


# --- the destination ----------------------------------------------------------------------------------------------


def _look_at_destination(load: Attempt) -> None:
    """Find out now, and not when all logs are read, that the destination cannot be reached."""
    if load.plan.request.destination is Destination.RALPH:
        look_at_ralph(load)
    elif load.plan.request.destination is Destination.FILES:
        look_at_files(load)


def _count(load: Attempt) -> PublishPlan:
    by_day = load.plan.request.destination is Destination.FILES
    cut = cut_by_day if by_day else cut_slices
    target = load.target
    # Workers may have reached another node than this process, when one went down.
    catch_up(
        load.warehouse,
        (target.staging_database, target.staging_table),
        (target.database, target.table),
        (target.staging_database, "runs"),
    )
    return plan_publish(load.warehouse, target, step=step_of(load), say=load.say, cut=cut)


def _seal_quarantine(load: Attempt, reading: Reading, refused: Refused) -> None:
    """Say of this load's quarantine that it is whole, and of what it replayed that it has been taken over."""
    total = reading.account.total
    store = open_store(load.quarantine, s3=load.s3, setting="ASPECTS_QUARANTINE")
    if refused:
        keep_refused(
            store,
            load.quarantine,
            refused,
            load.plan.files,
            from_quarantine=load.plan.request.from_quarantine,
            max_line_bytes=load.settings.max_line_bytes,
            s3=load.s3,
        )
        load.say(f"the lines of {len(refused)} refused statements are in quarantine: {load.quarantine}")
    else:
        forget_refused(store)
    if total.quarantined_lines or refused:
        lacks = missing.write_report(store, load.quarantine, load.settings.home / "identities")
        reading.account.missing.update(lacks)
        counts = {
            "run_id": load.warehouse.run_id,
            "lines": dict(total.quarantined),
            "refused": dict(reading.account.refused),
            "missing": lacks,
        }
        store.put(f"{load.quarantine}/{SUMMARY}", orjson.dumps(counts, option=orjson.OPT_INDENT_2))
        store.delete(f"{load.quarantine}/{REPLAYED}")
        if lacks:
            load.say(
                f"the site does not know {lacks.get('users', 0)} users and {lacks.get('courses', 0)} courses that the logs"
                f" name; {load.quarantine}/{MISSING_REPORT} lists them"
            )
    if load.plan.request.from_quarantine:
        by = orjson.dumps({"run_id": load.warehouse.run_id, "load": load.plan.load})
        for folder in sorted({file.uri.rpartition("/")[0] for file in load.plan.files}):
            store.put(f"{folder}/{REPLAYED}", by)


def _announcement(plan: LoadPlan) -> str:
    read = f"{len(plan.files)} files, {plan.stored_bytes / 1e6:.1f} MB as stored"
    why = "; ".join(f"{count} {verdict}" for verdict, count in sorted(plan.verdicts.items()))
    kind = "dry run of" if plan.request.dry_run else "loading"
    if plan.request.destination is not Destination.CLICKHOUSE:
        why = f"{why}; destination {plan.request.destination}".removeprefix("; ")
    return f"{kind} {plan.request.month} ({plan.request.mode.value}): {read}" + (f" ({why})" if why else "")

"""Load a month: read its logs, stage its statements, make the counts agree, publish what is missing.

Safe to run again, whatever happened before: a load that was killed goes on behind the chunks that it had staged,
what stands in the table is recognised by its id, and until the counts agree nothing is published at all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from aspects_orchestration.archive.reading import refusal, unsound_among
from aspects_orchestration.errors import AccountError, WarehouseError
from aspects_orchestration.gaps.hours import each_once, file_hours, lines_by_hour
from aspects_orchestration.monitoring.acting import pause_of
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.replay import missing
from aspects_orchestration.replay.plan import LoadPlan, Mode, lock_name, quarantine_folder, staging_prefix
from aspects_orchestration.replay.reading import Reached, Reading, Say, Staging
from aspects_orchestration.replay.result import FileDamage, LoadAccount, LoadResult, utc_now
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.account import StatementAccount
from aspects_orchestration.tracking.catalog import HOUR_MICROS
from aspects_orchestration.tracking.quarantine import MISSING_REPORT, REPLAYED, SUMMARY
from aspects_orchestration.tracking.stores import S3Options, open_store
from aspects_orchestration.warehouse import rebuild, views
from aspects_orchestration.warehouse.client import Warehouse, parameter_batches, with_retries
from aspects_orchestration.warehouse.lock import Lock, locked
from aspects_orchestration.warehouse.merges import wait_for_all_merges
from aspects_orchestration.warehouse.publish import PublishPlan, Slice, Target, plan_publish, publish
from aspects_orchestration.warehouse.records import (
    LoadRecord,
    end_unfinished,
    read_progress,
    remember_hours,
    remember_load,
    sample_modulus,
    statements_by_hour,
)
from aspects_orchestration.window import partition_id

#: Sources of a load that reads all logs that it can find.
_ALL_THERE_IS = {("logs",), ("live",), ("archive",), ("both",)}


@dataclass(frozen=True)
class _Load:
    """One attempt at a load: its plan, and where things go."""

    settings: Settings
    plan: LoadPlan
    warehouse: Warehouse
    s3: S3Options
    say: Say
    started_at: datetime
    reached: Reached | None = None

    @property
    def staging(self) -> Staging:
        table = staging_prefix(self.settings, self.plan.request.month) + self.plan.load
        return Staging(self.settings.orchestration_database, table)

    @property
    def target(self) -> Target:
        return Target(
            self.settings.xapi_database,
            self.settings.raw_xapi_table,
            partition_id(self.plan.request.month),
            self.staging.database,
            self.staging.table,
        )

    @property
    def quarantine(self) -> str:
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
        plan = _sound(settings, plan, s3, say)
        load = _Load(settings, plan, warehouse, s3, say, started_at, reached)
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


def _load(load: _Load, *, keep_staging: bool) -> LoadResult:
    settings, plan, warehouse, say = load.settings, load.plan, load.warehouse, load.say
    reading = load.reading()
    if plan.request.dry_run:
        read_s = reading.read()
        if plan.request.mode is Mode.REBUILD:
            _describe_drop(load)
        return _result(load, reading, read_s=read_s)
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
        published = _publish(load, reading, counted, lock)
        _seal_quarantine(load, reading)
        result = _result(load, reading, read_s=read_s, published=published)
        if not keep_staging:
            _drop_staging(load, load.staging)
    return result


# --- staging -----------------------------------------------------------------------------------------------------


def _prepare_staging(load: _Load, reading: Reading) -> None:
    """Take over what an earlier attempt at the same load has staged; drop what other loads of the month have left."""
    staging = load.staging
    prefix = staging_prefix(load.settings, load.plan.request.month)
    rows = load.warehouse.rows("tables_like", database=staging.database, prefix=prefix)
    tables = {name for (name,) in rows}
    for name in sorted(tables - {staging.table}):
        load.say(f"dropping {staging.database}.{name}, left by a load that ended early")
        _drop_staging(load, Staging(staging.database, name))
    if staging.table not in tables:
        load.run_again("table_drop", database=staging.database, table=staging.progress_table)
        load.run_again("staging_create", database=staging.database, table=staging.table)
    load.run_again("progress_create", database=staging.database, table=staging.progress_table)
    _read_progress(load, reading)


def _read_progress(load: _Load, reading: Reading) -> None:
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


def _drop_staging(load: _Load, staging: Staging) -> None:
    for name in (staging.table, staging.progress_table):
        load.run_again("table_drop", database=staging.database, table=name)


# --- publishing --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Published:
    """What a publish has done: the account of the statements, the ids left in the table, rows dropped before."""

    statements: StatementAccount
    ids: int
    dropped: dict[str, int]


def _step(load: _Load) -> str:
    return f"publish {load.target.database}.{load.target.table} {load.plan.request.month}"


def _count(load: _Load) -> PublishPlan:
    return plan_publish(load.warehouse, load.target, step=_step(load), say=load.say)


def _publish(load: _Load, reading: Reading, counted: PublishPlan, lock: Lock) -> _Published:
    target, step, month = load.target, _step(load), load.plan.request.month
    total = reading.account.total
    if counted.statements != total.statements:
        raise AccountError(
            f"{total.statements} statements were built but {counted.statements} are staged in"
            f" {target.staging_database}.{target.staging_table}",
            do="Nothing was published. Drop that table and run again; if it stays so, report it.",
        )
    load.say(
        f"counts agree: {counted.statements} statements staged, {counted.ids} different ids, {counted.already_there}"
        f" of them in {target.database}.{target.table} already, {counted.new} to insert"
    )
    dropped: dict[str, int] = {}
    pause = pause_of(load.settings, load_rules(load.settings.alerts_file))
    followed = views.require_readable_chain(load.warehouse, target)
    behind = views.behind(load.warehouse, target, month=month, step=step, say=load.say) if followed else []
    if load.plan.request.mode is Mode.REBUILD:
        # Before the month goes: one that waits or gives up behind that leaves a hole for as long.
        wait_for_all_merges(load.warehouse, pause, say=load.say, before_look=lock.check)
        dropped = _drop_month(load, lock, counted)
        counted, behind = counted.after_drop(), []

    flights: list[views.InFlight] = []

    def before_insert(one: Slice) -> None:
        if followed:
            record = replace(_record(load, counted), state="publishing", account={views.BEHIND: behind})
            flights[:] = [views.begin(load.warehouse, target, record, one)]

    def after_break() -> None:
        for flight in flights:
            run_id, began = load.warehouse.run_id, load.started_at
            if not views.came_to_its_end(
                load.warehouse, target, flight, run_id=run_id, step=step, began=began
            ):
                load.say(views.warning(target))
                behind.append(asdict(flight))

    inserted = publish(
        load.warehouse,
        target,
        counted,
        step=step,
        lock=lock,
        say=load.say,
        before_insert=before_insert,
        after_break=after_break,
        pause=pause,
    )
    statements = StatementAccount(
        statements=total.statements + total.outside_window,
        inserted=inserted,
        already_there=counted.ids - inserted,
        duplicates=counted.duplicates,
        collisions=counted.collisions,
        outside_window=total.outside_window,
    )
    statements.check("the whole load")
    published = _Published(statements, counted.ids, dropped)
    _remember(load, reading, counted, published, behind)
    _remember_hours(load, reading)
    end_unfinished(load.warehouse, target.staging_database, f"{target.database}.{target.table}", month)
    return published


def _describe_drop(load: _Load) -> rebuild.RebuildPlan:
    """Find and say what a rebuild drops; a dry run says it too."""
    chain = rebuild.plan_rebuild(
        load.warehouse, load.target, leave_unpartitioned=load.plan.request.leave_unpartitioned
    )
    for line in chain.described():
        load.say(line)
    return chain


def _drop_month(load: _Load, lock: Lock, counted: PublishPlan) -> dict[str, int]:
    chain = _describe_drop(load)
    lost = chain.rows_of_raw - counted.already_there
    if lost > 0 and not load.plan.request.allow_loss:
        raise WarehouseError(
            f"{lost} of the {chain.rows_of_raw} rows of {load.plan.request.month} are not in the logs that were read (or"
            " stand there twice); a rebuild would lose them",
            do="Nothing was dropped. Find their logs, or set `allow_loss: true` (after a change of XAPI_AGENT_IFI_TYPE every"
            " id is new, and that is right).",
        )
    lock.check()
    return rebuild.drop_partitions(load.warehouse, chain, say=load.say)


def _remember(
    load: _Load, reading: Reading, counted: PublishPlan, published: _Published, behind: list[dict[str, Any]]
) -> None:
    target = load.target
    record = _record(load, counted)
    load.run_again(
        "expected_ids_insert",
        database=target.staging_database,
        table="expected_ids",
        staging_database=target.staging_database,
        staging_table=target.staging_table,
        run_id=record.run_id,
        month=record.month,
        modulus=record.sample_modulus,
    )
    account = _result(load, reading, read_s=0, published=published).as_json()
    account[views.BEHIND] = behind
    remember_load(load.warehouse, target.staging_database, replace(record, account=account))
    load.run_again(
        "expected_ids_forget",
        database=target.staging_database,
        target=record.target,
        month=record.month,
        run_id=record.run_id,
        # Nobody asks for those ids any more: there is nothing to wait for.
        settings={"lightweight_deletes_sync": 0},
    )


def _remember_hours(load: _Load, reading: Reading) -> None:
    """Remember of each whole hour what the logs hold of it and what stands now: less than that is a gap."""
    if load.plan.request.sources not in _ALL_THERE_IS:
        return  # quarantine, or some of the files: that is not all that there is of an hour
    target, window = load.target, load.plan.window
    first = -(-window.start_micros // HOUR_MICROS)
    end = window.end_micros // HOUR_MICROS
    files = (file_hours(uri, one, first, end) for uri, one in reading.account.files.items())
    lines = lines_by_hour(each_once(one for one in files if one is not None))
    found = statements_by_hour(load.warehouse, target.database, target.table, window)
    remember_hours(
        load.warehouse,
        target.staging_database,
        f"{target.database}.{target.table}",
        {hour: (count, found.get(hour, 0)) for hour, count in lines.items()},
        utc_now(),
    )


def _record(load: _Load, counted: PublishPlan) -> LoadRecord:
    plan, target = load.plan, load.target
    return LoadRecord(
        run_id=load.warehouse.run_id,
        target=f"{target.database}.{target.table}",
        month=plan.request.month,
        mode=plan.request.mode.value,
        state="published",
        since=plan.window.start,
        until=plan.window.end,
        started_at=load.started_at,
        updated_at=utc_now(),
        account={},
        expected_ids=counted.ids,
        expected_hash=counted.ids_hash,
        sample_modulus=sample_modulus(counted.ids),
    )


def _seal_quarantine(load: _Load, reading: Reading) -> None:
    """Say of this load's quarantine that it is whole, and of what it replayed that it has been taken over."""
    total = reading.account.total
    store = open_store(load.quarantine, s3=load.s3, setting="ASPECTS_QUARANTINE")
    if total.quarantined_lines:
        lacks = missing.write_report(store, load.quarantine, load.settings.home / "identities")
        reading.account.missing.update(lacks)
        counts = {"run_id": load.warehouse.run_id, "lines": dict(total.quarantined), "missing": lacks}
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


# --- the report --------------------------------------------------------------------------------------------------


def _result(
    load: _Load, reading: Reading, *, read_s: float, published: _Published | None = None
) -> LoadResult:
    plan, target = load.plan, load.target
    rows = load.warehouse.row(
        "partition_rows", database=target.database, table=target.table, partition_id=target.partition_id
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
    )


def _announcement(plan: LoadPlan) -> str:
    read = f"{len(plan.files)} files, {plan.stored_bytes / 1e6:.1f} MB as stored"
    why = "; ".join(f"{count} {verdict}" for verdict, count in sorted(plan.verdicts.items()))
    kind = "dry run of" if plan.request.dry_run else "loading"
    return f"{kind} {plan.request.month} ({plan.request.mode.value}): {read}" + (f" ({why})" if why else "")

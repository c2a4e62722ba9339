"""Publishing what a load has staged: into the raw table, through Ralph, or as files; and remembering what was done."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from aspects_orchestration.errors import AccountError, WarehouseError
from aspects_orchestration.gaps.hours import each_once, file_hours, lines_by_hour
from aspects_orchestration.monitoring.acting import pause_of
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.replay.attempt import Attempt, Delivered, Published, result_of
from aspects_orchestration.replay.destinations import Destination, place_of, stands_here
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.replay.reading import Reading
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.replay.statement_files import write_statement_files
from aspects_orchestration.replay.through_ralph import publish_through_ralph, sent_by
from aspects_orchestration.tracking.account import StatementAccount
from aspects_orchestration.tracking.catalog import HOUR_MICROS
from aspects_orchestration.warehouse import rebuild, views
from aspects_orchestration.warehouse.lock import Lock
from aspects_orchestration.warehouse.merges import Pause, wait_for_all_merges
from aspects_orchestration.warehouse.publish import PublishPlan, Slice, publish
from aspects_orchestration.warehouse.records import (
    LoadRecord,
    end_unfinished,
    remember_hours,
    remember_load,
    sample_modulus,
    statements_by_hour,
)

#: Sources of a load that reads all logs that it can find.
_ALL_THERE_IS = {("logs",), ("live",), ("archive",), ("both",)}


def step_of(load: Attempt) -> str:
    """What a load's queries are for, in `log_comment`."""
    return f"publish {load.target.database}.{load.target.table} {load.plan.request.month}"


def publish_statements(load: Attempt, reading: Reading, counted: PublishPlan, lock: Lock) -> Published:
    """Publish what is staged, if it is what was read.

    Raises:
        AccountError: it is not; nothing was published.
        AspectsError: the destination's own, of which each says that to run again is safe.
    """
    target, total = load.target, reading.account.total
    if counted.statements != total.statements:
        raise AccountError(
            f"{total.statements} statements were built but {counted.statements} are staged in"
            f" {target.staging_database}.{target.staging_table}",
            do="Nothing was published. Drop that table and run again; if it stays so, report it.",
        )
    agreed = f"counts agree: {counted.statements} statements staged, {counted.ids} different ids"
    if stands_here(load.settings, load.plan.request.destination):
        agreed += f", {counted.already_there} of them in {target.database}.{target.table} already, {counted.new} to insert"
    load.say(agreed)
    if load.plan.request.destination is Destination.FILES:
        return _elsewhere(load, reading, counted, write_statement_files(load, counted, lock))
    pause = pause_of(load.settings, load_rules(load.settings.alerts_file))
    if not stands_here(load.settings, load.plan.request.destination):
        return _elsewhere(load, reading, counted, publish_through_ralph(load, counted, lock, pause=pause))
    return _publish_here(load, reading, counted, lock, pause)


def _elsewhere(load: Attempt, reading: Reading, counted: PublishPlan, delivered: Delivered) -> Published:
    """Account for statements that do not come to stand in the raw table, and remember the load under another name."""
    published = _published(reading, counted, delivered, {})
    place = place_of(load.settings, load.plan.request.destination, load.plan.request.month)
    account = result_of(load, reading, read_s=0, published=published).as_json()
    record = replace(_record(load, (0, 0)), target=place, account=account)
    remember_load(load.warehouse, load.target.staging_database, record)
    return published


def _published(
    reading: Reading, counted: PublishPlan, delivered: Delivered, dropped: dict[str, int]
) -> Published:
    total, refused = reading.account.total, len(delivered.refused)
    reading.account.refused.update(reason for _, _, reason, _ in delivered.refused)
    statements = StatementAccount(
        statements=total.statements + total.outside_window,
        inserted=delivered.inserted,
        already_there=counted.ids - delivered.inserted - refused,
        duplicates=counted.duplicates,
        collisions=counted.collisions,
        outside_window=total.outside_window,
        refused=refused,
    )
    statements.check("the whole load")
    return Published(statements, counted.ids, dropped, delivered.refused, delivered.notes)


def _publish_here(
    load: Attempt, reading: Reading, counted: PublishPlan, lock: Lock, pause: Pause | None
) -> Published:
    """Publish into the raw table, by ourselves or through Ralph."""
    target, step, month = load.target, step_of(load), load.plan.request.month
    through_ralph = load.plan.request.destination is Destination.RALPH
    dropped: dict[str, int] = {}
    followed = views.require_readable_chain(load.warehouse, target)
    behind = views.behind(load.warehouse, target, month=month, step=step, say=load.say) if followed else []
    if load.plan.request.mode is Mode.REBUILD:
        # Before the month goes: one that waits or gives up behind that leaves a hole for as long.
        wait_for_all_merges(load.warehouse, pause, say=load.say, before_look=lock.check)
        dropped = _drop_month(load, lock, counted)
        counted, behind = counted.after_drop(), []
    if through_ralph:
        delivered = publish_through_ralph(load, counted, lock, pause=pause)
    else:
        delivered = _insert(load, counted, lock, pause, behind, followed=followed)
    published = _published(reading, counted, delivered, dropped)
    _remember(load, reading, delivered, published, behind)
    _remember_hours(load, reading)
    end_unfinished(load.warehouse, target.staging_database, f"{target.database}.{target.table}", month)
    return published


def _insert(
    load: Attempt,
    counted: PublishPlan,
    lock: Lock,
    pause: Pause | None,
    behind: list[dict[str, Any]],
    *,
    followed: bool,
) -> Delivered:
    """Insert what is missing; `behind` is added to where views may not have followed."""
    target, step = load.target, step_of(load)
    standing = (counted.ids, counted.ids_hash)
    flights: list[views.InFlight] = []

    def before_insert(one: Slice) -> None:
        if followed:
            record = replace(_record(load, standing), state="publishing", account={views.BEHIND: behind})
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
    return Delivered(inserted, standing=standing)


def describe_drop(load: Attempt) -> rebuild.RebuildPlan:
    """Find and say what a rebuild drops; a dry run says it too."""
    chain = rebuild.plan_rebuild(
        load.warehouse, load.target, leave_unpartitioned=load.plan.request.leave_unpartitioned
    )
    for line in chain.described():
        load.say(line)
    return chain


def _drop_month(load: Attempt, lock: Lock, counted: PublishPlan) -> dict[str, int]:
    chain = describe_drop(load)
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
    load: Attempt, reading: Reading, delivered: Delivered, published: Published, behind: list[dict[str, Any]]
) -> None:
    target = load.target
    record = _record(load, delivered.standing)
    sample: dict[str, Any] = {
        "database": target.staging_database,
        "table": "expected_ids",
        **target.staging_names(),
        "run_id": record.run_id,
        "month": record.month,
        "modulus": record.sample_modulus,
    }
    if load.plan.request.destination is Destination.RALPH:
        sent = sent_by(load)
        load.run_again("expected_ids_insert_sent", **sample, sent_table=sent.table, sent_to=sent.sent_to)
    else:
        load.run_again("expected_ids_insert", **sample)
    account = result_of(load, reading, read_s=0, published=published).as_json()
    account[views.BEHIND] = behind
    remember_load(load.warehouse, target.staging_database, replace(record, account=account))
    _forget_earlier_ids(load, record)


def _forget_earlier_ids(load: Attempt, record: LoadRecord) -> None:
    database = load.target.staging_database
    # Nobody asks for those ids any more: there is nothing to wait for.
    settings = {"lightweight_deletes_sync": 0}
    earlier = {"target": record.target, "month": record.month, "run_id": record.run_id}
    if not load.warehouse.cluster:
        load.run_again("expected_ids_forget", database=database, settings=settings, **earlier)
        return
    # Each replica would answer a question within the statement by itself, so it is asked before.
    of_runs = [
        run_id for (run_id,) in load.warehouse.rows("expected_ids_of_others", database=database, **earlier)
    ]
    if of_runs:
        load.run_again(
            "expected_ids_forget_of_runs",
            database=database,
            month=record.month,
            run_ids=of_runs,
            settings=settings,
        )


def _remember_hours(load: Attempt, reading: Reading) -> None:
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


def _record(load: Attempt, standing: tuple[int, int]) -> LoadRecord:
    """The record of a load that leaves so many ids, with such a combined hash, in the table."""
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
        expected_ids=standing[0],
        expected_hash=standing[1],
        sample_modulus=sample_modulus(standing[0]),
    )

"""Doing a plan: the one that was printed, or none.

Safe to kill and to run again: each step is done or not, what was done is no part of the next plan, and a plan that was
begun may be gone on with under its own id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.plan import lock_name
from aspects_orchestration.retention.log import entry, log_ttl_merges, remember
from aspects_orchestration.retention.plan import QuarantineMonth, RetentionPlan, Step
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking import quarantine
from aspects_orchestration.tracking.stores import LogFile, S3Options, open_store
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.cluster import catch_up
from aspects_orchestration.warehouse.lock import locked

#: Instead of a plan's id: do whatever the plan is now, as a schedule does.
UNSEEN = "unseen"

_LOCK = "lock_retention"
_STAGING = re.compile(r"\.(?:staging|progress)_.*_(\d{4})(\d{2})_[0-9a-f]+\Z")
#: On a cluster every replica has done it before the next step begins.
_WAIT: Mapping[str, object] = {"alter_sync": 2, "mutations_sync": 2, "distributed_ddl_task_timeout": 3600}
#: The plan has told the size of what goes; ClickHouse's own limit (50 GB) is for what nobody has looked at.
_ANY_SIZE: Mapping[str, object] = {"max_partition_size_to_drop": 0, "max_table_size_to_drop": 0}

Say = Callable[[str], None]


class ChangedWorldError(AspectsError):
    """The plan that was asked for is not what would be done now."""


@dataclass(frozen=True)
class Applied:
    """What a real run has done.

    Attributes:
        plan_id: of the plan.
        done: the steps, in order.
    """

    plan_id: str
    done: tuple[Step, ...]

    @property
    def dropped_rows(self) -> dict[str, int]:
        """Rows dropped, by table."""
        found: dict[str, int] = {}
        for step in self.done:
            if step.rows:
                found[step.target] = found.get(step.target, 0) + step.rows
        return found


@contextmanager
def only_one(settings: Settings, warehouse: Warehouse, *, say: Say) -> Iterator[None]:
    """Keep other runs from applying retention for the time of a `with` block.

    Raises:
        LockedError: another run does.
    """
    database = settings.orchestration_database
    with locked(warehouse, database, _LOCK, say=say, doing="is applying retention"):
        yield


def apply_plan(
    settings: Settings,
    warehouse: Warehouse,
    plan: RetentionPlan,
    *,
    asked: str,
    s3: S3Options,
    say: Say,
) -> Applied:
    """Do a plan, step by step; call it inside `only_one`, with a plan made there.

    Args:
        settings: of the site.
        warehouse: its run id is this run's.
        plan: what is to be done now.
        asked: the id of the plan that an operator has seen, or UNSEEN.
        s3: how to reach S3.
        say: told of each step; safe to show.

    Raises:
        ChangedWorldError: `asked` is another plan, and not one that was begun and of which this is the rest.
        LockedError: a month that is to go is being loaded.
        WarehouseError: a grant is missing, or ClickHouse refused; what was done stays done. Run again.
    """
    _require_asked(settings, warehouse, plan, asked)
    plan_id = plan.id if asked == UNSEEN else asked
    remember(settings, warehouse, [entry("begun", plan_id, step, warehouse.run_id) for step in plan.steps])
    done: list[Step] = []
    for month, steps in groupby(plan.steps, key=_month_of_drop):
        if month is None:
            for step in steps:
                _do(settings, warehouse, step, plan, s3)
                done += _told(settings, warehouse, plan, plan_id, [step], say)
            continue
        with locked(warehouse, settings.orchestration_database, lock_name(settings, month), say=say) as lock:
            several = _still_there(warehouse, list(steps))
            lock.check()
            for step in several:
                _do(settings, warehouse, step, plan, s3)
            done += _told(settings, warehouse, plan, plan_id, several, say)
    return Applied(plan_id, tuple(done))


def _require_asked(settings: Settings, warehouse: Warehouse, plan: RetentionPlan, asked: str) -> None:
    if asked in {plan.id, UNSEEN}:
        return
    if not asked:
        raise ChangedWorldError(
            f"a real run does a plan that was printed, and none was named; it would be plan {plan.id}",
            do="Run with dry_run first, then give the id it prints: `plan: <id>`.",
        )
    begun = {
        str(step)
        for (step,) in warehouse.rows(
            "retention_log_begun", database=settings.orchestration_database, plan_id=asked
        )
    }
    strange = [step for step in plan.steps if step.identity not in begun]
    if begun and not strange:
        return
    what = f": among others, {strange[0].described(plan.cluster)}" if strange else ""
    raise ChangedWorldError(
        f"the world has changed since plan {asked} was made (or there never was such a plan): now it would be plan"
        f" {plan.id} with {len(plan.steps)} steps{what}",
        do="Nothing was done. Run with dry_run again, look at the new plan, and give its id.",
    )


def _month_of_drop(step: Step) -> str | None:
    if step.statement != "partition_drop":
        return None
    return f"{step.partition_id[:4]}-{step.partition_id[4:]}"


def _still_there(warehouse: Warehouse, steps: Sequence[Step]) -> list[Step]:
    """The steps of a month whose partitions are as they were when the plan was made; those that are gone are done."""
    states: dict[tuple[str, str], str] = {}
    # DROP PARTITION takes along what other replicas have and this one has not yet.
    catch_up(
        warehouse,
        *((step.parameters["database"], step.parameters["table"]) for step in steps),
        everywhere=True,
    )
    for database in dict.fromkeys(step.parameters["database"] for step in steps):
        tables = [step.parameters["table"] for step in steps if step.parameters["database"] == database]
        for table, partition_id, rows, *_, block in warehouse.rows(
            "retention_partitions", database=database, tables=tables
        ):
            states[f"{database}.{table}", str(partition_id)] = f"{rows}/{block}"
    left = [(step, states.get((_table_of(step), step.partition_id))) for step in steps]
    for step, state in left:
        if state not in {None, step.was}:
            raise ChangedWorldError(
                f"rows have come into partition {step.partition_id} of {step.target} since the plan was made",
                do="It was not dropped. Run with dry_run again, and look at the new plan.",
            )
    return [step for step, state in left if state is not None]


def _table_of(step: Step) -> str:
    return f"{step.parameters['database']}.{step.parameters['table']}"


def _do(
    settings: Settings,
    warehouse: Warehouse,
    step: Step,
    plan: RetentionPlan,
    s3: S3Options,
) -> None:
    if not step.statement:
        _delete_quarantine(step, s3)
        return
    staged = _STAGING.search(step.target)
    if staged is not None:
        # A load of that month that begins just now would go on with what is staged.
        with locked(
            warehouse, settings.orchestration_database, lock_name(settings, f"{staged[1]}-{staged[2]}")
        ):
            warehouse.run_statement(step.sql(plan.cluster), step="retention", settings=_WAIT)
        return
    size = _ANY_SIZE if step.statement in {"partition_drop", "table_drop"} else {}
    warehouse.run_statement(step.sql(plan.cluster), step="retention", settings={**_WAIT, **size})
    if step.statement == "ttl_merges_start":
        log_ttl_merges(settings, warehouse, "started", [_table_of(step)], step.why)


def _told(
    settings: Settings,
    warehouse: Warehouse,
    plan: RetentionPlan,
    plan_id: str,
    steps: Sequence[Step],
    say: Say,
) -> Sequence[Step]:
    remember(settings, warehouse, [entry("done", plan_id, step, warehouse.run_id) for step in steps])
    for step in steps:
        say(f"done: {step.described(plan.cluster)}")
    return steps


# --- quarantine --------------------------------------------------------------------------------------------------


def quarantined_months(settings: Settings, s3: S3Options) -> list[QuarantineMonth]:
    """What quarantine holds of the raw table, by month.

    Raises:
        LogStoreError: it cannot be listed.
    """
    by_month: dict[str, list[LogFile]] = {}
    table = quarantine.folder(settings.quarantine_uri, settings.raw_xapi_table, "")
    for file in _objects(table, s3):
        month = file.uri.split(f"/{settings.raw_xapi_table}/")[-1].partition("/")[0]
        by_month.setdefault(month, []).append(file)
    return [
        QuarantineMonth(
            month,
            quarantine.folder(settings.quarantine_uri, settings.raw_xapi_table, month),
            len(files),
            sum(file.size for file in files),
            max(file.modified for file in files),
        )
        for month, files in sorted(by_month.items())
    ]


def _delete_quarantine(step: Step, s3: S3Options) -> None:
    store = open_store(step.target, s3=s3, setting="ASPECTS_QUARANTINE")
    # The newest last: if this is cut off, what is left is still known by the time of its newest.
    for file in sorted(_objects(step.target, s3), key=lambda one: one.modified):
        store.delete(file.uri)


def _objects(folder: str, s3: S3Options) -> Iterator[LogFile]:
    yield from open_store(folder.rstrip("/"), s3=s3, setting="ASPECTS_QUARANTINE").list()

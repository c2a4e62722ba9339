"""Several months, one after the other: which they are, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.destinations import stands_here
from aspects_orchestration.replay.load import load_month
from aspects_orchestration.replay.plan import LoadRequest, make_plan
from aspects_orchestration.replay.reading import Reached, Say, transformer_reader
from aspects_orchestration.replay.result import LoadResult, utc_now
from aspects_orchestration.retention.expired import ExpiredError, keep_loaded
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.answers import UnreachableError
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.window import WindowError, month_window


@dataclass(frozen=True)
class Outcome:
    """What became of one month.

    Attributes:
        month: the partition's key.
        result: of its load; None if it was not loaded.
        why: it was not.
        failed: that is a failure, and not merely a month that is not wanted.
    """

    month: str
    result: LoadResult | None = None
    why: str = ""
    failed: bool = False


def parts_of(since: datetime, until: datetime, *, first_month: str, now: datetime) -> list[LoadRequest]:
    """The months that a window touches, and of each the part inside it, newest first.

    Args:
        since: the first moment; without a zone it is UTC.
        until: the moment behind the last one.
        first_month: ASPECTS_FIRST_MONTH.
        now: what is later is no month yet.

    Returns:
        A request a month, of which only month, since and until are set.

    Raises:
        WindowError: the window is empty, or begins before the first month.
    """
    start, end = (
        one.replace(tzinfo=UTC) if one.tzinfo is None else one.astimezone(UTC) for one in (since, until)
    )
    if start >= end:
        raise WindowError(
            f"since {start:%Y-%m-%dT%H:%M:%SZ} is not before until {end:%Y-%m-%dT%H:%M:%SZ}",
            do="Give a window with some time in it.",
        )
    if start < month_window(first_month).start:
        raise WindowError(
            f"since {start:%Y-%m-%dT%H:%M:%SZ} is before the first month, {first_month}",
            do="Begin later, or set ASPECTS_FIRST_MONTH to an earlier month.",
        )
    requests = []
    month = month_window(f"{start:%Y-%m}")
    while month.start < end and month.start <= now:
        whole = start <= month.start and month.end <= end
        requests.append(
            LoadRequest(
                f"{month.start:%Y-%m}",
                since=None if whole else max(start, month.start),
                until=None if whole else min(end, month.end),
            )
        )
        month = month_window(f"{month.end:%Y-%m}")
    if not requests:
        raise WindowError(f"since {start:%Y-%m-%dT%H:%M:%SZ} is in the future", do="Begin earlier.")
    return requests[::-1]


def load(
    settings: Settings,
    request: LoadRequest,
    warehouse: Warehouse,
    *,
    s3: S3Options,
    say: Say,
    reached: Reached | None = None,
) -> LoadResult:
    """Load a month as asked: the plan, TTL merges where it is expired and wanted all the same, and the load.

    Args:
        settings: of the site.
        request: what to load.
        warehouse: its run id is this load's.
        s3: how to reach S3.
        say: told of progress.
        reached: told how many bytes have been read, as stored.

    Raises:
        AspectsError: see `make_plan` and `load_month`.
    """
    plan = make_plan(settings, request, warehouse, reader=transformer_reader(), s3=s3, now=utc_now())
    if request.allow_expired and stands_here(settings, request.destination):
        keep_loaded(
            settings,
            warehouse,
            plan.window,
            request.month,
            utc_now(),
            dry_run=request.dry_run,
            say=say,
        )
    return load_month(settings, plan, warehouse, s3=s3, say=say, reached=reached)


def load_one(
    settings: Settings,
    request: LoadRequest,
    warehouse: Warehouse,
    *,
    s3: S3Options,
    say: Say,
    reached: Reached | None = None,
) -> Outcome:
    """Load a month among several: what goes wrong with it alone keeps no other from being loaded.

    Raises:
        UnreachableError: ClickHouse is gone, so that none could be.
    """
    try:
        result = load(settings, request, of_month(warehouse, request.month), s3=s3, say=say, reached=reached)
    except UnreachableError:
        raise
    except ExpiredError as error:
        say(f"{request.month} is left out: {error}")
        return Outcome(request.month, why=str(error))
    except AspectsError as error:
        say(f"{request.month} was not loaded: {error}")
        return Outcome(request.month, why=str(error), failed=True)
    return Outcome(request.month, result)


def replay_window(
    settings: Settings, requests: Sequence[LoadRequest], warehouse: Warehouse, *, s3: S3Options, say: Say
) -> Iterator[Outcome]:
    """Load each part of a window, in the order given, and yield what became of it.

    Safe to run again, whenever it was killed: each month is loaded by its own load, which is.

    Args:
        settings: of the site.
        requests: by `parts_of`, with sources and the like.
        warehouse: of the run; each month's load has a run id made from its.
        s3: how to reach S3.
        say: told of progress.

    Raises:
        UnreachableError: ClickHouse is gone.
    """
    parts = ", ".join(one.month for one in requests)
    say(f"replaying {len(requests)} months, newest first: {parts}")
    for request in requests:
        yield load_one(settings, request, warehouse, s3=s3, say=say)


def of_month(warehouse: Warehouse, month: str) -> Warehouse:
    """A connection whose run id is that of one month's load within a run: the record of loads has a row a run id."""
    return warehouse.as_run(f"{warehouse.run_id}-{month}")


def require_all(outcomes: Sequence[Outcome]) -> None:
    """Fail if a month failed.

    Raises:
        AspectsError: naming each, with its reason.
    """
    failed = [one for one in outcomes if one.failed]
    if failed:
        raise AspectsError(
            f"{len(failed)} of {len(outcomes)} months were not loaded: "
            + " | ".join(f"{one.month}: {one.why}" for one in failed),
            do="Mend that and run again: what is loaded is left as it stands.",
        )


def span(seconds: float) -> str:
    """A length of time as people say it."""
    return str(timedelta(seconds=round(seconds)))

"""Loading months that have expired: refused, or, where an operator insists, with TTL merges stopped first.

ClickHouse drops a part whose rows have all expired within a second of its insert: a load would count what is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aspects_orchestration.errors import AspectsError, WarehouseError
from aspects_orchestration.retention.log import log_ttl_merges
from aspects_orchestration.retention.policy import goes_at, shown_months, site_policy
from aspects_orchestration.retention.rules import Rule, rules_of
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.rebuild import chained_tables
from aspects_orchestration.warehouse.ttl import DataTtl
from aspects_orchestration.window import Window


class ExpiredError(AspectsError):
    """The month is older than the policy, or a table's TTL, keeps."""


def refuse_expired(
    settings: Settings, warehouse: Warehouse, window: Window, month: str, now: datetime
) -> None:
    """Refuse a window whose events would be dropped.

    Args:
        settings: name the policy and the tables.
        warehouse: where the tables and their TTLs are.
        window: what is to be loaded.
        month: its partition.
        now: the time, with zone.

    Raises:
        ExpiredError: all or a part of it is older than the policy keeps, or than a TTL of the raw table or of one behind
            it does that the policy does not ask for.
    """
    policy = site_policy(settings)
    raw = f"{settings.xapi_database}.{settings.raw_xapi_table}"
    months = policy.months_of_raw(raw)
    if months is not None and policy.hold_of(raw, month, now) is None:
        cutoff = DataTtl(months, "month").cutoff(now)
        if window.start < cutoff:
            part = "" if window.end <= cutoff else "partly "
            raise ExpiredError(
                f"{month} is {part}older than {policy.source} keeps ({shown_months(months)}): what was emitted before"
                f" {cutoff:%Y-%m-%d} is dropped soon after it is loaded",
                do="Raise ASPECTS_DATA_TTL_EXPRESSION (or keep_months in retention.yaml), hold the month there, give `since`"
                " behind that date, or set `allow_expired: true`.",
            )
    for name, _, rule in _dropping(settings, warehouse, window, month, now):
        if policy.exception_for(name) is None:
            raise ExpiredError(
                f"{month} is kept by the policy, but {name} has the TTL {rule.text}, by which ClickHouse drops it as soon as"
                " it is loaded",
                do="Bring the tables to the policy with the job apply_retention, or set `allow_expired: true`.",
            )


def keep_loaded(
    settings: Settings,
    warehouse: Warehouse,
    window: Window,
    month: str,
    now: datetime,
    *,
    dry_run: bool,
    say: Callable[[str], None],
) -> None:
    """Before an expired month is loaded all the same: stop TTL merges of the tables that would drop it.

    They stay stopped until `apply_retention` starts them again or the server restarts. Where this user may not stop
    them, it is said that the rows will go, and when.

    Args:
        settings, warehouse, window, month, now: as for `refuse_expired`.
        dry_run: only say what would be.
        say: told of it.
    """
    policy = site_policy(settings)
    months = policy.months_of_raw(f"{settings.xapi_database}.{settings.raw_xapi_table}")
    if months is not None and goes_at(month, months) <= now:
        due = goes_at(month, months)
        say(
            f"{month} was due to go on {due:%Y-%m-%d}: the next real run of apply_retention drops it, unless it is held"
        )
    stopped: list[str] = []
    for name, table, rule in _dropping(settings, warehouse, window, month, now):
        if dry_run:
            say(f"TTL merges of {name} would be stopped first: its TTL is {rule.text}")
            continue
        database = name.partition(".")[0]
        try:
            warehouse.run("ttl_merges_stop", database=database, table=table)
        except WarehouseError as error:
            say(
                f"TTL merges of {name} could not be stopped: what is loaded there goes within a second or so, by its TTL"
                f" {rule.text}. {error}"
            )
            continue
        stopped.append(f"{database}.{table}")
        say(
            f"TTL merges of {name} are stopped, so that {month} stays; they start again with the next real run of"
            " apply_retention, or when ClickHouse restarts, and then these rows go unless the month is held"
        )
    log_ttl_merges(settings, warehouse, "stopped", stopped, f"TTL merges were stopped to load {month}")


def _dropping(
    settings: Settings, warehouse: Warehouse, window: Window, month: str, now: datetime
) -> list[tuple[str, str, Rule]]:
    """The raw table and those behind it whose TTL has expired for rows of the window.

    Returns:
        The name by which people know the table, that of the table itself, and the rule.
    """
    chain = chained_tables(warehouse, settings.xapi_database, settings.raw_xapi_table)
    found = []
    for database, table, known_as, _, engine_full in warehouse.rows("retention_tables"):
        for rule in rules_of(engine_full) if (database, table) in chain else ():
            expired = rule.expiry is not None and rule.expiry.ttl.expires(window.start) <= now
            if expired and month.replace("-", "") not in rule.kept:
                found.append((f"{database}.{known_as}", str(table), rule))
    return found

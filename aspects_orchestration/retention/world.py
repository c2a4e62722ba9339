"""One look at everything: the policy, what stands, and the plan that follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.replay.reading import transformer_reader
from aspects_orchestration.retention.apply import quarantined_months
from aspects_orchestration.retention.archived import ArchivedMonths
from aspects_orchestration.retention.observe import Observed, observe
from aspects_orchestration.retention.plan import LeftAlone, QuarantineMonth, RetentionPlan, make_plan
from aspects_orchestration.retention.policy import Policy, site_policy
from aspects_orchestration.retention.sealed import SealedMonths
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.records import look_up


@dataclass(frozen=True)
class World:
    """What was seen in one look, and what follows from it."""

    settings: Settings
    policy: Policy
    observed: Observed
    plan: RetentionPlan

    @property
    def now(self) -> datetime:
        """When it was looked at (UTC)."""
        return self.observed.now


def archive_of(
    settings: Settings, warehouse: Warehouse, *, s3: S3Options, thorough: bool = False
) -> SealedMonths:
    """Who says whether a month's logs are sealed: the site's archive.

    Args:
        settings: of the site.
        warehouse: where the catalog is.
        s3: how to reach S3.
        thorough: also look whether each object of a month is still there; for whoever is about to drop something.
    """
    return ArchivedMonths(
        settings,
        s3=s3,
        lookup=lambda uris, window: look_up(
            warehouse, settings.orchestration_database, uris, window, transformer_reader()
        ),
        thorough=thorough,
    )


def look(
    settings: Settings,
    warehouse: Warehouse,
    *,
    s3: S3Options,
    now: datetime,
    archive: SealedMonths | None = None,
) -> World:
    """Look at the site, and plan; changes nothing.

    Args:
        settings: of the site.
        warehouse: as whom to look.
        s3: how to reach S3, for the quarantine.
        now: the time, with zone.
        archive: None: the site's own.

    Raises:
        SettingsError: the policy cannot be read.
        WarehouseError: a grant is missing, or ClickHouse cannot be reached.
    """
    policy = site_policy(settings)
    observed = observe(settings, policy, warehouse, now=now)
    quarantined: list[QuarantineMonth] = []
    unseen: tuple[LeftAlone, ...] = ()
    if policy.quarantine_months is not None:
        try:
            quarantined = quarantined_months(settings, s3)
        except LogStoreError as error:  # where nothing was ever quarantined, there is no folder to list
            unseen = (LeftAlone(settings.quarantine_uri, str(error)),)
    plan = make_plan(
        policy,
        observed,
        archive or archive_of(settings, warehouse, s3=s3),
        quarantined=quarantined,
        cluster=settings.cluster_name,
    )
    return World(settings, policy, observed, replace(plan, left_alone=plan.left_alone + unseen))

"""Which sensors are on."""

from __future__ import annotations

from typing import Final

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

_ON: Final = {
    InstigatorStatus.RUNNING,
    InstigatorStatus.AUTOMATICALLY_RUNNING,
    InstigatorStatus.DECLARED_IN_CODE,
}


def switched_on(instance: dg.DagsterInstance) -> frozenset[str] | None:
    """Names of the sensors that somebody has switched on in an instance; None where it keeps no sensors."""
    if instance.schedule_storage is None:
        return None
    found = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return frozenset(one.origin.instigator_name for one in found if one.status in _ON)

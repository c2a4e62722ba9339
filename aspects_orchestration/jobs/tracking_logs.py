"""What the tracking logs hold: read what the catalog does not know yet, and say it store by store."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from aspects_orchestration.assets.tracking_logs import TRACKING_LOGS, observed
from aspects_orchestration.checks.tracking_logs import evaluations
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.observe import forget, observe
from aspects_orchestration.resources.clickhouse import ClickHouseResource
from aspects_orchestration.resources.log_storage import LogStorageResource
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import load_settings


class ObserveConfig(dg.Config):
    """How to observe."""

    rebuild: bool = Field(False, description="Forget what the catalog knows, and read every log again.")


@dg.op(out={})
def catalog_tracking_logs(
    context: dg.OpExecutionContext,
    config: ObserveConfig,
    clickhouse: ClickHouseResource,
    log_storage: LogStorageResource,
) -> Iterator[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """Bring the catalog up to date and observe `tracking_logs`, by store."""
    settings = load_settings()
    try:
        if settings.uses_sample_logs and settings.is_embedded:
            write_sample(settings.home)
        warehouse = clickhouse.warehouse(run_id=context.run_id)
        if config.rebuild:
            forget(settings, warehouse)
        found = observe(settings, warehouse, s3=log_storage.s3(), say=context.log.info)
    except AspectsError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    yield dg.AssetObservation(TRACKING_LOGS, metadata=observed(found))
    yield from evaluations()


@dg.job(
    description="Read every tracking log that is new or has changed, remember which months it touches, and observe the"
    " asset tracking_logs. Loads nothing."
)
def observe_tracking_logs() -> None:
    """Catalog the logs."""
    catalog_tracking_logs()


check_tracking_logs = dg.define_asset_job(
    "check_tracking_logs",
    selection=dg.AssetSelection.checks(dg.AssetCheckKey(TRACKING_LOGS, "live_log_is_rotated")),
    description="Check that live logs are rotated and that their writers follow. Needs no ClickHouse.",
)

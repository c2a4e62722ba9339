"""The tracking logs: where everything comes from. They are the site's, so they are observed here, not made."""

import dagster as dg

from aspects_orchestration.replay.observe import Observed

TRACKING_LOGS = dg.AssetKey("tracking_logs")


def tracking_logs() -> dg.AssetSpec:
    """The logs under ASPECTS_TRACKING_LOGS; job `observe_tracking_logs` says what they hold."""
    return dg.AssetSpec(
        TRACKING_LOGS,
        description="Tracking logs of the LMS, in folders or S3 (ASPECTS_TRACKING_LOGS). One event a line. Observed by the"
        " job `observe_tracking_logs`, and by every load of a month: files, bytes, lines, first and last event.",
        group_name="tracking",
        kinds={"json", "s3"},
    )


def observed(found: Observed) -> dict[str, dg.MetadataValue | int]:
    """What an observation of the logs shows: by store and by month, and the sums that are worth following over time."""
    return {
        "stores": dg.MetadataValue.md(found.stores_table()),
        "months": dg.MetadataValue.md(found.months_table()),
        "files": sum(store.files for store in found.stores),
        "bytes_stored": sum(store.stored_bytes for store in found.stores),
        "lines": sum(store.lines for store in found.stores),
        "files_read_now": found.files_read,
    }

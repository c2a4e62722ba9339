"""The tracking logs: where everything comes from. They are the site's, so they are observed here, not made."""

import dagster as dg

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

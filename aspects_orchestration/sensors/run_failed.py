"""Runs that fail are told of, by the same ways as signals; what could not be delivered is tried again at the next tick."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from aspects_orchestration.alerts.failures import FailedRun, messages_of
from aspects_orchestration.alerts.incidents import Kept, with_messages
from aspects_orchestration.alerts.tell import told, where_of
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.memory import read_cursor
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings

_EVERY_S: Final = 60
#: Looked at in one tick; the next one goes on behind them.
_AT_ONCE: Final = 100
_WHY: Final = 1000


def run_failed() -> dg.SensorDefinition:
    """Off until it is switched on; runs that failed before that are not told of."""

    @dg.sensor(
        name="run_failed",
        minimum_interval_seconds=_EVERY_S,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Tells ASPECTS_ALERT_URLS of every run that failed: which, of which partition, why, and where to look;"
        " many at once in one message. Runs that are started again by themselves are told of when the last try failed.",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings = load_settings()
        try:
            rules = load_rules(settings.alerts_file)
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        cursor = read_cursor(context.cursor)
        kept = Kept.from_json(cursor.get("alerts"))
        since = cursor.get("since")
        if not isinstance(since, str):
            return dg.SensorResult(
                skip_reason="runs that fail from now on are told of",
                cursor=json.dumps({"since": utc_now().isoformat(), "seen": []}),
            )
        seen = cursor.get("seen")
        before = set(seen) if isinstance(seen, list) else set()
        records = context.instance.get_run_records(
            dg.RunsFilter(
                statuses=[dg.DagsterRunStatus.FAILURE], updated_after=datetime.fromisoformat(since)
            ),
            limit=_AT_ONCE,
            order_by="update_timestamp",
            ascending=True,
        )
        new = [one for one in records if one.dagster_run.run_id not in before]
        failed = [
            failed_run(context.instance, one.dagster_run) for one in new if not _goes_on(one.dagster_run)
        ]
        where = where_of(settings)
        kept = with_messages(kept, messages_of(failed, group_from=rules.group_from, where=where), where)
        kept = told(settings, kept, say=context.log.warning)
        newest = max((one.update_timestamp for one in records), default=datetime.fromisoformat(since))
        # `updated_after` may or may not hold runs of that very moment: what was seen is passed over by its id.
        last = [one.dagster_run.run_id for one in records if one.update_timestamp == newest]
        return dg.SensorResult(
            skip_reason=f"{len(failed)} runs failed; {len(kept.waiting)} messages wait",
            cursor=json.dumps(
                {
                    "since": newest.replace(tzinfo=newest.tzinfo or UTC).isoformat(),
                    "seen": last or sorted(before),
                    "alerts": kept.as_json(),
                }
            ),
        )

    return watch


def failed_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> FailedRun:
    """A failed run as it is told of."""
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    return FailedRun(
        run.run_id,
        ", ".join(assets) if assets else run.job_name,
        run.tags.get("dagster/partition", ""),
        "; ".join(list(dict.fromkeys(_reasons(instance, run)))[:3])[:_WHY]
        or "Dagster does not say why: look at the run's log.",
    )


def _reasons(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[str]:
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        data = entry.dagster_event.step_failure_data if entry.dagster_event else None
        if data is None:
            continue
        if data.user_failure_data is not None and data.user_failure_data.description:
            yield data.user_failure_data.description  # of a dg.Failure: words of this project
        elif data.error is not None:
            cause = data.error
            while cause.cause is not None:
                cause = cause.cause
            # Its text may hold anything, a line of a log included.
            yield f"{cause.cls_name}: look at the run's log"


def _goes_on(run: dg.DagsterRun) -> bool:
    """Whether Dagster starts it again by itself."""
    return run.tags.get("dagster/will_retry") == "true"

"""Whether a month is being loaded already: a sensor asks before it asks for one more run."""

import dagster as dg

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def is_under_way(instance: dg.DagsterInstance, job: str, month: str | None = None) -> bool:
    """Whether a run of a job is queued or runs; see `how_many_under_way`."""
    return how_many_under_way(instance, job, month) > 0


def how_many_under_way(instance: dg.DagsterInstance, job: str, month: str | None = None) -> int:
    """How many runs of a job are queued or run.

    Args:
        instance: where runs are known.
        job: its name.
        month: only runs of this partition.
    """
    filters = dg.RunsFilter(
        job_name=job,
        tags={} if month is None else {"dagster/partition": month},
        statuses=_UNDER_WAY,
    )
    return instance.get_runs_count(filters)

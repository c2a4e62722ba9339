"""What must hold of `event_sink` where people are concerned: who is gone is gone, and who is named is known."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dagster as dg

from aspects_orchestration.checks.result import answered, check_specs, told
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.jobs.personal_data import lms_database
from aspects_orchestration.lms.retirement import retired_among, retired_prefix, retired_users
from aspects_orchestration.resources.clickhouse import ClickHouseResource, schema_names
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.known import Unknown, newest_month, unknown_actors, unknown_courses
from aspects_orchestration.warehouse.personal_data import RETIRED_PREFIX, plan_deletion, plan_emptying
from aspects_orchestration.warehouse.verify import Finding

_EXTERNAL_IDS_AT_A_TIME = 1_000
#: Course keys named in a finding; they are no personal data.
_COURSES_NAMED = 20


@dataclass(frozen=True)
class Asked:
    """What a question is asked of: ClickHouse, the site's settings, and a table of `event_sink`."""

    warehouse: Warehouse
    settings: Settings
    table: str


def no_retired_users(asked: Asked) -> Finding:
    """No user whose retirement is completed in the LMS is in the table by name."""
    if asked.settings.lms_database_url is None:
        return Finding(True, "not asked: ASPECTS_LMS_DATABASE_URL is not set")
    database = lms_database(asked.settings)
    try:
        plan = plan_deletion(
            asked.warehouse,
            asked.settings.event_sink_database,
            retired_users(database),
            retired_prefix=retired_prefix(database) or RETIRED_PREFIX,
            tables=(asked.table,),
        )
    finally:
        database.close()
    if not plan.rows:
        return Finding(True, "none is left", {"users": 0, "rows": 0})
    return Finding(
        False,
        f"{plan.rows} rows of {plan.users} retired users are in {plan.tables[0].name}: run the job delete_retired_users"
        " with `dry_run: false`, or switch on the schedule delete_retired_users_daily",
        {"users": plan.users, "rows": plan.rows},
    )


def empty_without_pii(asked: Asked) -> Finding:
    """Where ASPECTS_ENABLE_PII is not true, the table is empty."""
    if asked.settings.enable_pii:
        return Finding(True, "not asked: ASPECTS_ENABLE_PII is true")
    plan = plan_emptying(asked.warehouse, asked.settings.event_sink_database, tables=(asked.table,))
    if not plan.rows:
        return Finding(True, "it is empty", {"rows": 0})
    return Finding(
        False,
        f"{plan.rows} rows of personal data are in {plan.tables[0].name}, though ASPECTS_ENABLE_PII is not true: run the job"
        " empty_personal_data with `dry_run: false`, or set ASPECTS_ENABLE_PII=true as in Aspects",
        {"rows": plan.rows},
    )


def actors_are_known(asked: Asked) -> Finding:
    """Every actor of the last month's statements is known to external_id, or was retired."""
    settings = asked.settings
    if not settings.enable_pii:
        return Finding(True, "not asked: ASPECTS_ENABLE_PII is not true")
    names = schema_names(settings)
    window = newest_month(asked.warehouse, names)
    if window is None:
        return Finding(True, "there are no statements yet")
    found = unknown_actors(asked.warehouse, names, window, actor_type=settings.agent_ifi_type)
    retired = _retired(settings, found)
    unknown = found.unknown - retired
    numbers = {"actors": found.named, "unknown": unknown, "retired": retired}
    if not unknown:
        return Finding(True, f"{found.named} actors, all known or retired{_share(found)}", numbers)
    table = "external_id" if settings.agent_ifi_type == "external_id" else "user_profile"
    return Finding(
        False,
        f"{unknown} of {found.named} actors of the last month are not in {settings.event_sink_database}.{table}"
        f"{_share(found)}: materialize {table}; if it stays so, statements come from another LMS",
        numbers,
    )


def courses_are_known(asked: Asked) -> Finding:
    """Every course of the last month's statements is known to course_overviews."""
    names = schema_names(asked.settings)
    window = newest_month(asked.warehouse, names)
    if window is None:
        return Finding(True, "there are no statements yet")
    found = unknown_courses(asked.warehouse, names, window)
    numbers = {"courses": found.named, "unknown": found.unknown}
    if not found.unknown:
        return Finding(True, f"{found.named} courses, all known{_share(found)}", numbers)
    return Finding(
        False,
        f"{found.unknown} of {found.named} courses of the last month are not in"
        f" {asked.settings.event_sink_database}.course_overviews{_share(found)}: materialize course_overviews; a course"
        " that was deleted from the LMS stays unknown",
        numbers,
        tuple(sorted(found.some)[:_COURSES_NAMED]),
    )


Question = Callable[[Asked], Finding]

#: The questions, by table and by the name of the check.
QUESTIONS: dict[str, dict[str, Question]] = {
    "external_id": {
        "no_retired_users": no_retired_users,
        "empty_without_pii": empty_without_pii,
        "actors_are_known": actors_are_known,
    },
    "user_profile": {"no_retired_users": no_retired_users, "empty_without_pii": empty_without_pii},
    "course_enrollment": {"no_retired_users": no_retired_users},
    "course_overviews": {"courses_are_known": courses_are_known},
}


def personal_data_checks() -> dg.AssetChecksDefinition:
    """All of them as one step."""

    @dg.multi_asset_check(
        specs=[
            spec
            for table, questions in QUESTIONS.items()
            for spec in check_specs(dg.AssetKey(table), questions)
        ],
        can_subset=True,
    )
    def check_personal_data(
        context: dg.AssetCheckExecutionContext, clickhouse: ClickHouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        settings = load_settings()
        try:
            warehouse = clickhouse.warehouse(run_id=context.run.run_id)
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None

        def ask(key: dg.AssetCheckKey) -> Finding:
            table = key.asset_key.path[-1]
            return QUESTIONS[table][key.name](Asked(warehouse, settings, table))

        yield from told(answered(sorted(context.selected_asset_check_keys), ask), warnings=_WARNINGS)

    return check_personal_data


#: What the next dump of the LMS mends by itself.
_WARNINGS = {"actors_are_known", "courses_are_known"}


def _retired(settings: Settings, found: Unknown) -> int:
    """How many of the unknown were retired: the LMS still knows their ids, and `external_id` must not."""
    if settings.lms_database_url is None or not found.some:
        return 0
    database = lms_database(settings)
    try:
        return sum(
            retired_among(database, list(found.some[first : first + _EXTERNAL_IDS_AT_A_TIME]))
            for first in range(0, len(found.some), _EXTERNAL_IDS_AT_A_TIME)
        )
    finally:
        database.close()


def _share(found: Unknown) -> str:
    return "" if found.modulus == 1 else f" (one statement in {found.modulus} was looked at)"

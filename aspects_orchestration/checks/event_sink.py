"""What must hold of the copied LMS tables; run after every copy, and by the job `check_lms_tables`."""

from collections.abc import Iterator

import dagster as dg

from aspects_orchestration.checks.result import answered, check_specs, selected, told
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.lms.compare import QUESTIONS, Asked
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import COURSE_BLOCKS, SINK_TABLES
from aspects_orchestration.resources.clickhouse import ClickHouseResource, schema_names
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse.verify import Finding

#: Of course blocks, which the CMS alone can count, only these.
_OF_BLOCKS = ("copied_lately", "no_repeated_newest_rows")
TABLES = {**SINK_TABLES, COURSE_BLOCKS.name: COURSE_BLOCKS}


def event_sink_checks(*, with_blocks: bool) -> list[dg.AssetChecksDefinition]:
    """The checks, a step for each table.

    Args:
        with_blocks: whether course_blocks is copied here.
    """
    tables = [*SINK_TABLES, *([COURSE_BLOCKS.name] if with_blocks else [])]
    return [_checks(name) for name in tables]


def _checks(table: str) -> dg.AssetChecksDefinition:
    questions = {
        name: question
        for name, question in QUESTIONS.items()
        if table != COURSE_BLOCKS.name or name in _OF_BLOCKS
    }

    @dg.multi_asset_check(
        name=f"check_{table}",
        specs=check_specs(dg.AssetKey(table), questions),
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, clickhouse: ClickHouseResource
    ) -> Iterator[dg.AssetCheckResult]:
        settings = load_settings()
        names = schema_names(settings)
        not_asked = TABLES[table].personal and not settings.enable_pii
        try:
            warehouse = clickhouse.warehouse(run_id=context.run.run_id)
            url = settings.lms_database_url
            database = None if url is None or not_asked else LmsDatabase(url)
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        asked = Asked(
            warehouse, names.event_sink_database, names.orchestration_database, TABLES[table], database
        )

        def ask(key: dg.AssetCheckKey) -> Finding:
            if not_asked:
                return Finding(True, "not asked: ASPECTS_ENABLE_PII is false")
            return questions[key.name](asked)

        # What a copy holds is right as far as it goes: a warning, and no reason to stop others.
        yield from told(answered(selected(context, questions), ask), warnings=questions)
        if database is not None:
            database.close()

    return check

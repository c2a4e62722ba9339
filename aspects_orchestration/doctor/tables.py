"""What stands in ClickHouse: the schema against upstream's, how long rows are kept, and whether inserts are batched."""

from __future__ import annotations

from typing import Final

from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok, unknown, worst
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.retention import verify
from aspects_orchestration.retention import world as retention
from aspects_orchestration.warehouse.cluster import (
    ClusterError,
    names_where_stored,
    require_sound_layout,
    stored,
)
from aspects_orchestration.warehouse.schema import differences

_SHOWN: Final = 20
#: Median rows of an insert's part; below it every statement is a part of its own, nearly (facts of Aspects' guide).
_SMALL_INSERT_ROWS: Final = 100
_FEW_PARTS: Final = 20


def schema(patient: Patient) -> Answer:
    """Tables are those that Aspects creates, column by column, and a cluster is one that a load sees whole."""
    try:
        require_sound_layout(patient.warehouse, patient.names.xapi_database, patient.names.xapi_table)
    except ClusterError as error:
        return danger(error.what, error.do)
    found = differences(patient.warehouse.client(), names_where_stored(patient.warehouse, patient.names))
    own = patient.names.orchestration_database + "."
    upstream = [one for one in found if not one.table.startswith(own)]
    ours = [one for one in found if one.table.startswith(own)]
    if upstream:
        return danger(
            f"{len(upstream)} places differ from Aspects' schema",
            "Bring Aspects' tables up to date (tutor … do init -l aspects, or its alembic migrations); where a table is"
            " missing, mend ASPECTS_XAPI_DATABASE, ASPECTS_RAW_XAPI_TABLE and ASPECTS_EVENT_SINK_DATABASE.",
            *map(str, upstream[:_SHOWN]),
        )
    changed = [one for one in ours if one.found != "missing"]
    if changed:
        return danger(
            f"{len(changed)} places of the project's own tables differ from sql/",
            "They were altered, or come from another version: rename them; what is missing is created anew.",
            *map(str, changed[:_SHOWN]),
        )
    if ours:
        return advice(
            f"{len(ours)} of the project's own tables are not there yet",
            "Nothing: the first run creates them. Where its user may not, let an administrator run"
            " `dagster job execute -m aspects_orchestration.definitions -j observe_tracking_logs` once.",
        )
    return ok(f"{len(patient.names.tables())} tables are as Aspects and sql/ have them")


def ttl(patient: Patient) -> Answer:
    """Rows are kept as long as the policy says, and go by whole partitions."""
    world = retention.look(patient.settings, patient.warehouse, s3=patient.s3, now=patient.now)
    answers = []
    raw = world.observed.raw
    for ask in (verify.raw_table_has_a_ttl, verify.ttl_equals_policy, verify.ttl_is_month_aligned):
        finding = ask(patient.warehouse, world)
        if finding.passed:
            answers.append(ok(finding.summary))
            continue
        # A table without any TTL only grows; one with another than the policy's drops what should stay, or keeps it.
        is_wrong = ask is verify.ttl_equals_policy and raw is not None and bool(raw.rules)
        make = danger if is_wrong else advice
        do = (
            "Run `python -m aspects_orchestration.jobs.retention` for its dry run, or mend ASPECTS_DATA_TTL_EXPRESSION"
            " or retention.yaml."
        )
        answers.append(make(finding.summary, do, *finding.lines[:_SHOWN]))
    return worst(answers, "TTLs are those of the policy, in whole months")


def batching(patient: Patient) -> Answer:
    """Live statements come in batches: a part for each of them is what ClickHouse cannot bear."""
    settings = patient.settings
    if not patient.warehouse.rows("system_table_is_there", table="part_log"):
        return unknown(
            "ClickHouse keeps no record of new parts that this user can see (system.part_log)",
            "Switch part_log on in ClickHouse's configuration (the Aspects plugin does), and grant SELECT on it:"
            f" GRANT SELECT ON system.part_log TO `{patient.address.user}`;",
        )
    try:
        _, _, parts, median = patient.warehouse.row(
            "monitoring/rows_per_insert",
            now=patient.now,
            **stored(patient.warehouse, settings.xapi_database, settings.raw_xapi_table).names(),
        )
    except WarehouseError as error:
        if "lacks the grant" not in error.what:
            raise
        return unknown(error.what, f"GRANT SELECT ON system.part_log TO `{patient.address.user}`;")
    told = f"{int(parts):,} inserts of the last day, {float(median or 0):,.0f} rows in the median"
    if parts < _FEW_PARTS:
        return ok(f"{told}: too few to tell")
    if median < _SMALL_INSERT_ROWS:
        return advice(
            told,
            "Turn batching on: event-routing-backends' EVENT_ROUTING_BACKEND_BATCHING_ENABLED, Vector's batch.max_events,"
            " or async_insert for Ralph's user.",
        )
    return ok(told)


DIAGNOSES: Final = (
    Diagnosis("schema", "schema against upstream's", schema, needs_clickhouse=True),
    Diagnosis("ttl", "how long rows are kept", ttl, needs_clickhouse=True),
    Diagnosis("batching", "rows per insert", batching, needs_clickhouse=True),
)

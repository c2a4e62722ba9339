"""The rights of the pipeline's user: each grant of sql/grants.sql by itself, with the GRANT to run for what is missing."""

from __future__ import annotations

import re
from typing import Final

from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.settings import Settings
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import GrantNeeded, needed_grants
from aspects_orchestration.warehouse.statements import Statement

_SYNTAX_ERROR: Final = "error 62"


def grants(patient: Patient) -> Answer:
    """The user has every right that sql/grants.sql lists, and no surprise comes in the middle of a load."""
    warehouse, settings = patient.warehouse, patient.settings
    needed = needed_grants(patient.names, cluster=settings.cluster_name)
    try:
        missing = [one for one in needed if not _is_granted(warehouse, one.text)]
    except WarehouseError as error:
        if _SYNTAX_ERROR not in str(error):
            raise
        return advice(
            "this version of ClickHouse cannot tell whether a grant is there (CHECK GRANT)",
            "Compare what SHOW GRANTS prints with sql/grants.sql.",
        )
    required = [one for one in missing if _is_required(one, warehouse, settings)]
    optional = [one for one in missing if one not in required]
    told = f"{len(needed) - len(missing)} of {len(needed)} grants of sql/grants.sql are there"
    lines = [*(_statement(one, patient) for one in required)]
    lines += [f"{_statement(one, patient)}  -- {one.why}" for one in optional]
    if required:
        return danger(
            f"{told}; {len(required)} are missing that every load needs",
            "Run as an administrator what is listed below (sql/grants.sql says what each is for).",
            *lines,
        )
    if optional:
        return advice(
            f"{told}; those that are missing are for one purpose each",
            "Run as an administrator those whose purpose is yours.",
            *lines,
        )
    return ok(told)


def _is_granted(warehouse: Warehouse, grant: str) -> bool:
    # The text is that of sql/grants.sql with the site's names quoted in it; it holds no data.
    found = warehouse.rows_of(Statement(f"CHECK {grant}", {}), step="doctor")
    return bool(int(found[0][0]))


def _is_required(one: GrantNeeded, warehouse: Warehouse, settings: Settings) -> bool:
    if one.is_optional:
        return False
    if one.needs_pii:
        return settings.enable_pii
    database = settings.event_sink_database.replace("`", "\\`")
    if one.text == f"GRANT SELECT ON `{database}`.*" and not settings.enable_pii:
        # Without personal data the file itself advises to grant less: every table but that of names and addresses.
        others = f"GRANT SELECT ON `{database}`.course_overviews"
        columns = f"GRANT SELECT(id, user_id, username, email, dump_id, time_last_dumped) ON `{database}`.user_profile"
        return not (_is_granted(warehouse, others) and _is_granted(warehouse, columns))
    if re.search(r" ON `reporting`\.\*$", one.text):
        return any(
            str(name) == "reporting"
            for (name,) in warehouse.rows("schema_databases", databases=["reporting"])
        )
    return True


def _statement(one: GrantNeeded, patient: Patient) -> str:
    user = patient.address.user.replace("\\", "\\\\").replace("`", "\\`")
    return f"{one.text} TO `{user}`;"


DIAGNOSES: Final = (Diagnosis("grants", "rights in ClickHouse", grants, needs_clickhouse=True),)

"""Whom statements name: users of recent log lines are found, and the LMS database can be read, and only read."""

from __future__ import annotations

import re
from typing import Final

from aspects_orchestration.doctor.logs import first_lines, newest_logs
from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok, unknown
from aspects_orchestration.replay.plan import site_source
from aspects_orchestration.tracking.events import UnreadableEventError, parse_event

#: Users who are looked up, and lines that are read of each of the newest logs to find them.
_USERS: Final = 200
_LINES: Final = 2_000
#: Shares of users who are not found, from which on to worry: a few have always been deleted.
_ADVICE_SHARE: Final = 0.05
_DANGER_SHARE: Final = 0.5
_WRITES: Final = re.compile(
    r"\b(ALL PRIVILEGES|INSERT|UPDATE|DELETE|DROP|ALTER|CREATE|TRUNCATE|SUPER)\b", re.IGNORECASE
)


def identities(patient: Patient) -> Answer:
    """Users of recent log lines are found, with the external ids that statements need. Numbers only, no names."""
    users, names = _of_recent_lines(patient)
    if not users and not names:
        return unknown(
            "recent logs name no user",
            "Look at `logs`; or nobody has been logged in lately: try again when somebody has.",
        )
    site = site_source(patient.settings, patient.s3)
    try:
        known, _ = site.open(patient.warehouse)
        with_email = patient.settings.agent_ifi_type != "external_id"
        found = lacking = 0
        if known.asks_for_many:
            known.prefetch(set(users), set(names))
        for user in [known.by_id(one) for one in users] + [known.by_username(one) for one in names]:
            found += user is not None
            lacking += user is not None and not (user.email if with_email else user.external_id)
    finally:
        site.forget()
    asked = len(users) + len(names)
    bad = asked - found + lacking
    told = f"of {asked} users of recent lines {found} are found" + (
        f", {lacking} of them without {'an e-mail address' if with_email else 'an external id'}"
        if lacking
        else ""
    )
    do = (
        "Check ASPECTS_IDENTITIES: with `event_sink` copy the LMS tables (job copy_lms_tables, with ASPECTS_ENABLE_PII);"
        " with `lms`, is it the LMS of these logs? Events of unknown users are quarantined, and can be loaded later."
    )
    if bad >= asked * _DANGER_SHARE:
        return danger(told, do)
    return advice(told, do) if bad > asked * _ADVICE_SHARE else ok(told)


def lms(patient: Patient) -> Answer:
    """The LMS database answers, and its user may only read."""
    url = patient.settings.lms_database_url
    if url is None:
        return ok("no LMS database is named (ASPECTS_LMS_DATABASE_URL): its tables are not copied")
    # Only here: SQLAlchemy takes its time to import, and many sites do without.
    import sqlalchemy as sa

    from aspects_orchestration.lms.database import LmsDatabase

    database = LmsDatabase(url, patience_s=0)
    database.row(sa.text("SELECT 1"))
    (users,) = database.row(sa.text("SELECT COUNT(*) FROM auth_user"))
    told = f"{database.where} answers, with {int(users):,} users"
    if database.is_sqlite:
        return ok(told)
    grants = [str(row[0]) for row in database.rows(sa.text("SHOW GRANTS"))]
    if any(_WRITES.search(re.sub(r"(?i)IDENTIFIED BY.*", "", grant)) for grant in grants):
        return advice(
            f"{told}; its user may write, which the project never does",
            "Give it a user that may only SELECT, best on a read replica (docs/lms-tables.md).",
        )
    return ok(f"{told}; its user may only read")


def _of_recent_lines(patient: Patient) -> tuple[list[int], list[str]]:
    """Some users that the newest logs name: by id, or by name where a line has no id."""
    users: dict[int, None] = {}
    names: dict[str, None] = {}
    for file in newest_logs(patient)[0]:
        for line in first_lines(patient, file, _LINES):
            if len(users) + len(names) >= _USERS:
                return list(users), list(names)
            user, name = _who(line) if line is not None else (None, "")
            if user is not None:
                users[user] = None
            elif name:
                names[name] = None
    return list(users), list(names)


def _who(body: bytes) -> tuple[int | None, str]:
    try:
        event = parse_event(body)
    except UnreadableEventError:
        return None, ""
    context = event.get("context")
    user = context.get("user_id") if isinstance(context, dict) else None
    name = event.get("username")
    return user if isinstance(user, int) else None, name if isinstance(name, str) else ""


DIAGNOSES: Final = (
    Diagnosis("identities", "users of recent lines", identities, needs_clickhouse=True, deadline_s=40.0),
    Diagnosis("lms", "the LMS database", lms),
)

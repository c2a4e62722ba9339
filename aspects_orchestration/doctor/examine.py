"""Every diagnosis, one after the other, each under its deadline; none stops the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from aspects_orchestration.deadline import LateError, within
from aspects_orchestration.doctor import (
    clickhouse,
    grants,
    logs,
    machine,
    people,
    production,
    signals,
    tables,
)
from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, Verdict, danger, unknown
from aspects_orchestration.errors import AspectsError

CONNECTION: Final = clickhouse.DIAGNOSES[0]
#: In the order in which they are asked and shown.
DIAGNOSES: Final[tuple[Diagnosis, ...]] = (
    *machine.BEFORE,
    *clickhouse.DIAGNOSES,
    *grants.DIAGNOSES,
    *tables.DIAGNOSES,
    *logs.DIAGNOSES,
    *people.DIAGNOSES,
    *signals.DIAGNOSES,
    *machine.DIAGNOSES,
)

#: The same, and upstream's guide to production section by section.
PRODUCTION: Final[tuple[Diagnosis, ...]] = (*DIAGNOSES, *production.DIAGNOSES)


def examine(patient: Patient, wanted: Iterable[Diagnosis] = DIAGNOSES) -> Iterator[tuple[Diagnosis, Answer]]:
    """Ask, and give the answers as they come.

    Args:
        patient: the site.
        wanted: which; those that need ClickHouse are unknown where it cannot be reached.
    """
    connection: Answer | None = None
    for one in wanted:
        if one.needs_clickhouse:
            connection = connection or _answer(CONNECTION, patient)
            if connection.verdict is Verdict.DANGER:
                yield one, unknown("not looked at: ClickHouse cannot be reached", "Mend `connection` first.")
                continue
        answer = _answer(one, patient)
        if one is CONNECTION:
            connection = answer
        yield one, answer


def exit_code(answers: Iterable[Answer]) -> int:
    """1 if there is danger; else 2 if something could not be found out; else 0."""
    verdicts = {one.verdict for one in answers}
    if Verdict.DANGER in verdicts:
        return 1
    return 2 if Verdict.UNKNOWN in verdicts else 0


def _answer(one: Diagnosis, patient: Patient) -> Answer:
    try:
        return within(one.deadline_s, one.title, lambda: one.ask(patient))
    except LateError as late:
        return danger(late.what, late.do) if one is CONNECTION else unknown(late.what, late.do)
    except AspectsError as error:
        return danger(error.what, error.do)
    except Exception as error:
        # Only its kind: the text of another library's error may hold an address with a password.
        return unknown(
            f"it could not be looked at ({type(error).__name__})",
            "This is a mistake in the project: please report it.",
        )

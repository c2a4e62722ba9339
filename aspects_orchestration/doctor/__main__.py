"""`python -m aspects_orchestration.doctor`: look at a site end to end before it goes into production."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from aspects_orchestration.doctor.examine import DIAGNOSES, PRODUCTION, examine, exit_code
from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient
from aspects_orchestration.errors import SettingsError
from aspects_orchestration.monitoring.readers import all_readers
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options

_WIDTH = 118
_NAME = 20
_INDENT = _NAME + 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at everything, and print a table; returns the exit code, as `--help` says."""
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.doctor",
        description="Look at a site end to end, and say of each thing whether it is ok or what to do. Changes nothing.",
        epilog="Exits with 0 if nothing is in danger (advice may be given), 1 if something is, 2 if the settings cannot be"
        " used or something could not be found out. Names: "
        + ", ".join(one.name for one in DIAGNOSES)
        + "; with --production also "
        + ", ".join(one.name for one in PRODUCTION[len(DIAGNOSES) :])
        + ".",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=[one.name for one in PRODUCTION],
        help="look at this alone; may be given several times",
    )
    parser.add_argument(
        "--production",
        action="store_true",
        help="also go through upstream's guide to production, section by section, with the site's Tutor config.yml",
    )
    parser.add_argument(
        "--write-probes",
        action="store_true",
        help="create a small object where archive, quarantine and ASPECTS_HOME are, and remove it again",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a list of {name, section, verdict, found, do, lines}"
    )
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
    except SettingsError as refused:
        return _refused(refused, as_json=options.json)
    # Its own words for what is told of below stand between the answers.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    home = os.environ.get("DAGSTER_HOME")
    patient = Patient(
        settings,
        S3Options(attempts=2, connect_timeout_s=5.0, read_timeout_s=10.0),
        utc_now(),
        write_probes=options.write_probes,
        dagster_home=Path(home) if home else None,
        readers=all_readers(settings),
        sensors_on=sensors_on() if home and options.production else None,
    )
    wanted = (
        [one for one in PRODUCTION if one.name in options.only]
        if options.only
        else (PRODUCTION if options.production else DIAGNOSES)
    )
    answers = []
    for diagnosis, answer in examine(patient, wanted):
        answers.append((diagnosis, answer))
        if not options.json:
            print(_shown(diagnosis, answer), flush=True)  # noqa: T201
    if options.json:
        print(json.dumps([_as_json(*one) for one in answers], indent=2))  # noqa: T201
    else:
        print(_summary([answer for _, answer in answers]))  # noqa: T201
    return exit_code(answer for _, answer in answers)


def sensors_on() -> frozenset[str] | None:
    """Names of the sensors that are on in the Dagster instance; None if there is none that can be asked."""
    from dagster import DagsterInstance

    from aspects_orchestration.sensors.switched_on import switched_on

    try:
        with DagsterInstance.get() as instance:
            return switched_on(instance)
    except Exception:
        return None  # `dagster` says what is wrong with it


def _refused(refused: SettingsError, *, as_json: bool) -> int:
    if as_json:
        told = {
            "name": "settings",
            "section": "",
            "verdict": "danger",
            "found": refused.what,
            "do": refused.do,
            "lines": [],
        }
        print(json.dumps([told], indent=2))  # noqa: T201
    else:
        print(refused, file=sys.stderr)  # noqa: T201
    return 2


def _shown(diagnosis: Diagnosis, answer: Answer) -> str:
    lines = textwrap.wrap(
        f"{diagnosis.name:<{_NAME}} {answer.verdict:<8} {answer.found}",
        _WIDTH,
        subsequent_indent=" " * _INDENT,
    )
    if answer.do:
        lines += textwrap.wrap(
            f"-> {answer.do}", _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * (_INDENT + 3)
        )
    if diagnosis.section and answer.do:
        lines.append(f"{'':{_INDENT}}(Configure Aspects for Production: {diagnosis.section})")
    lines += [f"{'':{_INDENT}}{line}" for line in answer.lines]
    return "\n".join(lines)


def _summary(answers: Sequence[Answer]) -> str:
    counts: dict[str, int] = {}
    for one in answers:
        counts[one.verdict.value] = counts.get(one.verdict.value, 0) + 1
    return ", ".join(
        f"{count} {verdict}" for verdict, count in sorted(counts.items(), key=lambda one: one[0] != "ok")
    )


def _as_json(diagnosis: Diagnosis, answer: Answer) -> dict[str, object]:
    return {
        "name": diagnosis.name,
        "section": diagnosis.section,
        "verdict": answer.verdict.value,
        "found": answer.found,
        "do": answer.do,
        "lines": list(answer.lines),
    }


if __name__ == "__main__":
    sys.exit(main())

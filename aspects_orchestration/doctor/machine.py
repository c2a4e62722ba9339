"""This machine: the settings themselves, the disk under ASPECTS_HOME, and the Dagster instance."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import yaml

from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok, worst
from aspects_orchestration.native import NOT_COMPILED, native

#: Shares of the disk that are free; as for ClickHouse's disks.
_FREE_ADVICE: Final = 0.2
_FREE_DANGER: Final = 0.1
#: A daemon that has not been heard of for so long does not run; it tells of itself every 30 seconds.
_HEARTBEAT_S: Final = 300.0
_MINE: Final = "dagster.yaml says where: storage: postgres (docs/point-it-at-your-site.md)."


def settings(patient: Patient) -> Answer:
    """The settings are a site's own, not the demo's."""
    given = patient.settings
    answers = [ok("every setting can be used")]
    if given.uses_sample_logs:
        answers.append(
            advice(
                "the tracking logs are the demo's samples", "Set ASPECTS_TRACKING_LOGS to where yours are."
            )
        )
    if given.is_embedded:
        answers.append(
            advice(
                "ClickHouse is the embedded one, which is for trying out",
                "Name the site's own: ASPECTS_CLICKHOUSE_URL, CLICKHOUSE_HOST, or ASPECTS_TUTOR_CONFIG.",
            )
        )
    if given.origins.get("LMS_ROOT_URL", "default") == "default":
        answers.append(
            advice(
                f"LMS_ROOT_URL is not set, so statements name {given.lms_root_url}",
                "Set it to the LMS's own address before anything is loaded: other addresses make other statements.",
            )
        )
    if native is None:
        answers.append(
            advice(
                f"{NOT_COMPILED}: loads take longer",
                "Install a C compiler and the headers of Python (Debian: gcc, python3-dev), then install again.",
            )
        )
    return worst(answers, "every setting can be used")


def disk(patient: Patient) -> Answer:
    """ASPECTS_HOME can be written, and has room."""
    home = patient.settings.home
    standing = next(one for one in (home, *home.parents) if one.exists())
    if not os.access(standing, os.W_OK | os.X_OK):
        return danger(
            f"{standing} cannot be written", "Give the user of this process access to ASPECTS_HOME."
        )
    if patient.write_probes and home.exists():
        refused = _refused(home)
        if refused:
            return danger(
                f"nothing can be written to {home}: {refused}", "Free space there, or move ASPECTS_HOME."
            )
    usage = shutil.disk_usage(standing)
    free = usage.free / usage.total if usage.total else 0.0
    told = f"{usage.free / 1e9:,.1f} GB ({free:.0%}) are free under ASPECTS_HOME ({home})"
    do = "Free space there, or move ASPECTS_HOME: identities, the index of the archive and scratch files go there."
    if free < _FREE_DANGER:
        return danger(told, do)
    return advice(told, do) if free < _FREE_ADVICE else ok(told)


def dagster(patient: Patient) -> Answer:
    """The Dagster instance has a home that stays, a database for many, and a daemon that runs."""
    home = patient.dagster_home
    if home is None:
        return advice(
            "DAGSTER_HOME is not set: runs, sensors and schedules are forgotten when the process ends",
            "Set it to a folder that stays, with the dagster.yaml of this project in it (`make dev` does).",
        )
    if not home.is_absolute() or not home.is_dir():
        return danger(
            f"DAGSTER_HOME ({home}) is no folder", "Create it, or set DAGSTER_HOME to an absolute path."
        )
    try:
        found = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return advice(
            f"{home} has no dagster.yaml: nothing limits how many runs go at once",
            "Copy or link the dagster.yaml of this project into it.",
        )
    except (OSError, yaml.YAMLError) as error:
        return danger(f"{home}/dagster.yaml cannot be read ({type(error).__name__})", "Mend it.")
    answers = [_storage(found)]
    if "storage" not in found:
        answers.append(_daemon(home))
    return worst(answers, "the instance is set up")


def _storage(found: dict[str, Any]) -> Answer:
    storage = found.get("storage")
    if not isinstance(storage, dict) or "sqlite" in storage:
        return advice("runs and events are stored in SQLite, which is for one machine", _MINE)
    return ok(f"runs and events are stored in {', '.join(map(str, storage))}")


def _daemon(home: Path) -> Answer:
    """Whether the daemon was heard of lately, by the SQLite of the instance; nothing is written there."""
    do = "Start it: `dagster-daemon run`, or `dagster dev`, which has one. Sensors and schedules need it."
    database = home / "schedules" / "schedules.db"
    runs = home / "history" / "runs.db"
    for file in (runs, database):
        if not file.is_file():
            continue
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=2)) as connection:
                rows = connection.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchall()
        except sqlite3.Error:
            continue
        if rows and rows[0][0] is not None:
            return _heard(str(rows[0][0]), do)
    return advice("the Dagster daemon has never run here", do)


def _heard(text: str, do: str) -> Answer:
    from datetime import UTC, datetime

    try:
        heard = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return ok("the Dagster daemon has run here")
    age = time.time() - heard
    if age > _HEARTBEAT_S:
        return advice(f"the Dagster daemon was heard of {age / 60:,.0f} minutes ago for the last time", do)
    return ok(f"the Dagster daemon was heard of {max(age, 0):.0f} s ago")


def _refused(folder: Path) -> str:
    """Why a file of a block cannot be written; empty if it can."""
    probe = folder / f".doctor-{secrets.token_hex(8)}"
    try:
        with probe.open("xb") as handle:
            handle.write(b"\0" * 65_536)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    finally:
        probe.unlink(missing_ok=True)
    return ""


BEFORE: Final = (Diagnosis("settings", "settings", settings),)
DIAGNOSES: Final = (Diagnosis("disk", "disk", disk), Diagnosis("dagster", "Dagster", dagster))

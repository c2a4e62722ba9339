"""What must hold of live logs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aspects_orchestration.archive.live import LiveLog, listed_paths, look
from aspects_orchestration.archive.rotate import said_of
from aspects_orchestration.archive.rotation_rules import RotationRules
from aspects_orchestration.settings import Settings
from aspects_orchestration.tracking.stores import local_path
from aspects_orchestration.warehouse.verify import Finding

#: A rotation is late after so long: two evaluations of its schedule, and the time that it takes.
_LATE: Final = timedelta(hours=2, minutes=15)
#: A log by its usual name that nobody rotates is told of at this age or size.
_UNROTATED_DAYS: Final = 3
_UNROTATED_BYTES: Final = 2_000_000_000
_USUAL_NAME: Final = "tracking.log"


def live_log_is_rotated(settings: Settings, now: datetime) -> Finding:
    """Live logs are rotated in time, their writers follow, and their rotated files are where tracking logs are read from."""
    logs = look(settings.live_logs, now=now)
    lines = [line for log in logs for line in _wrong_with(log, settings, now)]
    for path in [] if settings.uses_sample_logs else _unnamed(settings):
        lines += [told for log in look([path], now=now) for told in _unrotated(log, now)]
    numbers = {
        "live_logs": len(logs),
        "live_bytes": sum(log.size for log in logs),
        "rotated_and_still_open": sum(
            one.state(now) in {"written", "held"} for log in logs for one in log.rotated
        ),
        "oldest_line_hours": max((_age_h(log, now) for log in logs), default=0),
    }
    if lines:
        more = f" And {len(lines) - 1} more." if lines[1:] else ""
        return Finding(False, f"{lines[0]}{more}", numbers, tuple(lines))
    if not logs:
        return Finding(True, "No live log is named: logs are taken as others rotate them.", numbers)
    return Finding(
        True, f"{len(logs)} live logs are rotated as ASPECTS_ROTATE={settings.rotate} says.", numbers
    )


def _wrong_with(log: LiveLog, settings: Settings, now: datetime) -> list[str]:
    wrong = [said_of(one, now) for one in log.rotated if one.is_followed_late(now)]
    overdue = _overdue(log, settings.rotation_rules, now)
    if overdue:
        wrong.append(
            f"{log.path} should have been rotated: {overdue}. Switch on the schedule rotate_tracking_logs_when_due, or run"
            " `python -m aspects_orchestration.jobs.rotate`, which says why if it cannot."
        )
    if log.status is None and not log.ever_rotated:
        wrong.append(
            f"There is no {log.path}. Check ASPECTS_LIVE_LOG; in a container, mount the folder of the log."
        )
    if not any(_is_listed(path, settings) for path in listed_paths(log.target, settings)):
        wrong.append(
            f"{log.path} is below no prefix of ASPECTS_TRACKING_LOGS, so what is rotated of it is neither loaded nor"
            f" archived. Add {log.path.parent} to ASPECTS_TRACKING_LOGS."
        )
    return wrong


def _overdue(log: LiveLog, rules: RotationRules, now: datetime) -> str | None:
    # At twice its size, because a busy log goes on growing until the schedule looks again.
    patient = RotationRules(rules.period, rules.size and 2 * rules.size)
    return patient.why_due(log.size, log.begun, now - _LATE) if log.begun else None


def _is_listed(path: Path, settings: Settings) -> bool:
    folders = [folder for prefix in settings.tracking_log_prefixes if (folder := local_path(prefix))]
    return any(path.is_relative_to(folder) for folder in folders)


def _unnamed(settings: Settings) -> list[Path]:
    """Logs by the usual name, in the places where logs are read from, that ASPECTS_LIVE_LOG does not name."""
    named = {path.resolve() for path in settings.live_logs}
    folders = [folder for prefix in settings.tracking_log_prefixes if (folder := local_path(prefix))]
    found = [folder / _USUAL_NAME for folder in folders if (folder / _USUAL_NAME).is_file()]
    return [path for path in found if path.resolve() not in named]


def _unrotated(log: LiveLog, now: datetime) -> list[str]:
    is_written = log.status is not None and now - datetime.fromtimestamp(
        log.status.st_mtime, UTC
    ) < timedelta(days=1)
    if not is_written or (_age_h(log, now) < 24 * _UNROTATED_DAYS and log.size < _UNROTATED_BYTES):
        return []
    told = (
        f"{log.path} is written to, holds {log.size:,} bytes, and nobody rotates it. Set ASPECTS_LIVE_LOG={log.path} and"
        " switch on the schedule rotate_tracking_logs_when_due, or have another program rotate it."
    )
    return [told]


def _age_h(log: LiveLog, now: datetime) -> int:
    return int((now - log.begun) / timedelta(hours=1)) if log.begun and log.size else 0

"""The demo: the sample's LMS tables and a month of its logs, through the real command line, into the embedded ClickHouse.

    make demo

Safe to run again: the month is loaded again, and nothing is inserted twice.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from aspects_orchestration.errors import AspectsError, SettingsError
from aspects_orchestration.lms.event_sink import COURSE_BLOCKS, SINK_TABLES
from aspects_orchestration.resources.clickhouse import connect
from aspects_orchestration.samples.first_use import write_sample
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.account import LineAccount, StatementAccount
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.records import LoadRecord, latest_load
from aspects_orchestration.warehouse.verify import QUESTIONS
from aspects_orchestration.window import month_window

MONTH: Final = "2024-05"
COMMAND: Final = ("dagster", "asset", "materialize", "--select", "xapi_events_all", "--partition", MONTH)
#: Invented people have no privacy to lose: the demo copies personal data too.
LMS_COMMAND: Final = ("dagster", "asset", "materialize", "--select", "group:event_sink")
WITH_PII: Final = "ASPECTS_ENABLE_PII=true"

_SERVER: Final = "python -m aspects_orchestration.warehouse.server"
# Announces that `dg launch` exists too; true, and of no help here.
_NO_SUPERSESSION_NOTICE: Final = ("-W", "ignore:Function `asset_materialize_command`")


def main() -> int:
    """Run the demo. Returns the exit code: 0 only if the month was loaded and every check passed."""
    try:
        settings = load_settings()
        _refuse_a_site(settings)
        return _run(settings)
    except AspectsError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1


def _run(settings: Settings) -> int:
    started = time.monotonic()
    new = write_sample(settings.home)
    _say(f"Sample logs {'written to' if new else 'are in'} {_shown(settings.home / 'sample')}")
    for command, setting in ((LMS_COMMAND, WITH_PII), (COMMAND, "")):
        _say(f"\n$ {f'{setting} ' if setting else ''}{shlex.join(command)}\n")
        code = _ran(command, setting)
        if code:
            _say(f"\nThat failed (exit code {code}); the lines above say why and what to do.")
            return 1
    warehouse = connect(settings, run_id="demo")
    record = latest_load(
        warehouse,
        settings.orchestration_database,
        f"{settings.xapi_database}.{settings.raw_xapi_table}",
        MONTH,
    )
    if record is None:
        _say("\nThe load is not on record in ClickHouse; run `make demo` again.")
        return 1
    _say(_report(settings, warehouse, record, time.monotonic() - started))
    return 0


def _ran(command: tuple[str, ...], setting: str) -> int:
    """Run a command of this environment, with one setting more; returns its exit code."""
    program, *arguments = command
    name, _, value = setting.partition("=")
    return subprocess.run(
        [sys.executable, *_NO_SUPERSESSION_NOTICE, str(Path(sys.executable).with_name(program)), *arguments],
        check=False,
        env={**os.environ, **({name: value} if setting else {})},
    ).returncode


def _refuse_a_site(settings: Settings) -> None:
    if settings.is_embedded and settings.uses_sample_logs:
        return
    what = "ASPECTS_TRACKING_LOGS" if settings.is_embedded else "a ClickHouse"
    raise SettingsError(
        f"The demo loads invented events, but {what} of a site is configured",
        do="Use `make dev` to work on the site, or unset ASPECTS_TRACKING_LOGS, ASPECTS_TUTOR_CONFIG, CLICKHOUSE_HOST and"
        " ASPECTS_CLICKHOUSE_URL for the demo.",
    )


def _report(settings: Settings, warehouse: Warehouse, record: LoadRecord, seconds: float) -> str:
    lines = LineAccount.from_json(record.account["lines"])
    statements = StatementAccount(**record.account["statements"])
    return "\n".join(
        (
            f"\nThe account of {MONTH}: every line of {record.account['files_read']} files",
            *_table(
                [
                    ("read", lines.lines),
                    ("  gave statements", lines.with_statements),
                    *((f"  skipped: {reason}", count) for reason, count in lines.skipped.most_common()),
                    *(
                        (f"  quarantined: {reason}", count)
                        for reason, count in lines.quarantined.most_common()
                    ),
                    ("statements built", statements.statements),
                    ("  inserted", statements.inserted),
                    ("  already there", statements.already_there),
                    ("  duplicates in the logs", statements.duplicates),
                    ("  collisions of ids", statements.collisions),
                    ("  outside the month", statements.outside_window),
                ]
            ),
            f"\nStatements of {MONTH} by verb, counted in ClickHouse (sql/events_by_verb.sql)",
            *_table(_by_verb(settings, warehouse)),
            "\nCopied from the LMS database",
            *_table(_copied(settings, warehouse)),
            f"\n{_again(statements)}All {len(QUESTIONS)} checks passed, {seconds:.0f} s in all.",
            "\nWhere it is",
            f"  statements   {record.target} in the embedded ClickHouse, {warehouse.address.url}",
            f"  ClickHouse   {_shown(settings.home / 'clickhouse')}",
            f"  LMS tables   {settings.event_sink_database} in the same ClickHouse",
            f"  LMS database {_shown(settings.home / 'sample/lms.sqlite')}",
            f"  logs         {', '.join(_shown(Path(one)) for one in settings.tracking_log_prefixes)}",
            f"  quarantine   {_shown(Path(settings.quarantine_uri))}",
            "\nHow to go on",
            "  make dev                 the web UI: the asset graph, all months, the checks",
            "  . .venv/bin/activate     then, for instance:",
            f"  {_SERVER} sql \\",
            f"      'SELECT * FROM {record.target} LIMIT 1 FORMAT Vertical'",  # noqa: S608 - shown, not run
            "  docs/point-it-at-your-site.md",
        )
    )


def _again(statements: StatementAccount) -> str:
    if statements.inserted:
        return ""
    return (
        f"The table is as it was: all {statements.already_there:,} statements stood there already, nothing was inserted"
        " twice. "
    )


def _by_verb(settings: Settings, warehouse: Warehouse) -> list[tuple[str, int]]:
    window = month_window(MONTH)
    return [
        (str(verb), int(count))
        for verb, count in warehouse.rows(
            "events_by_verb",
            database=settings.xapi_database,
            table=settings.raw_xapi_table,
            start=window.start_micros,
            end=window.end_micros,
        )
    ]


def _copied(settings: Settings, warehouse: Warehouse) -> list[tuple[str, int]]:
    tables = [*SINK_TABLES.values(), COURSE_BLOCKS]
    return [
        (
            one.name,
            int(
                warehouse.row(
                    "lms_keys_count", database=settings.event_sink_database, table=one.name, key=one.key
                )[0]
            ),
        )
        for one in tables
    ]


def _table(rows: list[tuple[str, int]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {count:>9,}" for name, count in rows]


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

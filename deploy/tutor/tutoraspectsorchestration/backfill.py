"""`tutor local do aspects-backfill` and `tutor k8s do aspects-backfill`: load months of tracking logs."""

import json
import re
import shlex

import click

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?")


def _months(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for month in given:
        if not _MONTH.fullmatch(month):
            raise click.BadParameter(f"{month!r} is not a month; write it as 2024-05")
    return tuple(dict.fromkeys(given))


def _moment(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    if given is not None and not _MOMENT.fullmatch(given):
        raise click.BadParameter(f"{given!r} is not a time (UTC); write it as 2024-05-03 or 2024-05-03T12:00")
    return given


def _source(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    # Tutor renders a job's command as a template: a brace could bring a secret onto the command line.
    if given is not None and (set("{}\r\n") & set(given)):
        raise click.BadParameter("braces and line breaks cannot be given; name the files otherwise")
    return given


@click.command(name="aspects-backfill")
@click.option(
    "--month",
    "months",
    multiple=True,
    required=True,
    callback=_months,
    metavar="YYYY-MM",
    help="The month to load (UTC); may be given several times: one after the other, the first failure stops.",
)
@click.option("--dry-run", is_flag=True, help="Read, transform and count; write nothing.")
@click.option("--mode", type=click.Choice(["merge", "rebuild"]), help="merge is the default.")
@click.option("--since", callback=_moment, metavar="TIME", help="Only events from this time on (UTC).")
@click.option("--until", callback=_moment, metavar="TIME", help="Only events before this time (UTC).")
@click.option(
    "--source",
    callback=_source,
    help="live (the default), archive, both, quarantine, or names of log files by comma.",
)
@click.option("--allow-expired", is_flag=True, help="Load a month that the retention policy would drop.")
@click.option("--allow-loss", is_flag=True, help="Rebuild although the logs hold less than the table.")
def aspects_backfill(
    months: tuple[str, ...],
    dry_run: bool,
    mode: str | None,
    since: str | None,
    until: str | None,
    source: str | None,
    allow_expired: bool,
    allow_loss: bool,
) -> list[tuple[str, str]]:
    """Load months of tracking logs into ClickHouse as xAPI statements, and check them. Safe to run again."""
    given: dict[str, object] = {
        "mode": mode,
        "since": since,
        "until": until,
        "source": source,
        "dry_run": dry_run or None,
        "allow_expired": allow_expired or None,
        "allow_loss": allow_loss or None,
    }
    config = {name: value for name, value in given.items() if value is not None}
    command = ["dagster", "asset", "materialize", "--select", "xapi_events_all"]
    if config:
        # With spaces between the braces, which would otherwise be Tutor's own.
        run_config = json.dumps({"ops": {"xapi_events_all": {"config": config}}})
        command += ["--config-json", run_config]
    lines = [shlex.join([*command, "--partition", month]) for month in months]
    return [("aspects-orchestration", " && ".join(lines))]

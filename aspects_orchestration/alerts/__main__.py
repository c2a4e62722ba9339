"""`python -m aspects_orchestration.alerts test|rules`: who is told, and of what."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta

from aspects_orchestration.alerts.deliver import all_readable, deliver, targets
from aspects_orchestration.alerts.message import (
    Message,
    Told,
    Where,
    opened,
    recovered,
    reminder,
    together,
)
from aspects_orchestration.alerts.tell import where_of
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.model import Reading, Standing, State
from aspects_orchestration.monitoring.rules import Rules, load_rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.signals.tables import worry
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings

_DEADLINE_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Send one of each, or list the rules.

    Returns:
        The exit code: 0 if everybody took every message.
    """
    given = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        rules = load_rules(settings.alerts_file)
        if given.command == "rules":
            for line in described(rules):
                sys.stdout.write(f"{line}\n")
            return 0
        if not settings.alert_urls:
            raise AspectsError(
                "ASPECTS_ALERT_URLS is not set: nobody is told",
                do="Set it to Apprise URLs by comma (docs/alerts.md).",
            )
        to = targets(settings.alert_urls)
        all_readable(to)
    except AspectsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    messages = one_of_each(where_of(settings), rules)
    left = deliver(to, messages, deadline_s=_DEADLINE_S)
    for target in to:
        missed = sum(target.name in names for names in left)
        said = (
            "took all"
            if not missed
            else f"did not take {missed}: look at its URL, its network and its limits"
        )
        sys.stdout.write(f"{target.name}: {said} ({len(messages)} messages)\n")
    return 1 if any(left) else 0


def one_of_each(where: Where, rules: Rules) -> list[Message]:
    """A warning, a critical one, a reminder, a recovery and a group, as they would come."""
    now = utc_now()
    since = now - timedelta(hours=2)
    signal = SIGNALS["clickhouse_lag"]

    def told(state: State, value: float) -> Told:
        standing = Standing(state, since, value, now, good_value=120.0, good_at=since - timedelta(minutes=1))
        return Told(signal, rules.of(signal), Reading(signal.name, value, now, 5.0), standing)

    warning, critical = told(State.WARN, 1200.0), told(State.CRITICAL, 7200.0)
    each = [
        opened(warning, where),
        opened(critical, where),
        reminder(critical, where),
        recovered(told(State.OK, 60.0), since, where),
    ]
    each.append(together("incidents", "failure", each[:2] * 2, where))
    return [Message(one.kind, f"[TEST] {one.title}", f"This is a test.\n{one.text}") for one in each]


def described(rules: Rules) -> list[str]:
    """The rules in force, a line a signal, and what is said of telling."""
    lines = [
        f"{name}: {'off' if name in rules.off else worry(signal, rules.of(signal))}"
        + (" (alerts.yaml)" if name in rules.changed else "")
        for name, signal in SIGNALS.items()
    ]
    reminders = rules.reminders
    lines.append(
        f"reminders: after {reminders.first}, each pause {reminders.factor:g} times as long, at most {reminders.longest}"
    )
    lines.append(f"from {rules.group_from} at once: one message")
    lines += [
        f"maintenance: {one.why or 'no reason given'}: {', '.join(one.signals)}" for one in rules.maintenance
    ]
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aspects_orchestration.alerts",
        description="Alerts go to the Apprise URLs of ASPECTS_ALERT_URLS, sent by the health sensors.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("test", help="send one message of each kind to everybody")
    commands.add_parser("rules", help="list what is watched, and when it is told of")
    return parser


if __name__ == "__main__":
    sys.exit(main())

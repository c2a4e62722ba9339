"""Everything that is watched, read once: ClickHouse's health, queues, services; and who hears of trouble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok, unknown, worst
from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import look
from aspects_orchestration.monitoring.words import shown

_MAKE: Final[dict[State, Callable[..., Answer]]] = {
    State.WARN: advice,
    State.CRITICAL: danger,
    State.UNKNOWN: unknown,
}


def watched(group: str, what: str) -> Callable[[Patient], Answer]:
    """The diagnosis of a group of signals.

    Args:
        group: of the signals.
        what: that is, in words.
    """

    def ask(patient: Patient) -> Answer:
        readers = [
            one for one in patient.readers if any(SIGNALS[name].group == group for name in one.signals)
        ]
        if not readers:
            return ok(f"the site runs no {what} that the settings name: none is watched")
        seen = look(readers, rules=load_rules(patient.settings.alerts_file), before={}, now=patient.now)
        answers = []
        for key, standing in seen.standings.items():
            signal, reading = SIGNALS[seen.readings[key].signal], seen.readings[key]
            # One look alone: what has to last for some ticks before it counts is told of at once.
            state = standing.coming or standing.state
            value = "" if standing.value is None else shown(standing.value, signal.unit)
            told = f"{signal.title}{_labels(reading.labels)}: {value or reading.why or 'not read'}"
            answers.append(ok(told) if state is State.OK else _MAKE[state](told, reading.why or signal.do))
        return worst(answers, f"{len(answers)} readings are as they should be")

    return ask


def alerts(patient: Patient) -> Answer:
    """Somebody hears of trouble."""
    count = len(patient.settings.alert_urls)
    if not count:
        return advice(
            "nobody hears of trouble",
            "Set ASPECTS_ALERT_URLS to Apprise URLs (mail, Slack, PagerDuty, a webhook, …).",
        )
    return ok(f"{count} {'target hears' if count == 1 else 'targets hear'} of trouble")


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return f" ({', '.join(value for _, value in labels)})" if labels else ""


DIAGNOSES: Final = (
    Diagnosis("health", "health of ClickHouse", watched("clickhouse", "ClickHouse"), needs_clickhouse=True),
    Diagnosis("queues", "queues", watched("queues", "queue")),
    Diagnosis("services", "services", watched("services", "service")),
    Diagnosis("alerts", "alerts", alerts),
)

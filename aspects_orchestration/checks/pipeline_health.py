"""Whether the pipeline is healthy: a check for every signal, all by one look; run by the job `check_pipeline_health`.

One look judges a value as it is, without waiting for the next ones. Of counters and of what must grow, one reading says
nothing: of these the check takes what the sensor saw last, if that is not too old.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from aspects_orchestration.assets.pipeline_health import health_key
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.monitoring.model import Reading, Rule, Signal, Standing, State
from aspects_orchestration.monitoring.readers import all_readers
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import Look, look
from aspects_orchestration.replay.result import utc_now
from aspects_orchestration.settings import load_settings

NAME: Final = "healthy"
#: An observation of a sensor that is older says nothing of now.
_LATELY: Final = timedelta(hours=1)
_SENSORS: Final = {"clickhouse": "clickhouse_health", "queues": "queue_health", "services": "service_health"}


@dataclass(frozen=True)
class Health:
    """How a signal stands at one look.

    Attributes:
        state: None if it is not watched here.
        said: why, in one sentence or two.
        value: the worst; None if there is none.
    """

    state: State | None
    said: str
    value: float | None = None


def pipeline_health_checks() -> dg.AssetChecksDefinition:
    """All checks, as one step, which takes one look."""

    @dg.multi_asset_check(
        specs=[
            dg.AssetCheckSpec(NAME, asset=health_key(signal.name), description=described(signal))
            for signal in SIGNALS.values()
        ],
        can_subset=True,
    )
    def check_pipeline_as_it_is(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        asked = {key.asset_key for key in context.selected_asset_check_keys}
        signals = [signal for signal in SIGNALS.values() if health_key(signal.name) in asked]
        wanted = {signal.name for signal in signals}
        settings = load_settings()
        try:
            rules = load_rules(settings.alerts_file)
        except AspectsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        seen = look(
            [one for one in all_readers(settings) if wanted.intersection(one.signals)],
            rules=replace(rules, changed={name: at_once(rules.of(one)) for name, one in SIGNALS.items()}),
            before={},
            now=utc_now(),
        )
        critical = []
        for signal in signals:
            found = health(
                signal, rules.of(signal), seen, _observed_lately(context.instance, signal, seen.at)
            )
            if found.state is State.CRITICAL:
                critical.append(f"{signal.name}: {found.said}")
            yield _result(signal, found)
        if critical:
            # A run with a failed check has failed: whoever looks at its exit code must not take it for good.
            raise dg.Failure(description="; ".join(critical), allow_retries=False)

    return check_pipeline_as_it_is


def described(signal: Signal) -> str:
    """What holds when the check of a signal passes."""
    return f"{signal.title}: can be read, and is not beyond its thresholds. {signal.meaning}"


def at_once(rule: Rule) -> Rule:
    """A rule for one look: what is bad is bad at once."""
    return replace(rule, for_ticks=1)


def health(signal: Signal, rule: Rule, seen: Look, observed: Health | None) -> Health:
    """How a signal stands at one look.

    Args:
        signal: what.
        rule: the one in force.
        seen: the look; a signal that is not in it is not watched.
        observed: what the sensor saw of it lately; asked only of what needs more than one reading.
    """
    found = [
        (reading, seen.standings[key])
        for key, reading in seen.readings.items()
        if reading.signal == signal.name
    ]
    if not found:
        return Health(None, "not watched: this site does not run it, or it is switched off")
    reading, standing = max(found, key=lambda one: one[1].state.rank)
    if rule.of == "value" or standing.state is State.UNKNOWN:
        return Health(standing.state, _said(signal, reading, standing), standing.value)
    if observed is None:
        sensor = _SENSORS.get(signal.group, "of its group")
        return Health(
            State.OK,
            f"can be read; whether it grows is seen by the sensor {sensor} alone, which has not observed it lately",
        )
    return observed


def _said(signal: Signal, reading: Reading, standing: Standing) -> str:
    of = ", ".join(f"{name} {value}" for name, value in reading.labels)
    value = "cannot be read" if standing.value is None else f"{standing.value:,.6g} {signal.unit}"
    text = f"{standing.state}: {f'{of}: ' if of else ''}{value}" + (
        f" ({reading.why})" if reading.why else ""
    )
    if standing.state in {State.WARN, State.CRITICAL}:
        text += f". {signal.do}"
    return text


def _observed_lately(instance: dg.DagsterInstance, signal: Signal, now: datetime) -> Health | None:
    """What the sensor saw last, for signals of which one reading says nothing."""
    if signal.rule.of == "value":
        return None
    records = instance.fetch_observations(health_key(signal.name), limit=1).records
    if not records or now - datetime.fromtimestamp(records[0].timestamp, UTC) > _LATELY:
        return None
    observation = records[0].asset_observation
    if observation is None:
        return None
    known = {name: one.value for name, one in observation.metadata.items()}
    value = known.get("value")
    return Health(
        State(str(known.get("state", State.UNKNOWN))),
        f"as the sensor saw it: {observation.description}",
        float(value) if isinstance(value, int | float) else None,
    )


def _result(signal: Signal, found: Health) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if found.state is State.CRITICAL else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=health_key(signal.name),
        check_name=NAME,
        passed=found.state in {None, State.OK},
        severity=severity,
        description=found.said,
        metadata={
            "state": found.state.value if found.state else "not watched",
            **({} if found.value is None else {"value": found.value}),
        },
    )
